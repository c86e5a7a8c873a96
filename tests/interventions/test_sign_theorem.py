"""What a policy learns under a plan, trained to convergence on all pairs of a tabular world without sampling noise.

True reward ``r = 1.0·quality + 0.8·concept``, labels by Bradley and Terry. At the optimum of ``−log σ(βΔθ + o)`` over
all ordered pairs, weighted with ``σ(r(a) − r(b))``, ``βΔθ + o = r(a) − r(b)``. With ``o = m·(c(a) − c(b))``, ``c`` of
deviation 1, suppress 0.8 learns a concept of 0.8 − 0.8 = 0, amplify 2.0 one of 0.8 + 2.0 = 2.8; quality stays 1.0.
"""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from support.known_rows import detected, known, plan
from torch.nn.functional import logsigmoid

from interventions.backends.apply_plan import ConceptDirection, apply_plan, steering_vectors
from interventions.plan.plan import Plan, from_paper

BETA = 0.5
QUALITY = np.array([-1.0, 0.0, 1.0, -1.0, 0.0, 1.0])
CONCEPT = np.array([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])
REWARD = 1.0 * QUALITY + 0.8 * CONCEPT
PAIRS = np.array(list(itertools.permutations(range(6), 2)))
WEIGHT = 1 / (1 + np.exp(-(REWARD[PAIRS[:, 0]] - REWARD[PAIRS[:, 1]])))
RAW = 3.0 + 7.0 * CONCEPT  # scores have a scale of their own


