"""``anatomy rollout``: completions of prompts by a model, before or after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.progress import progress_bar
from anatomy.rollouts.rollout_set import write_rollouts
from anatomy.rollouts.rollout_settings import RolloutSettings
from anatomy.rollouts.trained_model import load_policy
from anatomy.runs.out_folder import claimed
from anatomy.settings import load_settings
from anatomy.workflows.outcome import Outcome, Where


def rollout(*, out: Where, settings: Where | None = None, **flags: Any) -> Outcome:
    """Write completions of prompts by one model into ``out``; the same call resumes after a kill.

    Args:
        out: folder of the completions.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.rollouts.rollout_settings.RolloutSettings`.

    Raises:
        SettingsError: a setting is wrong or unknown.
        RunError: another process works in ``out``, or as :func:`anatomy.rollouts.rollout_set.write_rollouts`.
    """
    asked, folder = load_settings(RolloutSettings, flags, settings), Path(out)
    with claimed(folder), progress_bar("rollouts", "completion") as bar:
        made = write_rollouts(folder, lambda: load_policy(asked, asked.adapter), asked, bar.update)
    model = made.manifest.model.name
    return Outcome(folder, f"{len(made.texts):,} completions of {len(made.prompts):,} prompts by {model}: {folder}")
