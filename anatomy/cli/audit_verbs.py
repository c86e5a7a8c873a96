"""The verbs of an audit: from rows to findings, and what is done with a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from anatomy.cli.flags import AT_LEAST_0, PORT, Rows, RunDir, flags_of
from anatomy.errors import SettingsError
from anatomy.naming.name_settings import NameSettings
from anatomy.progress import output
from anatomy.settings import (
    AuditSettings,
    CheckSettings,
    ClusterSettings,
    HarvestSettings,
    ReaderSettings,
    RetestSettings,
)

Out = Annotated[Path | None, Parameter(help="Run directory; default: runs/<name of the rows>.")]
Top = Annotated[int, AT_LEAST_0, Parameter(help="Findings shown per view and direction.")]


@flags_of(CheckSettings)
def check(
    rows: Rows,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder in which to write health.json as well.")] = None,
    write: Annotated[
        Path | None,
        Parameter(help="Folder in which to write the retained pairs as a data set, and the rows left out."),
    ] = None,
    show_mapping: Annotated[
        bool, Parameter(negative=(), help="Print which column is what, for --map, and three rows as they are read.")
    ] = False,
    **flags: Any,
) -> None:
    from anatomy.workflows.check import check
    from anatomy.workflows.show_mapping import show_mapping as shown

    output(shown(rows, **flags) if show_mapping else check(rows, out=out, write=write, **flags))


@flags_of(AuditSettings)
def audit(
    rows: Rows,
    /,
    *,
    out: Out = None,
    top: Top = 5,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Estimate tokens, disk, memory and time; run nothing.")
    ] = False,
    **flags: Any,
) -> None:
    if dry_run:
        from anatomy.workflows.estimate import estimate

        output(estimate(rows, **flags))
        return
    from anatomy.workflows.audit import audit

    output(audit(rows, out=out, **flags).show(top=top))


@flags_of(HarvestSettings)
def harvest(rows: Rows, /, *, out: Out = None, **flags: Any) -> None:
    from anatomy.workflows.harvest import harvest

    harvest(rows, out=out, **flags)


@flags_of(ClusterSettings)
def cluster(run: RunDir, /, **flags: Any) -> None:
    from anatomy.workflows.cluster import cluster

    cluster(run, **flags)


@flags_of(RetestSettings)
def hypotheses(run: RunDir, /, *, top: Top = 5, **flags: Any) -> None:
    from anatomy.workflows.hypotheses import hypotheses

    output(hypotheses(run, **flags).show(top=top))


def null(
    run: RunDir,
    /,
    *,
    repetitions: Annotated[int, Parameter(help="Random relabellings.")] = 20,
    seed: Annotated[int, Parameter(help="Seed of the relabellings.")] = 0,
) -> None:
    from anatomy.workflows.null import null

    output(null(run, repetitions=repetitions, seed=seed))


def show(
    run: RunDir,
    cluster: Annotated[
        str | None, Parameter(help="A cluster id (R12, S3, D4, P7): its label, tokens, exemplars.")
    ] = None,
    /,
    *,
    top: Top = 5,
    view: Annotated[Literal["global", "feature", "prompt"] | None, Parameter(help="One view only.")] = None,
) -> None:
    from anatomy.workflows.show import show

    output(show(run, cluster, view=view, top=top))


@flags_of(ReaderSettings)
def ask(
    run: RunDir,
    /,
    *,
    prompt: Annotated[str | None, Parameter(help="Text of a user's message.")] = None,
    behaviour: Annotated[
        tuple[str, str] | None,
        Parameter(help="Two responses to the prompt: BAD, which was observed, and GOOD, which was wanted."),
    ] = None,
    pair: Annotated[Path | None, Parameter(help="File whose first row is asked about: chosen beside rejected.")] = None,
    top: Annotated[int, AT_LEAST_0, Parameter(help="Rows and differences shown.")] = 8,
    **flags: Any,
) -> None:
    from anatomy.workflows.ask import ask

    output(ask(run, prompt=prompt, pair=pair, behaviour=behaviour, top=top, **flags))


def rows(
    run: RunDir,
    cluster: Annotated[
        str | None, Parameter(help="A cluster or concept (R12, S3, D4, P7, bold): the rows with most of it.")
    ] = None,
    /,
    *,
    label_looks_wrong: Annotated[
        bool, Parameter(negative=(), help="The rows whose label contradicts what the other prompts of the set teach.")
    ] = False,
    top: Annotated[int, AT_LEAST_0, Parameter(help="Rows shown, and written.")] = 20,
    out: Annotated[
        Path | None, Parameter(help="JSON-lines file of decisions on these rows, which the report imports.")
    ] = None,
) -> None:
    from anatomy.workflows.doubtful_labels import doubtful_labels
    from anatomy.workflows.rows import rows as behind

    if label_looks_wrong == (cluster is not None):
        raise SettingsError("name a cluster or a concept (`anatomy show RUN` lists them), or give --label-looks-wrong")
    if cluster is not None and out is not None:
        raise SettingsError("--out goes with --label-looks-wrong; `anatomy trace` writes the rows behind a cluster")
    output(behind(run, cluster, top=top) if cluster is not None else doubtful_labels(run, out=out, top=top))


def report(run: RunDir, /) -> None:
    from anatomy.workflows.report import report

    output(report(run))


def view(
    run: RunDir,
    /,
    *,
    port: Annotated[int, PORT, Parameter(help="Port on 127.0.0.1; 0: a free one.")] = 0,
    no_browser: Annotated[bool, Parameter(negative=(), help="Print the address only.")] = False,
) -> None:
    from anatomy.workflows.view import view

    view(run, port=port, browser=not no_browser)


def compare(
    run: RunDir,
    other: Annotated[Path, Parameter(help="Run directory of the audit to compare it with.")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="Folder of the comparison; default: RUN/compared/<name of OTHER>.")
    ] = None,
) -> None:
    from anatomy.workflows.compare import compare

    output(compare(run, other, out=out))


@flags_of(NameSettings)
def name(
    run: RunDir,
    /,
    *,
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Say how many requests and tokens it would take; ask nothing.")
    ] = False,
    **flags: Any,
) -> None:
    from anatomy.workflows.name import name

    output(name(run, dry_run=dry_run, **flags))
