"""The user's own groups as contexts of an audit, from the column to the table, the terminal, the page and a plan."""

import json
import random

import pyarrow.parquet as pq
import pytest
from support.planted_run import sentence
from support.tiny import save_sae

import anatomy
from anatomy import artifacts
from anatomy.errors import PlanError
from anatomy.hypotheses.null_rates import NullRates
from anatomy.runs.run import Run
from anatomy.workflows.show import show
from interventions.plan.audited_plan import check_targets, make_plan
from interventions.plan.plan import Decision

SMALL = {"device": "cpu", "dtype": "float32", "min_features": 2, "min_community": 2, "data_clusters": 8,
         "min_fires": 10, "concepts": "bold", "silent_fraction": 0.0}  # fmt: skip
DOMAINS = ("code", "law")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model_dir):
    """160 prompts, two rows each; bold wins in code and loses in law, whatever the words are."""
    folder, generator = tmp_path_factory.mktemp("groups"), random.Random(0)
    rows = []
    for number in range(320):
        domain = DOMAINS[number // 2 % 2]
        sides = [sentence(generator, generator.random() < share) for share in (0.9, 0.1)]
        sides = sides if domain == "code" else sides[::-1]
        rows.append({"prompt": f"Say {number // 2}", "chosen": sides[0], "rejected": sides[1], "kind_of": domain})
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = tiny_model_dir("llama")
    sae = save_sae(folder / "sae", model)
    return anatomy.audit(
        rows=str(path), model=str(model), sae=str(sae), group_by="kind_of", **SMALL, out=folder / "run"
    )


def test_a_group_is_a_context_and_its_interaction_is_one_line(run):
    found = run.findings()
    bold = found[(found["response"] == "bold") & found["context"].str.startswith("G:")]
    assert len(bold) == 1  # inside code and inside law are one contrast
    tests = run.tests()
    both = tests[(tests["response"] == "bold") & tests["context"].isin(["G:kind_of=code", "G:kind_of=law"])]
    assert sorted(both["n"]) == [160, 160]
    assert sorted(both["effect"].round(6)) == pytest.approx(sorted(-both["effect"].round(6)), abs=1e-5)
    assert set(both["repeats"]) == {"", bold["context"].iloc[0]}
    assert bold["context_label"].iloc[0] in {"kind_of is code", "kind_of is law"}


def test_every_context_is_in_the_table_of_contexts_with_the_next_larger_one(run):
    table = {row["context"]: row for row in pq.read_table(run.path / artifacts.CONTEXTS).to_pylist()}
    assert len(table["G:kind_of=code"]["rows"]) == 160
    coarse = [name for name in table if name[0] == "D" and int(name[1:]) > 8]
    assert coarse
    for fine in (f"D{number}" for number in range(1, 9)):
        parent = table[fine]["parent"]
        assert parent in coarse
        assert set(table[fine]["rows"]) <= set(table[parent]["rows"])
        assert set(run.rows(fine)["row_id"]) <= set(run.rows(parent)["row_id"])
    assert set(coarse) <= Run.at(run.path).cluster_ids


def test_groups_are_shown_and_looked_up(run):
    assert "kind_of is code" in show(run.path, "G:kind_of=code")
    assert len(run.rows("G:kind_of=law")) == 160
    text = show(run.path)
    assert "points are found in 80 % of cases" in text or "too few for any effect" in text
    assert "contexts of ≥" in (run.path / artifacts.SUMMARY_TEXT).read_text()


def test_coarser_clusters_and_groups_have_labels_and_are_on_the_page(run):
    labels = json.loads((run.path / artifacts.LABELS).read_text())
    assert {"G:kind_of=code", "G:kind_of=law", "D9"} <= set(labels["data"])
    page = (run.path / artifacts.REPORT / artifacts.REPORT_PAGE).read_text()
    assert "G:kind_of=code" in page


def test_a_plan_removes_the_rows_of_a_group(run):
    plan = make_plan(run.path, [Decision(target="G:kind_of=law", decision="remove")], "reward_shaping", 1.0)
    assert [(item.source, item.backend) for item in plan.interventions] == [("kind_of=law", "filtering")]
    with pytest.raises(PlanError, match="no cluster"):
        check_targets(run.path, ["G:kind_of=cooking"])


def test_the_null_check_tests_groups_too(run):
    anatomy.null(run.path, repetitions=3)
    rates = NullRates.read(run.path / artifacts.NULL).views
    made = run.tests()
    assert (
        rates["feature"].tested == (made["view"] == "feature").sum() - made[made["view"] == "feature"]["p"].isna().sum()
    )
