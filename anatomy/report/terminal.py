"""``anatomy show RUN``: a run in the terminal, from its artifacts alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.artifacts import sealed_files
from anatomy.clusters.label_ids import LEAST_STABILITY
from anatomy.data.health import Health
from anatomy.data.shard_cache import SHARD_ROWS
from anatomy.errors import RunError
from anatomy.hypotheses.views import HYPOTHESIS_COLUMNS
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.report.health_text import format_health
from anatomy.report.layout import WIDTH, count, countable, fit, table, wrap
from anatomy.report.leads import said, with_members
from anatomy.report.summary_record import DIRECTIONS, VIEWS, Finding, Summary, View
from anatomy.runs.manifest import Manifest
from anatomy.runs.saved_names import ClusterName, read_names, verified_titles
from anatomy.text.visible import visible

TITLES = {"global": "EVERYWHERE", "feature": "IN GROUPS OF SIMILAR ROWS", "prompt": "WHERE THE PROMPT SHOWS A CONCEPT"}
STATES = {"complete": "complete", "running": "begun", "stale": "to be confirmed", None: "to do"}
EXEMPLARS = 10
DEFAULT_TOP = 5


def render(run_dir: Path, view: View | None = None, top: int = DEFAULT_TOP, cluster: str | None = None) -> str:
    """The findings of a run, or one cluster of it, as plain text of at most 110 columns.

    Args:
        view: ``global``, ``feature`` or ``prompt``; default: all.
        top: findings per view and direction.
        cluster: id of a cluster (``R12``, ``S3``, ``D4``, ``P7``) to show instead.

    Raises:
        RunError: an artifact is missing or broken, or the run has no such cluster.
    """
    labels, names = ClusterLabels.read(run_dir / artifacts.LABELS).kinds(), read_names(run_dir)
    if cluster is not None:
        tests = _tests(run_dir, cluster, labels, verified_titles(names), view, top)
        return "\n".join([*_cluster(labels, names, cluster, run_dir), *tests])
    summary, titles = Summary.read(run_dir / artifacts.SUMMARY), verified_titles(names)
    lines = [*_manifest(Manifest.of(run_dir), run_dir), ""]
    lines += [format_health(Health.read(run_dir / artifacts.HEALTH)), ""]
    lines += _in_short(summary) if view is None and top > 0 else []
    for name in VIEWS if view is None else (view,):
        lines += [*_view(name, summary, titles, top), ""]
    return "\n".join([*lines, *_not_assessed(summary), *_more(run_dir)])


def render_begun(run_dir: Path, manifest: Manifest, stages: Sequence[str]) -> str:
    """What is there of a run without findings, and how it is resumed.

    Args:
        stages: names of all stages of an audit, in order.
    """
    states = {name: record.status for name, record in manifest.stages.items()}
    lines = [*_manifest(manifest, run_dir), ""]
    for name in stages:
        state = STATES[states.get(name)]
        shards = len(sealed_files(run_dir / artifacts.FEATURES)) if name == "harvest" else 0
        so_far = f", {count(shards * SHARD_ROWS)} rows at most so far" if shards and state != "complete" else ""
        lines.append(f"  {name}: {state}{so_far}")
    lines.append("No findings yet: the same command again resumes where it stopped. It was:")
    return "\n".join([*lines, fit(f"  {visible(manifest.command)}", WIDTH)])


def _manifest(manifest: Manifest, run_dir: Path) -> Iterator[str]:
    yield fit(f"Run {run_dir}", WIDTH)
    settings, inputs = manifest.settings, manifest.inputs
    facts = {
        "rows": settings and settings.rows,
        "model": inputs.model and inputs.model.name,
        "sae": inputs.sae and inputs.sae.name,
        "seed": settings and settings.seed,
    }
    for name, value in facts.items():
        if value is not None:
            yield fit(f"  {name}: {value}", WIDTH)
    unfinished = [f"{name} {record.status}" for name, record in manifest.stages.items() if record.status != "complete"]
    yield fit(f"  not complete: {', '.join(unfinished)}" if unfinished else "  all stages complete", WIDTH)


def _in_short(summary: Summary) -> Iterator[str]:
    """What a person can repeat: a sentence for all findings that say the same."""
    shown = said(summary)
    if shown:
        yield "WHAT THESE LABELS TEACH"
        for number, lead in enumerate(shown, 1):
            more = with_members(lead.n_members)
            yield from wrap(visible(lead.sentence) + f" ({more})" * bool(more), first=f"  {number}. ", indent="     ")
        yield ""


def _view(view: View, summary: Summary, titles: Mapping[str, str], top: int) -> Iterator[str]:
    """The findings of a view; verified titles stand in place of offline labels."""
    found = summary.views[view]
    yield f"{TITLES[view]}: {count(found.tested)} tested, q ≤ {summary.q_threshold:g}, by {summary.rank_by}"
    if found.power is not None:
        yield fit(f"  {found.power}", WIDTH)
    if found.repeated:
        yield f"  {count(found.repeated)} more say the same as a stronger finding, in nearly the same rows"
    if found.members:
        yield f"  {count(found.members)} more go with one below: they follow its concept, or their signals go together"
    for direction in DIRECTIONS:
        total = found.found[direction]
        yield f"  leaning to {direction}: {count(total) if total else 'nothing'}"
        shown = found.leaning(direction)[: max(top, 0)]
        yield from _findings([finding.model_dump() | _labels(finding, titles) for finding in shown])
        if 0 < len(shown) < total:
            yield f"    … {count(total - len(shown))} more"


def _labels(finding: Finding, titles: Mapping[str, str]) -> dict[str, str]:
    return {
        "context_label": titles.get(finding.context, finding.context_label),
        "response_label": titles.get(finding.response, finding.response_label),
    }


_HEADER = ("pushed", "95 % interval", "q", "rows", "preferred", "verdict", "win rate", "what, where")
"""The raw effect is what training pushes, the adjusted one what the labels prefer."""


def _findings(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Numbers and response cluster on one line, the context below it; nothing for no rows."""
    lines: list[Sequence[str]] = [_HEADER]
    for row in rows:
        lines.append((*_numbers(row), _named(row["response"], row["response_label"])))
        if row["view"] != "global":
            lines.append(("",) * 7 + (f"in {_named(row['context'], row['context_label'])}",))
    return table(lines, right=(0, 1, 2, 3, 4, 6), indent="    ") if rows else []


