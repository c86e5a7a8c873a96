"""Pairs and what is done to them, as token ids: what the collator batches.

One side of a pair is a context, which ends where the assistant starts to answer for the last time, and a completion,
which is that answer with what the template puts after it. Only completions are scored: earlier turns of a side are
context. Text is tokenised as TRL does it, whole conversations through the chat template, so that unedited pairs of
one turn give TRL's own token ids. The policy may read another context than the reference (inoculation); both views
are cut so that they score the same completion tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from trl.data_utils import common_prefix_length

from anatomy.activations.chat_template import TemplateError, apply_template
from anatomy.activations.spans import render, tokenise
from anatomy.artifacts import atomic_path
from anatomy.errors import RowsError
from anatomy.types import SIDES, Message, Pair
from interventions.backends.pair_edits import NEVER, PairEdit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GROUP_ROWS = 256
IDS = pa.list_(pa.int32())
SIDE = pa.struct(
    [
        ("context", IDS),
        ("policy_context", IDS),
        ("completion", IDS),
        ("scored", pa.list_(pa.int8())),
        ("steered", IDS),
        ("steer_from", pa.int32()),
    ]
)
SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("offset", pa.float32()),
        ("tiers", pa.list_(pa.int8())),
        *((name, SIDE) for name in SIDES),
    ]
)
"""``policy_context`` is null where the policy reads the reference's; ``steer_from`` counts in the policy's sequence;
``tiers`` says for each concept whether the pair's gap is high (1), low (−1) or neither (0)."""


class SideTokens(TypedDict):
    """One side in a line of the token table."""

    context: list[int]
    policy_context: list[int] | None
    completion: list[int]
    scored: list[int]
    steered: list[int]
    steer_from: int


class PairTokens(TypedDict):
    """A line of the token table, as it is written and as ``datasets`` gives it; the last two are joined to it later."""

    row_id: str
    offset: float
    tiers: list[int]
    chosen: SideTokens
    rejected: SideTokens
    ref_chosen_logps: NotRequired[float]
    ref_rejected_logps: NotRequired[float]


def side_tokens(row: PairTokens, name: str) -> SideTokens:
    """The chosen or the rejected side of a line."""
    return row["chosen"] if name == "chosen" else row["rejected"]


class View(NamedTuple):
    """One side as one model reads it: the context, the whole, which tokens are masked, where the user is last."""

    context: list[int]
    whole: list[int]
    masked: list[bool]
    user_start: int


def tokenise_pair(
    pair: Pair,
    edit: PairEdit,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    tiers: Sequence[int] = (),
    max_response: int | None = None,
) -> PairTokens | None:
    """A line of the token table, or None where a context leaves no room for a completion.

    Args:
        max_length: tokens kept of context and completion, the longer view's.
        max_response: tokens kept of the completion (its start); default: as many as ``max_length`` leaves.

    Raises:
        TemplateError: the chat template refuses the messages, or gives the two views other completions.
        RowsError: an instruction is to be appended and there is no user turn.
    """
    if edit.swapped:
        pair = replace(pair, chosen=pair.rejected, rejected=pair.chosen)
    views = {name: _view(pair, name, tokenizer, edit.side(name).masked) for name in SIDES}
    # TRL: the completion starts where prompt and prompt + completion diverge, on both sides as on the worse one.
    lost = max(len(view.context) - common_prefix_length(view.context, view.whole) for view in views.values())
    sides: dict[str, SideTokens] = {}
    for name, view in views.items():
        side = edit.side(name)
        policy = _view(_inoculated(pair, name, side.instruction), name, tokenizer) if side.instruction else view
        start, policy_start = len(view.context) - lost, len(policy.context) - lost
        if policy.whole[policy_start:] != view.whole[start:]:
            raise TemplateError(pair.index, f"with its instruction the {name} response is not the same tokens")
        stop = start + max_length - max(start, policy_start)  # the same completion tokens for both views
        if stop <= start:
            return None
        if max_response is not None:
            stop = min(stop, len(view.context) + max_response)
        sides[name] = {
            "context": view.whole[:start],
            "policy_context": policy.whole[:policy_start] if side.instruction else None,
            "completion": view.whole[start:stop],
            "scored": [int(not masked) for masked in view.masked[start:stop]],
            "steered": list(side.steered),
            "steer_from": policy.user_start,
        }
    return {
        "row_id": edit.row_id,
        "offset": edit.offset,
        "tiers": list(tiers),
        "chosen": sides["chosen"],
        "rejected": sides["rejected"],
    }


def _view(pair: Pair, name: str, tokenizer: PreTrainedTokenizerBase, masked: Sequence[tuple[int, int]] = ()) -> View:
    turns = [*pair.prompt, *pair.side(name)]
    text, ranges = render(pair, name, tokenizer)
    response, _ = ranges.get(len(turns) - 1, (len(text), len(text)))
    whole = tokenise(text, [(response + start, response + stop) for start, stop in masked], tokenizer)
    context = [{**turn, "content": turn.get("content") or ""} for turn in turns[:-1]]
    (before,) = apply_template(pair, [context], tokenizer, opened=True)
    opened = tokenise(before, [], tokenizer)
    user = _last_user(turns[:-1])
    first, _ = ranges.get(user, (0, 0)) if user is not None else (0, 0)
    user_start = int(np.argmax(whole.offsets[:, 1] > first))
    return View(opened.ids.tolist(), whole.ids.tolist(), whole.content.tolist(), user_start)


