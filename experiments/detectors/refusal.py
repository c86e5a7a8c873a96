"""Refusal: the text heuristic against human labels, the direction on held-out prompts, steering along it.

Two directions are fitted and steered along, both differences of means. *Prompts*: harmful minus harmless prompts at the
last token before the answer (method.md §8). *Answers*: refusing minus complying answers of XSTest, over their first
tokens. Each is applied at the layer where it raises the refusal rate most on validation prompts; rates are reported on
prompts of the test part.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import binomtest, spearmanr
from torch import Tensor

from anatomy.activations.generate import generate
from anatomy.activations.generate_settings import GenerateSettings
from anatomy.activations.spans import encode_row
from anatomy.activations.steering import steered
from anatomy.data.sources import find_sources
from anatomy.progress import show_messages
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import RowSettings
from anatomy.text.matchers import find_ranges
from anatomy.types import Pair, content_hash
from anatomy.validation.plots import error_bars, write_page
from experiments.detectors.common import SEED, arguments, bundle_of, cell, finish, layers_of
from experiments.tables import markdown
from probes.collect import Labelled, from_prompts, read_examples, response
from probes.detector_controls import shuffled_by_prompt
from probes.examples import Examples
from probes.fit_detector import PARTS, default_layers, fit_layers, part_of, split, unit_scores
from probes.metrics import evaluate

COEFFICIENTS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)
"""In units of the distance between the two means, so that 1 is the whole way."""
PROMPTS = 40
TRIED = 8
"""Validation prompts on which the steered layer is chosen."""
FIRST = 12
"""Tokens of an answer in which it says whether it refuses."""
STEERED_LAYERS = (8, 11, 14, 17, 20)


def text_heuristic(path: Path) -> tuple[dict[str, Any], str]:
    """Figures on the prompts with an odd hash, which the patterns were not written on."""
    import hashlib

    rows = [row for row in pq.read_table(path).to_pylist() if hashlib.sha256(row["prompt"].encode()).digest()[0] & 1]
    called = np.array([float(bool(find_ranges(row["completion"], "refusal"))) for row in rows])
    length = np.array([-float(len(row["completion"])) for row in rows])
    labels = np.array([row["final_label"] for row in rows])
    prompts = np.array([row["prompt"] for row in rows])
    full = labels != "3_partial_refusal"
    y = (labels[full] == "2_full_refusal").astype(int)
    found = evaluate(called[full], y, prompts[full], 1.0, SEED).to_dict()
    short = evaluate(length[full], y, prompts[full], float(np.median(length)), SEED).to_dict()
    partial = float(called[~full].mean())
    shuffles = [
        evaluate(
            called[full], shuffled_by_prompt(y, prompts[full], np.random.default_rng(n)), prompts[full], 1.0, n
        ).auroc.value
        for n in range(20)
    ]
    header = ["detector", "balanced accuracy", "AUROC", "PR-AUC", "F1"]
    table = [[name, *(cell(m[key]) for key in ("balanced_accuracy", "auroc", "pr_auc", "f1"))]
             for name, m in (("text heuristic", found), ("shortness alone", short))]  # fmt: skip
    text = markdown(header, table) + (
        f"\n\n{found['positives']} full refusals, {found['negatives']} full compliances, {found['groups']} prompts; "
        f"{partial:.0%} of {int((~full).sum())} partial refusals are called refusals; "
        f"AUROC with labels shuffled by prompts {np.mean(shuffles):.3f}."
    )
    return {"text": found, "shortness": short, "partial": partial, "shuffled": float(np.mean(shuffles))}, text


def direction(bundle: ModelBundle, path: Path) -> tuple[dict[str, Any], str, dict[int, Tensor]]:
    """Difference of means of harmful and harmless prompts at the last token before the answer, at its best layer."""
    records = (record for source in find_sources(RowSettings(rows=str(path))) for record in source.records())
    items = from_prompts(records, bundle.tokenizer, bundle.settings)
    parts = split(items)
    layers = sorted({*default_layers(bundle.subject.n_layers), *steered_layers(bundle)})
    by_layer = read_examples(items, bundle.subject, layers, bundle.settings)
    _, report = fit_layers(by_layer, parts, "difference-of-means", "last", SEED)
    examples = by_layer[report.layer]
    found = report.test.to_dict()
    header = ["layer", "AUROC", "PR-AUC", "F1", "length alone: AUROC", "shuffled labels: AUROC"]
    by_length = np.array([len(item.ids) for item in items])[parts["test"]]
    length = evaluate(
        by_length.astype(float), examples.take(parts["test"]).y_S, examples.take(parts["test"]).group_S, 0.0, SEED
    )
    row = [report.layer, cell(found["auroc"]), cell(found["pr_auc"]), cell(found["f1"]), cell(length.auroc._asdict()),
           str(report.shuffled)]  # fmt: skip
    result = {**report.to_dict(), "prompt_length_auroc": length.auroc._asdict()}
    return result, markdown(header, [row]), gaps({layer: by_layer[layer].take(parts["fit"]) for layer in layers})


def steered_layers(bundle: ModelBundle) -> list[int]:
    """Blocks after which a direction is tried."""
    return layers_of(STEERED_LAYERS, bundle.subject.n_layers)


def gaps(by_layer: Mapping[int, Examples]) -> dict[int, Tensor]:
    """By layer, mean of positives minus mean of negatives, in units of the residual stream."""
    return {
        layer: found.x_ND[found.y_S[found.sequence_N] == 1].mean(0)
        - found.x_ND[found.y_S[found.sequence_N] == 0].mean(0)
        for layer, found in by_layer.items()
    }


def answers(bundle: ModelBundle, path: Path) -> tuple[dict[str, Any], str, dict[int, Tensor]]:
    """Refusing against complying answers of XSTest by their first tokens: figures on held-out prompts, and the gaps."""
    rows = [row for row in pq.read_table(path).to_pylist() if row["completion"].strip()]
    partial = np.array([row["final_label"] == "3_partial_refusal" for row in rows])
    items = [first_tokens(row, bundle) for row in rows]
    by_layer = read_examples(items, bundle.subject, steered_layers(bundle), bundle.settings)
    part_S = np.array([part_of(item.prompt) for item in items])
    parts = {part: np.flatnonzero((part_S == part) & ~partial) for part in PARTS}
    estimator, report = fit_layers(by_layer, parts, "difference-of-means", "mean", SEED)
    unsure = by_layer[report.layer].take(partial & (part_S == "test"))
    flagged = unit_scores(estimator.decision, unsure, "sequence", "mean").score_U >= report.threshold
    figures, length = report.test.to_dict(), report.length.to_dict()
    names = ("balanced_accuracy", "auroc", "pr_auc", "f1")
    table = [[report.layer, *(cell(figures[name]) for name in names), cell(length["auroc"]), str(report.shuffled)]]
    header = ["layer", "balanced accuracy", "AUROC", "PR-AUC", "F1", "length alone: AUROC", "shuffled labels: AUROC"]
    text = markdown(header, table) + (
        f"\n\n{report.test.positives} full refusals, {report.test.negatives} full compliances, {report.test.groups} "
        f"prompts; {flagged.mean():.0%} of {len(flagged)} partial refusals are called refusals."
    )
    result = {**report.to_dict(), "partial": float(flagged.mean()), "partial_answers": len(flagged)}
    return result, text, gaps({layer: found.take(parts["fit"]) for layer, found in by_layer.items()})


def first_tokens(row: dict[str, Any], bundle: ModelBundle) -> Labelled:
    """The first tokens of a completion, in its conversation."""
    answer, other = ([{"role": "assistant", "content": text}] for text in (row["completion"], "-"))
    pair = Pair(0, [{"role": "user", "content": row["prompt"]}], answer, other)
    side = encode_row(pair, bundle.tokenizer, bundle.settings).sides["chosen"]
    item = response(side, int(row["final_label"] == "2_full_refusal"), content_hash(row["prompt"]))
    wanted = item.wanted & (np.cumsum(item.wanted) <= FIRST)
    end = int(np.flatnonzero(wanted)[-1]) + 1
    return replace(item, ids=item.ids[:end], wanted=wanted[:end], offsets_R2=item.offsets_R2[: wanted.sum()])


def dose_response(bundle: ModelBundle, path: Path, vectors: dict[str, dict[int, Tensor]], out: Path) -> tuple[Any, str]:
    """Refusal rate of greedy answers to held-out prompts, by direction and coefficient, with Wilson intervals."""
    rows = pq.read_table(path).to_pylist()
    rates: dict[str, dict[str, Any]] = {}
    for name, by_layer in vectors.items():
        tried = prompts_of(rows, "validation", "harmful", TRIED)
        raised = {
            layer: refused(bundle, tried, layer, by_layer[layer], 1.0, out / f"tried-{name}")
            for layer in steered_layers(bundle)
        }
        layer = max(raised, key=lambda layer: (sum(raised[layer]), -layer))
        for label in ("harmful", "harmless"):
            prompts = prompts_of(rows, "test", label, PROMPTS)
            found = [
                sum(refused(bundle, prompts, layer, by_layer[layer], coefficient, out / f"answers-{name}-{label}"))
                for coefficient in COEFFICIENTS
            ]
            rates[f"{name}, {label}"] = {
                "layer": layer,
                "prompts": len(prompts),
                "refused": found,
                "validation": {str(layer): sum(hits) / len(tried) for layer, hits in raised.items()},
                "spearman": float(spearmanr(COEFFICIENTS, found).statistic),
            }
            print(name, label, layer, found, flush=True)
    plot(rates, out)
    table = [
        [name, found_at["layer"], *(rate(count, found_at["prompts"]) for count in found_at["refused"])]
        for name, found_at in rates.items()
    ]
    return rates, markdown(["direction, prompts", "layer", *map(str, COEFFICIENTS)], table)


def prompts_of(rows: Sequence[dict[str, Any]], part: str, label: str, wanted: int) -> list[str]:
    """So many prompts of a part and label, in the order of their hashes."""
    found = [row["prompt"] for row in rows if row["label"] == label and part_of(content_hash(row["prompt"])) == part]
    return sorted(found, key=content_hash)[:wanted]


def refused(
    bundle: ModelBundle, prompts: Sequence[str], layer: int, vector_D: Tensor, coefficient: float, out: Path
) -> list[bool]:
    """Whether each greedy answer refuses, by the text heuristic; answers are kept in ``out``."""
    conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
    cache = out / f"block-{layer}-{coefficient}.jsonl"
    with steered(bundle.subject, layer, vector_D, coefficient):
        settings = GenerateSettings(max_new_tokens=24, seed=SEED)
        answers = generate(cache, bundle.subject, bundle.tokenizer, conversations, settings)
    return [bool(find_ranges(answer.text, "refusal")) for answer in answers]


def wilson(count: int, of: int) -> tuple[float, float]:
    """95 % interval of a share."""
    found = binomtest(count, of).proportion_ci(method="wilson")
    return found.low, found.high


def rate(count: int, of: int) -> str:
    """``0.12 [0.05, 0.26]``."""
    low, high = wilson(count, of)
    return f"{count / of:.2f} [{low:.2f}, {high:.2f}]"


def plot(rates: dict[str, Any], out: Path) -> None:
    """``dose.html``: refusal rate against coefficient, with intervals."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, found_at in rates.items():
        share = [count / found_at["prompts"] for count in found_at["refused"]]
        ends = [wilson(count, found_at["prompts"]) for count in found_at["refused"]]
        figure.add_scatter(x=COEFFICIENTS, y=share, name=name, mode="lines+markers", error_y=error_bars(share, ends))
    figure.update_layout(xaxis_title="coefficient, in distances of means", yaxis_title="refusal rate")
    write_page(out / "dose.html", figure)


def main(words: Sequence[str] | None = None) -> int:
    """Measure the rule and both directions, steer along them, write and print."""
    show_messages()
    given = arguments(__doc__ or "").parse_args(words)
    bundle = bundle_of(given)
    heuristic, text = text_heuristic(given.data / "xstest_completions.parquet")
    prompts = given.data / "harmful_harmless_prompts.parquet"
    found, table, by_prompts = direction(bundle, prompts)
    answered, second, by_answers = answers(bundle, given.data / "xstest_completions.parquet")
    doses, curve = dose_response(bundle, prompts, {"answers": by_answers, "prompts": by_prompts}, given.out)
    result = {"heuristic": heuristic, "direction": found, "answers": answered, "dose": doses}
    finish(given.out, "refusal", result, "\n\n".join([text, second, table, curve]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
