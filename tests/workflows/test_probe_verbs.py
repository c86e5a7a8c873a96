"""The probe verbs as a user runs them, with a tiny model: fit, test, score, and an audit that tests concepts."""

from __future__ import annotations

import csv
import json
import random
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score
from support.tiny import save_sae

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.concepts.concept import load_library
from anatomy.data.shard_cache import numbered
from anatomy.sae.model_bundle import ModelBundle
from probes.collect import read_examples
from probes.example_sources import gather
from probes.fit_detector import unit_scores
from probes.probe_settings import ProbeTestSettings
from probes.resolve import saved

WORDS = "the quick brown fox jumps over a lazy dog and why not because it is good fine thank you today".split()
TINY = ["--device", "cpu", "--dtype", "float32"]

SMALL = [
    "--min-features", "2", "--min-community", "2", "--min-rows", "10", "--data-clusters", "3", "--min-fires", "10",
]  # fmt: skip
"""Settings under which an audit of a few rows has clusters to test."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Pairs of which most chosen responses hold bold words; the same rows as prompts with labels, and as a table."""
    folder = tmp_path_factory.mktemp("rows")
    rng = random.Random(0)
    pairs, prompts, table = [], [], []
    for number in range(160):
        plain = rng.sample(WORDS, 8)
        marked = [f"**{word}**" if place in (2, 5) else word for place, word in enumerate(rng.sample(WORDS, 8))]
        sides = [" ".join(marked), " ".join(plain)] if rng.random() < 0.8 else [" ".join(plain), " ".join(marked)]
        pairs.append({"prompt": f"Say {number}", "chosen": sides[0], "rejected": sides[1]})
        table.append({"prompt": f"Say {number}", "completion": " ".join(marked if number % 2 else plain)})
    for number in range(480):
        asked = f"{'good' if number % 2 else 'lazy'} dog {number}"
        prompts.append({"prompt": asked, "label": number % 2, "model": "large" if number % 12 > 2 else "small"})
    for name, found in (("pairs", pairs), ("prompts", prompts), ("table", table)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return folder


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    return ["--model", str(tiny_model_dir("llama")), *TINY]


@pytest.fixture(scope="module")
def detector(rows, model, tmp_path_factory):
    """A fitted detector of bold text."""
    out = tmp_path_factory.mktemp("detectors") / "bold"
    fit = ["probe", "fit", "bold", "--positives", "heuristic", "--examples", str(rows / "pairs.jsonl")]
    assert main([*fit, "--detector", "linear", "--layers", "0,2", *model, "--out", str(out)]) == 0
    return out


def test_fit_reports_held_out_figures_and_controls(detector):
    report = json.loads((detector / "report.json").read_text())
    assert report["unit"] == "token"
    assert {score["layer"] for score in report["layers"]} == {0, 2}
    assert report["test"]["auroc"]["value"] > 0.8  # the random model hardly carries "inside bold" to the next token
    assert report["test"]["auroc"]["low"] <= report["test"]["auroc"]["value"] <= report["test"]["auroc"]["high"]
    assert report["length"]["auroc"]["value"] < 0.75
    assert abs(report["shuffled"]["auroc"] - 0.5) < 3 * report["shuffled"]["error"] + 0.02
    assert (detector / "detector.safetensors").is_file()


def test_the_same_fit_gives_the_same_bytes(detector, rows, model, tmp_path):
    fit = ["probe", "fit", "bold", "--positives", "heuristic", "--examples", str(rows / "pairs.jsonl")]
    assert main([*fit, "--detector", "linear", "--layers", "0,2", *model, "--out", str(tmp_path)]) == 0
    for name in ("detector.safetensors", "detector.json", "report.json"):
        assert (tmp_path / name).read_bytes() == (detector / name).read_bytes()


def test_test_leaves_out_prompts_that_were_fitted_on(detector, rows, model, tmp_path, capsys):
    """The printed count and AUROC against the examples sorted by hand and scikit-learn's function."""
    arguments = ["probe", "test", str(detector), "--examples", str(rows / "pairs.jsonl"), *model]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    settings = ProbeTestSettings(model=model[1], device="cpu", dtype="float32", examples=str(rows / "pairs.jsonl"))
    bundle = ModelBundle(settings)
    loaded = saved(detector, bundle)
    fitted_on = set(json.loads((detector / "detector.json").read_text())["provenance"]["settings"]["prompts"])
    items = gather(load_library(None).find("bold"), settings, bundle, tmp_path).items
    unseen = [item for item in items if item.prompt not in fitted_on]
    assert 0 < len(unseen) < len(items)
    assert f"\n  {len(items) - len(unseen)} sequences left out: the detector was fitted on their prompts\n" in text
    examples = read_examples(unseen, bundle.subject, [loaded.layer], bundle.settings)[loaded.layer]
    scored = unit_scores(loaded.estimator.decision, examples, "token", loaded.pooling)
    (shown,) = re.findall(r"\n +auroc +(\d\.\d{3}) ", text)
    assert shown == f"{roc_auc_score(scored.y_U, scored.score_U):.3f}"


def test_prompts_are_read_at_their_last_token(rows, model, tmp_path, capsys):
    concepts = tmp_path / "own.yaml"
    concepts.write_text(
        "- {id: goodness, name: Good, description: A good dog., kind: topic, inoculation: Be good.,\n"
        "   positives: prompts, detector: difference-of-means}\n"
    )
    fit = ["probe", "fit", "goodness", "--concepts-file", str(concepts), "--examples", str(rows / "prompts.jsonl")]
    assert main([*fit, *model, "--pooling", "last", "--out", str(tmp_path / "good")]) == 0
    report = json.loads((tmp_path / "good" / "report.json").read_text())
    assert report["unit"] == "sequence"
    assert report["test"]["auroc"]["value"] > 0.9
    counted = f"{report['test']['positives']} positive and {report['test']['negatives']} negative sequences:"
    text = capsys.readouterr().out
    assert f"\n  held out: {counted}\n" in text
    assert report["baselines"]["prompt"]["auroc"]["value"] == 1  # the label is a word of the prompt
    assert report["baselines"]["columns"]["auroc"]["value"] < 0.7
    assert "response" not in report["baselines"]  # there is none
    assert report["within"]["model=large"]["auroc"]["value"] > 0.9
    assert report["within"]["model=small"] is None
    assert re.search(r"\n +model=small +too few", text)
    assert report["null"]["p"] < 0.01
    assert main(["probe", "test", str(tmp_path / "good"), "--concepts-file", str(concepts), *model,
                 "--examples", str(rows / "prompts.jsonl")]) == 0  # fmt: skip
    assert re.search(r"columns alone +prompt alone|prompt alone +columns alone", capsys.readouterr().out)


def test_labelled_answers_are_read(rows, model, tmp_path):
    answers = tmp_path / "answers.jsonl"
    with answers.open("w") as file:
        for number in range(480):
            asked, answer = f"Say {number}", " ".join(WORDS[:6] if number % 2 else WORDS[6:12])
            file.write(json.dumps({"prompt": asked, "completion": answer, "label": number % 2}) + "\n")
    fit = ["probe", "fit", "refusal", "--examples", str(answers), *model, "--pooling", "mean"]
    assert main([*fit, "--out", str(tmp_path / "answers")]) == 0
    report = json.loads((tmp_path / "answers" / "report.json").read_text())
    assert report["test"]["auroc"]["value"] > 0.95
    assert {name: found["auroc"]["value"] > 0.95 for name, found in report["baselines"].items()} == {
        "prompt": False, "response": True, "first ten words": True,
    }  # fmt: skip


def test_too_few_of_a_class_have_no_auroc(rows, model, tmp_path, capsys):
    few = tmp_path / "few.jsonl"
    few.write_text("".join((rows / "prompts.jsonl").read_text().splitlines(keepends=True)[:160]))
    fit = ["probe", "fit", "refusal", "--examples", str(few), *model, "--pooling", "last"]
    assert main([*fit, "--out", str(tmp_path / "few")]) == 0
    report = json.loads((tmp_path / "few" / "report.json").read_text())
    assert report["test"]["positives"] < 30
    assert [report["test"][name] for name in ("auroc", "pr_auc")] == [None, None]
    assert report["test"]["f1"]["value"] > 0.9
    assert (report["null"], report["shuffled"]) == (None, None)
    assert {score["auroc"] for score in report["layers"]} == {None}
    text = capsys.readouterr().out
    assert "too few: no AUROC from fewer than 30 of a class" in text
    assert not re.search(r"auroc +\d", text)


def test_score_writes_rows_of_a_preference_set(detector, rows, model, tmp_path):
    arguments = ["probe", "score", str(rows / "pairs.jsonl"), "--concept", f"refusal,{detector}", *model]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    table = pq.read_table(numbered(tmp_path / "run" / artifacts.SCORES / "bold")[0][0]).to_pandas()
    retained = pq.read_table(tmp_path / "run" / artifacts.ROWS).to_pandas().query("status == 'retained'")
    assert list(table["row_id"]) == list(retained["row_id"][:128])
    chosen_bold = np.array(["**" in row["chosen"] for row in map(json.loads, (rows / "pairs.jsonl").open())])[:128]
    higher = table["chosen_score"] > table["rejected_score"]
    assert (higher == chosen_bold).mean() > 0.9
    assert (table["chosen_mean"] <= table["chosen_max"]).all()
    assert (tmp_path / "run" / artifacts.SCORES / "refusal").is_dir()


def test_score_writes_a_plain_table_back_without_a_model(rows, tmp_path):
    out = tmp_path / "scored.csv"
    arguments = ["probe", "score", str(rows / "table.jsonl"), "--concept", "bold", "--out", str(out)]
    assert main([*arguments, "--model", str(tmp_path / "no-such-model")]) == 0
    scored = list(csv.DictReader(out.open()))
    assert len(scored) == 160
    assert [row["flag"] == "True" for row in scored] == [number % 2 == 1 for number in range(160)]


def test_score_writes_a_plain_table_back_with_a_model(detector, rows, model, tmp_path):
    out = tmp_path / "scored.parquet"
    arguments = ["probe", "score", str(rows / "table.jsonl"), "--concept", str(detector), "--out", str(out), *model]
    assert main(arguments) == 0
    scored = pq.read_table(out).to_pandas()
    assert (scored["flag"] == (np.arange(160) % 2 == 1)).mean() > 0.75


def test_an_audit_tests_concepts_beside_clusters(detector, rows, model, tmp_path, tiny_model_dir, capsys):
    sae = save_sae(tmp_path / "sae", tiny_model_dir("llama"))
    arguments = ["audit", str(rows / "pairs.jsonl"), *model, "--sae", str(sae), *SMALL, "--out", str(tmp_path / "run")]
    assert main([*arguments, "--concepts", f"refusal,{detector}"]) == 0
    table = pq.read_table(tmp_path / "run" / artifacts.HYPOTHESES).to_pandas()
    bold = table[(table["view"] == "global") & (table["response"] == "bold")].iloc[0]
    assert bold["q"] < 1e-6
    assert bold["effect"] > 0.5  # standard deviations
    assert bold["stable"]
    assert set(table[table["response"] == "bold"]["view"]) == {"global", "feature", "prompt"}
    contexts = table[(table["response"] == "bold") & (table["view"] != "global")]
    assert (contexts["q"] > 0.01).all()  # planted everywhere alike
    labels = json.loads((tmp_path / "run" / artifacts.LABELS).read_text())
    assert labels["response"]["bold"]["exemplars"]
    record = json.loads((tmp_path / "run" / artifacts.MANIFEST).read_text())["stages"]["scores"]["facts"]["concepts"]
    report = json.loads((detector / "report.json").read_text())
    assert record["bold"]["held_out"]["AUROC"] == report["test"]["auroc"]["value"]
    assert record["refusal"]["held_out"] == {}  # a text rule: nothing was fitted
    assert re.search(rf"\n +\{bold['effect']:+.3f} .* bold ", capsys.readouterr().out)
    assert main(["show", str(tmp_path / "run"), "bold"]) == 0
    assert main(["null", str(tmp_path / "run"), "--repetitions", "3"]) == 0
    assert main([*arguments, "--concepts", "refusal"]) == 0  # dropping a concept drops its tests
    table = pq.read_table(tmp_path / "run" / artifacts.HYPOTHESES).to_pandas()
    assert "bold" not in set(table["response"])


def test_a_cluster_of_an_audit_makes_examples_and_a_detector(rows, model, tmp_path, tiny_model_dir):
    sae = ["--sae", str(save_sae(tmp_path / "sae", tiny_model_dir("llama")))]
    run = tmp_path / "run"
    assert main(["audit", str(rows / "pairs.jsonl"), *model, *sae, *SMALL, "--out", str(run)]) == 0
    fit = ["probe", "fit", "bold", "--run", str(run), "--cluster", "R1", *model, *sae, "--detector", "sae"]
    examples = ["--positives", "heuristic", "--examples", str(rows / "pairs.jsonl")]
    assert main([*fit, *examples, "--out", str(tmp_path / "sae-bold")]) == 0
    report = json.loads((tmp_path / "sae-bold" / "report.json").read_text())
    assert report["kind"] == "sae"
    assert report["shuffled"] is None
    score = ["probe", "score", str(rows / "table.jsonl"), "--concept", str(tmp_path / "sae-bold"), *model, *sae]
    assert main([*score, "--out", str(tmp_path / "scored.jsonl")]) == 0


@pytest.mark.parametrize(
    ("arguments", "record"),
    [
        (["probe", "fit", "blod"], "no concept `blod`; did you mean bold"),
        (["probe", "fit", "bold"], "need rows: name them with --examples"),
        (["probe", "fit", "bold", "--examples", "nowhere.jsonl"], "nowhere.jsonl"),
        (["probe", "fit", "bold", "--positives", "cluster"], "need --run RUN and --cluster"),
        (["probe", "fit", "bold", "--detector", "sae"], "needs --run RUN and --cluster"),
        (["probe", "test", "nowhere"], "give a folder that `anatomy probe fit` wrote"),
        (["probe", "score", "demo", "--concept", "sycophancy", "--out", "x"], "no text heuristic"),
        (["probe", "score", "demo", "--concept", "bold,bold", "--out", "x"], "two detectors of bold"),
        (["concepts", "show", "blod"], "did you mean bold"),
    ],
)
def test_mistakes_are_one_line(arguments, record, model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = [] if arguments[0] == "concepts" else model
    assert main([*arguments, *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("anatomy: error")]
    assert len(errors) == 1
    assert record in errors[0]
    assert not (tmp_path / "x").exists()


def test_layers_out_of_the_model_are_one_line(rows, model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = ["probe", "fit", "bold", "--examples", str(rows / "pairs.jsonl"), "--layers", "0,9", *model]
    assert main(fit) == 2
    assert "the model has blocks 0 to 3" in capsys.readouterr().err


def test_too_few_examples_are_one_line(rows, model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = ["probe", "fit", "bold", "--examples", str(rows / "pairs.jsonl"), "--limit", "20", *model]
    assert main(fit) == 2
    assert "give more examples" in capsys.readouterr().err


def test_a_detector_of_another_model_is_refused(detector, rows, tiny_model_dir, capsys, tmp_path):
    arguments = [
        "probe",
        "score",
        str(rows / "table.jsonl"),
        "--concept",
        str(detector),
        "--out",
        str(tmp_path / "x.csv"),
    ]
    assert main([*arguments, "--model", str(tiny_model_dir("olmo3")), *TINY]) == 2
    assert "fit it on this model" in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


def test_hard_negatives_hold_the_other_style(tmp_path, tiny_model_dir):
    from anatomy.activations.model import load_tokenizer
    from anatomy.settings import ModelSettings
    from anatomy.types import Pair
    from probes.collect import from_heuristic

    settings = ModelSettings(model=str(tiny_model_dir("llama")))
    texts = ["**bold** word", "# Heading\n\nword", "plain word"]
    say = [[{"role": "assistant", "content": f"{texts[n % 3]} {n}"}] for n in range(120)]
    pairs = [Pair(n, [{"role": "user", "content": f"p{n}"}], say[2 * n], say[2 * n + 1]) for n in range(60)]
    tokenizer = load_tokenizer(settings)
    items = from_heuristic(pairs, "bold", 40, 0, tokenizer, settings, hard="heading")
    counts = {kind: sum(item.text.startswith(kind) for item in items) for kind in ("**", "#", "plain")}
    assert counts == {"**": 20, "#": 10, "plain": 10}
    assert all((item.label == 1) == item.text.startswith("**") for item in items)
    bold = next(item for item in items if item.label)
    marked = "".join(bold.text[a:b] for (a, b), y in zip(bold.offsets_R2, bold.token_labels, strict=True) if y)
    assert marked.strip() == "**bold**"
    plain = from_heuristic(pairs, "bold", 40, 0, tokenizer, settings)
    assert sum(item.label for item in plain) == 20
