"""Refusal: the text heuristic against human labels, the direction on held-out prompts, steering along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float

from anatomy.activations.generate import GenerateSettings, generate_to
from anatomy.activations.steering import steered
from anatomy.data.sources import find_sources
from anatomy.hypotheses.matchers import find_ranges
from anatomy.settings import RowSettings
from anatomy.types import content_hash
from experiments.detectors.common import SEED, arguments, cell, finish, laptop, markdown
from probes.collect import from_prompts, read_examples
from probes.fit import default_layers, fit_layers, metrics_dict, part_of, split
from probes.means import DifferenceOfMeans
from probes.metrics import evaluate

COEFFICIENTS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""In units of the distance between the means of harmful and harmless prompts, so that 1 is the whole way."""
PROMPTS = 40


def text_heuristic(path: Any) -> tuple[dict[str, Any], str]:
    """Figures on the prompts with an odd hash, which the patterns were not written on."""
    import hashlib

    rows = [row for row in pq.read_table(path).to_pylist() if hashlib.sha256(row["prompt"].encode()).digest()[0] & 1]
    called = np.array([float(bool(find_ranges(row["completion"], "refusal"))) for row in rows])
    length = np.array([-float(len(row["completion"])) for row in rows])
    labels = np.array([row["final_label"] for row in rows])
    prompts = np.array([row["prompt"] for row in rows])
    full = labels != "3_partial_refusal"
    y = (labels[full] == "2_full_refusal").astype(int)
    found = metrics_dict(evaluate(called[full], y, prompts[full], 1.0, SEED))
    short = metrics_dict(evaluate(length[full], y, prompts[full], float(np.median(length)), SEED))
    partial = float(called[~full].mean())
    shuffles = [
        evaluate(called[full], np.random.default_rng(n).permutation(y), prompts[full], 1.0, n).auroc.value
        for n in range(20)
    ]
    header = ["detector", "balanced accuracy", "AUROC", "PR-AUC", "F1"]
    table = [[name, *(cell(m[key]) for key in ("balanced_accuracy", "auroc", "pr_auc", "f1"))]
             for name, m in (("text heuristic", found), ("shortness alone", short))]  # fmt: skip
    text = markdown(header, table) + (
        f"\n\n{found['positives']} full refusals, {found['negatives']} full compliances, {found['groups']} prompts; "
        f"{partial:.0%} of {int((~full).sum())} partial refusals are called refusals; "
        f"AUROC with shuffled labels {np.mean(shuffles):.3f}."
    )
    return {"text": found, "shortness": short, "partial": partial, "shuffled": float(np.mean(shuffles))}, text


def direction(lens: Any, path: Any) -> tuple[dict[str, Any], str, Float[np.ndarray, " D"], int]:
    """Difference of means of harmful and harmless prompts at the last token before the answer, at its best layer."""
    records = (record for source in find_sources(RowSettings(rows=str(path))) for record in source.records())
    items = from_prompts(records, lens.tokenizer, lens.settings)
    parts = split(items)
    by_layer = read_examples(items, lens.subject, default_layers(lens.subject.n_layers), lens.settings)
    estimator, report = fit_layers(by_layer, parts, "difference-of-means", "last", SEED)
    assert isinstance(estimator, DifferenceOfMeans)
    examples = by_layer[report.layer]
    fitted = examples.take(parts["fit"])
    gap = float((fitted.x_ND[fitted.y_S == 1].mean(0) - fitted.x_ND[fitted.y_S == 0].mean(0)).norm())
    found = metrics_dict(report.test)
    header = ["layer", "AUROC", "PR-AUC", "F1", "length alone: AUROC", "shuffled labels: AUROC"]
    by_length = np.array([len(item.ids) for item in items])[parts["test"]]
    length = evaluate(
        by_length.astype(float), examples.take(parts["test"]).y_S, examples.take(parts["test"]).group_S, 0.0, SEED
    )
    row = [report.layer, cell(found["auroc"]), cell(found["pr_auc"]), cell(found["f1"]), cell(length.auroc._asdict()),
           str(report.shuffled)]  # fmt: skip
    result = {**report.to_dict(), "prompt_length_auroc": length.auroc._asdict(), "gap": gap}
    return result, markdown(header, [row]), estimator.w_ * gap, report.layer


def dose_response(lens: Any, path: Any, vector: Any, layer: int, out: Any) -> tuple[dict[str, Any], str]:
    """Refusal rate of greedy answers to held-out prompts, by coefficient of the direction."""
    rows = [row for row in pq.read_table(path).to_pylist() if part_of(content_hash(row["prompt"])) == "test"]
    settings = GenerateSettings(max_new_tokens=24, seed=SEED)
    rates: dict[str, list[float]] = {}
    for label in ("harmful", "harmless"):
        prompts = sorted((row["prompt"] for row in rows if row["label"] == label), key=content_hash)[:PROMPTS]
        conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
        rates[label] = []
        for coefficient in COEFFICIENTS:
            with steered(lens.subject, layer, vector, coefficient):
                cache = out / f"answers-{label}-{coefficient}.jsonl"
                answers = generate_to(cache, lens.subject, lens.tokenizer, conversations, settings)
            rates[label].append(float(np.mean([bool(find_ranges(answer, "refusal")) for answer in answers])))
            print(label, coefficient, rates[label][-1], repr(answers[0][:100]), flush=True)
    plot(rates, out)
    header = ["coefficient", *map(str, COEFFICIENTS)]
    return {"coefficients": COEFFICIENTS, "rates": rates}, markdown(
        header, [[label, *(f"{rate:.2f}" for rate in found)] for label, found in rates.items()]
    )


def plot(rates: dict[str, list[float]], out: Any) -> None:
    """``dose.html``: refusal rate against coefficient."""
    import plotly.graph_objects as go

    lines = [go.Scatter(x=COEFFICIENTS, y=found, name=label, mode="lines+markers") for label, found in rates.items()]
    figure = go.Figure(lines)
    figure.update_layout(
        xaxis_title="coefficient of the refusal direction", yaxis_title="refusal rate", yaxis_range=[0, 1]
    )
    out.mkdir(parents=True, exist_ok=True)
    figure.write_html(out / "dose.html", include_plotlyjs=True)


def main(argv: Sequence[str] | None = None) -> None:
    told = arguments(__doc__ or "").parse_args(argv)
    lens = laptop()
    heuristic, text = text_heuristic(told.data / "xstest_completions.parquet")
    prompts = told.data / "harmful_harmless_prompts.parquet"
    found, table, vector, layer = direction(lens, prompts)
    doses, curve = dose_response(lens, prompts, vector, layer, told.out)
    result = {"heuristic": heuristic, "direction": found, "dose": doses}
    finish(told.out, "refusal", result, "\n\n".join([text, table, curve]))


if __name__ == "__main__":
    main()
