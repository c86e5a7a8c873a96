"""Plans: what is accepted, and one line for everything that is not."""

from __future__ import annotations

import pytest
import yaml
from support.known_rows import plan

from anatomy.errors import PlanError
from interventions.plan.plan import Plan, RewardShaping, from_paper, load_plan, save_plan, to_yaml

BOLD = {"concept": "bold", "direction": "suppress"}


def refused(tmp_path, *items, **further) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({"interventions": list(items), **further}))
    with pytest.raises(PlanError) as error:
        load_plan(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_plan_is_read_as_it_was_written(tmp_path):
    made = plan(
        {"backend": "reward_shaping", "strength": 4, "options": {"rows": "D4"}},
        {"backend": "filtering", "cluster": "R12", "options": {"top": 0.05}},
        {"backend": "filtering", "rows": ["a", "b"]},
        {"backend": "filtering", "source": "source=web"},
        {"backend": "inoculation", "direction": "amplify", "options": {"instruction": "Be terse, s'il vous plaît."}},
        {"backend": "steering", "options": {"layer": 3, "side": "rejected", "top": 0.1}},
        run="runs/mine",
        decisions=[{"target": "R3", "decision": "keep", "comment": "harmless"}],
    )
    save_plan(tmp_path / "plan.yaml", made)
    assert load_plan(tmp_path / "plan.yaml") == made
    assert "null" not in to_yaml(made)


def test_a_plan_says_its_schema_version_and_one_without_is_the_current(tmp_path):
    made = plan({"backend": "reward_shaping"})
    text = to_yaml(made)
    assert text.splitlines()[0] == "schema_version: 1"
    (tmp_path / "plan.yaml").write_text("\n".join(text.splitlines()[1:]))
    assert load_plan(tmp_path / "plan.yaml") == made


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, [1], "x\ny" * 99])
def test_another_schema_version_is_refused(version, tmp_path):
    fault = refused(tmp_path, BOLD | {"backend": "reward_shaping"}, schema_version=version)
    assert "plan.yaml: a plan of schema version" in fault
    assert "1 is read here; make it again with `anatomy plan RUN`" in fault
    assert len(fault) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"strength": -4, "backend": "reward_shaping"}, "directions are said in words"),
        ({"strength": -4, "backend": "reward_shaping"}, "write 4 with the other `direction`"),
        ({"strength": float("nan"), "backend": "steering"}, "strength"),
        ({"strength": 4, "backend": "filtering"}, "strength is 0 (off) or 1 (on)"),
        ({"strength": 2, "backend": "inoculation"}, "strength is 0 (off) or 1 (on)"),
        ({"backend": "shaping"}, "no backend 'shaping'; there are filtering, inoculation, steering, reward_shaping"),
        ({}, "`backend` is required"),
        ({"backend": "steering", "options": {"lyer": 3}}, "unknown key (allowed: layer, side, top)"),
        ({"backend": "steering", "weight": 3}, "unknown key (allowed: concept, cluster"),
        ({"backend": "steering", "options": {"layer": "three"}}, "found 'three'"),
        ({"backend": "steering", "options": {"side": "left"}}, "'both', 'chosen' or 'rejected'"),
        ({"backend": "steering", "direction": "down"}, "'suppress' or 'amplify'"),
        ({"backend": "filtering", "cluster": "R12"}, "exactly one of"),
        ({"backend": "filtering", "concept": None}, "found none"),
        ({"backend": "filtering", "concept": None, "cluster": "X1"}, "cluster"),
        ({"backend": "filtering", "concept": None, "cluster": "R12"}, "name its directory as `run`"),
        ({"backend": "reward_shaping", "options": {"rows": "D4"}}, "D4 belong to an audit"),
        ({"backend": "reward_shaping", "concept": None, "source": "a=b"}, "it can be filtered only"),
        ({"backend": "filtering", "direction": "amplify", "concept": None, "rows": ["a"]}, "it can be filtered only"),
        ({"backend": "filtering", "concept": None, "rows": ["a"], "options": {"top": 0.1}}, "leave out top"),
        ({"backend": "filtering", "options": {"top": 0.1, "side": "chosen"}}, "`top` picks rows by itself"),
        ({"backend": "filtering", "options": {"top": 0.1, "drop": "words"}}, "`top` picks rows by itself"),
        ({"backend": "filtering", "options": {"top": 1.1}}, "less than or equal to 1"),
        ({"backend": "filtering", "options": {"swap": True, "drop": "words"}}, "`swap` takes whole rows"),
        ({"backend": "filtering", "direction": "amplify", "options": {"drop": "words"}}, "suppress only"),
        ({"backend": "inoculation", "direction": "amplify"}, "the opposite of the concept"),
        ({"backend": "inoculation", "cluster": "R1", "concept": None}, "a sentence that asks for the concept"),
    ],
)
def test_mistakes_are_named(item, fault, tmp_path):
    assert fault in refused(tmp_path, BOLD | item)


def test_all_mistakes_are_named_at_once(tmp_path):
    fault = refused(
        tmp_path,
        BOLD | {"strength": -1, "backend": "steering"},
        BOLD | {"backend": "filtering", "options": {"ratio": 1}},
        decisions=[{"target": "R1", "decision": "loved"}],
        interventoins=[],
    )
    for part in ("interventions", "intervention 1, strength", "intervention 2, options, ratio", "decision 1, decision"):
        assert part in fault
    assert "interventoins: unknown key (allowed: schema_version, run, run_id, interventions, decisions)" in fault


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", ""])
def test_files_that_are_no_plan(text, tmp_path):
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(PlanError, match=r"plan\.yaml"):
        load_plan(tmp_path / "plan.yaml")
    with pytest.raises(PlanError, match="cannot read the plan"):
        load_plan(tmp_path / "none.yaml")


@pytest.mark.parametrize(("lambda_", "direction"), [(4.0, "suppress"), (-5.0, "amplify"), (0.0, "suppress")])
def test_the_papers_sign(lambda_, direction):
    found = from_paper(lambda_, concept="refusal", options={"rows": "topic=safety"})
    assert isinstance(found, RewardShaping)
    assert (found.direction, found.strength) == (direction, abs(lambda_))
    assert Plan(interventions=(found,)).interventions[0] == found
