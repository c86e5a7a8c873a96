"""From a study's YAML file to its steps: the grid of its axes, and every template filled in."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from anatomy.artifacts import read_yaml
from anatomy.errors import SettingsError

NAME = re.compile(r"\{(\w+)(?:\[(\w+)=([^\]]*)\])?\}")
Binding = Mapping[str, str]
"""A value of every axis."""
Trail = tuple[tuple[str, ...], ...]
"""Names of the steps that wait for each other, each with its values of the axes."""


class StepSpec(BaseModel):
    """One step of a study, as the YAML file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: str
    """Template of the folder or file that the step makes, under the study's folder."""
    run: str | None = None
    """Template of the command: a module and its arguments."""
    write: Any = None
    """Instead of a command: what a YAML file has to hold."""
    skip: list[dict[str, str | list[str]]] = []
    """Values of axes at which the step is not made; a reference to it is null there."""
    first: list[str] = []
    """Axes of which it takes the first value, whatever the step that refers to it has."""
    discard: list[str] = []
    """Parts of the output that no other step reads; deleted when the step is done."""


class StudySpec(BaseModel):
    """A study: its grid, the values that its commands take, and its steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    axes: dict[str, dict[str, dict[str, Any]]]
    """By axis and value, the variables that go with the value; a list has values without variables."""
    values: dict[str, Any] = {}
    """What decides results; ``NAME=VALUE`` replaces it."""
    machine: dict[str, Any] = {}
    """What decides no result (device, folders), so that it may change when a study resumes."""
    required: list[str] = []
    """Values that have no default."""
    parts: dict[str, list[str]]
    """Names of what can be asked for, each with its last steps; the first is the default."""
    steps: dict[str, StepSpec]

    @field_validator("axes", mode="before")
    @classmethod
    def _named(cls, axes: dict[str, Any]) -> dict[str, Any]:
        """Axes with the variables of every value, of a list's values none."""
        return {
            name: {str(value): {} for value in found} if isinstance(found, list) else
            {str(value): variables or {} for value, variables in found.items()}
            for name, found in axes.items()
        }  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One command (or file to write) with everything filled in."""

    name: str
    out: Path
    made_by: str
    """The command with ``{root}`` and the machine's values left open: what decides the result."""
    words: Sequence[str] = ()
    content: Any = None
    after: frozenset[Path] = frozenset()
    discard: Sequence[str] = ()


@dataclass
class Grid:
    """Expands a study into steps."""

    spec: StudySpec
    root: Path
    here: Path
    asked: Mapping[str, Any]
    axes: dict[str, dict[str, dict[str, Any]]]
    steps: dict[Path, Step] = field(default_factory=dict)
    known: dict[tuple[str, ...], Step | None] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, root: Path, asked: Mapping[str, str]) -> Grid:
        """The study of a YAML file, with the values that were asked for in place of its own.

        Raises:
            SettingsError: the file or a name in ``asked`` is wrong, or a required value is missing.
        """
        try:
            spec = StudySpec.model_validate(read_yaml(path, "study"))
        except ValidationError as error:
            raise SettingsError(f"{path}: not a study: {' '.join(str(error).split())}") from None
        axes = {name: chosen(name, known, asked.get(name)) for name, known in spec.axes.items()}
        variables = {name for values in spec.axes.values() for found in values.values() for name in found}
        known = {*axes, *variables, *spec.values, *spec.machine}
        for name in asked:
            if name not in known:
                raise SettingsError(f"{path}: has no `{name}`; known: {', '.join(sorted(known))}")
        for name in spec.required:
            if asked.get(name) is None:
                raise SettingsError(f"{path}: needs {name}=…")
        values = {name: yaml.safe_load(value) for name, value in asked.items() if name not in axes}
        return cls(spec, root, path.parent, values, axes)

    def expand(self, part: str | None = None) -> list[Step]:
        """Steps of a part in an order in which each follows what it reads.

        Raises:
            SettingsError: there is no such part, or a template is wrong.
        """
        part = part or next(iter(self.spec.parts))
        if part not in self.spec.parts:
            raise SettingsError(f"no part `{part}`; known: {', '.join(self.spec.parts)}")
        for wanted in self.spec.parts[part]:
            for binding in self.bindings():
                self.refer("{" + wanted + "}", binding, ())
        return list(self.steps.values())

    def bindings(self) -> Iterator[Binding]:
        """Every point of the grid."""
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))

    def refer(self, reference: str, binding: Binding, trail: Trail) -> Step | None:
        """The step that a reference names, added to the steps; None where it is skipped."""
        found = NAME.fullmatch(reference)
        if found is None or found[1] not in self.spec.steps:
            raise SettingsError(f"no step `{reference}`; known: {', '.join(self.spec.steps)}")
        name, axis, value = found.groups()
        spec = self.spec.steps[name]
        binding = {**binding, **({axis: value} if axis else {})}
        binding |= {axis: next(iter(self.axes[axis])) for axis in spec.first}
        place = (name, *binding.values())
        if place in trail:
            raise SettingsError(f"steps wait for each other: {' → '.join(step for step, *_ in (*trail, place))}")
        if place not in self.known:
            skipped = any(matches(binding, values) for values in spec.skip)
            self.known[place] = None if skipped else self.add(Template(self, binding, (*trail, place)).step(name, spec))
        return self.known[place]

    def add(self, step: Step) -> Step:
        """A step among the others; the same step where another point of the grid has it.

        Raises:
            SettingsError: another command makes the same output.
        """
        known = self.steps.setdefault(step.out, step)
        if known.made_by != step.made_by:
            raise SettingsError(f"step {step.name}: two commands make {step.out}; name in `out` what parts them")
        return known


