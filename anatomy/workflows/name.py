"""``anatomy name``: a title and a sentence for each cluster by a language model, each put to a blind test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.judge.judge import Judge
from anatomy.judge.judge_settings import JudgeSettings
from anatomy.naming.cluster_names import Rows
from anatomy.naming.held_out import Case, cases, texts_of, with_tokens
from anatomy.naming.llm_names import PER_REQUEST, Name, NameItem, Tested, TestItem, balanced_accuracy
from anatomy.naming.name_settings import NameSettings
from anatomy.progress import logger, progress_bar
from anatomy.report.layout import WIDTH, fit
from anatomy.runs.manifest import Manifest
from anatomy.runs.reopened import ReopenedBundle
from anatomy.runs.run import Run
from anatomy.runs.saved_names import ClusterName, ClusterNames
from anatomy.settings import SubjectSettings, load_settings
from anatomy.stages.text_rows import text_rows
from anatomy.workflows.outcome import Outcome, Where

FEWEST = 5
"""Texts of each sort below which no name is asked for, and held-out ones below which none is tested."""
PLACEHOLDER = Name("x" * 40, "x" * 150)
"""As long as a usual name: what a test costs is estimated with it."""


class Texts(NamedTuple):
    """What a cluster is named from, and the held-out texts of its test, mixed, with what is true of each."""

    naming: NameItem
    testing: tuple[str, ...]
    truth: tuple[bool, ...]

    def tests(self, name: Name) -> list[TestItem]:
        """Requests of a few texts each, of both sorts."""
        starts = range(0, len(self.testing), PER_REQUEST)
        return [TestItem(self.naming.kind, name, self.testing[start : start + PER_REQUEST]) for start in starts]


def name(run: Where, *, dry_run: bool = False, settings: Where | None = None, **flags: Any) -> Outcome:
    """Name the clusters of a run into ``names.json``; what was answered before is not asked again.

    Args:
        run: run directory.
        dry_run: say how many requests and tokens it would take, and ask nothing.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.naming.name_settings.NameSettings`.

    Raises:
        RunError: no such cluster, or the run has none.
        SettingsError, ModelError: ``flags`` do not name the model that the run was made with.
        JudgeError: the endpoint refuses key, model or address, or cannot be reached; nothing is written.
    """
    run_dir, asked = Path(run), load_settings(NameSettings, flags, settings)
    Manifest.of(run_dir)
    options = asked.model_dump(include=set(JudgeSettings.model_fields))
    options |= {"base_url": asked.judge_url, "model": asked.judge_model}
    judge = Judge(load_settings(JudgeSettings, options), run_dir / artifacts.NAME_ANSWERS)
    with Run.open(run_dir) as opened:
        opened.require("cluster")
        seed, bundle = opened.settings.seed, ReopenedBundle(opened, asked)
        texts = _texts(opened, asked, bundle, seed)
        named = [item for item in texts.values() if item is not None]
        logger.info(f"to name: {judge.estimate([item.naming for item in named])}")
        trial = [test for item in named for test in item.tests(PLACEHOLDER)]
        logger.info(f"to test the names, about: {judge.estimate(trial)}")
        if dry_run:
            return Outcome(None, "nothing was asked; leave out --dry-run to ask")
        names = _asked(judge, texts)
        ClusterNames(
            made_of=opened.manifest.cluster_hashes(),
            settings=asked.model_dump(mode="json", exclude={"key_variable", *SubjectSettings.model_fields}),
            seed=seed,
            names=names,
        ).write(opened.file(artifacts.NAMES))
    after = f"now in `anatomy show {run_dir}`; `anatomy report {run_dir}` writes them into the page"
    return Outcome(run_dir / artifacts.NAMES, f"{_as_text(names)}\n{after}")


def _texts(run: Run, settings: NameSettings, bundle: ReopenedBundle, seed: int) -> dict[str, Texts | None]:
    """Cluster id → its texts; None where there are too few."""
    store, clusters = run.features, run.clusters
    wanted = _wanted(run, settings.clusters)
    found = cases(store, clusters, wanted, settings.exemplars, settings.held_out, seed)
    rows = {place.row for case in found.values() for sorts in case for part in sorts for place in part}
    read = text_rows(run, bundle, rows)
    return {cluster: _of_case(cluster, found[cluster], read, seed) for cluster in wanted}


def _of_case(cluster: str, case: Case, rows: Rows, seed: int) -> Texts | None:
    if len(case.naming.strong) < FEWEST:
        return None
    strong, quiet = texts_of(case.naming, rows.tokens_of)
    shown = [with_tokens(text, place, rows.tokens_of) for text, place in zip(strong, case.naming.strong, strict=True)]
    naming = NameItem(cluster[0], tuple(shown), tuple(quiet))
    if len(case.testing.strong) < FEWEST:
        return Texts(naming, (), ())
    strong, quiet = texts_of(case.testing, rows.tokens_of)
    rng = np.random.default_rng([seed, ord(cluster[0]), int(cluster[1:]), 1])
    texts, truth = zip(*_mixed(strong, quiet, rng), strict=True)
    return Texts(naming, texts, truth)


def _mixed(strong: Sequence[str], quiet: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, bool]]:
    """As many of one sort as of the other for each request, shuffled there; a leaning of one request then cancels."""
    for start in range(0, len(strong), PER_REQUEST // 2):
        inside = slice(start, start + PER_REQUEST // 2)
        part = [(text, True) for text in strong[inside]] + [(text, False) for text in quiet[inside]]
        yield from (part[place] for place in rng.permutation(len(part)))


def _wanted(run: Run, asked: str | None) -> list[str]:
    """Ids of the clusters to name, in order; those without rows or features are none."""
    known = sorted(run.cluster_ids - {"D0"}, key=lambda cluster: ("RSDP".index(cluster[0]), int(cluster[1:])))
    if asked is None:
        return known
    words = {word.strip() for word in asked.split(",") if word.strip()}
    unknown = words - {*known, *"RSDP"}
    if unknown or not words:
        raise RunError(f"{run.path}: no cluster {', '.join(sorted(unknown))}; `anatomy show {run.path}` lists them")
    return [cluster for cluster in known if cluster in words or cluster[0] in words]


def _asked(judge: Judge, texts: Mapping[str, Texts | None]) -> dict[str, ClusterName]:
    """Names first, then the tests of those that there are."""
    named = {cluster: item for cluster, item in texts.items() if item is not None}
    with progress_bar("names", "name", len(named)) as bar:
        names = dict(zip(named, judge.ask([item.naming for item in named.values()], bar.update), strict=True))
    tests = {cluster: item.tests(names[cluster]) for cluster, item in named.items() if names[cluster].reason is None}
    flat = [test for items in tests.values() for test in items]
    with progress_bar("tests", "request", len(flat)) as bar:
        answers = iter(judge.ask(flat, bar.update))
    found = {}
    for cluster, item in texts.items():
        given = names.get(cluster, Name(reason="too few texts of either sort"))
        calls = [next(answers) for _ in tests.get(cluster, [])]
        found[cluster] = _entry(given, [call for part in calls for call in part.fits], item.truth if item else (),
                                [part.reason for part in calls if part.reason])  # fmt: skip
    return found


def _entry(name: Name, calls: list[bool | None], truth: Sequence[bool], failures: list[str]) -> ClusterName:
    """One cluster in ``names.json``; ``reason`` says why there is no name or no score."""
    if name.reason is not None:
        return ClusterName(title="", description="", verified=False, reason=name.reason)
    tested: Tested = balanced_accuracy(calls, truth)
    reason = None if calls else "too few held-out texts"
    if failures and np.isnan(tested.score):
        reason = Counter(failures).most_common(1)[0][0]
    figures = {field: None if value != value else value for field, value in tested._asdict().items()}  # NaN: no score
    return ClusterName(
        title=name.title,
        description=name.description,
        verified=tested.verified,
        reason=reason,
        texts=len(calls),
        failures=dict(Counter(failures)),
        **figures,
    )


def _as_text(names: Mapping[str, ClusterName]) -> str:
    lines = ["cluster  score  95 % interval   name"]
    for cluster, name in names.items():
        shown = name.title or f"no name: {name.reason}"
        numbers = "    ?                  "
        if name.score is not None:
            numbers = f"{name.score:5.2f}  {name.low:.2f} to {name.high:.2f}   "
        mark = "" if name.verified or not name.title else " (not verified)"
        lines.append(fit(f"{cluster:7}  {numbers}  {shown}{mark}", WIDTH))
    given = [name for name in names.values() if name.title]
    abstained = Counter(str(name.reason) for name in names.values() if not name.title)
    verified = sum(name.verified for name in given)
    lines.append(f"{len(given)} of {len(names)} clusters named, {verified} of the names verified; by chance alone "
                 f"2.5 % of names would be")  # fmt: skip
    lines += [f"no name: {count}, {reason}" for reason, count in abstained.items()]
    return "\n".join(lines)
