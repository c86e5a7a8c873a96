"""``anatomy ask``: what a set teaches about a prompt, or about one response beside another to the same prompt."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from anatomy.activations.spans import encode_row
from anatomy.concepts.scorer import Scorer
from anatomy.concepts.scores import score_sides
from anatomy.data.pair_stream import read_pairs
from anatomy.errors import RowsError, SettingsError
from anatomy.features.feature_store import FeatureStore
from anatomy.features.harvesting import harvest
from anatomy.hypotheses.signals import response_signals
from anatomy.hypotheses.views import EVERYWHERE, Hypotheses, findings, responses
from anatomy.report.layout import fit, table
from anatomy.runs.reopened import ReopenedBundle
from anatomy.runs.run import Run
from anatomy.runs.saved_names import read_names, verified_titles
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, ReaderSettings, RowSettings, load_settings
from anatomy.statistics.effects import mean_effects
from anatomy.statistics.label_model import units
from anatomy.statistics.win_rates import win_rates
from anatomy.types import SPANS, Message, Pair, Response, Row
from anatomy.validation.context_rule import ContextRule
from anatomy.workflows.outcome import Outcome, Where
from anatomy.workflows.row_table import row_table
from anatomy.workflows.run_detectors import run_detectors

ALIKE = 1.0
"""Standard deviations along the asked difference from which a row counts as differing in the same way."""
TEST = ("view", "context", "response", "effect", "q", "verdict", "win_rate")
"""Columns of a finding that an answer repeats."""


class Push(NamedTuple):
    """What the labels do along a difference: the mean of the rows' projections on it, in standard deviations.

    ``effect`` is above 0 where they prefer the first response's side; the interval is 95 %. ``rows`` are those that
    differ in the same way by a standard deviation or more, and ``win_rate`` the share of them whose chosen side is like
    the first response (0.5: no preference).
    """

    effect: float
    low: float
    high: float
    p: float
    rows: int
    win_rate: float
    win_rate_low: float
    win_rate_high: float


@dataclass(frozen=True)
class WhatSetTeaches(Outcome):
    """What a set teaches about what was asked.

    Attributes:
        push: None where a prompt alone was asked about, or two responses that differ in nothing the run knows.
        differ: responses (clusters, concepts) in which the two texts differ, and the finding on each that applies.
        contexts: contexts of the run that hold the prompt, each with its findings.
        rows: the rows that push towards the first response most; for a prompt alone those of the most similar prompts.
    """

    push: Push | None
    differ: pd.DataFrame
    contexts: pd.DataFrame
    rows: pd.DataFrame


def ask(
    run: Where,
    *,
    prompt: str | None = None,
    pair: Where | None = None,
    behaviour: tuple[str, str] | None = None,
    top: int = 8,
    settings: Where | None = None,
    **flags: Any,
) -> WhatSetTeaches:
    """Return what the set behind a run teaches about a prompt, a pair of responses, or a bad behaviour.

    The texts are read as the rows were. Two responses differ in clusters and concepts; a row pushes towards the first
    one as far as its chosen side differs from its rejected one in the same way (the product of both differences, each
    signal in units of its own size over the rows: the first step of DPO on a model that is linear in the signals).

    Args:
        run: run directory of an audit.
        prompt: text of a user's message.
        pair: file of which the first row is asked about: its chosen response beside its rejected one.
        behaviour: a bad response to ``prompt`` and a good one.
        top: rows and differences that are shown.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.settings.ReaderSettings`.

    Raises:
        SettingsError: nothing, or too much, is asked; a text has no token to read; or a model or detectors of the run
            are not named here.
        RowsError: the first row of ``pair`` is no pair.
    """
    asked = load_settings(ReaderSettings, flags, settings)
    row, names = _asked(prompt, pair, behaviour)
    with Run.read(Path(run)) as opened:
        opened.require("hypotheses")
        bundle = ReopenedBundle(opened, asked)
        scorers = run_detectors(opened, bundle, asked)
        encoded = encode_row(row, bundle.tokenizer, bundle.audited)
        if not all(side.spans["response"].any() for side in encoded.sides.values()):
            raise SettingsError("a response has no text that is read; give one, or raise --max-response-length")
        words = opened.words | verified_titles(read_names(opened.path))
        with tempfile.TemporaryDirectory(prefix="anatomy-") as folder:
            harvest([row], bundle.tokenizer, bundle.subject, bundle.sae, Path(folder), "asked", bundle.audited)
            store = FeatureStore(Path(folder))
            holding = _contexts(opened, store, bundle.audited)
            tests = _tests(opened, holding)
            found = None if isinstance(row, Response) else _Difference.of(opened, store, scorers, row, bundle)
            if found is None or not found.row_N.any():
                rows = _similar_prompts(opened, store, top)
                return _answer(None, pd.DataFrame(), tests[tests.context != EVERYWHERE], rows, names, words, top)
        rows = row_table(opened, order := np.argsort(-found.row_N, kind="stable")[:top])
        rows.insert(2, "value", found.row_N[order])
        differ = _differ(found, tests)
        return _answer(found.push, differ, tests[tests.context != EVERYWHERE], rows, names, words, top)


def _asked(prompt: str | None, pair: Where | None, behaviour: tuple[str, str] | None) -> tuple[Row, tuple[str, str]]:
    """The row that is asked about, and what its two sides are called."""
    if pair is not None:
        if prompt is not None or behaviour is not None:
            raise SettingsError("--pair brings its own prompt and responses; leave --prompt and --behaviour out")
        row = next(iter(read_pairs(RowSettings(rows=str(pair), limit=1))))
        if not isinstance(row, Pair):
            raise RowsError(f"{pair}: its first row is no pair ({row.reason})")
        return row, ("chosen", "rejected")
    if prompt is None or not prompt.strip():
        raise SettingsError("name what to ask about: --prompt TEXT, with it --behaviour BAD GOOD, or --pair FILE")
    messages = [_message("user", prompt)]
    if behaviour is None:
        return Response(0, messages, [_message("assistant", "…")]), ("", "")
    bad, good = ([_message("assistant", text)] for text in behaviour)
    return Pair(0, messages, bad, good), ("BAD", "GOOD")


def _message(role: str, text: str) -> Message:
    return {"role": role, "content": text}


@dataclass(frozen=True)
class _Difference:
    """First response minus second in every signal (``z_M``, in units of its size over the rows), and what rows say."""

    ids: list[str]
    z_M: np.ndarray
    row_N: np.ndarray
    push: Push

    @classmethod
    def of(
        cls, run: Run, store: FeatureStore, scorers: Sequence[Scorer], row: Pair, bundle: ModelBundle
    ) -> _Difference:
        signals, settings = run.signals, run.settings
        u_NM = signals.disparity.values_NM.astype(np.float64)
        found = response_signals(store.shards(), run.clusters.response_F, settings.tau).disparity_NM
        clusters = responses("R", found, run.clusters.response_F, settings.min_features)
        values = dict(zip(clusters.ids, clusters.values_NM[0].tolist(), strict=True))
        sides = list(encode_row(row, bundle.tokenizer, bundle.settings).sides.values())
        scores = score_sides(sides, scorers, lambda: bundle.subject, bundle.settings)
        for scorer, (first, second) in zip(scorers, scores, strict=True):
            spread = run.scores(scorer.concept).score_NS.std()
            values[scorer.concept] = (first.score - second.score) / spread if spread > 0 else 0.0
        unit_M = units(u_NM)
        z_M = np.array([values[name] for name in signals.disparity.ids]) * unit_M
        row_N = (u_NM * unit_M) @ z_M
        size = float(np.sqrt((row_N**2).mean()))
        row_N = row_N / size if size > 0 else row_N
        return cls(list(signals.disparity.ids), z_M, row_N, _push(row_N, run))


def _push(row_N: np.ndarray, run: Run) -> Push:
    frame = run.signals.frame
    mean = mean_effects(row_N[:, None], frame)
    alike_N = np.where(np.abs(row_N) >= ALIKE, row_N, 0.0)
    rates = win_rates(alike_N[:, None], sp.csr_array(np.ones((1, len(row_N)), bool)), frame)
    return Push(
        effect=float(mean.effect[0]),
        low=float(mean.low[0]),
        high=float(mean.high[0]),
        p=float(mean.p[0]),
        rows=int((alike_N != 0).sum()),
        win_rate=float(rates.rate[0, 0]),
        win_rate_low=float(rates.low[0, 0]),
        win_rate_high=float(rates.high[0, 0]),
    )


def _contexts(run: Run, store: FeatureStore, settings: AuditSettings) -> list[str]:
    """Contexts of the run that hold the asked row; data clusters go by its responses, so a prompt alone is in none."""
    rule = ContextRule.of(run.features, run.clusters, settings)
    found = rule.prompt_contexts(rule.prompt_members(store))
    if store.sides != Response.sides:
        found += rule.feature_contexts(rule.data_labels(store))
    return [context.name for context in found if context.inside_N[0]]


def _tests(run: Run, contexts: Sequence[str]) -> pd.DataFrame:
    """Findings everywhere and in ``contexts``, the strongest of each response first."""
    table = Hypotheses.of_table(run.findings)
    kept = findings(table, run.settings.q_threshold, repeats=True) & np.isin(table.context, [EVERYWHERE, *contexts])
    found = pd.DataFrame(table.take(kept).columns())[list(TEST)]
    return found.sort_values(["response", "q"], kind="stable")


def _differ(found: _Difference, tests: pd.DataFrame) -> pd.DataFrame:
    """Signals in which the two responses differ, the largest difference first, beside the strongest finding on each."""
    ids = [place for place in np.argsort(-np.abs(found.z_M), kind="stable") if found.z_M[place]]
    frame = pd.DataFrame({"response": [found.ids[place] for place in ids], "difference": found.z_M[ids]})
    strongest = tests.drop_duplicates("response")
    return frame.merge(strongest, on="response", how="left")


def _similar_prompts(run: Run, store: FeatureStore, top: int) -> pd.DataFrame:
    """Rows whose prompts have the most similar features (cosine of firing frequencies), one a prompt."""
    query_1F = store.matrix("prompt", "freq")
    cosine = []
    for shard in run.features.shards():
        prompt_NF = shard.matrix("prompt", "freq")
        norm_N = sp.linalg.norm(prompt_NF, axis=1) * float(sp.linalg.norm(query_1F))
        product_N = (prompt_NF @ query_1F.T).toarray()[:, 0]
        cosine.append(np.divide(product_N, norm_N, out=np.zeros_like(product_N), where=norm_N > 0))
    cosine_N, seen = np.concatenate(cosine), set[str]()
    order: list[int] = []
    for place in np.argsort(-cosine_N, kind="stable"):
        if run.features.prompt_ids[place] not in seen and len(order) < top:
            order.append(int(place))
            seen.add(run.features.prompt_ids[place])
    rows = row_table(run, order)
    rows.insert(2, "value", cosine_N[order])
    return rows


def _answer(
    push: Push | None,
    differ: pd.DataFrame,
    contexts: pd.DataFrame,
    rows: pd.DataFrame,
    names: tuple[str, str],
    words: dict[str, str],
    top: int,
) -> WhatSetTeaches:
    lines: list[str] = []
    if push:
        lines += _said(push, names)
        lines += _shown_differences(differ.head(top), names, words)
    elif names[0]:
        lines.append("The responses differ in no cluster and no concept of the run, so its rows say nothing of them.")
    lines += _shown_contexts(contexts.head(top), words)
    lines.append(f"rows that push towards {names[0]} most:" if push else "rows with the most similar prompts:")
    cells = []
    for row in rows.to_dict("records"):
        texts = (fit(row[name], 26) for name in SPANS)
        cells.append((f"{row['value']:+.2f}", f"row {row['index'] + 1}", *texts))
    lines += table([("", "", "prompt", "chosen", "rejected"), *cells], right=(0, 1))
    return WhatSetTeaches(None, "\n".join(lines), push, differ, contexts, rows)


def _said(push: Push, names: tuple[str, str]) -> Iterator[str]:
    interval = f"{push.effect:+.3f} [{push.low:+.3f}, {push.high:+.3f}]"
    if np.isfinite(push.p) and push.low > 0:
        towards = f"The labels push towards {names[0]}"
    elif np.isfinite(push.p) and push.high < 0:
        towards = f"The labels push towards {names[1]}"
    else:
        towards = f"The labels say nothing sure of {names[0]} against {names[1]}"
    yield f"{towards}: {interval} standard deviations of such differences (95 %)."
    if push.rows:
        won = f"{push.win_rate:.0%} [{push.win_rate_low:.0%}, {push.win_rate_high:.0%}]"
        yield f"Of {push.rows:,} rows that differ like this, {won} prefer the side like {names[0]} (50 %: nothing)."
    else:
        yield "No row of the set differs in this way, so the set was not asked."


def _shown_differences(differ: pd.DataFrame, names: tuple[str, str], words: dict[str, str]) -> list[str]:
    lines: list[tuple[str, ...]] = [("more in", "by", "labels", "q", "verdict", "what")]
    for row in differ.to_dict("records"):
        side = names[0] if row["difference"] > 0 else names[1]
        what = f"{row['response']} {words.get(row['response'], '')}".strip()
        if pd.isna(row["effect"]):
            said: tuple[str, ...] = ("no finding", "", "")
        else:
            towards = names[0] if (row["effect"] > 0) == (row["difference"] > 0) else names[1]
            said = (f"→ {towards}", f"{row['q']:.0e}", row["verdict"])
            what += "" if row["context"] == EVERYWHERE else f", in {row['context']} {words.get(row['context'], '')}"
        lines.append((side, f"{abs(row['difference']):.1f}", *said, what))
    return ["differences, in units of their size over the rows:", *table(lines, right=(1, 3))]


def _shown_contexts(contexts: pd.DataFrame, words: dict[str, str]) -> list[str]:
    if not len(contexts):
        return ["No finding is special to rows like this one."]
    cells = [("pushed", "q", "verdict", "what, where")]
    for row in contexts.to_dict("records"):
        what, where = (f"{row[part]} {words.get(row[part], '')}".strip() for part in ("response", "context"))
        cells.append((f"{row['effect']:+.3f}", f"{row['q']:.0e}", row["verdict"], f"{what}, in {where}"))
    return ["findings in the contexts that hold it:", *table(cells, right=(0, 1))]
