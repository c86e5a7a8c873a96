"""``anatomy sae train``: a BatchTopK SAE on the residual stream of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.runs.out_folder import claimed
from anatomy.sae.train_sae import train_sae
from anatomy.settings import SAETrainSettings, load_settings
from anatomy.workflows.outcome import Outcome, Where


def sae_train(*, out: Where, settings: Where | None = None, **flags: Any) -> Outcome:
    """Train an SAE into ``out``, a folder that ``--sae`` takes; the same call resumes after a kill.

    Args:
        out: folder of the SAE.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.settings.SAETrainSettings`.

    Raises:
        AnatomyError: settings, corpus or model cannot be used, or ``out`` holds another SAE.
    """
    asked = load_settings(SAETrainSettings, flags, settings)
    with claimed(Path(out)):
        return Outcome(Path(out), str(train_sae(asked, Path(out))))
