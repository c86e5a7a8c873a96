"""Self-generated traits on the laptop model: which can be elicited, and detected on other questions."""

from __future__ import annotations

from anatomy.activations.generate import GenerateSettings
from anatomy.concepts.concept import load_library, load_questions
from anatomy.errors import ProbeError
from anatomy.progress import show_messages
from experiments.detectors.common import SEED, arguments, cell, finish, laptop, markdown
from probes.collect import from_answers, read_examples
from probes.elicit import elicit
from probes.fit_detector import default_layers, fit_layers, metrics_dict, split

PAPER = {"formality": 0.97, "cheerfulness": 0.98, "conflict-avoidance": 0.99, "goblin-weave": 1.0,
         "overconfidence": 0.99, "sycophancy": 0.99}  # fmt: skip


def main() -> None:
    show_messages()
    parser = arguments(__doc__ or "")
    parser.add_argument("--questions", type=int, default=80)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    told = parser.parse_args()
    bundle = laptop()
    settings = GenerateSettings(max_new_tokens=told.max_new_tokens, temperature=1.0, top_p=0.9, seed=SEED)
    rows, result = [], {}
    for concept in load_library().values():
        if concept.kind != "trait":
            continue
        concept = concept.model_copy(update={"heuristic": None})  # all answers are kept: nothing is filtered by text
        cache = told.out / f"answers-{concept.id}.jsonl"
        found = elicit(concept, load_questions()[: told.questions], bundle.subject, bundle.tokenizer, settings, cache)
        items = from_answers(found.answers, bundle.tokenizer, bundle.settings)
        by_layer = read_examples(items, bundle.subject, default_layers(bundle.subject.n_layers), bundle.settings)
        try:
            _, report = fit_layers(by_layer, split(items), "difference-of-means", "mean", SEED)
        except ProbeError as error:
            rows.append([concept.id, str(error)])
            continue
        test = metrics_dict(report.test)
        result[concept.id] = report.to_dict()
        rows.append([
            concept.id, report.layer, cell(test["auroc"]), PAPER.get(concept.id, ""), cell(test["pr_auc"]),
            cell(test["f1"]),
            cell(metrics_dict(report.length)["auroc"]), str(report.shuffled),
        ])  # fmt: skip
        print(rows[-1], flush=True)
    header = ["trait", "layer", "AUROC", "paper", "PR-AUC", "F1", "length alone: AUROC", "shuffled: AUROC"]
    finish(told.out, "traits", {"figures": result}, markdown(header, rows))


if __name__ == "__main__":
    main()
