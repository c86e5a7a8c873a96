"""Planning as a user does it, with a tiny model: decide, check, filter; the cleaned set, its log, one-line errors."""

from __future__ import annotations

import json
import random
from collections import Counter

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from support.tiny import save_sae

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.data.pair_stream import read_pairs
from anatomy.data.shard_cache import ShardCache, numbered
from anatomy.features.feature_store import FeatureStore
from anatomy.runs.run import Run
from anatomy.settings import RowSettings
from interventions.backends.pair_edits import read_edits
from interventions.plan.plan import Plan, load_plan

WORDS = "the quick brown fox jumps over a lazy dog and why not because it is good fine thank you today".split()
SMALL = ["--min-features", "2", "--min-community", "2", "--min-rows", "10", "--data-clusters", "3", "--min-fires", "10"]
BAD = {150: "identical-pair", 151: "duplicate-row"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """150 pairs, most with bold words on the chosen side, one that is no pair, and one that is there twice."""
    rng = random.Random(0)
    found = []
    for number in range(150):
        marked = [f"**{word}**" if place in (2, 5) else word for place, word in enumerate(rng.sample(WORDS, 8))]
        sides = [" ".join(marked), " ".join(rng.sample(WORDS, 8))]
        if rng.random() < 0.3:
            sides.reverse()
        topic = rng.choice(["dogs", "foxes"])
        found.append({"prompt": f"Say {number}", "chosen": sides[0], "rejected": sides[1], "topic": topic, "n": number})
    found.append({**found[0], "chosen": "same", "rejected": "same"})
    found.append({**found[0], "n": "a text"})
    path = tmp_path_factory.mktemp("rows") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory):
    folder = tiny_model_dir("llama")
    sae = save_sae(tmp_path_factory.mktemp("sae"), folder)
    return ["--model", str(folder), "--device", "cpu", "--dtype", "float32", "--sae", str(sae)]


@pytest.fixture(scope="module")
def run(rows, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mine"
    assert main(["audit", str(rows), *model, *SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def detector(rows, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("detectors") / "bold"
    fit = ["probe", "fit", "bold", "--positives", "heuristic", "--examples", str(rows), "--layers", "2"]
    assert main([*fit, "--detector", "difference-of-means", *model, "--out", str(out)]) == 0
    return out


def write_plan(folder, *items, **further):
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"interventions": [{"direction": "suppress", **item} for item in items], **further}))
    return path


def source(rows) -> list[dict]:
    return [json.loads(line) for line in rows.open()]


def error_of(capsys) -> str:
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("anatomy: error")]
    assert len(errors) == 1
    return errors[0]


def test_a_plan_is_made_from_decisions(run, tmp_path, capsys):
    out = tmp_path / "plan.yaml"
    decisions = ["--suppress", "R1,bold", "--amplify", "refusal", "--remove", "D1", "--keep", "emoji"]
    assert main(["plan", str(run), *decisions, "--strength", "2", "--out", str(out)]) == 0
    plan = load_plan(out)
    record = [(item.name, item.direction, item.backend, item.strength) for item in plan.interventions]
    assert record == [
        ("R1", "suppress", "reward_shaping", 2),
        ("bold", "suppress", "reward_shaping", 2),
        ("refusal", "amplify", "reward_shaping", 2),
        ("D1", "suppress", "filtering", 1),
    ]
    assert [(one.target, one.decision) for one in plan.decisions][-1] == ("emoji", "keep")
    assert plan.run == run
    assert out.read_text().startswith(f"schema_version: {Plan.VERSION}\n")
    assert "anatomy plan check" in capsys.readouterr().out
    before = out.read_bytes()
    assert main(["plan", str(run), "--suppress", "bold", "--out", str(out)]) == 2
    assert "is there already" in error_of(capsys)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("decisions", "record"),
    [
        (["--suppress", "R999,blod"], ["no cluster `R999`", "no concept `blod`"]),
        (["--suppress", "bold", "--keep", "bold"], ["bold: decided in two ways"]),
        (["--suppress", "bold", "--strength", "-2"], ["directions are said in words"]),
        (["--amplify", "bold", "--backend", "inoculation"], ["the opposite of the concept"]),
        (["--amplify", "D1"], ["D1 names rows"]),
    ],
)
def test_decisions_that_do_not_fit(run, decisions, record, tmp_path, capsys):
    assert main(["plan", str(run), *decisions, "--out", str(tmp_path / "p.yaml")]) == 2
    error = error_of(capsys)
    assert all(part in error for part in record)
    assert not (tmp_path / "p.yaml").exists()


