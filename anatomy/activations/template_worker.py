"""A process that renders chat templates, with limits on its processor time, memory and output.

A template is a program that came with the tokenizer: it may loop, recurse, divide by zero or multiply a text by
10¹¹. Here it can do so without harm to the run. This file is run by its path, and imports nothing of the package.

A request is a line of JSON ``{"number", "rows", "template" (when new)}`` and as many lines as it has rows, each
``{"conversations", "tools", "opened", "variables"}``; a line answers each row: ``{"texts": [...]}`` or ``{"refused":
reason}``.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import Any

SECONDS = 2
"""Processor time for one row; an honest one takes a ten-thousandth."""
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
        head = json.loads(line)
        if "template" in head:
            templates[head["number"]] = head["template"]
        rows = [sys.stdin.buffer.readline() for _ in range(head["rows"])]
        for row in rows:
            answer = _answer(row, templates[head["number"]], render_jinja_template)
            answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _answer(row: bytes, template: str, render: Any) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
    try:
        return {"texts": _rendered(json.loads(row), template, render, len(row))}
    except Exception as error:  # whatever the program that a template is makes Jinja and Python raise
        kind = "" if type(error).__name__ == "TemplateError" else f"{type(error).__name__}: "
        return {"refused": kind + str(error)[:300]}


def _rendered(row: dict[str, Any], template: str, render: Any, size: int) -> list[str]:
    texts, _ = render(
        conversations=row["conversations"],
        tools=row["tools"],
        chat_template=template,
        add_generation_prompt=row["opened"],
        **row["variables"],
    )
    most = MOST_ADDED + MOST_TIMES * size
    if max(map(len, texts)) > most:
        raise ValueError(f"more than {most:,} characters come out")
    return list(texts)


if __name__ == "__main__":
    main()
