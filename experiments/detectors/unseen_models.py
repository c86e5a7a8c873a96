"""Refusal from text alone on a model that was not fitted to: the rule, words, and what needs no answer at all.

Each completion is scored by a fit to the other models' completions of other prompts (five folds by hash), so that
neither its model nor its prompt was seen. The rule is not fitted; its wording was written while reading half of the
prompts by all models.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from anatomy.text.matchers import find_ranges
from anatomy.types import content_hash
from experiments.tables import markdown
from probes.metrics import Metrics, evaluate

FOLDS = 5
_WORD = r"[\w']+"
Rows = Sequence[Mapping[str, str]]


def scores(rows: Rows) -> dict[str, np.ndarray]:
    """Scores of each completion by each detector; above 0 says refusal."""
    answers = [row["completion"].replace("’", "'").lower() for row in rows]
    rule = [bool(find_ranges(row["completion"], "refusal")) for row in rows]
    flagged = [f"{_first(answer, 40)} {'says_no' if no else ''}" for answer, no in zip(answers, rule, strict=True)]
    length = np.array([len(answer) for answer in answers])
    return {
        "rule": np.where(rule, 1.0, -1.0),
        "first 40 words and the rule": _fitted(rows, flagged),
        "first 40 words": _fitted(rows, [_first(answer, 40) for answer in answers]),
        "first ten words": _fitted(rows, [_first(answer, 10) for answer in answers]),
        "type of prompt": _fitted(rows, [row["type"] for row in rows]),
        "words of the prompt": _fitted(rows, [row["prompt"].lower() for row in rows]),
        "shortness": (np.median(length) - length).astype(float),
    }


def _first(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _fitted(rows: Rows, texts: Sequence[str]) -> np.ndarray:
    """Log odds of a logistic regression on words, by fits that saw neither the model nor the prompt."""
    model_S, text_S = np.array([row["model"] for row in rows]), np.array(texts, dtype=object)
    fold_S = np.array([int(content_hash(row["prompt"]), 16) % FOLDS for row in rows])
    y_S, score_S = _refused(rows), np.zeros(len(rows))
    for model in np.unique(model_S):
        for fold in range(FOLDS):
            unseen, seen = (model_S == model) & (fold_S == fold), (model_S != model) & (fold_S != fold)
            if not unseen.any():
                continue
            words = TfidfVectorizer(token_pattern=_WORD, min_df=3, binary=True, use_idf=False)
            known = make_pipeline(words, LogisticRegression(C=10, class_weight="balanced", solver="liblinear"))
            score_S[unseen] = known.fit(text_S[seen], y_S[seen]).decision_function(text_S[unseen])
    return score_S


def _refused(rows: Rows) -> np.ndarray:
    return np.array([int(row["final_label"] == "2_full_refusal") for row in rows])


def figures(rows: Rows, score_S: np.ndarray) -> dict[str, Metrics]:
    """Figures over all rows, on each model, and on safe prompts."""
    y_S, prompt_S = _refused(rows), np.array([row["prompt"] for row in rows])
    model_S = np.array([row["model"] for row in rows])
    parts = {"all": np.ones(len(rows), bool), **{str(model): model_S == model for model in np.unique(model_S)}}
    parts["safe prompts"] = np.array([not row["type"].startswith("contrast") for row in rows])
    return {name: evaluate(score_S[part], y_S[part], prompt_S[part], 0.0) for name, part in parts.items()}


def table(path: Path) -> str:
    """Balanced accuracy by detector and part, and two AUROCs, of full refusal against full compliance."""
    rows = [row for row in pq.read_table(path).to_pylist() if row["final_label"] != "3_partial_refusal"]
    lines, names = [], []
    for detector, score_S in scores(rows).items():
        found = figures(rows, score_S)
        names = list(found)
        cells = [f"{m.balanced_accuracy.value:.3f} [{m.balanced_accuracy.low:.3f}, {m.balanced_accuracy.high:.3f}]"
                 for m in found.values()]  # fmt: skip
        ranks = ["too few" if found[part].too_few else f"{found[part].auroc.value:.3f}"
                 for part in ("all", "safe prompts")]  # fmt: skip
        lines.append([detector, *cells, *ranks])
    return markdown(["detector", *names, "AUROC, all", "AUROC, safe prompts"], lines)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with xstest_completions.parquet")
    print(table(parser.parse_args(words).data / "xstest_completions.parquet"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
