"""Validations on disk without a model: means of prompts with planted shifts, and what is told of their trainings."""

from pathlib import Path

import numpy as np

from anatomy import artifacts
from anatomy.rollouts.text_health import HEALTH
from anatomy.validation.prompt_means import PromptMeans, write_means

CLUSTERS = "clusters as they are now"
SUPPRESS = {"words": "suppress bold: reward shaping 4", "direction": "suppress", "response": "bold"}
AMPLIFY = {"words": "amplify bold: reward shaping 2", "direction": "amplify", "response": "bold"}


def training(interventions=(), seed=0, **other):
    """What ``read_training`` would tell."""
    told = {"folder": "X", "rows": "rows.jsonl", "seed": seed, "interventions": list(interventions)}
    return {**told, "plan": str(list(interventions)), "twin": f"twin {seed}", "recipe": "recipe", **other}


def plant(
    folder: Path,
    shifts: dict[tuple[str, str], float],
    told: dict | None,
    seed: int = 0,
    prompts: int = 120,
    noise: float = 0.3,
    clusters: str = CLUSTERS,
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
        "prompts": prompts, "pairs": 2 * prompts, "figures": {}, "calibration": None, "training": told,
        "rollouts": {"before": {"model": {"name": "the start"}, "fingerprint": "before"}},
        "per_prompt": {"statistic": "freq", "window": 64, "clusters": clusters, "concepts": [], "table": table},
    }  # fmt: skip
    artifacts.write_json(folder / artifacts.VALIDATION, document | facts)
    return folder
