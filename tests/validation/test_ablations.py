"""Trainings beside each other: planted recoveries and nulls, seeds, twins, damaged files, capability."""

import json

import numpy as np
import pytest
from support.planted_arms import AMPLIFY, CLUSTERS, SUPPRESS, plant, rollouts, training

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.rollouts.text_health import health, is_empty, length, repetition
from anatomy.validation.ablations import (
    NO_RESPONSE,
    NO_TWIN,
    NOT_MOVED,
    NOT_READ,
    ArmComparisons,
    OffTarget,
    TargetRecovery,
    compare_arms,
    distinguishable,
    off_target,
)
from anatomy.validation.capability import capability, read_capability, shared_tasks
from anatomy.validation.prompt_means import PromptMeans, read_means, write_means
from anatomy.validation.recovery import weights
from anatomy.validation.validated import LeftOut

READ = [("concept", "bold"), ("concept", "emoji"), ("concept", "calm"), ("global", "R1"), ("global", "R2")]
PLAIN = dict(zip(READ, (0.4, 0.4, 0.0, -0.4, 0.4), strict=True))


def scaled(*factors):
    return {name: PLAIN[name] * factor for name, factor in zip(READ, factors, strict=True)}


def compared(folder):
    return compare_arms(folder, CLUSTERS)


def arms_by_name(folder):
    (record,) = compared(folder).comparisons
    return {arm.validations[0]: arm for arm in record.arms}


def test_half_of_a_rise_and_of_a_fall_is_taken_back(tmp_path):
    """Bold and R1 (which plain DPO lowers) are halved; emoji and R2 stay; calm never moved."""
    plant(tmp_path / "plain", PLAIN, training(), seed=1)
    plant(tmp_path / "shaped", scaled(0.5, 1, 1, 0.5, 1), training([SUPPRESS]), seed=2)
    arms = arms_by_name(tmp_path)
    assert list(arms) == ["plain", "shaped"]
    found = arms["shaped"].responses
    for name in ("bold", "R1"):
        figure = found[name].recovery
        assert figure.low < 50 < figure.high
        assert figure.value == pytest.approx(50, abs=15)
    assert found["R1"].moved == -1
    assert found["emoji"].recovery.low < 0 < found["emoji"].recovery.high
    assert (found["calm"].moved, found["calm"].recovery) == (0, None)
    assert arms["shaped"].on == [TargetRecovery("bold", "suppress", None)]
    assert arms["shaped"].off["concept"].of == 1  # emoji: calm did not move, bold is the target
    assert arms["shaped"].off["concept"].mean.low == pytest.approx(found["emoji"].recovery.low)
    assert arms["shaped"].off["global"].of == 2
    off, both = arms["shaped"].off["global"], [found[name].recovery.value for name in ("R1", "R2")]
    assert off.mean.value == pytest.approx(np.mean(both))
    assert off.pooled.value == pytest.approx(np.mean(both), abs=3)  # both moved equally far
    assert off.pooled.low < 25 < off.pooled.high
    assert found["bold"].against.high < 0
    assert all(line.recovery is None or line.recovery.value == 0 for line in arms["plain"].responses.values())


def test_amplifying_moves_further_than_plain_dpo(tmp_path):
    plant(tmp_path / "plain", PLAIN, training(), seed=1)
    plant(tmp_path / "more", scaled(1.5, 1, 1, 1, 1), training([AMPLIFY]), seed=2)
    line = arms_by_name(tmp_path)["more"].responses["bold"]
    assert line.recovery.high < 0
    assert line.recovery.value == pytest.approx(-50, abs=20)
    assert line.against.low > 0


def test_where_plain_dpo_moved_nothing_there_is_no_recovery(tmp_path):
    still = {("concept", "bold"): 0.0} | {("global", f"R{number}"): 0.0 for number in range(200)}
    plant(tmp_path / "plain", still, training(), seed=1)
    plant(tmp_path / "shaped", still, training([SUPPRESS]), seed=2)
    arm = arms_by_name(tmp_path)["shaped"]
    assert arm.on[0].why == NOT_MOVED
    assert arm.off == {view: OffTarget(0, None, None) for view in ("concept", "global")}
    assert [line.recovery for line in arm.responses.values()] == [None]


