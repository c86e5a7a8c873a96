"""Every number and text of every settings model and flag: what is out of range is refused in one line."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from cyclopts import App
from pydantic import ValidationError
from pydantic.fields import FieldInfo

import anatomy
import interventions
import probes
from anatomy.cli.app import build_app, main
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


def numeric_flags(app: App, verb: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str], str]]:
    """Each verb with what it must be given, and each of its flags that takes a number."""
    for name in app:
        if name.startswith("-"):
            continue
        yield from numeric_flags(app[name], (*verb, name))
    if not verb or app.default_command is None:
        return
    arguments = app.assemble_argument_collection()
    needed: list[str] = []
    for one in arguments:
        if one.required:
            needed += ["x"] if one.field_info.is_positional else [one.name, "x"]
    if verb == ("plan", "check"):  # without rows it shows the plan, and no setting counts
        needed += ["--rows", "x"]
    for one in arguments:
        if {getattr(kind, "__name__", "") for kind in (one.hint, *get_args(one.hint))} & {"int", "float"}:
            yield verb, needed, one.name


FLAGS = sorted(numeric_flags(build_app()))
VERBS = sorted({verb for verb, *_ in FLAGS})


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_flag_of_every_verb_refuses_what_is_no_number(verb, tmp_path, monkeypatch, capsys):
    """One line that names the flag, before anything is made; other values are tried on the models above."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("interventions:\n- {concept: bold, direction: suppress, backend: filtering}\n")
    for _, needed, flag in (one for one in FLAGS if one[0] == verb):
        assert main([*verb, *needed, f"{flag}=nan"]) == 2, flag
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith("anatomy: error"), flag
        assert flag.lstrip("-").replace("-", "_") in error.replace("-", "_"), error
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_flags_are_found():
    assert len(FLAGS) > 200
    assert len(VERBS) > 15