def test_check_tells_what_would_be_done(rows, run, model, detector, tmp_path, capsys):
    path = write_plan(
        tmp_path,
        {"cluster": "R1", "strength": 4, "backend": "reward_shaping"},
        {"concept": str(detector), "strength": 0.05, "backend": "steering"},
        {"source": "topic=dogs", "backend": "filtering"},
        {"concept": "refusal", "backend": "reward_shaping"},
        {"concept": str(detector), "strength": 0.05, "backend": "steering", "options": {"side": "chosen"}},
        run=str(run),
    )
    command = ["plan", "check", str(path), "--pairs", "24"]
    assert main(command) == 2  # rows, model and SAE are the audit's, but a run directory does not choose what is loaded
    assert f"--rows {rows} --model {model[1]}" in error_of(capsys)
    assert main([*command, "--rows", str(rows), *model]) == 0
    lines = capsys.readouterr().out.splitlines()
    dogs = sum(row["topic"] == "dogs" for row in source(rows)[:150])
    assert lines[0] == "150 rows, 5 interventions"
    assert "suppress R1 by reward_shaping, strength 4: " in lines[1]
    assert "beyond ±2" in lines[1]
    assert "after block 2; at step 0" in lines[2]
    assert "one side" not in lines[2]
    assert "on chosen, after block 2; at step 0" in lines[5]
    assert "steering one side alone changes gradients too" in lines[5]
    assert f"{dogs} rows dropped" in lines[3]
    assert "WARNING: touches no row" in lines[4]
    assert f"together: {dogs} dropped, 0 swapped" in lines[6]


def test_clusters_of_an_audit_that_was_made_again_are_refused(run, tmp_path, capsys):
    """R1 means other features there; a concept means the same in any audit."""
    cluster, concept = {"cluster": "R1", "backend": "filtering"}, {"concept": "bold", "backend": "filtering"}
    write_plan(tmp_path, cluster, concept, run=str(run), run_id="0123456789ab")
    assert main(["plan", "check", str(tmp_path / "plan.yaml")]) == 2
    assert f"R1: {run} has been made again since the plan was" in error_of(capsys)
    write_plan(tmp_path, concept, run=str(run), run_id="0123456789ab")
    assert main(["plan", "check", str(tmp_path / "plan.yaml")]) == 2
    assert "a run directory does not choose what is loaded" in error_of(capsys)


def test_check_without_rows_reads_the_plan_alone(tmp_path, capsys):
    plan = str(write_plan(tmp_path, {"concept": "bold", "backend": "filtering"}))
    assert main(["plan", "check", plan, "--batch-tokens", "nan"]) == 2
    assert "batch_tokens" in capsys.readouterr().err
    assert main(["plan", "check", plan]) == 0
    assert "name --rows" in capsys.readouterr().out


def test_the_scores_of_a_cluster_are_its_mean_activation(rows, run, model, tmp_path):
    """Against the audit's own: the mean activation is positive exactly where a feature of the cluster fired."""
    path = write_plan(tmp_path, {"cluster": "R1", "backend": "reward_shaping"}, run=str(run))
    assert main(["plan", "check", str(path), "--rows", str(rows), *model, "--out", str(tmp_path / "work")]) == 0
    table = pq.read_table(tmp_path / "work" / artifacts.SCORES / "R1").to_pandas()
    clusters = pq.read_table(run / artifacts.CLUSTERS).to_pandas().query("cluster == 'R1'")
    shards = list(FeatureStore(run / artifacts.FEATURES).shards())
    fired = np.concatenate([shard.matrix("chosen", "freq")[:, clusters["feature"]].sum(axis=1) > 0 for shard in shards])
    assert ((table["chosen_score"] > 0) == np.asarray(fired).ravel()).all()


@pytest.mark.parametrize(("view", "cluster"), [("feature", "D1"), ("prompt", "P1")])
def test_rows_of_clusters_are_the_contexts_that_the_audit_tested(rows, run, model, tmp_path, view, cluster):
    item = {"concept": "bold", "backend": "reward_shaping", "options": {"rows": cluster}}
    path = write_plan(tmp_path, item, {"cluster": cluster, "backend": "filtering"}, run=str(run))
    assert main(["plan", "check", str(path), "--rows", str(rows), *model, "--out", str(tmp_path / "work")]) == 0
    store = FeatureStore(run / artifacts.FEATURES)
    with Run.open(run) as opened:
        signals = opened.signals
    tested = signals.shift if view == "prompt" else signals.disparity
    _, inside_N = signals.of(view, cluster, tested.ids[0])
    assert 0 < inside_N.sum() < len(inside_N)
    found = read_edits(tmp_path / "work" / artifacts.PAIR_EDITS)
    assert [bool(found[row_id].dropped) for row_id in store.row_ids] == inside_N.tolist()
    assert all(found[row_id].offset == 0 for row_id, inside in zip(store.row_ids, inside_N, strict=True) if not inside)


