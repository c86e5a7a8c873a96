"""Refusal from text on unseen models: what is planted in words is found, and what tells nothing is chance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.detectors import unseen_models


def test_words_of_answers_tell_and_others_do_not(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = []
    for prompt in range(100):
        for model in "abc":
            no = bool(rng.integers(2))
            rows.append({"prompt": f"Ask {rng.integers(9)} {prompt}", "type": "contrast" if prompt % 2 else "plain",
                         "completion": "I cannot do that" if no else "Here is how it is done", "model": model,
                         "final_label": "2_full_refusal" if no else "1_full_compliance"})  # fmt: skip
    found = {name: unseen_models.figures(rows, scores) for name, scores in unseen_models.scores(rows).items()}
    for name in ("rule", "first 40 words", "first ten words"):
        assert {figure.balanced_accuracy.value for figure in found[name].values()} == {1.0}
    for name in ("type of prompt", "words of the prompt"):
        assert abs(found[name]["all"].auroc.value - 0.5) < 0.12
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "xstest_completions.parquet")
    assert unseen_models.main(["--data", str(tmp_path)]) == 0
    assert "| rule | 1.000 [" in capsys.readouterr().out
