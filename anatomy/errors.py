"""One exception tree. A message is one line: what is wrong, where, and how to fix it. The CLI exits with 2."""

from __future__ import annotations

import reprlib


class _Starts(reprlib.Repr):
    """Cuts what it shows at the end, and shows integers that Python refuses to print."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxother = 4, 200
        self.maxlist = self.maxdict = self.maxtuple = self.maxset = 20

    def repr_str(self, x: str, level: int) -> str:
        return repr(x[:200])

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < 1000 else f"an integer of {x.bit_length()} bits"


_STARTS = _Starts()


def shown(value: object, width: int = 80) -> str:
    """The start of ``repr(value)`` on one line, at most ``width`` characters; never fails, whatever its size."""
    text = " ".join(_STARTS.repr(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"


class AnatomyError(Exception):
    """Base of every error that a user can fix; shown without a traceback."""


class RowsError(AnatomyError):
    """The preference rows cannot be read as they are (file, column, row, value)."""


class SettingsError(AnatomyError):
    """A flag, a configuration file or a combination of settings is wrong."""


class ModelError(AnatomyError):
    """The subject model, its tokenizer or its chat template cannot be used."""


class SAEError(AnatomyError):
    """The sparse autoencoder is missing, does not fit the model, or is unhealthy on these rows."""


class ProbeError(AnatomyError):
    """A detector cannot be fitted on these examples, or a saved one does not fit what it is asked to score."""


class PlanError(AnatomyError):
    """A plan of interventions is wrong, or names what the rows, the run or the detectors do not have."""


class RunError(AnatomyError):
    """The run directory lacks an artifact, or holds one of another run."""


class JudgeError(AnatomyError):
    """The judge's endpoint refuses every request (address, key, model), or its cache cannot be used."""