def chosen(axis: str, known: dict[str, dict[str, Any]], asked: str | None) -> dict[str, dict[str, Any]]:
    """The values of an axis that were asked for (``0,1``), all by default; values with variables must be known ones."""
    if asked is None:
        return known
    names = asked.split(",")
    if any(known.values()) and (wrong := set(names) - known.keys()):
        raise SettingsError(f"{axis}: no `{', '.join(sorted(wrong))}`; known: {', '.join(known)}")
    return {name: known.get(name, {}) for name in names}


def matches(binding: Binding, values: Mapping[str, str | list[str]]) -> bool:
    """Whether a point of the grid has one of the values on each axis that is named."""
    return all(binding[axis] in (value if isinstance(value, list) else [value]) for axis, value in values.items())


@dataclass
class Template:
    """Fills in the templates of one step at one point of the grid."""

    grid: Grid
    binding: Binding
    trail: Trail
    open: bool = False
    """Leave ``{root}``, ``{here}`` and the machine's values as they are."""
    own: str = ""
    after: dict[Path, None] = field(default_factory=dict)
    filling: list[str] = field(default_factory=list)

    def step(self, name: str, spec: StepSpec) -> Step:
        """The step with everything filled in."""
        kept = Template(self.grid, self.binding, self.trail, open=True)
        out = str(kept.fill(spec.out)).removeprefix("{root}/")
        self.own, kept.own = str(self.grid.root / out), "{root}/" + out
        made_by = kept.command(spec.run) if spec.run else kept.fill(spec.write)
        words = self.command(spec.run) if spec.run else []
        content = None if spec.run else self.fill(spec.write)
        return Step(name, Path(self.own), json.dumps(made_by, ensure_ascii=False), words, content,
                    frozenset(self.after), spec.discard)  # fmt: skip

    def command(self, template: str) -> list[str]:
        """Words of a command; a null value is left out with its flag, a list is several words."""
        words: list[str] = []
        for part in shlex.split(template):
            value = self.fill(part)
            if value is None:
                words = words[:-1] if words and words[-1].startswith("--") else words
            else:
                words += map(str, value) if isinstance(value, list) else [str(value)]
        return words

    def fill(self, template: Any) -> Any:
        """A template with its names filled in; one that is a single name has the name's own value and type."""
        if isinstance(template, dict):
            return {key: self.fill(value) for key, value in template.items()}
        if isinstance(template, list):
            return [self.fill(value) for value in template]
        if not isinstance(template, str):
            return template
        whole = NAME.fullmatch(template)
        return self.value(whole) if whole else NAME.sub(self._inside, template)

    def _inside(self, found: re.Match[str]) -> str:
        value = self.value(found)
        if value is None:
            raise SettingsError(f"step {self.trail[-1][0]}: {found[0]} has no value; give {found[1]}=…")
        return str(value)

    def value(self, found: re.Match[str]) -> Any:
        """What a name in braces stands for."""
        name, grid = found[1], self.grid
        if name in grid.spec.steps:
            step = grid.refer(found[0], self.binding, self.trail)
            if step is not None:
                self.after[step.out] = None
            return step and ("{root}/" + str(step.out.relative_to(grid.root)) if self.open else str(step.out))
        if self.open and name in {"root", "here", *grid.spec.machine}:
            return found[0]
        if name in ("root", "here"):
            return str(getattr(grid, name))
        if name == "out":
            return self.own
        if name in self.filling:
            raise SettingsError(f"step {self.trail[-1][0]}: {{{name}}} is made of itself")
        self.filling.append(name)
        value = self.fill(self._raw(name))
        self.filling.pop()
        return value

    def _raw(self, name: str) -> Any:
        """A value before its own names are filled in: asked for, of an axis, of a value of an axis, or the study's."""
        if name in self.binding:
            return self.binding[name]
        variables = [self.grid.spec.axes[axis].get(value, {}) for axis, value in self.binding.items()]
        for source in (self.grid.asked, *variables, self.grid.spec.values, self.grid.spec.machine):
            if name in source:
                return source[name]
        raise SettingsError(f"step {self.trail[-1][0]}: nothing is named {{{name}}} at {dict(self.binding)}")
