"""Harvest: rows become pooled features, and the SAE's health on these rows is measured."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from anatomy import artifacts
from anatomy.data.health_parts import MeasuredSAE
from anatomy.errors import SAEError
from anatomy.progress import logger, progress_bar
from anatomy.runs.manifest import ModelIdentity, SAEIdentity
from anatomy.runs.stage_facts import HarvestFacts
from anatomy.stages.health_record import write_health
from anatomy.stages.stage import Audit, FingerprintPart, Stage
from anatomy.types import SIDES

if TYPE_CHECKING:
    from anatomy.sae.reconstruction import HealthSums

NAME = "harvest"


def _computed(audit: Audit) -> FingerprintPart:
    bundle = audit.bundle
    return {
        "tokens": bundle.token_settings(),
        "model": bundle.subject.fingerprint,
        "sae": bundle.sae.fingerprint,
        "layer": bundle.sae.layer,
    }


def _work(audit: Audit) -> HarvestFacts:
    """Harvest; raise :class:`SAEError` after the first shard if the SAE is unhealthy and ``force`` is off."""
    from anatomy.features.harvesting import harvest

    run, bundle = audit.run, audit.bundle
    rows = _announce(audit)
    with progress_bar(NAME, "row", rows) as bar:
        sums = harvest(
            (stored.pair for stored in run.rows()),
            bundle.tokenizer,
            bundle.subject,
            bundle.sae,
            run.file(artifacts.FEATURES),
            run.manifest.stages[NAME].fingerprint,
            audit.settings,
            progress=bar.update,
            check=lambda sums: _sae_health(audit, sums),
        )
    return HarvestFacts(sae=_sae_health(audit, sums), features=bundle.sae.n_features)


def _announce(audit: Audit) -> int:
    """Say what the harvest will cost at most; return the number of rows."""
    settings, health = audit.settings, audit.run.row_health
    mean = health.mean_length
    read = {side: min(mean(side), settings.max_response_length or mean(side)) for side in SIDES}
    tokens = health.retained * sum(min(settings.max_length, mean("prompt") + read[side]) for side in SIDES)
    logger.info(f"harvest: {health.retained:,} rows, at most {tokens:,.0f} tokens through the model")
    return health.retained


def _sae_health(audit: Audit, sums: HealthSums) -> MeasuredSAE:
    from anatomy.sae.reconstruction import SAEHealth

    sae = audit.bundle.sae
    health = SAEHealth.from_sums(sums, sae.claimed)
    faults = health.faults()
    if faults and not audit.settings.force:
        raise SAEError(
            f"{sae.name} is unhealthy on these rows: {'; '.join(faults)}; check model, layer and scale "
            "(`anatomy sae health`), or use it all the same with --force"
        )
    return MeasuredSAE(**asdict(health), faults=faults)


def _after(audit: Audit) -> None:
    model, sae = audit.bundle.subject, audit.bundle.sae
    audit.run.save_inputs(
        model=ModelIdentity(name=model.name, origin=model.origin, fingerprint=model.fingerprint),
        sae=SAEIdentity(name=sae.name, fingerprint=sae.fingerprint, layer=sae.layer),
    )
    write_health(audit.run)


HARVEST_STAGE = Stage(
    name=NAME,
    work=_work,
    outputs=(artifacts.FEATURES,),
    inputs=(artifacts.ROWS,),
    settings=frozenset({"batch_tokens"}),
    computed=_computed,
    after=_after,
)
