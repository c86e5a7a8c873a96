"""False positives and findings on real rows: ``python -m benchmarks.real_nulls FILE [GROUP,GROUP] [FLIPS]``.

No model is read: responses are the text rules that ship, contexts are clusters of the words of both responses, of
all levels, and the groups that columns name. The file (Parquet or JSON lines) has the texts ``prompt``, ``chosen`` and
``rejected``. Labels are flipped at random, whole prompts at a time, and everything is tested again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer

from anatomy.clusters.clusterings import cluster_rows
from anatomy.hypotheses.contexts import Contexts, data_contexts, group_contexts
from anatomy.hypotheses.views import Hypotheses, Responses, feature_view, findings
from anatomy.settings import ClusterSettings
from anatomy.statistics.clustered import q_values
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts
from anatomy.text.text_counts import TEXT_COUNTS

SIDES = ("chosen", "rejected")


def read(path: Path, groups: list[str]) -> tuple[Responses, Contexts, np.ndarray, RowFrame]:
    """Signals of the text rules, contexts, which rows are active, and what is known of the rows."""
    rows = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_json(path, lines=True)
    counts = [np.array([[rule(text) for rule in TEXT_COUNTS.values()] for text in rows[side]]) for side in SIDES]
    words = HashingVectorizer(n_features=256, alternate_sign=False, norm="l1", stop_words="english")
    activity_NM = np.sqrt(sum(words.transform(rows[side]) for side in SIDES).toarray())
    prompts = Prompts.from_ids(rows["prompt"].astype(str).to_numpy())
    found = cluster_rows(activity_NM, prompts, ClusterSettings(), seed=0)
    values = [dict(zip(groups, own, strict=True)) for own in rows[groups].astype(str).to_numpy().tolist()]
    every = group_contexts(values, {name: rows[name].astype(str).value_counts().index.tolist() for name in groups})
    contexts = Contexts.joined([data_contexts([found.label_N, *found.coarser_LN]), every])
    length_N = np.log(rows["chosen"].str.len() + 1) - np.log(rows["rejected"].str.len() + 1)
    text_N2 = np.unique(rows[list(SIDES)].to_numpy(str), return_inverse=True)[1].reshape(-1, 2)
    sign_NM = np.sign(counts[0] - counts[1])
    return (Responses(sign_NM, list(TEXT_COUNTS)), contexts, found.label_N > 0,
            RowFrame(prompts, np.asarray(length_N), text_N2))  # fmt: skip


def main(path: Path, groups: list[str], flips: int) -> None:
    """Print the findings of the rows as they are, then what flipped labels give."""
    tested, contexts, active_N, frame = read(path, groups)
    real = feature_view(tested, contexts, active_N, frame)
    print(f"{len(active_N)} rows, {len(frame.prompts.half_G)} prompts, {len(set(real.context))} contexts tested")
    print("as labelled:", *(f"{name} {count}" for name, count in counted(real).items()), sep="  ")
    kept = real.take(findings(real))
    for place in np.argsort(kept.p)[:12]:
        print(f"  {kept.context[place]:30.30} {kept.response[place]:16} {kept.effect[place]:+.2f}"
              f"  q {kept.q[place]:.0e}  {kept.verdict[place]}")  # fmt: skip
    generator = np.random.default_rng(0)
    rates, false = [], []
    for _ in range(flips):
        sign_N = generator.choice([-1.0, 1.0], len(frame.prompts.half_G))[frame.prompts.code_N]
        flipped = Responses(tested.values_NM * sign_N[:, None], tested.ids)
        null = feature_view(flipped, contexts, active_N, frame.flipped(sign_N), explain=False)
        rates.append((null.p[~np.isnan(null.p)] < 0.05).mean())
        false.append(list(counted(null).values()))
    mean = np.mean(np.array(false) > 0, axis=0)
    print(f"{flips} flips: {100 * np.mean(rates):.1f} % of p below 0.05 (at most {100 * np.max(rates):.1f});")
    shares = (f"{name} {100 * share:.0f} %" for name, share in zip(counted(real), mean, strict=True))
    print("  flips with any finding:", *shares)


def counted(table: Hypotheses) -> dict[str, int]:
    """Findings by the hierarchy, by one list of all pairs, and those of the hierarchy that repeat none."""
    with np.errstate(invalid="ignore"):
        listed = (q_values(table.p) <= 0.05) & table.stable
    every = findings(table, repeats=True)
    return {"hierarchy": int(every.sum()), "one list": int(listed.sum()), "not repeated": int(findings(table).sum())}


if __name__ == "__main__":
    wanted = sys.argv[2].split(",") if len(sys.argv) > 2 and sys.argv[2] else []
    main(Path(sys.argv[1]), wanted, int(sys.argv[3]) if len(sys.argv) > 3 else 100)