def test_what_is_called_moved_is_right_at_its_rate():
    """200 nulls in each of 60 worlds: one is called moved in some 5 % of worlds, not in each."""
    generator, weight = np.random.default_rng(0), weights(80)
    worlds = [distinguishable(generator.normal(size=(1, 80, 200)), np.repeat("global", 200), weight) for _ in range(60)]
    assert sum(t_M.any() for t_M in worlds) <= 9
    planted = generator.normal([0, 1, -1, 0], size=(1, 80, 4))
    assert np.sign(distinguishable(planted, np.repeat("concept", 4), weight)).tolist() == [0, 1, -1, 0]


@pytest.mark.parametrize("truth", [0, 50, 100])
def test_off_target_recovery_of_many_clusters_is_right(truth):
    """30 of 100 clusters moved, from hardly to clearly; noise before training is in both arms."""
    generator, weight, view_M, found = np.random.default_rng(truth), weights(80), np.repeat("global", 100), []
    shift_M = np.r_[np.linspace(0.2, 1.5, 30), np.zeros(70)]
    for _ in range(60):
        before, *after = generator.normal(size=(3, 1, 80, 100))
        plain, arm = after[0] - before + shift_M, after[1] - before + shift_M * (1 - truth / 100)
        t_M = distinguishable(plain, view_M, weight)
        found.append(off_target([plain, arm], t_M, weight).pooled)
    assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=6)
    assert np.mean([one.high - one.low for one in found]) < 30
    assert sum(one.low <= truth <= one.high for one in found) >= 50


def test_seeds_are_averaged_first_and_each_meets_its_twin(tmp_path):
    for seed, factor in ((0, 0.25), (1, 0.75)):
        plant(tmp_path / f"plain-{seed}", PLAIN, training(seed=seed), seed=10 + seed, noise=0)
        record = training([SUPPRESS], seed)
        plant(tmp_path / f"shaped-{seed}", scaled(factor, 1, 1, 1, 1), record, seed=20 + seed, noise=0)
    arms = arms_by_name(tmp_path)
    assert list(arms) == ["plain-0", "shaped-0"]
    found = arms["shaped-0"].responses["bold"].recovery
    assert found.value == pytest.approx(50)
    assert found.by_seed == pytest.approx((75, 25))
    half = 12.706 * np.std([75, 25], ddof=1) / np.sqrt(2)  # t, one degree of freedom
    assert found.seeds == pytest.approx((50 - half, 50 + half), rel=1e-3)
    assert (arms["shaped-0"].seeds, arms["shaped-0"].twins) == ([0, 1], 2)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (training([SUPPRESS], twin="other settings", recipe="other settings"), NO_TWIN),
        (training([{**SUPPRESS, "response": None}]), NO_RESPONSE),
        (training([{**SUPPRESS, "response": "unknown"}]), NOT_READ),
    ],
)
def test_no_number_without_a_reason(tmp_path, record, why):
    plant(tmp_path / "plain", PLAIN, training(), seed=1)
    plant(tmp_path / "shaped", PLAIN, record, seed=2)
    arm = arms_by_name(tmp_path)["shaped"]
    assert arm.on[0].why == why
    assert (arm.twins == 0) == (why == NO_TWIN)