def _numbers(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Signed effects; rows are those affected, of those in the context."""
    interval = f"[{_signed(row['effect_low'])}, {_signed(row['effect_high'])}]"
    q = "?" if row["q"] is None else f"{row['q']:.0e}"
    rows = "/".join(count(row[name]) for name in ("rows_affected", "n") if name in row)
    won = "?" if row["win_rate"] is None or math.isnan(row["win_rate"]) else f"{row['win_rate']:.0%}"
    return (_signed(row["effect"]), interval, q, rows, _signed(row["effect_adjusted"]), row["verdict"], won)


def _signed(value: float | None, digits: int = 3) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:+.{digits}f}"


def _named(cluster: str, label: str) -> str:
    return f"{cluster} {label}".strip()


def _not_assessed(summary: Summary) -> Iterator[str]:
    if summary.not_assessed:
        yield "NOT ASSESSED"
        rows = [(countable(entry.count), entry.what, entry.why) for entry in summary.not_assessed]
        yield from table(rows, right=(0,))


def _more(run_dir: Path) -> list[str]:
    return [fit(f"One cluster with its tokens and rows: anatomy show {run_dir} R1", WIDTH)]


def _cluster(labels: Mapping[str, Any], names: Mapping[str, ClusterName], cluster: str, run_dir: Path) -> Iterator[str]:
    found = next((kind[cluster] for kind in labels.values() if cluster in kind), None)
    if found is None:
        raise RunError(f"{run_dir}: no cluster `{cluster}`; there are {_ranges(labels)}")
    yield fit(f"{cluster}: {found['label']}", WIDTH)
    yield from _name(names.get(cluster), (run_dir / artifacts.NAMES).is_file() and not names)
    sizes = [f"{count(found[name])} {name.removeprefix('n_')}" for name in ("n_features", "n_rows") if name in found]
    if "stability" in found:
        sizes.append(f"stability {found['stability']:.2f}{' (unstable)' * (found['stability'] < LEAST_STABILITY)}")
    if "n_spans" in found:
        sizes.append(f"fires on {count(found['n_spans'])} of {count(found['n_spans_sampled'])} sampled spans")
    yield f"  {', '.join(sizes)}"
    tokens = "  ".join(f"«{item['token']}» {item['weight']:.0%}" for item in found["top_tokens"])
    ngrams = "  ".join(f"«{item['ngram']}» z {item['z']:.1f}" for item in found["ngrams"])
    yield from _name_test(found.get("name_test"))
    follows = "  ".join(f"{item['concept']} r {item['r']:+.2f}" for item in found["correlates"])
    for title, text in (("fires on", tokens), ("texts say", ngrams), ("follows", follows)):
        yield from wrap(text or "nothing that stands out", first=f"  {title}: ", indent="    ")
    for exemplar in _some_of_each(found["exemplars"]):
        places = zip(exemplar["tokens"], exemplar["positions"], strict=True)
        at = ", at " * bool(exemplar["tokens"]) + ", ".join(f"«{token}»@{position}" for token, position in places)
        yield fit(f"  {exemplar['kind']}, row {exemplar['index'] + 1}, {exemplar['side']}{at}", WIDTH)
        yield from wrap(exemplar["text"], first="    ", indent="    ")


def _name(name: ClusterName | None, changed: bool) -> Iterator[str]:
    """What a language model called the cluster, with the score of its blind test; nothing where none was asked."""
    if changed:
        yield "  the clusters have changed since they were named; `anatomy name` names them again"
    if name is None:
        return
    if not name.title:
        yield fit(f"  no name: {name.reason}", WIDTH)
        return
    yield from wrap(f"{name.title}. {name.description}", first="  named: ", indent="    ")
    score = name.reason or "no score"
    if name.score is not None:
        score = (f"{name.score:.2f}, 95 % interval {name.low:.2f} to {name.high:.2f}, chance 0.50; "
                 f"{name.abstained} of {name.texts} held-out texts without an answer")  # fmt: skip
    yield from wrap(f"{'verified' if name.verified else 'not verified'}: {score}", first="    ", indent="    ")


def _name_test(test: Mapping[str, Any] | None) -> Iterator[str]:
    """How well the phrases find the cluster on prompts that they were not chosen on."""
    if test is None or not test["phrases"]:
        return
    phrases = ", ".join(f"«{visible(phrase)}»" for phrase in test["phrases"])
    if test["auc"] is None:
        said = "not tested: too few other prompts"
    else:
        said = f"AUC {test['auc']:.2f} [{test['low']:.2f}, {test['high']:.2f}] on other prompts, chance 0.50"
    yield from wrap(f"{phrases}: {said}", first="  phrases: ", indent="    ")


def _some_of_each(exemplars: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kinds = {"nearest": EXEMPLARS, "random": EXEMPLARS // 2}
    return [item for kind, number in kinds.items() for item in [e for e in exemplars if e["kind"] == kind][:number]]


def _ranges(labels: Mapping[str, Any]) -> str:
    """``R1–R42, S1–S7``: the ids that exist."""
    names = [name for kind in labels.values() for name in kind]
    last: dict[str, int] = {}
    for name in names:
        if name[1:].isdigit():
            last[name[0]] = max(last.get(name[0], 0), int(name[1:]))
    ranges = [f"{prefix}1–{prefix}{number}" for prefix, number in last.items()]
    concepts = [name for name in names if not name[1:].isdigit()]
    return ", ".join([*ranges, *concepts]) or "no clusters at all"


def _tests(
    run_dir: Path, cluster: str, labels: Mapping[str, Any], titles: Mapping[str, str], view: str | None, top: int
) -> Iterator[str]:
    """The tests in which the cluster takes part, smallest q first."""
    import pyarrow.compute as pc

    hypotheses = artifacts.read_table(run_dir / artifacts.HYPOTHESES, HYPOTHESIS_COLUMNS)
    mine = pc.or_(pc.equal(hypotheses["context"], cluster), pc.equal(hypotheses["response"], cluster))
    tests = hypotheses.filter(pc.and_(mine, pc.is_finite(hypotheses["q"])))
    if view is not None:
        tests = tests.filter(pc.equal(tests["view"], view))
    yield f"  {count(tests.num_rows)} tests with it" + (", smallest q first:" if tests.num_rows else "")
    best = tests.sort_by([("q", "ascending"), ("context", "ascending"), ("response", "ascending")]).slice(0, top)
    every = {name: label["label"] for kind in labels.values() for name, label in kind.items()} | dict(titles)
    rows = [{**row, "context_label": every.get(row["context"], ""), "response_label": every.get(row["response"], "")}
            for row in best.to_pylist()]  # fmt: skip
    yield from _findings(rows)
