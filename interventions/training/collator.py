"""Batches of the token table: what the policy reads, what the reference reads, and what is done to each pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from anatomy.types import SIDES

NEVER = torch.iinfo(torch.int32).max
"""Start position of a sequence that is not steered."""


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

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        sides = [example[name] for name in SIDES for example in examples]
        contexts = [side["policy_context"] or side["context"] for side in sides]
        batch: dict[str, Any] = {**self._view(contexts, sides)}
        if any(side["policy_context"] for side in sides):
            batch["reference"] = self._view([side["context"] for side in sides], sides)
        if "ref_chosen_logps" in examples[0]:
            for name in SIDES:
                batch[f"ref_{name}_logps"] = torch.tensor([example[f"ref_{name}_logps"] for example in examples])
        batch["offset"] = torch.tensor([example["offset"] for example in examples])
        batch["tiers"] = torch.tensor([example["tiers"] for example in examples], dtype=torch.int8)
        batch["touched"] = torch.tensor([touched(example) for example in examples])
        batch["steer_from"] = torch.tensor(
            [[side["steer_from"] if number in side["steered"] else NEVER for side in sides]
             for number in range(self.n_vectors)], dtype=torch.int32
        )  # fmt: skip
        return batch

    def _view(self, contexts: Sequence[list[int]], sides: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        pairs = list(zip(contexts, sides, strict=True))
        ids = [torch.tensor(context + side["completion"]) for context, side in pairs]
        scored = [torch.tensor([0] * len(context) + side["scored"]) for context, side in pairs]
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
            "completion_mask": pad_sequence(scored, batch_first=True),
        }


TOUCHED = ("shaped", "inoculated", "masked", "steered")


def touched(example: Mapping[str, Any]) -> list[bool]:
    """Which of ``TOUCHED`` has a part in a pair."""
    sides = [example[name] for name in SIDES]
    return [
        example["offset"] != 0,
        any(side["policy_context"] is not None for side in sides),
        not all(all(side["scored"]) for side in sides),
        any(side["steered"] for side in sides),
    ]


@dataclass
class ChosenCollator:
    """Batches of the chosen side alone, for supervised fine-tuning: ``labels`` are −100 outside scored tokens."""

    pad_token_id: int

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        sides = [example["chosen"] for example in examples]
        view = PairCollator(self.pad_token_id)._view([side["context"] for side in sides], sides)
        labels = view["input_ids"].masked_fill(view.pop("completion_mask") == 0, -100)
        return {**view, "labels": labels}