def test_prompts_that_one_arm_could_not_read_count_in_none(tmp_path):
    plant(tmp_path / "plain", PLAIN, training(), seed=1)
    shaped = plant(tmp_path / "shaped", scaled(0.5, 1, 1, 1, 1), training([SUPPRESS]), seed=2)
    record = json.loads((shaped / artifacts.VALIDATION).read_text())
    means = read_means(shaped / artifacts.PROMPT_MEANS, record["per_prompt"]["table"])
    means.after_GM[:7, means.of(["concept", "global"])] = np.nan
    record["per_prompt"]["table"] = write_means(shaped / artifacts.PROMPT_MEANS, means)
    artifacts.write_json(shaped / artifacts.VALIDATION, artifacts.with_checksum(record))
    artifacts.record_outputs(shaped, [artifacts.PROMPT_MEANS, artifacts.VALIDATION])
    (comparison,) = compared(tmp_path).comparisons
    assert (comparison.prompts, comparison.read) == (120, 113)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / artifacts.PROMPT_MEANS).unlink(), "missing"),
        (lambda folder: (folder / artifacts.PROMPT_MEANS).write_bytes(b"PAR1"), "not the table"),
        (lambda folder: (folder / artifacts.VALIDATION).write_text("{"), "not valid JSON"),
        (lambda folder: (folder / artifacts.VALIDATION).write_bytes(b"\xff\xfe"), "not valid JSON"),
        (lambda folder: (folder / artifacts.VALIDATION).write_text("[" * 100_000), "not valid JSON"),
        (lambda folder: plant(folder, PLAIN, {}), "training.folder: Field required"),
        (lambda folder: plant(folder, PLAIN, training(seed="0")), "training.seed: Input should be"),
        (lambda folder: plant(folder, PLAIN, training([{"words": "suppress bold"}])), "interventions.0.direction"),
        (lambda folder: (folder / artifacts.VALIDATION).write_text('{"per_prompt": {}}'), "without a schema version"),
        (lambda folder: (folder / artifacts.VALIDATION).write_text("[1]"), "run `anatomy validate` again"),
        (lambda folder: plant(folder, PLAIN, None), "training of its model is not known: no trained.json"),
        (lambda folder: plant(folder, PLAIN, training(), clusters="old"), "other clusters"),
    ],
)
def test_what_cannot_be_compared_is_reported_and_the_rest_is_compared(tmp_path, change, why):
    for number, name in enumerate(("plain", "shaped", "third")):
        plant(tmp_path / name, PLAIN, training([SUPPRESS] if number else [], recipe=f"{number}"), seed=number)
    change(tmp_path / "third")
    there = [path.name for path in (tmp_path / "third").iterdir() if path.name != artifacts.OUTPUTS]
    artifacts.record_outputs(tmp_path / "third", there)  # as a stranger makes hashes fit
    record = compared(tmp_path)
    assert [(gap.name, why in gap.why) for gap in record.left_out] == [("third", True)]
    assert len(record.comparisons[0].arms) == 2


def test_other_rollouts_before_or_one_training_alone_are_not_compared(tmp_path):
    plant(tmp_path / "plain", PLAIN, training())
    assert compared(tmp_path).comparisons == []
    plant(tmp_path / "again", PLAIN, training())
    record = compared(tmp_path)
    assert record.comparisons == []
    assert record.left_out == [LeftOut("plain", "the same training as again")]
    other = {"rollouts": {"before": rollouts("other"), "after": rollouts("after")}}
    plant(tmp_path / "again", PLAIN, training([SUPPRESS]), **other)
    assert compared(tmp_path).comparisons == []
    assert compared(tmp_path / "nothing") == ArmComparisons([], [])


def test_the_table_of_means_survives(tmp_path):
    values = np.array([[0.0, 1.5], [np.nan, 2.0]])
    means = PromptMeans(["a", "b"], [("health", "words"), ("global", "R1")], values, values)
    digest = write_means(tmp_path / "m", means)
    artifacts.record_outputs(tmp_path, ["m"])
    found = read_means(tmp_path / "m", digest)
    assert (found.prompts, found.names) == (means.prompts, means.names)
    np.testing.assert_array_equal(found.after_GM, values)
    with pytest.raises(RunError, match="not the table"):
        read_means(tmp_path / "m", "other")


