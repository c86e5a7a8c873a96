"""What ends a completion, and sampling as logits processors for Hugging Face's ``generate``, at given uniform numbers.

``generate``'s own sampling draws a whole batch from one random stream, so that a completion depends on its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

from anatomy.activations.chat_template import apply_template
from anatomy.types import Response

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that end a completion: end of text (tokenizer's and model's), and the template's end of turn."""
    own = model.generation_config.eos_token_id
    ids = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    turns = [{"role": "user", "content": "\ue000"}, {"role": "assistant", "content": "\ue001"}]
    (text,) = apply_template(Response(0, (), ()), [turns], tokenizer)
    after = text.partition("\ue001")[2].lstrip()
    first = tokenizer(after, add_special_tokens=False)["input_ids"][:1]
    ids |= set(first) & set(tokenizer.added_tokens_decoder)
    return sorted(ids - {None})


def sampling(
    uniform_BN: Float[np.ndarray, "B N"], temperature: float, top_p: float, prompt_width: int
) -> LogitsProcessorList:
    """Temperature, nucleus and draw, to be used with ``do_sample=False``; none at temperature 0 (greedy).

    Row ``b``'s new token ``n`` is drawn at ``uniform_BN[b, n]``, in [0, 1), by inverting the cumulative distribution.
    """
    if temperature == 0:
        return LogitsProcessorList()
    nucleus = [TopPLogitsWarper(top_p)] if top_p < 1 else []  # a sort of the vocabulary
    return LogitsProcessorList([TemperatureLogitsWarper(temperature), *nucleus, _Draw(uniform_BN, prompt_width)])


class _Draw:
    """Leaves one token a row: the first at which the cumulative distribution passes the uniform number."""

    def __init__(self, uniform_BN: Float[np.ndarray, "B N"], prompt_width: int) -> None:
        self.uniform_BN, self.prompt_width = uniform_BN, prompt_width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        exact = torch.float32 if scores.device.type == "mps" else torch.float64
        cumulative_BV = scores.to(exact).softmax(-1).cumsum(-1)
        total_B1 = cumulative_BV[:, -1:].contiguous()
        uniform_B1 = torch.from_numpy(self.uniform_BN[:, input_ids.shape[1] - self.prompt_width, None]).to(total_B1)
        # Below the total even where the product rounds up to it: else an impossible token could follow.
        below_B1 = torch.minimum(uniform_B1 * total_B1, torch.nextafter(total_B1, torch.zeros_like(total_B1)))
        chosen_B1 = torch.searchsorted(cumulative_BV, below_B1, right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen_B1, 0.0)
