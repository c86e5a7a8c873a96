"""A run that is opened again: its models are those that the command line names, if the run was made with them.

A run directory may come from anybody, and a model may run code. So nothing that a directory names is loaded: a verb
takes the same flags as ``anatomy audit`` did, and says which where they are missing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from anatomy.activations.model import choose_device, choose_dtype, locate_model, weights_fingerprint
from anatomy.activations.spans import template_hash
from anatomy.errors import ModelError, SettingsError
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle, tokenizer_hash
from anatomy.settings import AuditSettings, ReaderSettings, Settings, SubjectSettings
from anatomy.text.visible import visible

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from anatomy.activations.model import Subject
    from anatomy.sae.load_sae import LoadedSAE

SHOWN = 200
"""Characters of a value that an error line repeats from a run directory."""
CHOICE_OF_ROWS = (
    "config", "split", "revision", "format", "map", "label", "score", "pairs", "limit", "sample",
)  # fmt: skip
"""Settings that name rows only together with ``rows``."""


def require_named(run: Run, asked: Settings, names: Iterable[str]) -> None:
    """Refuse a run that names something to load of which ``asked`` says nothing.

    Args:
        asked: settings from the command line and its own settings file.
        names: settings of an audit that the verb is about to load something by.

    Raises:
        SettingsError: the line says which flags are missing, as the run has them.
    """
    made = run.recorded_settings
    if any(getattr(made, name) is not None and getattr(asked, name, None) is None for name in names):
        flags = flags_of_run(run, names, asked)
        raise SettingsError(
            f"{run.path}: a run directory does not choose what is loaded; see whether you trust what this one names, "
            f"then add {flags}"
        )


def flags_of_run(run: Run, names: Iterable[str], asked: Settings | None = None) -> str:
    """The flags that name what the run was made with, where ``asked`` does not give the same; escaped, on one line."""
    made, defaults = run.recorded_settings, AuditSettings(rows="rows")
    wanted = list(dict.fromkeys(names))
    wanted += [name for name in ("model_revision",) if "model" in wanted]
    wanted += [name for name in CHOICE_OF_ROWS if "rows" in wanted]
    words = []
    for name in wanted:
        value = getattr(made, name)
        if value not in (None, getattr(defaults, name)) and value != getattr(asked, name, None):
            words.append(f"--{name.replace('_', '-')} {shlex.quote(visible(_flag_text(value))[:SHOWN])}")
    if made.trust_remote_code and "model" in wanted:
        words.append("(and --trust-remote-code, if you trust code that comes with that model)")
    return " ".join(words)


def _flag_text(value: object) -> str:
    return ",".join(f"{role}={column}" for role, column in value.items()) if isinstance(value, dict) else str(value)


def reopened_settings(run: Run, asked: SubjectSettings) -> AuditSettings:
    """How the run read and tested its rows, and from ``asked`` everything that is loaded.

    Raises:
        SettingsError: the run names a model, template, SAE or file of concepts, and ``asked`` names none.
    """
    needed = ("model", "chat_template", "sae", "concepts_file")
    require_named(run, asked, [name for name in needed if name in type(asked).model_fields])
    names = asked.model_fields_set & ReaderSettings.model_fields.keys()
    changes = {name: getattr(asked, name) for name in names if getattr(asked, name) is not None}
    return run.settings.model_copy(update=changes)


def require_same_model(run: Run, settings: AuditSettings) -> None:
    """Refuse a model that the rows were not read with, before it is loaded.

    Raises:
        ModelError: its weights or its numeric type are not those of the run.
    """
    import torch

    dtype = choose_dtype(settings.dtype, torch.device(choose_device(settings.device)))
    if weights_fingerprint(locate_model(settings), dtype) != run.model.fingerprint:
        raise _other(run, settings, "model", ("model",))


def _other(run: Run, asked: Settings, what: str, names: Iterable[str]) -> ModelError:
    flags = flags_of_run(run, names, asked) or "the weights and the numeric type of that time"
    return ModelError(
        f"{run.path}: the {what} here is not the one that the run was made with; give what it was made with, if you "
        f"trust it: {flags}"
    )


class ReopenedBundle(ModelBundle):
    """Model, tokenizer and SAE of a run that is opened again, each checked against the run's manifest when loaded.

    Windows and numeric type are the run's; what is loaded is what ``asked`` names, by default the laptop model and its
    SAE.

    Raises:
        SettingsError: the run names a model, template or SAE, and ``asked`` names none.
    """

    def __init__(self, run: Run, asked: SubjectSettings, window: int | None = None) -> None:
        self.run, self.asked = run, asked
        self.audited = reopened_settings(run, asked)
        if window is not None:
            self.audited = self.audited.model_copy(update={"max_response_length": window})
        super().__init__(self.audited)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that the rows were read with.

        Raises:
            ModelError: the run was made with another one, or with another chat template.
        """
        tokenizer, made = super().tokenizer, self.run.manifest.inputs
        if made.tokenizer != tokenizer_hash(tokenizer):
            raise _other(self.run, self.asked, "tokenizer", ("model", "chat_template"))
        if made.template != template_hash(tokenizer):
            raise _other(self.run, self.asked, "chat template", ("model", "chat_template"))
        return tokenizer

    @cached_property
    def subject(self) -> Subject:
        """The model that the rows were read with; raises as :attr:`tokenizer`."""
        made, subject = self.run.model, super().subject
        if made.fingerprint != subject.fingerprint:
            raise _other(self.run, self.asked, "model", ("model",))
        return subject

    @cached_property
    def sae(self) -> LoadedSAE:
        """The SAE that the rows were read with; raises as :attr:`tokenizer`."""
        made, sae = self.run.sae, super().sae
        if made.fingerprint != sae.fingerprint:
            raise _other(self.run, self.asked, "SAE", ("sae",))
        return sae