def test_filter_writes_a_set_for_the_hub_and_a_log(rows, model, tmp_path, capsys):
    named = next(pair for pair in read_pairs(RowSettings(rows=str(rows))) if pair.index == 7)
    path = write_plan(
        tmp_path,
        {"concept": "bold", "backend": "filtering", "options": {"side": "chosen", "swap": True}},
        {"source": "topic=dogs", "backend": "filtering"},
        {"rows": [named.row_id], "backend": "filtering"},
        {"concept": "bold", "strength": 3, "backend": "reward_shaping"},
    )
    out = tmp_path / "clean"
    assert main(["filter", str(path), "--rows", str(rows), *model, "--out", str(out)]) == 0
    before = source(rows)
    dropped = {n for n in range(150) if before[n]["topic"] == "dogs"} | {7}
    swapped = {n for n in range(150) if "**" in before[n]["chosen"]} - dropped
    log = pq.read_table(out / artifacts.FILTER_LOG).to_pandas()
    assert list(log["index"]) == list(range(152))
    action = dict(zip(log["index"], log["action"], strict=True))
    expected = {n: "dropped" if n in dropped else "swapped" if n in swapped else "kept" for n in range(150)}
    assert action == expected | dict.fromkeys(BAD, "unusable")
    assert log["reason"][150] == "chosen and rejected are the same"
    assert log["reason"][7] == ("of topic=dogs" if before[7]["topic"] == "dogs" else "named in the plan")
    some = min(swapped)
    assert (log["target"][some], log["score_chosen"][some], log["score_rejected"][some]) == ("bold", 1.0, 0.0)

    kept = list(read_pairs(RowSettings(rows=str(out / artifacts.CLEANED))))
    originals = {pair.index: pair for pair in read_pairs(RowSettings(rows=str(rows)))}
    expected_pairs = [originals[n] for n in range(150) if n not in dropped]
    assert [list(pair.prompt) for pair in kept] == [list(pair.prompt) for pair in expected_pairs]
    for pair, original in zip(kept, expected_pairs, strict=True):
        sides = [pair.chosen, pair.rejected]
        assert [original.chosen, original.rejected] == (sides[::-1] if original.index in swapped else sides)
        assert pair.metadata == original.metadata
    assert f"{len(dropped)} dropped" in capsys.readouterr().out


def test_the_cleaned_set_loads_as_a_dataset_that_trl_reads(rows, model, tmp_path):
    path = write_plan(tmp_path, {"concept": "bold", "backend": "filtering", "options": {"top": 0.1}})
    out = tmp_path / "clean"
    assert main(["filter", str(path), "--rows", str(rows), *model, "--out", str(out)]) == 0
    from trl.data_utils import is_conversational

    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"]
    train = loaded["train"]
    log = Counter(pq.read_table(out / artifacts.FILTER_LOG)["action"].to_pylist())
    assert len(train) == log["kept"] == 150 - 15
    assert train.column_names == ["prompt", "chosen", "rejected", "n", "topic"]
    assert is_conversational(train[0])
    card = (out / artifacts.CARD).read_text()
    assert "| dropped | bold | 15 |" in card
    assert yaml.safe_load(card.split("---")[1])["configs"][0]["data_files"][0]["path"] == artifacts.CLEANED


