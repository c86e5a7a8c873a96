"""Every number and text of every settings model and flag: what is out of range is refused in one line."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

import anatomy
import interventions
import probes
from anatomy.cli.app import main
from anatomy.settings import Settings

for package in (anatomy, probes, interventions):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.endswith("settings") or module.name.endswith(("plan", "null")):
            importlib.import_module(module.name)

SIGNED = {"threshold"}
"""Limits on scores, which may lie anywhere."""
ODD = ["nan", "inf", "-inf", str(2**63), "-1"]


def models(kind: type[Settings] = Settings) -> Iterator[type[Settings]]:
    for found in kind.__subclasses__():
        if found.__module__.split(".")[0] in ("anatomy", "probes", "interventions"):
            yield found
            yield from models(found)


def kinds_of(field: FieldInfo) -> set[Any]:
    return {field.annotation, *get_args(field.annotation)}


USER = [model for model in models() if model.__name__.endswith(("Settings", "Options", "Source"))]
NUMBERS = sorted({(model.__name__, name) for model in USER for name, field in model.model_fields.items()
                  if kinds_of(field) & {int, float}})  # fmt: skip
TEXTS = sorted({(model.__name__, name) for model in USER for name, field in model.model_fields.items()
                if str in kinds_of(field) and field.default != ""})  # fmt: skip
BY_NAME = {model.__name__: model for model in USER}


def refused(model: str, name: str, value: str) -> bool:
    """Whether the model says something about this field (other fields may be missing)."""
    try:
        BY_NAME[model].model_validate({name: value})
    except ValidationError as error:
        return any(item["loc"][:1] == (name,) and item["type"] != "missing" for item in error.errors())
    return False


@pytest.mark.parametrize("value", ODD)
def test_no_number_is_out_of_range(value):
    assert len(NUMBERS) > 100
    passed = {(model, name) for model, name in NUMBERS if not refused(model, name, value)}
    if math.isfinite(float(value)):  # a large float is a number like others; a threshold may be anywhere
        floats = {(model, name) for model, name in NUMBERS if float in kinds_of(BY_NAME[model].model_fields[name])}
        passed -= floats if value != "-1" else {(model, name) for model, name in NUMBERS if name in SIGNED}
    assert not passed


def test_no_text_is_empty():
    assert len(TEXTS) > 30
    assert not [text for text in TEXTS if not refused(*text, " ")]


@pytest.mark.parametrize(("words", "said"), [
    (["check", "demo", "--seed", "-1"], "seed"),
    (["check", "demo", "--seed", str(2**63)], "seed"),
    (["null", "RUN", "--repetitions", "-3"], "repetitions"),
    (["null", "RUN", "--repetitions", "0"], "repetitions"),
    (["null", "RUN", "--seed", "-1"], "seed"),
    (["show", "RUN", "--top", "-1"], "top"),
    (["view", "RUN", "--port", "70000"], "port"),
    (["plan", "RUN", "--suppress", ""], "--suppress names no target"),
    (["plan", "RUN", "--keep", " , "], "--keep names no target"),
    (["plan", "RUN", "--suppress", "bold", "--strength", "nan"], "finite"),
    (["plan", "check", "p.yaml", "--pairs", "0"], "pairs"),
    (["sae", "health", "demo", "--tokens", "-1"], "tokens"),
    (["audit", "", "--out", "o"], "rows"),
    (["audit", "demo", "--concepts", "", "--out", "o"], "concepts"),
    (["audit", "demo", "--model", "", "--out", "o"], "model"),
])  # fmt: skip
def test_flags_out_of_range_are_one_line(words, said, audited, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(audited) if word == "RUN" else word for word in words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("anatomy: error")
    assert said in error.lower()
    assert not list(tmp_path.iterdir())
