"""How likely a model makes completions: its own and those of another model, token for token as they were drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from anatomy import artifacts
from anatomy.activations.spans import encode_prompt
from anatomy.errors import RunError
from anatomy.rollouts.log_probs import summed
from anatomy.rollouts.rollout_set import Rollouts, drawn_tokens, read_rollouts
from anatomy.rollouts.trained_model import load_policy
from anatomy.settings import ModelSettings


def completion_log_probs(
    folders: Sequence[Path], settings: ModelSettings, progress: Callable[[int], object] | None = None
) -> pa.Table:
    """Table of the summed log-probability (nats) of every completion in ``folders`` under the model of ``settings``.

    Columns: ``side`` (the folder's place among those given), ``prompt_id``, ``sample``, ``log_prob``; the token that
    ended a completion counts. The schema's metadata names the folders' fingerprints.

    Args:
        progress: called with the number of completions just read.

    Raises:
        RunError: the model made none of them, or one was not sampled at temperature 1 from all tokens.
    """
    sides = [_full_sample(folder) for folder in folders]
    subject, tokenizer = load_policy(settings)
    if subject.fingerprint not in {side.manifest.model.fingerprint for side in sides}:
        raise RunError(f"{subject.name}: made none of these completions; give the model that sampled one of the sides")
    found, sequences, counted = [], [], []
    for number, (folder, side) in enumerate(zip(folders, sides, strict=True)):
        opened = {prompt: encode_prompt(turns, tokenizer, settings) for prompt, turns in side.prompts.items()}
        for (prompt, sample), tokens in sorted(drawn_tokens(folder).items()):
            found.append((number, prompt, sample))
            sequences.append(np.concatenate([opened[prompt], np.array(tokens, np.int32)]))
            counted.append(np.repeat([False, True], [len(opened[prompt]), len(tokens)]))
    log_prob_S = summed(sequences, counted, subject, settings.batch_tokens, progress)
    columns = dict(zip(("side", "prompt_id", "sample"), map(list, zip(*found, strict=True)), strict=True))
    return pa.table({**columns, "log_prob": log_prob_S}).replace_schema_metadata({"rollouts": _made_of(sides)})


def read_completion_log_probs(
    path: Path, keys: Sequence[tuple[str, int]], sides: Sequence[Rollouts]
) -> Float[np.ndarray, "S N"]:
    """Log-probabilities that :func:`completion_log_probs` found, by side and in the order of ``keys``.

    Args:
        keys: prompt id and sample number of each of N completions.
        sides: the completions that are meant.

    Raises:
        RunError: the table is of other completions.
    """
    table = artifacts.read_table(path)
    if (table.schema.metadata or {}).get(b"rollouts", b"").decode() != _made_of(sides):
        raise RunError(f"{path}: holds log-probabilities of other completions; delete it and run the study again")
    columns = (table[name].to_pylist() for name in ("side", "prompt_id", "sample", "log_prob"))
    known = {(side, prompt, sample): value for side, prompt, sample, value in zip(*columns, strict=True)}
    return np.array([[known[side, *key] for key in keys] for side in range(len(sides))])


def _full_sample(folder: Path) -> Rollouts:
    """A folder's completions.

    Raises:
        RunError: they were drawn from changed probabilities.
    """
    rollouts = read_rollouts(folder)
    if (rollouts.manifest.sampling.temperature, rollouts.manifest.sampling.top_p) != (1, 1):
        raise RunError(f"{folder}: its completions do not have the model's own probabilities; sample at 1")
    return rollouts


def _made_of(sides: Sequence[Rollouts]) -> str:
    return " ".join(side.manifest.fingerprint for side in sides)