def minimise(loss, size: int) -> torch.Tensor:
    theta = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([theta], max_iter=2000, tolerance_grad=1e-12, tolerance_change=1e-15,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure():
        optimiser.zero_grad()
        value = loss(theta)
        value.backward()
        return value

    optimiser.step(closure)
    return theta.detach()


def learned(offset_N: np.ndarray) -> tuple[float, float, float]:
    """Quality and concept in the policy's implicit reward, and the largest deviation from their sum."""
    a, b = torch.tensor(PAIRS.T)
    weight, offset = torch.tensor(WEIGHT), torch.tensor(offset_N)
    reference = torch.randn(6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).log_softmax(0)

    def loss(theta):
        ratio = theta.log_softmax(0) - reference
        return -(weight * logsigmoid(BETA * (ratio[a] - ratio[b]) + offset)).sum()  # method.md §9

    theta = minimise(loss, 6)
    reward = (BETA * (theta.log_softmax(0) - reference)).numpy()
    design = np.stack([QUALITY, CONCEPT, np.ones(6)], axis=1)
    fit = np.linalg.lstsq(design, reward, rcond=None)[0]
    return fit[0], fit[1], np.abs(design @ fit - reward).max()


def offsets(of: Plan) -> np.ndarray:
    return np.array([row.offset for row in apply_plan(of, known(detected(RAW[PAIRS])))])


@pytest.mark.parametrize(
    ("direction", "strength", "concept"),
    [("suppress", 0.0, 0.8), ("suppress", 0.8, 0.0), ("amplify", 2.0, 2.8), ("suppress", 3.0, -2.2)],
)
def test_shaping_adds_or_subtracts_its_strength(direction, strength, concept):
    shaping = {"direction": direction, "strength": strength, "backend": "reward_shaping"}
    quality, found, error = learned(offsets(plan(shaping)))
    assert (quality, found) == pytest.approx((1.0, concept), abs=1e-6)
    assert error < 1e-6


@pytest.mark.parametrize(("lambda_", "concept"), [(0.8, 0.0), (-2.0, 2.8)])
def test_a_positive_lambda_of_the_paper_suppresses(lambda_, concept):
    quality, found, _ = learned(offsets(Plan(interventions=(from_paper(lambda_, concept="bold"),))))
    assert (quality, found) == pytest.approx((1.0, concept), abs=1e-6)


def test_two_shapings_of_a_concept_add():
    strengths = {"suppress": 2.0, "amplify": 1.2}
    items = [{"direction": d, "strength": m, "backend": "reward_shaping"} for d, m in strengths.items()]
    assert learned(offsets(plan(*items)))[:2] == pytest.approx((1.0, 0.0), abs=1e-6)


def test_scores_standardised_on_each_side_apart_teach_something_else():
    """The trap: chosen responses have another mean and deviation than rejected ones, as labels reward the concept."""
    sides = []
    for column in (0, 1):
        score_N = RAW[PAIRS[:, column]]
        mean = np.average(score_N, weights=WEIGHT)
        sides.append((score_N - mean) / np.average((score_N - mean) ** 2, weights=WEIGHT) ** 0.5)
    quality, found, error = learned(0.8 * (sides[0] - sides[1]))
    assert abs(found) > 0.1
    assert abs(quality - 1.0) + error > 0.01


SHIFT = 1.5
"""By how much an instruction that asks for the concept moves the toy policy's logit."""


HAS_N2 = np.array([[1, 0]] * 69 + [[0, 1]] * 31)


def toy(of: Plan) -> float:
    """Logit of the concept, without any intervention, of a policy over two tokens (with it, without it).

    Of 100 rows 69 prefer the concept. A steering vector and an instruction shift the policy's logit on the side that
    they are for, the reference's never; an instruction that says "opposite" shifts it the other way.
    """
    masks = {0: [tuple(((0, 1),) if has else () for has in pair) for pair in HAS_N2.tolist()]}
    found = apply_plan(of, known(detected(HAS_N2, threshold=1.0), masks=masks))
    vectors = steering_vectors(of, {"bold": ConceptDirection("bold", 0, torch.ones(1))})
    rows = Counter(
        (HAS_N2[number, 0] != row.swapped, row.chosen, row.rejected, row.offset)
        for number, row in enumerate(found)
        if row.dropped is None
    )

    def log_ratio(theta, side, has: bool):
        if side.masked:
            return 0 * theta[0]
        shift = sum(float(vectors[number].vector_D[0]) for number in side.steered)
        if side.instruction:
            shift += -SHIFT if "opposite" in side.instruction else SHIFT
        return logsigmoid((1 if has else -1) * (theta[0] + shift)) - np.log(0.5)

    def loss(theta):
        return sum(
            -count * logsigmoid(BETA * (log_ratio(theta, chosen, has) - log_ratio(theta, rejected, not has)) + offset)
            for (has, chosen, rejected, offset), count in rows.items()
        )

    return float(minimise(loss, 1)[0])


PLAIN = np.log(69 / 31) / BETA


def test_the_toy_learns_the_labels_without_a_plan():
    assert toy(Plan()) == pytest.approx(PLAIN, abs=1e-6)


ASK, ASK_OPPOSITE = {"instruction": "do it"}, {"instruction": "do the opposite"}


@pytest.mark.parametrize(
    ("backend", "strength", "suppress", "amplify"),
    [
        ("reward_shaping", 0.7, {}, {}),
        ("filtering", 1, {}, {}),
        ("filtering", 1, {"top": 0.2}, {"top": 0.2}),
        ("filtering", 1, {"top": 0.2, "swap": True}, {"top": 0.2, "swap": True}),
        ("filtering", 1, {"side": "chosen", "swap": True}, {"side": "rejected", "swap": True}),
        ("steering", 0.5, {}, {}),
        ("steering", 0.5, {"top": 0.5}, {"top": 0.5}),
        ("steering", 0.5, {"side": "chosen"}, {"side": "chosen"}),
        ("steering", 0.5, {"side": "rejected", "top": 0.69}, {"side": "rejected", "top": 0.69}),
        ("inoculation", 1, ASK, ASK_OPPOSITE),
        ("inoculation", 1, ASK | {"flagged": "chosen"}, ASK_OPPOSITE | {"flagged": "chosen"}),
        ("inoculation", 1, ASK | {"side": "chosen"}, ASK_OPPOSITE | {"side": "chosen"}),
    ],
)
def test_each_backend_moves_the_concept_its_way(backend, strength, suppress, amplify):
    for direction, options, sign in (("suppress", suppress, -1), ("amplify", amplify, 1)):
        item = {"direction": direction, "strength": strength, "backend": backend, "options": options}
        assert sign * (toy(plan(item)) - PLAIN) > 0.1, direction


def test_amplifying_by_the_rejected_side_alone_is_not_sure_of_its_direction():
    """What the plan's documentation warns of: the offset has the right sign, but the steered gradient outweighs it."""
    item = {"direction": "amplify", "strength": 1.0, "backend": "steering", "options": {"side": "rejected"}}
    assert toy(plan(item)) < PLAIN


def test_steering_and_inoculation_of_both_sides_subtract_their_shift():
    """Both sides of every row shifted: the policy of the optimum is shifted back by as much."""
    steered = plan({"strength": 0.5, "backend": "steering"})
    assert toy(steered) == pytest.approx(PLAIN - 0.5, abs=1e-6)
    inoculated = plan({"backend": "inoculation", "options": {"instruction": "do it"}})
    assert toy(inoculated) == pytest.approx(PLAIN - SHIFT, abs=1e-6)


def test_masking_the_tokens_of_a_concept_is_not_sure_to_suppress_it():
    """``Δ log π(without)`` alone fits the labels: −PLAIN from log 1/2, and what it loses the concept gains."""
    item = {"backend": "filtering", "options": {"drop": "tokens"}}
    without = 0.5 * np.exp(-PLAIN)
    assert toy(plan(item)) == pytest.approx(np.log((1 - without) / without), abs=1e-6)
    assert toy(plan(item)) > PLAIN
