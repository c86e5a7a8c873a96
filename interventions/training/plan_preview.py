"""What a plan would do, before anything is trained: rows touched, offsets, and the offset of a steering vector.

A steering vector changes the policy's log-probabilities of both sides, and so adds to ``Δθ`` at step 0, where it would
be 0, what reward shaping adds on purpose. Along the concept that is positive where the chosen side shows more of it;
far along it the model breaks down, and the sign may turn, or be right for the wrong reason: a steered rejected side
loses probability whatever the direction. So strengths are checked by forward passes, not believed, along the opposite
vector too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from anatomy.activations.layers import hf_model
from anatomy.artifacts import ROWS
from anatomy.data.rows_table import read_rows
from anatomy.progress import logger, progress_bar
from anatomy.sae.model_bundle import ModelBundle
from anatomy.types import SIDES, Pair
from interventions.backends.apply_plan import Detected, active, apply_plan
from interventions.backends.pair_edits import PairEdit, SteeringVector, steering
from interventions.backends.planned_rows import PlannedRows
from interventions.plan.plan import Filtering, Inoculation, Plan, RewardShaping, Steering

if TYPE_CHECKING:
    from torch import Tensor

LARGE = 2.0
"""Offset beyond which the log-sigmoid is nearly flat, or nearly straight: σ(2) = 0.88."""
ONE_SIDE = "steering one side alone changes gradients too, whatever this sign: sample from a trial training"
BATCH_PAIRS = 2


class StepZero(NamedTuple):
    """Offsets of a steering vector over sampled pairs, in nats of log-probability difference (times β in the loss).

    ``mean`` and ``error`` (standard error) are of the change in the direction of each pair's gap: of the change where
    the chosen side shows more of the concept, of its negative where the rejected side does. ``opposite`` is the mean
    for the vector turned round, which a direction that matters would make about ``-mean``.
    """

    pairs: int
    mean: float
    error: float
    opposite: float

    @classmethod
    def of(cls, change_2N: Float[np.ndarray, "2 N"], gap_N: Float[np.ndarray, " N"]) -> StepZero:
        """The offsets of changes by the vector and by its opposite; pairs without a gap say nothing about the sign."""
        aligned_2N = (change_2N * np.sign(gap_N))[:, gap_N != 0]
        n = aligned_2N.shape[1]
        error = float(aligned_2N[0].std(ddof=1) / n**0.5) if n > 1 else float("nan")
        mean, opposite = aligned_2N.mean(axis=1) if n else (0.0, 0.0)
        return cls(n, float(mean), error, float(opposite))

    def in_words(self, direction: str) -> str:
        """The offset in words, with a warning where its sign is uncertain or not the one that ``direction`` needs."""
        from scipy.stats import t

        half = float(self.error * t.ppf(0.975, self.pairs - 1)) if self.pairs > 1 else float("nan")
        text = f"at step 0 {self.mean:+.2f} ± {half:.2f} nats along the gap ({self.pairs} pairs)"
        if not abs(self.mean) > half:
            return f"{text}; WARNING: the sign is uncertain; more pairs, or another strength, layer or side"
        if (self.mean > 0) != (direction == "suppress"):
            need = "positive" if direction == "suppress" else "negative"
            return f"{text}; WARNING: must be {need} to {direction}: lower the strength, or another layer or side"
        if not self.opposite * self.mean <= 0:  # the even part of the offset is then larger than the odd one
            return (
                f"{text}; WARNING: but the opposite vector gives {self.opposite:+.2f}: most of it is text that breaks "
                "down, whatever the direction, and training may go either way: lower the strength"
            )
        return f"{text}, as intended; {self.opposite:+.2f} by the opposite vector"


def preview(planned: PlannedRows, rows: Path, pairs: int, seed: int) -> str:
    """What the plan does to the rows, by each intervention alone and by all together.

    Args:
        rows: folder with the ``rows.parquet`` that was planned.
        pairs: pairs sampled to measure a steering vector.
    """
    n = len(planned.edits)
    lines = [f"{n:,} rows, {len(planned.plan.interventions)} interventions"]
    for number, item in enumerate(planned.plan.interventions):
        alone = only(planned.plan, number)
        edits = apply_plan(alone, planned.known)
        text = _effect_text(item, edits)
        if isinstance(item, Steering) and item.strength > 0:
            place = list(active(planned.plan, Steering)).index(number)
            vector = planned.vectors[place]
            detected = planned.known.detected[item.name]
            found = _step_zero(planned.bundle, rows / ROWS, edits, vector, detected, pairs, seed)
            text += f", after block {vector.layer}; {found.in_words(item.direction)}"
            if item.options.side != "both":
                text += f"; {ONE_SIDE}"
        head = f"{number + 1}. {item.direction} {item.name} by {item.backend}, strength {item.strength:g}"
        warning = "" if touched(edits) or not item.strength else "; WARNING: touches no row"
        lines.append(f"{head}: {text}{warning}")
    lines.append(f"together: {_together(planned.edits)}")
    return "\n".join(lines)


def only(plan: Plan, number: int) -> Plan:
    """The plan with every other intervention at strength 0."""
    items = [
        item if place == number else item.model_copy(update={"strength": 0.0})
        for place, item in enumerate(plan.interventions)
    ]
    return plan.model_copy(update={"interventions": tuple(items)})


def touched(edits: Sequence[PairEdit]) -> int:
    """Number of rows to which something is done."""
    return sum(row != PairEdit(row.row_id, gaps=row.gaps) for row in edits)


def _effect_text(item: Any, edits: Sequence[PairEdit]) -> str:
    count = f"{touched(edits):,} rows"
    if isinstance(item, RewardShaping):
        return f"{count}; {offset_text(edits)}"
    if isinstance(item, Filtering) and item.options.drop == "examples":
        return f"{count} {'swapped' if item.options.swap else 'dropped'}"
    if isinstance(item, Filtering):
        left = sum(stop - start for row in edits for side in SIDES for start, stop in row.side(side).masked)
        return f"{count} with {left:,} characters left out"
    if isinstance(item, Inoculation):
        return f"{count} on {item.options.side}: {item.options.instruction!r}"
    return f"{count} on {item.options.side}"


def offset_text(edits: Sequence[PairEdit]) -> str:
    """Mean, deviation and share of large ones, or of NaN, among the offsets of rows that are trained on."""
    offset_N = np.array([row.offset for row in edits if row.dropped is None])
    if not len(offset_N):
        return "no offset"
    large = (~(np.abs(offset_N) <= LARGE)).mean()  # NaN is large
    return f"offset mean {offset_N.mean():+.2f}, sd {offset_N.std():.2f}, {large:.0%} beyond ±{LARGE:g}"


def _together(edits: Sequence[PairEdit]) -> str:
    counts = {
        "dropped": [row.dropped is not None for row in edits],
        "swapped": [row.swapped for row in edits],
        "inoculated": [any(row.side(side).instruction for side in SIDES) for row in edits],
        "masked": [any(row.side(side).masked for side in SIDES) for row in edits],
        "steered": [any(row.side(side).steered for side in SIDES) for row in edits],
        "shaped": [row.offset != 0 for row in edits],
    }
    return ", ".join(f"{sum(flags):,} {name}" for name, flags in counts.items()) + f"; {offset_text(edits)}"


def _step_zero(
    bundle: ModelBundle,
    rows: Path,
    edits: Sequence[PairEdit],
    vector: SteeringVector,
    detected: Detected,
    pairs: int,
    seed: int,
) -> StepZero:
    """The offset measured on a sample of the rows that are steered and have a gap."""
    gap_N = detected.gap_N
    steered = [any(row.side(side).steered for side in SIDES) for row in edits]
    candidates = np.flatnonzero(np.array(steered) & (gap_N != 0))
    shuffled = np.random.default_rng(seed).permutation(candidates)
    _, first = np.unique(np.asarray(detected.scores.prompt_ids)[shuffled], return_index=True)
    picked = np.sort(shuffled[np.sort(first)[:pairs]])  # one a prompt: pairs of a prompt are not independent
    wanted = set(picked.tolist())
    sample = [stored.pair for row, stored in enumerate(read_rows(rows)) if row in wanted]
    change_2N = step_zero_changes(bundle, sample, [edits[row] for row in picked], vector)
    kept_N = np.isfinite(change_2N[0])
    return StepZero.of(change_2N[:, kept_N], gap_N[picked][kept_N])


def step_zero_changes(
    bundle: ModelBundle, pairs: Sequence[Pair], edits: Sequence[PairEdit], vector: SteeringVector
) -> Float[np.ndarray, "2 N"]:
    """``[log πα(y⁺|x) − log πα(y⁻|x)] − [log π(y⁺|x) − log π(y⁻|x)]``, ``πα`` steered as the edits say.

    Once along the vector, once against it. Sums over the final response's tokens, in nats, as training scores them; NaN
    for a pair that training leaves out.
    """
    from interventions.training.token_rows import PairCollator, tokenise_pair

    model = hf_model(bundle.subject)
    lines = [
        tokenise_pair(pair, edit, bundle.tokenizer, bundle.settings.max_length)
        for pair, edit in zip(pairs, edits, strict=True)
    ]
    usable = [place for place, line in enumerate(lines) if line is not None]
    collate = PairCollator(pad_token_id=bundle.tokenizer.pad_token_id or 0, n_vectors=1)
    change_2N = np.full((2, len(pairs)), np.nan)
    both = [vector, replace(vector, vector_D=-vector.vector_D)]
    logger.info(f"step 0: {len(usable)} pairs, six forward passes each")
    with progress_bar("step 0", "pair", len(usable)) as bar:
        for start in range(0, len(usable), BATCH_PAIRS):
            places = usable[start : start + BATCH_PAIRS]
            batch = collate([line for place in places if (line := lines[place]) is not None])
            plain_B = _margins(model, batch)
            for change_N, direction in zip(change_2N, both, strict=True):
                with steering(model, [direction], batch["steer_from"].to(model.device)):
                    change_N[places] = (_margins(model, batch) - plain_B).numpy()
            bar.update(len(places))
    return change_2N


def _margins(model: Any, batch: dict[str, Tensor]) -> Float[Tensor, " B"]:
    """Log-probability of each pair's chosen response minus its rejected one's, float64 on the CPU."""
    import torch

    with torch.inference_mode():
        ids_BT, scored_BT = (batch[name].to(model.device) for name in ("input_ids", "completion_mask"))
        logits_BTV = model(input_ids=ids_BT, attention_mask=batch["attention_mask"].to(model.device)).logits[:, :-1]
        logps_BT = torch.stack([
            torch.nn.functional.cross_entropy(logits_TV.float(), ids_T, reduction="none").neg()
            for logits_TV, ids_T in zip(logits_BTV, ids_BT[:, 1:], strict=True)
        ])  # fmt: skip
        chosen_B, rejected_B = (logps_BT.double() * scored_BT[:, 1:]).sum(1).cpu().chunk(2)
    return chosen_B - rejected_B
