"""Every benchmark runs: at its smallest, on a tiny model or a synthetic run."""

import sys

import pytest
from support.tiny import save_sae

from benchmarks import analysis, check_speed, harvest, report, sae_corpus, scores


@pytest.mark.parametrize(
    ("main", "lines"),
    [(harvest.main, ["bare forward pass", "harvest / bare: "]), (scores.main, ["harvest", "scores, 3 detectors"])],
)
def test_a_benchmark_of_the_model_runs(main, lines, tiny_model_dir, tmp_path, capsys):
    model = tiny_model_dir("llama")
    main(["--model", str(model), "--sae", str(save_sae(tmp_path / "sae", model)), "--pairs", "3", "--repeats", "1"])
    printed = capsys.readouterr().out
    assert all(line in printed for line in lines)


def test_the_analysis_is_timed(monkeypatch, capsys):
    for name, value in {"DATA_CLUSTERS": 4, "RESPONSE_CLUSTERS": 8, "PROMPT_CLUSTERS": 8, "NONZEROS": 20}.items():
        monkeypatch.setattr(analysis, name, value)
    seconds = analysis.run(300, 160, baseline=False)
    assert all(part >= 0 for part in seconds)
    assert "totals, CPU s: " in capsys.readouterr().out


def test_a_synthetic_run_has_a_report(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "ROWS", 300)
    report.synthetic(tmp_path)
    assert "report written in" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").stat().st_size > 100_000


def test_an_sae_corpus_is_timed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sae_corpus", "--documents", "50"])
    sae_corpus.main()
    assert "50 documents: " in capsys.readouterr().out


def test_a_check_is_timed(tiny_model_dir, monkeypatch, capsys):
    model = str(tiny_model_dir("llama"))
    monkeypatch.setattr(sys, "argv", ["check_speed", "--rows", "50", "--tokenizer", "--model", model])
    check_speed.main()
    printed = capsys.readouterr().out
    assert [line.split()[2] for line in printed.splitlines()] == ["json", "check", "bare", "tokens"]
