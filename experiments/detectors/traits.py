"""Self-generated traits on the laptop model: which can be elicited, and detected on other questions."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from anatomy.activations.generate_settings import GenerateSettings
from anatomy.concepts.concept import load_library, load_questions
from anatomy.errors import ProbeError
from anatomy.progress import show_messages
from experiments.detectors.common import SEED, arguments, bundle_of, cell, finish
from experiments.tables import markdown
from probes.collect import from_answers, read_examples
from probes.elicit import elicit
from probes.fit_detector import default_layers, fit_layers, split

PAPER = {"formality": 0.97, "cheerfulness": 0.98, "conflict-avoidance": 0.99, "goblin-weave": 1.0,
         "overconfidence": 0.99, "sycophancy": 0.99}  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Elicit, fit, write and print."""
    show_messages()
    parser = arguments(__doc__ or "")
    parser.add_argument("--questions", type=int, default=80)
    parser.add_argument("--max-new-tokens", type=int, default=48)
    given = parser.parse_args(words)
    bundle = bundle_of(given)
    settings = GenerateSettings(max_new_tokens=given.max_new_tokens, temperature=1.0, top_p=0.9, seed=SEED)
    rows: list[list[str]] = []
    result = {}
    for concept in load_library().values():
        if concept.kind != "trait":
            continue
        concept = concept.model_copy(update={"heuristic": None})  # all answers are kept: nothing is filtered by text
        cache = given.out / f"answers-{concept.id}.jsonl"
        found = elicit(concept, load_questions()[: given.questions], bundle.subject, bundle.tokenizer, settings, cache)
        items = from_answers(found.answers, bundle.tokenizer, bundle.settings)
        by_layer = read_examples(items, bundle.subject, default_layers(bundle.subject.n_layers), bundle.settings)
        try:
            _, report = fit_layers(by_layer, split(items), "difference-of-means", "mean", SEED)
        except ProbeError as error:
            rows.append([concept.id, *["–"] * 6, str(error)])
            continue
        test = report.test.to_dict()
        result[concept.id] = report.to_dict()
        rows.append([
            concept.id, str(report.layer), cell(test["auroc"]), str(PAPER.get(concept.id, "")), cell(test["pr_auc"]),
            cell(test["f1"]),
            cell(report.length.to_dict()["auroc"]), str(report.shuffled),
        ])  # fmt: skip
        print(rows[-1], flush=True)
    header = ["trait", "layer", "AUROC", "paper", "PR-AUC", "F1", "length alone: AUROC", "shuffled: AUROC"]
    finish(given.out, "traits", {"figures": result}, markdown(header, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
