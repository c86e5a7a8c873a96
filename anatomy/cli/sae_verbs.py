"""``anatomy sae``: sparse autoencoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from anatomy.cli.flags import AT_LEAST_0, AT_LEAST_1, Rows, flags_of
from anatomy.progress import output
from anatomy.settings import HarvestSettings, ResponseClusterSettings, SAETrainSettings

sae = App(name="sae", help_format="plaintext")


@sae.command
@flags_of(SAETrainSettings)
def train(*, out: Annotated[Path, Parameter(help="Folder of the new SAE.")], **flags: Any) -> None:
    """Train a BatchTopK SAE on the residual stream of your model."""
    from anatomy.workflows.sae_train import sae_train

    output(sae_train(out=out, **flags))


@sae.command
@flags_of(HarvestSettings)
def health(
    rows: Rows, /, *, tokens: Annotated[int, AT_LEAST_1, Parameter(help="Tokens measured.")] = 100_000, **flags: Any
) -> None:
    """Measure L0, variance explained and dead share of an SAE on your rows."""
    from anatomy.workflows.sae_health import sae_health

    found = sae_health(rows, tokens=tokens, **flags)
    output("\n".join([str(found), *(found.faults() or ["healthy"])]))


@sae.command
@flags_of(ResponseClusterSettings)
def cluster(
    folder: Annotated[Path, Parameter(help="Folder of the SAE; the clusters are written into it.")],
    runs: Annotated[list[Path], Parameter(help="Run directories of a harvest with it (`anatomy harvest`).")],
    /,
    *,
    seed: Annotated[int, AT_LEAST_0, Parameter(help="Seed of the halves.")] = 0,
    **flags: Any,
) -> None:
    """Group the features of an SAE by what fires together in a corpus; audits with it use the groups."""
    from anatomy.workflows.sae_cluster import sae_cluster

    output(sae_cluster(folder, *runs, seed=seed, **flags))
