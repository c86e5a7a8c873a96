"""How likely a model makes completions of others: a step of the study, a process of its own.

Writes a table of ``side`` (the number of the folder among those given), ``prompt_id``, ``sample`` and ``log_prob``: the
summed log-probability (nats) of a completion's tokens and, where it ended by itself, of the end of text.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from anatomy import artifacts
from anatomy.activations.layers import hf_model
from anatomy.activations.sampling import stop_ids
from anatomy.activations.spans import encode_prompt
from anatomy.settings import ModelSettings
from anatomy.stages import progress_bar
from anatomy.validation.log_probs import summed
from anatomy.validation.policy import load_policy
from anatomy.validation.rollouts import Rollouts, read_rollouts

SPARE = 2
"""Text that was cut off after n tokens may be n − 1 tokens when it is read again: only shorter text has an end."""


def main(words: Sequence[str] | None = None) -> int:
    """Read the completions of all folders, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="default: the laptop model")
    parser.add_argument("--rollouts", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    told = parser.parse_args(words)
    settings = ModelSettings(model=told.model, dtype="float32", device=told.device)
    artifacts.write_table(told.out, likelihood([read_rollouts(folder) for folder in told.rollouts], settings))
    return 0


def likelihood(sides: Sequence[Rollouts], settings: ModelSettings) -> pa.Table:
    """Log-probability of every completion of all ``sides``, which were sampled at temperature 1 from all tokens."""
    subject, tokenizer = load_policy(settings)
    end = stop_ids(hf_model(subject), tokenizer)[0]
    found, sequences, counted = [], [], []
    for side, rollouts in enumerate(sides):
        sampling = rollouts.manifest["sampling"]
        if (sampling["temperature"], sampling["top_p"]) != (1, 1):
            raise SystemExit("completions are not the model's own: sample them at temperature 1 and top_p 1")
        opened = {prompt: encode_prompt(turns, tokenizer, settings) for prompt, turns in rollouts.prompts.items()}
        for (prompt, sample), text in sorted(rollouts.texts.items()):
            reply = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            ended = len(reply) <= sampling["max_new_tokens"] - SPARE
            reply = np.array([*reply, *([end] if ended else [])], np.int32)
            found.append((side, prompt, sample))
            sequences.append(np.concatenate([opened[prompt], reply]))
            counted.append(np.repeat([False, True], [len(opened[prompt]), len(reply)]))
    with progress_bar("log-probabilities", "completion", len(found)) as bar:
        log_prob_S = summed(sequences, counted, subject, settings.batch_tokens, bar.update)
    names = ("side", "prompt_id", "sample")
    columns = dict(zip(names, map(list, zip(*found, strict=True)), strict=True))
    return pa.table({**columns, "log_prob": log_prob_S})


if __name__ == "__main__":
    main()
