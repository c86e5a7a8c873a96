"""How likely a model makes completions, its own and others': a step of the study, a process of its own.

Writes a table of ``side`` (the number of the folder among those given), ``prompt_id``, ``sample`` and ``log_prob``: the
summed log-probability (nats) of the tokens that a completion was made of, the one that ended it included.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from anatomy import artifacts
from anatomy.activations.spans import encode_prompt
from anatomy.errors import RunError
from anatomy.rollouts.log_probs import summed
from anatomy.rollouts.rollout_set import drawn_tokens, read_rollouts
from anatomy.rollouts.trained_model import load_policy
from anatomy.settings import ModelSettings
from anatomy.stages import progress_bar


def main(words: Sequence[str] | None = None) -> int:
    """Read the completions of all folders, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="default: the laptop model")
    parser.add_argument("--rollouts", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    told = parser.parse_args(words)
    settings = ModelSettings(model=told.model, dtype=told.dtype, device=told.device)
    artifacts.write_table(told.out, likelihood(told.rollouts, settings))
    return 0


def likelihood(folders: Sequence[Path], settings: ModelSettings) -> pa.Table:
    """Log-probability of every completion of all ``folders``; the schema's metadata names the folders' fingerprints.

    Raises:
        RunError: the model made none of them, or one was not sampled at temperature 1 from all tokens.
    """
    sides = [read_rollouts(folder) for folder in folders]
    for folder, side in zip(folders, sides, strict=True):
        if (side.manifest["sampling"]["temperature"], side.manifest["sampling"]["top_p"]) != (1, 1):
            raise RunError(f"{folder}: its completions do not have the model's own probabilities; sample at 1")
    subject, tokenizer = load_policy(settings)
    if subject.fingerprint not in {side.manifest["model"]["fingerprint"] for side in sides}:
        raise RunError(f"{subject.name}: made none of these completions")
    found, sequences, counted = [], [], []
    for number, (folder, side) in enumerate(zip(folders, sides, strict=True)):
        opened = {prompt: encode_prompt(turns, tokenizer, settings) for prompt, turns in side.prompts.items()}
        for (prompt, sample), tokens in sorted(drawn_tokens(folder).items()):
            found.append((number, prompt, sample))
            sequences.append(np.concatenate([opened[prompt], np.array(tokens, np.int32)]))
            counted.append(np.repeat([False, True], [len(opened[prompt]), len(tokens)]))
    with progress_bar("log-probabilities", "completion", len(found)) as bar:
        log_prob_S = summed(sequences, counted, subject, settings.batch_tokens, bar.update)
    names = ("side", "prompt_id", "sample")
    columns = dict(zip(names, map(list, zip(*found, strict=True)), strict=True))
    made_of = " ".join(side.fingerprint for side in sides)
    return pa.table({**columns, "log_prob": log_prob_S}).replace_schema_metadata({"rollouts": made_of})


if __name__ == "__main__":
    main()