def _inoculated(pair: Pair, name: str, instruction: str) -> Pair:
    """The pair with ``instruction`` at the end of the last user turn before the final response of side ``name``."""
    user = _last_user([*pair.prompt, *pair.side(name)[:-1]])
    if user is None:
        raise RowsError(f"row {pair.index}: no user turn to put an instruction into; leave the row out of the plan")
    if user < len(pair.prompt):
        return replace(pair, prompt=_appended(pair.prompt, user, instruction))
    side: Any = _appended(pair.side(name), user - len(pair.prompt), instruction)
    return replace(pair, **{name: side})


def _appended(messages: Sequence[Message], number: int, instruction: str) -> list[Message]:
    changed = {**messages[number], "content": f"{messages[number]['content']}\n\n{instruction}"}
    return [*messages[:number], changed, *messages[number + 1 :]]


def _last_user(messages: Sequence[Message]) -> int | None:
    return max((number for number, message in enumerate(messages) if message["role"] == "user"), default=None)


def gap_tiers(edits: Iterable[PairEdit], concepts: Sequence[str]) -> Callable[[PairEdit], list[int]]:
    """A function that says of a pair, concept by concept, whether its gap is in the top (1) or bottom (−1) quarter.

    If more than half of the gaps are equal, as for rare concepts, that value counts as neither.
    """
    gaps = {name: [row.gaps[name] for row in edits if name in row.gaps] for name in concepts}
    quarters = {name: np.quantile(found, [0.25, 0.75]) for name, found in gaps.items() if found}

    def tier(edit: PairEdit, name: str) -> int:
        if name not in edit.gaps:
            return 0
        gap, (low, high) = edit.gaps[name], quarters[name]
        return int(gap >= high and gap > low) - int(gap <= low and gap < high)

    return lambda edit: [tier(edit, name) for name in concepts]


def write_tokens(path: Path, lines: Iterable[PairTokens | None]) -> None:
    """Write the token table as an Arrow stream, which ``datasets`` maps into memory; None is left out.

    Raises:
        RowsError: no pair is left to train on.
    """
    kept: Iterator[PairTokens] = (line for line in lines if line is not None)
    group = list(islice(kept, GROUP_ROWS))
    if not group:
        raise RowsError("no pair is left to train on; check the plan's filters and --max-length")
    with atomic_path(path) as temporary, pa.ipc.new_stream(temporary, SCHEMA) as writer:
        while group:
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))
            group = list(islice(kept, GROUP_ROWS))


TOUCHED = ("shaped", "inoculated", "masked", "steered")


def touched(example: PairTokens) -> list[bool]:
    """Which of ``TOUCHED`` has a part in a pair."""
    sides = (example["chosen"], example["rejected"])
    return [
        example["offset"] != 0,
        any(side["policy_context"] is not None for side in sides),
        not all(all(side["scored"]) for side in sides),
        any(side["steered"] for side in sides),
    ]


@dataclass
class PairCollator:
    """Makes TRL's batch, chosen sequences first, then rejected ones, padded on the right.

    Keys that TRL reads: ``input_ids``, ``attention_mask``, ``completion_mask`` (scored tokens), each ``(2B, T)``, and
    ``ref_chosen_logps``, ``ref_rejected_logps`` ``(B,)`` where the rows hold them. Ours: ``reference``, the same three
    for the reference's view where it differs; ``offset`` ``(B,)``; ``tiers`` ``(B, concepts)``; ``steer_from``
    ``(vectors, 2B)``; ``touched`` ``(B, 4)`` in the order of ``TOUCHED``.
    """

    pad_token_id: int
    n_vectors: int = 0

    def __call__(self, examples: Sequence[PairTokens]) -> dict[str, Any]:
        sides = [side_tokens(example, name) for name in SIDES for example in examples]
        contexts = [side["policy_context"] or side["context"] for side in sides]
        batch: dict[str, Any] = {**self._view(contexts, sides)}
        if any(side["policy_context"] for side in sides):
            batch["reference"] = self._view([side["context"] for side in sides], sides)
        if "ref_chosen_logps" in examples[0]:
            batch["ref_chosen_logps"] = torch.tensor([example["ref_chosen_logps"] for example in examples])
            batch["ref_rejected_logps"] = torch.tensor([example["ref_rejected_logps"] for example in examples])
        batch["offset"] = torch.tensor([example["offset"] for example in examples])
        batch["tiers"] = torch.tensor([example["tiers"] for example in examples], dtype=torch.int8)
        batch["touched"] = torch.tensor([touched(example) for example in examples])
        batch["steer_from"] = torch.tensor(
            [[side["steer_from"] if number in side["steered"] else NEVER for side in sides]
             for number in range(self.n_vectors)], dtype=torch.int32
        )  # fmt: skip
        return batch

    def _view(self, contexts: Sequence[list[int]], sides: Sequence[SideTokens]) -> dict[str, Tensor]:
        pairs = list(zip(contexts, sides, strict=True))
        ids = [torch.tensor(context + side["completion"]) for context, side in pairs]
        scored = [torch.tensor([0] * len(context) + side["scored"]) for context, side in pairs]
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "completion_mask": pad_sequence(scored, batch_first=True),
        }


@dataclass
class ChosenCollator:
    """Batches of the chosen side alone, for supervised fine-tuning: ``labels`` are −100 outside scored tokens."""

    pad_token_id: int

    def __call__(self, examples: Sequence[PairTokens]) -> dict[str, Tensor]:
        sides = [example["chosen"] for example in examples]
        view = PairCollator(self.pad_token_id)._view([side["context"] for side in sides], sides)
        labels = view["input_ids"].masked_fill(view.pop("completion_mask") == 0, -100)
        return {**view, "labels": labels}
