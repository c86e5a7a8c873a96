"""Sample completions with a tiny model; kill this process for real after some batches.

Usage: killed_generate.py MODEL OUT POINT, POINT being model (amid the third batch) or write (half of its bytes).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from anatomy.activations import generate as module
from anatomy.activations.generate import generate
from anatomy.activations.generate_settings import GenerateSettings
from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.settings import ModelSettings

MODEL = {"device": "cpu", "dtype": "float32"}
SETTINGS = GenerateSettings(max_new_tokens=12, temperature=1.0, top_p=0.9, batch_tokens=256)
CONVERSATIONS = [
    [{"role": "user", "content": f"Why is the dog {'so ' * (number // 2)}good?"}] for number in range(18)
]  # each twice but for the length: repeats get samples of their own


def main(model: str, out: str, point: str) -> None:
    settings = ModelSettings(model=model, **MODEL)
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    complete = module._complete
    batches = []

    def dying(*arguments: object) -> list[str]:
        texts = complete(*arguments)
        batches.append(len(texts))
        if len(batches) == 3 and point == "write":
            with Path(out).open("ab") as stream:
                stream.write(module._line(arguments[2][0].key, texts[0]) + b'{"key": "half')
        if len(batches) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return texts

    module._complete = dying
    generate(Path(out), subject, tokenizer, CONVERSATIONS, SETTINGS)


if __name__ == "__main__":
    main(*sys.argv[1:])
