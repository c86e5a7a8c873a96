"""Validations on disk without a model: means of prompts with planted shifts, and records of their trainings."""

from pathlib import Path

import numpy as np

from anatomy import artifacts
from anatomy.rollouts.rollout_set import RolloutManifest
from anatomy.rollouts.text_health import HEALTH
from anatomy.validation.prompt_means import PromptMeans, write_means

CLUSTERS = "clusters as they are now"
SUPPRESS = {"words": "suppress bold: reward shaping 4", "direction": "suppress", "response": "bold"}
AMPLIFY = {"words": "amplify bold: reward shaping 2", "direction": "amplify", "response": "bold"}


def training(interventions=(), seed=0, **other):
    """A record as ``read_training`` makes it."""
    record = {"folder": "X", "rows": "rows.jsonl", "seed": seed, "interventions": list(interventions)}
    hashes = {"plan": str(list(interventions)), "twin": f"twin {seed}", "recipe": "recipe"}
    return {**record, **hashes, "reward_drift": None, **other}


def rollouts(fingerprint):
    """A manifest of rollouts of a model called "the start"."""
    model = {"name": "the start", "origin": "test", "folder": None, "fingerprint": "model"}
    made = {"template": "none", "sampling": {}, "left_out": {}, "prompts": 1, "rollouts": "hash"}
    return RolloutManifest.model_validate({**made, "model": model, "fingerprint": fingerprint}).model_dump(mode="json")


def plant(
    folder: Path,
    shifts: dict[tuple[str, str], float],
    record: dict | None,
    seed: int = 0,
    prompts: int = 120,
    noise: float = 0.3,
    clusters: str = CLUSTERS,
    about: dict[str, str] | None = None,
    **facts: object,
) -> Path:
    """``NAME/validation.json`` with its table: each ``(view, response)`` is shifted by a mean, with a seed's noise."""
    before = np.random.default_rng(99).normal(1.0, 0.3, (prompts, len(HEALTH) + len(shifts)))  # shared by all arms
    means = np.array([0.0] * len(HEALTH) + list(shifts.values()))
    after = before + means + np.random.default_rng(1000 + seed).normal(0, noise, before.shape)
    before[:, :3], after[:, :3] = [60, 0, 0.01], [90, 0.25, 0.125]  # words, empty, repeated
    names = [("health", name) for name in HEALTH] + list(shifts)
    ids = [f"p{number:04d}" for number in range(prompts)]
    table = write_means(folder / artifacts.PROMPT_MEANS, PromptMeans(ids, names, before, after))
    document = {
        "schema_version": 1, "data": "planted", "seed": seed, "role": "reported-on", "run": "run", "window": 64,
        "prompts": prompts, "pairs": 2 * prompts, "left_out": {}, "agreements": {}, "controls": {},
        "calibration": None, "warning": None, "training": record,
        "training_unknown": "no trained.json" if record is None else None,
        "rollouts": {side: rollouts(side) for side in ("before", "after")},
        "per_prompt": {"statistic": "freq", "window": 64, "clusters": clusters, "concepts": [], "table": table},
    }  # fmt: skip
    artifacts.write_json(folder / artifacts.VALIDATION, artifacts.with_checksum(document | facts))
    artifacts.record_outputs(folder, [artifacts.PROMPT_MEANS, artifacts.VALIDATION], about or {})
    return folder
