"""Styles token by token on preference text: each kind of detector at its best layer, and what else it fires on.

Ground truth is the text matcher of the style: a token is positive where it overlaps a match. Responses are shared by
all styles: of each style so many that have it, and as many that have none. Split by prompt: 60 % to fit, 20 % to choose
the layer, 20 % to report.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool
from sklearn.metrics import roc_auc_score

from anatomy.activations.spans import encode_row
from anatomy.data.pair_stream import PairStream
from anatomy.progress import show_messages
from anatomy.settings import RowSettings
from anatomy.text.matchers import find_ranges
from anatomy.types import SIDES, Pair, content_hash
from experiments.detectors.common import SEED, arguments, bundle_of, cell, finish, layers_of
from experiments.tables import markdown
from probes.collect import Labelled, overlaps, read_examples, response
from probes.fit_detector import fit_layers, part_of, unit_scores

STYLES = {"bold": "bold", "emoji": "emoji", "horizontal rule": "hrule", "table": "table", "em dash": "emdash"}
PAPER = {
    "difference-of-means": {"bold": 0.9252, "emoji": 0.9996, "hrule": 0.9556, "table": 0.9457, "emdash": 0.9480},
    "linear": {"bold": 0.9632, "emoji": 0.9996, "hrule": 0.9966, "table": 0.9457, "emdash": 0.9963},
    "attention": {"bold": 0.9944, "emoji": 0.9999, "hrule": 0.9957, "table": 0.9999, "emdash": 1.0000},
}
LAYERS = (4, 8, 12, 16, 20, 24)


def gather(path: str, per_style: int, bundle: Any) -> list[Labelled]:
    """Distinct responses, one a prompt and style, with the ranges that the model sees."""
    taken: dict[str, list[Labelled]] = {style: [] for style in (*STYLES, "none")}
    seen: set[tuple[str, str]] = set()
    rows = [row for row in PairStream(RowSettings(rows=path)) if isinstance(row, Pair)]
    order = sorted(range(len(rows)), key=lambda i: content_hash([SEED, rows[i].row_id]))
    for i in order:
        for side in SIDES:
            text = str(rows[i].side(side)[-1]["content"])
            styles = [style for style in STYLES if find_ranges(text, style)] or ["none"]
            style = min(styles, key=lambda name: len(taken[name]))
            if len(taken[style]) >= per_style or (rows[i].prompt_id, style) in seen:
                continue
            part = encode_row(rows[i], bundle.tokenizer, bundle.settings).sides[side]
            if (
                any(overlaps(part.offsets_R2, find_ranges(part.text, s)).any() for s in styles if s != "none")
                or style == "none"
            ):
                seen.add((rows[i].prompt_id, style))
                taken[style].append(response(part, 0, rows[i].prompt_id))
    return [item for items in taken.values() for item in items]


def token_labels(items: list[Labelled], style: str) -> Bool[np.ndarray, " N"]:
    """Whether each token of all responses overlaps a match of the style."""
    return np.concatenate([overlaps(item.offsets_R2, find_ranges(item.text, style)) for item in items])


def main(words: Sequence[str] | None = None) -> int:
    """Fit, measure, write and print."""
    show_messages()
    parser = arguments(__doc__ or "")
    parser.add_argument("--per-style", type=int, default=130)
    given = parser.parse_args(words)
    bundle = bundle_of(given)
    items = gather(str(given.data / "alpaca_eval_pairs.parquet"), given.per_style, bundle)
    parts_of = np.array([part_of(item.prompt) for item in items])
    parts = {part: np.flatnonzero(parts_of == part) for part in ("fit", "validation", "test")}
    plain = read_examples(items, bundle.subject, layers_of(LAYERS, bundle.subject.n_layers), bundle.settings)
    truth = {style: token_labels(items, style) for style in STYLES}
    any_style_N = np.stack(list(truth.values())).any(axis=0)
    rows, result = [], {}
    for kind in PAPER:
        for style, key in STYLES.items():
            y_S = np.array([overlaps(item.offsets_R2, find_ranges(item.text, style)).any() for item in items], int)
            by_layer = {layer: replace(found, y_S=y_S, y_N=truth[style].astype(int)) for layer, found in plain.items()}
            estimator, report = fit_layers(by_layer, parts, kind, "max", SEED)  # type: ignore[arg-type]
            test = by_layer[report.layer].take(parts["test"])
            scores_N = unit_scores(estimator.decision, test, "token", "max").score_U
            in_test_N = np.isin(by_layer[report.layer].sequence_N, parts["test"])
            others = {}
            for other in STYLES:
                if other != style:  # tokens of the other style alone, against tokens of no style at all
                    y_N = truth[other] & ~truth[style]
                    kept = ((y_N == 1) | ~any_style_N)[in_test_N]
                    others[other] = float(roc_auc_score(y_N[in_test_N][kept], scores_N[kept]))
            result[f"{kind} {style}"] = {**report.to_dict(), "off_target_auroc": others}
            test_figures = report.test.to_dict()
            rows.append([
                kind, style, str(report.layer), cell(test_figures["auroc"]), str(PAPER[kind][key]),
                cell(test_figures["pr_auc"]),
                cell(test_figures["f1"]), f"{report.length.auroc.value:.2f}", str(report.shuffled),
                ", ".join(f"{other} {value:.2f}" for other, value in others.items()), f"{report.test.positives:,}",
            ])  # fmt: skip
            print(rows[-1], flush=True)
    header = [
        "detector",
        "style",
        "layer",
        "AUROC",
        "paper",
        "PR-AUC",
        "F1",
        "position alone",
        "shuffled",
        "off target",
        "positive tokens",
    ]
    finish(given.out, "styles", {"sequences": len(items), "figures": result}, markdown(header, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
