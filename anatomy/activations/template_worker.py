"""A process that renders chat templates, with limits on its processor time, memory and output.

A template is a program that came with the tokenizer: it may loop, recurse, divide by zero or multiply a text by
10¹¹. Here it can do so without harm to the run. This file is run by its path, and imports nothing of the package.

One line of JSON asks, one line answers: ``{"number", "template" (when new), "conversations", "tools", "opened",
"variables"}`` → ``{"texts": [...]}`` or ``{"refused": reason}``.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import Any

SECONDS = 2
"""Processor time for one request; an honest one takes a ten-thousandth."""
MEMORY = 1 << 30
"""Bytes beyond what the process has when it is ready."""
MOST_ADDED = 1_000_000
MOST_TIMES = 4
"""Characters that a template may add to what it is given, and how often it may repeat it."""


def main() -> None:
    """Answer until the input ends."""
    import psutil
    from transformers.utils.chat_template_utils import render_jinja_template

    with contextlib.suppress(ValueError, OSError):  # a system without this limit
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, resource.RLIM_INFINITY))
    templates: dict[int, str] = {}
    answers = sys.stdout.buffer
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(
            resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + SECONDS, resource.RLIM_INFINITY)
        )
        try:
            answer = json.dumps({"texts": _rendered(json.loads(line), templates, render_jinja_template, len(line))})
        except Exception as error:  # whatever the program that a template is makes Jinja and Python raise
            kind = "" if type(error).__name__ == "TemplateError" else f"{type(error).__name__}: "
            answer = json.dumps({"refused": kind + str(error)[:300]})
        answers.write(answer.encode() + b"\n")
        answers.flush()


def _rendered(asked: dict[str, Any], templates: dict[int, str], render: Any, size: int) -> list[str]:
    number = asked["number"]
    if "template" in asked:
        templates[number] = asked["template"]
    texts, _ = render(
        conversations=asked["conversations"],
        tools=asked["tools"],
        chat_template=templates[number],
        add_generation_prompt=asked["opened"],
        **asked["variables"],
    )
    most = MOST_ADDED + MOST_TIMES * size
    if max(map(len, texts)) > most:
        raise ValueError(f"more than {most:,} characters come out")
    return list(texts)


if __name__ == "__main__":
    main()
