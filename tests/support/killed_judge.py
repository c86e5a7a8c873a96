"""Ask a judge; this process is killed for real when half of the answers are there. Usage: killed_judge.py URL CACHE."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from anatomy.judge.judge import Judge, Question
from anatomy.judge.judge_settings import JudgeSettings

QUESTIONS = [Question("How good is the dog?", {"answer": f"The dog is number {number}."}) for number in range(12)]


def main(url: str, cache: str) -> None:
    done = []

    def die(n: int) -> None:
        done.append(n)
        if len(done) == 6:
            os.kill(os.getpid(), signal.SIGKILL)

    Judge(JudgeSettings(base_url=url, model="m", concurrency=2), Path(cache)).ask(QUESTIONS, die)


if __name__ == "__main__":
    main(*sys.argv[1:])
