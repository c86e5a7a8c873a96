"""Every promise of ``docs/promises.md`` names tests, and each of them is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMISES = re.split(r"\n(?=[-#] |##)", (ROOT / "docs" / "promises.md").read_text(encoding="utf-8"))
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("promise", [text for text in PROMISES if text.startswith("- ")], ids=lambda text: text[2:50])
def test_a_promise_is_shown_by_tests_that_are_there(promise):
    named = NAMED.findall(promise)
    assert named, "no test shows it"
    assert len(named) == promise.count("::"), "a name that is none"
    for path, name in named:
        assert name in names_in(path), f"{path} has no {name}"


def test_the_policy_and_the_promises_are_found_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "SECURITY.md" in readme
    assert "docs/promises.md" in readme
    assert "docs/promises.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert len([text for text in PROMISES if text.startswith("- ")]) >= 15
