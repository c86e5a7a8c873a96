"""Malformed row files of every kind: each is counted or refused in one line, and costs no good row beside it."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from pathlib import Path

import pytest
from support.malformed_inputs import Case, malformed

CASES: dict[str, list[Case]] = defaultdict(list)
for case in malformed(seed=0):
    CASES[case.kind].append(case)
SECONDS = 60


def faults(cases: list[Case], commands, model: Path, folder: Path) -> list[str]:
    """What broke the rule, as texts for a message."""
    paths = []
    for number, case in enumerate(cases):
        place = folder / str(number)
        place.mkdir()
        case.fill(place)
        paths.append(f"{place}/{case.file}")
    found = []
    outcomes = commands.run_each([["check", path, "--model", model] for path in paths], SECONDS)
    for case, outcome in zip(cases, outcomes, strict=True):
        fault = outcome.fault()
        if fault is None and case.kind.startswith("cell"):
            fault = lost_rows(outcome)
        if fault:
            found.append(f"{case.kind}: {fault}\n{outcome.described()}")
    return found


def lost_rows(outcome) -> str | None:
    """One odd cell among good rows costs at most its own row."""
    kept = re.match(r"(\d+) of 4 rows retained", outcome.out)
    return None if outcome.status == 0 and kept and int(kept[1]) >= 3 else "a good row was lost with the odd one"


def test_there_are_hundreds_of_cases():
    assert sum(map(len, CASES.values())) >= 300
    assert len(CASES) >= 20


def test_some_of_each_kind(commands, tiny_model_dir, tmp_path):
    some = [case for kind in CASES for case in random.Random(kind).sample(CASES[kind], min(3, len(CASES[kind])))]
    assert faults(some, commands, tiny_model_dir("llama"), tmp_path) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", CASES)
def test_all_of_each_kind(kind, commands, tiny_model_dir, tmp_path):
    found = faults(CASES[kind], commands, tiny_model_dir("llama"), tmp_path)
    assert not found, f"{len(found)} of {len(CASES[kind])}:\n" + "\n\n".join(found[:10])