def test_a_killed_run_resumes_to_the_same_edits(rows, model, tmp_path, monkeypatch):
    items = [
        {"concept": "bold", "backend": "filtering", "options": {"drop": "words"}},
        {"concept": "emoji", "strength": 3, "backend": "reward_shaping"},
    ]
    arguments = ["plan", "check", str(write_plan(tmp_path, *items)), "--rows", str(rows), *model]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0

    class Killed(BaseException):
        pass

    written, ordinary = [], ShardCache.write

    def write(cache, number, table, **options):
        if cache.folder.name.startswith("masks-"):
            written.append(cache.folder)
            if len(written) == 2:
                raise Killed
        ordinary(cache, number, table, **options)

    monkeypatch.setattr(ShardCache, "write", write)
    assert main([*arguments, "--out", str(tmp_path / "killed")]) == 1
    assert not (tmp_path / "killed" / artifacts.PAIR_EDITS).exists()
    (first,) = numbered(written[0])[0]
    before = first.stat().st_mtime_ns
    monkeypatch.setattr(ShardCache, "write", ordinary)
    assert main([*arguments, "--out", str(tmp_path / "killed")]) == 0
    assert first.stat().st_mtime_ns == before
    for name in (artifacts.PAIR_EDITS, artifacts.FILTER_LOG, artifacts.PLAN):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert any(row.chosen.masked for row in read_edits(tmp_path / "whole" / artifacts.PAIR_EDITS).values())


@pytest.mark.parametrize(
    ("item", "record"),
    [
        ({"concept": "bold", "backend": "steering"}, "anatomy probe fit bold --detector difference-of-means"),
        ({"concept": "blod", "backend": "steering"}, "did you mean bold"),
        ({"concept": "sycophancy", "backend": "reward_shaping"}, "no text heuristic"),
        ({"source": "topic=cats", "backend": "filtering"}, "no row has this value (most frequent: "),
        ({"source": "color=red", "backend": "filtering"}, "no column `color` (there are: n, topic)"),
        ({"rows": ["nobody"], "backend": "filtering"}, "1 of them not among the usable rows (e.g. nobody)"),
        ({"cluster": "D9", "backend": "filtering"}, "no data cluster `D9`"),
        ({"cluster": "R999", "backend": "reward_shaping"}, "no cluster `R999`"),
        ({"concept": "bold", "backend": "reward_shaping"}, "the plan has no intervention with `backend: filtering`"),
    ],
)
def test_targets_that_are_not_there(rows, run, model, item, record, tmp_path, capsys):
    path = write_plan(tmp_path, item, run=str(run))
    verb = ["filter"] if "no intervention" in record else ["plan", "check"]
    assert main([*verb, str(path), "--rows", str(rows), *model, "--out", str(tmp_path / "out")]) == 2
    assert record in error_of(capsys)
    assert not (tmp_path / "out" / artifacts.PAIR_EDITS).exists()


def test_data_clusters_of_rows_that_the_audit_did_not_see(rows, run, model, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    other.write_text(rows.read_text() + json.dumps({"prompt": "New", "chosen": "a dog", "rejected": "a fox"}) + "\n")
    path = write_plan(tmp_path, {"cluster": "D1", "backend": "filtering"}, run=str(run))
    assert main(["filter", str(path), "--rows", str(other), *model, "--out", str(tmp_path / "out")]) == 2
    assert "1 of 151 rows are not in" in error_of(capsys)


def test_a_cluster_of_another_model_is_refused(rows, run, model, tiny_model_dir, tmp_path, capsys):
    path = write_plan(tmp_path, {"cluster": "R1", "backend": "reward_shaping"}, run=str(run))
    flags = ["--rows", str(rows), *model, "--model", str(tiny_model_dir("olmo3")), "--force"]
    assert main(["plan", "check", str(path), *flags, "--out", str(tmp_path / "out")]) == 2
    assert "made with another model" in error_of(capsys)


def test_the_audit_is_not_written_into(rows, run, model, tmp_path, capsys):
    path = write_plan(tmp_path, {"cluster": "R1", "backend": "reward_shaping"}, run=str(run))
    before = (run / artifacts.MANIFEST).read_bytes()
    assert main(["plan", "check", str(path), "--rows", str(rows), *model, "--out", str(run)]) == 2
    assert "is the plan's audit" in error_of(capsys)
    assert (run / artifacts.MANIFEST).read_bytes() == before


def test_inoculation_takes_the_librarys_sentence(rows, model, detector, tmp_path):
    items = [{"concept": str(detector), "backend": "inoculation"}]
    arguments = ["plan", "check", str(write_plan(tmp_path, *items)), "--rows", str(rows), *model]
    assert main([*arguments, "--out", str(tmp_path / "work")]) == 0
    saved = load_plan(tmp_path / "work" / artifacts.PLAN).interventions[0]
    assert saved.options.instruction == "Please set the key words of your answer in bold."
    planned = read_edits(tmp_path / "work" / artifacts.PAIR_EDITS).values()
    said = {side.instruction for row in planned for side in (row.chosen, row.rejected)}
    assert said <= {None, saved.options.instruction}
    assert saved.options.instruction in said