def test_health_of_texts_by_hand():
    assert (length("a b\n c"), length(" ")) == (3, 0)
    assert (is_empty(" \n"), is_empty("x")) == (1, 0)
    assert repetition("a b c d e") == 0
    assert repetition("a b c a b c a b c") == pytest.approx(3 / 6)  # abca, bcab, cabc, and three again
    assert repetition("too few words") == 0
    texts = {("p", 0): "a b", ("p", 1): "", ("q", 0): "a b c d"}
    np.testing.assert_array_equal(health(texts, ["q", "p"]), [[4, 0, 0], [1, 0.5, 0]])


HARNESS = {
    "results": {
        "arc": {"alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.03, "acc_norm,none": 0.6},
        "gsm8k": {"exact_match,strict-match": 0.2, "exact_match_stderr,strict-match": 0.04},
        "group": {"acc,none": 0.3, "acc_stderr,none": "N/A"},
        "sub": {"acc,none": 0.9},
        "wiki": {"word_perplexity,none": 12.0, "byte_perplexity,none": 0.7},
    },
    "group_subtasks": {"group": ["sub"], "arc": []},
    "higher_is_better": {"wiki": {"word_perplexity": False, "byte_perplexity": False}},
}


def test_capability_is_the_mean_of_shared_tasks(tmp_path):
    path = tmp_path / artifacts.CAPABILITY
    path.write_text(json.dumps(HARNESS))
    one = read_capability(path)
    assert {task: (score.metric, score.value) for task, score in one.items()} == {
        "arc": ("acc,none", 0.5), "gsm8k": ("exact_match,strict-match", 0.2), "group": ("acc,none", 0.3),
    }  # fmt: skip
    other = {task: one[task]._replace(value=one[task].value + 0.1) for task in ("arc", "gsm8k")}
    assert shared_tasks([one, other, {}]) == ["arc", "gsm8k"]
    found = capability([one, other, {}], ["arc", "gsm8k"])
    assert found.mean.value == pytest.approx(0.4)
    assert (found.mean.low, found.mean.high) == pytest.approx((0.4 - 1.96 * 0.025, 0.4 + 1.96 * 0.025), abs=1e-4)
    assert found.mean.by_seed == pytest.approx((0.35, 0.45))
    assert found.tasks == pytest.approx({"arc": 0.55, "gsm8k": 0.25})
    assert capability([{}], ["arc"]) is None


def test_groups_without_a_score_leave_theirs_to_what_they_hold(tmp_path):
    """A group that only holds others together (`leaderboard`) has no score; what lies under a scored one, at any depth,
    counts there only; a task listed under itself, and lists that are none, harm nothing.
    """
    scores = {"bbh": 0.4, "bbh_dates": 0.9, "bbh_dates_us": 0.9, "ifeval": 0.5}
    results = {"leaderboard": {" ": " ", "alias": "leaderboard"}, "bbh_part": {" ": " "}}
    results |= {task: {"acc,none": value} for task, value in scores.items()}
    subtasks = {"leaderboard": ["bbh", "ifeval"], "bbh": ["bbh_part"], "bbh_part": ["bbh_dates", "bbh_dates_us"]}
    subtasks |= {"ifeval": ["ifeval", ["x"]], "other": 3}
    path = tmp_path / artifacts.CAPABILITY
    path.write_text(json.dumps({"results": results, "group_subtasks": subtasks}))
    assert {task: score.value for task, score in read_capability(path).items()} == {"bbh": 0.4, "ifeval": 0.5}


@pytest.mark.parametrize(
    "text", ["\xff", "{", "[]", '{"results": 3}', '{"results": {}}', '{"results": {"a": {"acc": "x"}}}']
)
def test_a_file_that_is_no_capability_is_reported_and_harms_nothing(tmp_path, text):
    plant(tmp_path / "plain", PLAIN, training(), seed=1)
    plant(tmp_path / "shaped", PLAIN, training([SUPPRESS]), seed=2)
    (tmp_path / "shaped" / artifacts.CAPABILITY).write_text(text, encoding="latin-1")
    record = compared(tmp_path)
    assert [gap.name for gap in record.left_out] == ["shaped, capability"]
    assert [arm.capability for arm in record.comparisons[0].arms] == [None, None]
