"""A pilot harvest: some of the rows through the real model and SAE, to learn what all of them would cost."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anatomy import artifacts
from anatomy.activations.spans import encode_row
from anatomy.data.health import RowHealth
from anatomy.data.ingest import ingest
from anatomy.data.rows_table import read_rows
from anatomy.features.harvesting import harvest
from anatomy.progress import progress_bar
from anatomy.sae.model_bundle import ModelBundle
from anatomy.sae.reconstruction import SAEHealth
from anatomy.settings import HarvestSettings
from anatomy.types import SIDES, Pair

clock = time.monotonic
"""What seconds are measured with."""


class Pilot(NamedTuple):
    """What was measured on some rows, spread evenly over the set.

    Attributes:
        health: data health of all rows.
        rows: rows harvested.
        tokens: their tokens, both sides, through the model.
        seconds: time of their harvest, without loading.
        bytes: size of their pooled features on disk.
        sae: health of the SAE on them.
    """

    health: RowHealth
    rows: int
    tokens: int
    seconds: float
    bytes: int
    sae: SAEHealth


def pilot(settings: HarvestSettings, tokens: int) -> Pilot:
    """Harvest rows of about ``tokens`` tokens into a temporary folder.

    Raises:
        AnatomyError: rows, model or SAE cannot be used.
    """
    bundle = ModelBundle(settings)
    with tempfile.TemporaryDirectory(prefix="anatomy-") as name:
        folder = Path(name)
        with progress_bar("rows", "row") as bar:
            health = ingest(settings, folder, bundle.token_check, bar.update)
        pairs, measured = _spread(folder / artifacts.ROWS, health, bundle, tokens)
        _ = bundle.sae  # loading is not part of the time
        features = folder / artifacts.FEATURES
        start = clock()
        sums = harvest(pairs, bundle.tokenizer, bundle.subject, bundle.sae, features, "pilot", settings)
        seconds = clock() - start
        size = sum(path.stat().st_size for path in features.iterdir())
    return Pilot(health, len(pairs), measured, seconds, size, SAEHealth.from_sums(sums, bundle.sae.claimed))


def _spread(rows: Path, health: RowHealth, bundle: ModelBundle, tokens: int) -> tuple[list[Pair], int]:
    """Rows at even distances, of about ``tokens`` tokens, and how many they have: in a sorted set the first mislead."""
    mean = health.mean_length
    row_tokens = sum(min(bundle.settings.max_length, mean("prompt") + mean(side)) for side in SIDES)
    wanted = min(health.retained, math.ceil(tokens / max(row_tokens, 1.0)))
    places = set(np.linspace(0, health.retained - 1, wanted).round().astype(int).tolist())
    pairs = [stored.pair for place, stored in enumerate(read_rows(rows)) if place in places]
    encoded = [encode_row(pair, bundle.tokenizer, bundle.settings) for pair in pairs]
    return pairs, sum(len(side.ids) for row in encoded for side in row.sides.values())
