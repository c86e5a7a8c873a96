"""Flags from settings models: one for each field, with its description and its default."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from cyclopts import Parameter, validators
from pydantic.fields import FieldInfo

from anatomy.settings import MOST, Settings

VerbT = TypeVar("VerbT", bound=Callable[..., None])

Rows = Annotated[str, Parameter(help="Hub id, file, folder or glob; `demo` for the embedded set.")]
RunDir = Annotated[Path, Parameter(help="Run directory of an earlier audit.")]
AT_LEAST_0 = Parameter(validator=validators.Number(gte=0, lte=MOST))
AT_LEAST_1 = Parameter(validator=validators.Number(gte=1, lte=MOST))
PORT = Parameter(validator=validators.Number(gte=0, lte=65_535))


def _finite(_: Any, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError("must be a finite number")


FINITE = Parameter(validator=_finite)
SETTINGS = inspect.Parameter(
    "settings",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")],
)


def flags_of(kind: type[Settings]) -> Callable[[VerbT], VerbT]:
    """Put ``--settings`` and a flag for each field of ``kind`` in place of the ``**flags`` of a verb.

    Fields that the verb takes by itself are left out. Values are handed on as text, and only those that are given: the
    settings model validates them, so that flags and YAML agree and all faults are reported at once.
    """

    def decorated(verb: VerbT) -> VerbT:
        signature = inspect.signature(verb)
        own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {item.name for item in own}
        flags = [_flag(name, field) for name, field in kind.model_fields.items() if name not in taken]
        settings = [] if "settings" in taken else [SETTINGS]
        verb.__signature__ = signature.replace(parameters=[*own, *settings, *flags])  # type: ignore[attr-defined]
        return verb

    return decorated


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    kind = _named(field.annotation)
    about = Parameter(help=_help(field), show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, about]
    )


NAMED = {kind: type(kind.__name__, (str,), {}) for kind in (int, float, Path)}
"""Text under the name of the type that it stands for: ``--help`` shows the name, the settings model reads the text."""


def _named(annotation: Any) -> type:
    """Bool, text, or text under another name; of several, a number rather than a path, a path rather than text."""
    parts = {annotation, *get_args(annotation)}
    return bool if bool in parts else next((text for kind, text in NAMED.items() if kind in parts), str)


def _help(field: FieldInfo) -> str:
    """The description, the allowed words, and the default."""
    notes = []
    if words := _words(field.annotation):
        notes.append(f"[choices: {', '.join(words)}]")
    if field.is_required():
        notes.append("[needed, here or in the file]")
    elif field.default not in (None, ""):
        notes.append(f"[default: {field.default}]")
    return " ".join([str(field.description), *notes])


def _words(annotation: Any) -> list[str]:
    """The allowed words of a ``Literal``, or of one that may be None."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for part in get_args(annotation) if get_origin(part) is Literal for word in _words(part)]
