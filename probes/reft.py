"""NoDiReFT: a low-rank edit of the residual stream, trained so that the frozen model says the positives (method.md §8).

``h ← h + W₂(W₁h + b)`` after one block, at the first and last 11 response tokens. It steers; it detects nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from anatomy.activations.layers import decoder_layers, residual_of
from anatomy.errors import ProbeError


class NoDiReFT:
    """``down_`` is ``[r, D]``, ``bias_`` is ``[r]``, ``up_`` is ``[D, r]`` and starts at 0, where nothing is edited.

    Args:
        layer: block after which the residual stream is edited, counted from 0.
        rank: r.
        ends: response tokens edited at either end.
        batch: sequences in one step.
    """

    kind: ClassVar[str] = "nodireft"
    down_: Float[Tensor, "r D"]
    bias_: Float[Tensor, " r"]
    up_: Float[Tensor, "D r"]

    def __init__(
        self,
        layer: int,
        rank: int = 8,
        ends: int = 11,
        learning_rate: float = 9e-4,
        epochs: int = 3,
        batch: int = 8,
        seed: int = 0,
    ) -> None:
        self.layer, self.rank, self.ends = layer, rank, ends
        self.learning_rate, self.epochs, self.batch, self.seed = learning_rate, epochs, batch, seed

    def fit(
        self, model: PreTrainedModel, ids: Sequence[Int[Tensor, " T"]], response: Sequence[Bool[Tensor, " T"]]
    ) -> Self:
        """Minimise the cross-entropy of the response tokens of positive sequences; the model's weights stay.

        Raises:
            ProbeError: no sequence, one without response tokens, or a loss that is not finite.
            ModelError: unknown architecture.
        """
        if not ids or not all(bool(mask_T[1:].any()) for mask_T in response):
            raise ProbeError("ReFT needs sequences, each with response tokens after its first token")
        generator = torch.Generator().manual_seed(self.seed)
        width = model.config.get_text_config().hidden_size
        self.down_ = torch.randn(self.rank, width, generator=generator) / width**0.5
        self.bias_, self.up_ = torch.zeros(self.rank), torch.zeros(width, self.rank)
        learned = [tensor.to(model.device).requires_grad_() for tensor in (self.down_, self.bias_, self.up_)]
        self.down_, self.bias_, self.up_ = learned
        optimiser = torch.optim.AdamW(learned, lr=self.learning_rate, weight_decay=0.0)
        with _frozen(model):
            for _ in range(self.epochs):
                for rows in torch.randperm(len(ids), generator=generator).split(self.batch):
                    loss = self.loss(model, [ids[row] for row in rows], [response[row] for row in rows])
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
        self.down_, self.bias_, self.up_ = (tensor.detach().cpu() for tensor in learned)
        if not all(bool(tensor.isfinite().all()) for tensor in learned):
            raise ProbeError(f"ReFT diverged at learning rate {self.learning_rate:g}; lower it")
        return self

    def loss(
        self, model: PreTrainedModel, ids: Sequence[Int[Tensor, " T"]], response: Sequence[Bool[Tensor, " T"]]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy, in nats, of the response tokens under the edited model."""
        ids_BT = pad_sequence(list(ids), batch_first=True).to(model.device)
        response_BT = pad_sequence(list(response), batch_first=True).to(model.device)
        lengths_B = torch.tensor([len(ids_T) for ids_T in ids], device=model.device)
        attention_BT = (torch.arange(ids_BT.shape[1], device=model.device) < lengths_B[:, None]).long()
        with self.steered(model, end_tokens(response_BT, self.ends)):
            logits_BTV = model(input_ids=ids_BT, attention_mask=attention_BT, use_cache=False).logits
        wanted = response_BT[:, 1:]
        return nn.functional.cross_entropy(logits_BTV[:, :-1][wanted].float(), ids_BT[:, 1:][wanted])

    def decision(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, " T"]:
        """Refused: it steers, and scores nothing.

        Raises:
            ProbeError: always.
        """
        raise ProbeError("ReFT steers and detects nothing; fit a linear or an attention probe to score responses")

    @contextmanager
    def steered(self, model: PreTrainedModel, edited_BT: Bool[Tensor, "B T"]) -> Iterator[None]:
        """Within the context, full forward passes over ``[B, T]`` tokens are edited where ``edited_BT`` says so."""

        def hook(_layer: nn.Module, _inputs: Any, output: Any) -> Any:
            h_BTD = residual_of(output)
            down, bias, up = (tensor.to(h_BTD) for tensor in (self.down_, self.bias_, self.up_))
            edit_BTD = (h_BTD @ down.T + bias) @ up.T  # method.md §8, W₂(W₁h + b)
            h_BTD = h_BTD + edit_BTD * edited_BT.to(h_BTD)[..., None]
            return h_BTD if isinstance(output, Tensor) else (h_BTD, *output[1:])

        handle = decoder_layers(model)[self.layer].register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()


def end_tokens(response_BT: Bool[Tensor, "B T"], ends: int) -> Bool[Tensor, "B T"]:
    """The first and the last ``ends`` response tokens of each row; all of them where there are no more."""
    count_BT = response_BT.cumsum(1)
    total_B1 = count_BT[:, -1:]
    return response_BT & ((count_BT <= ends) | (count_BT > total_B1 - ends))


@contextmanager
def _frozen(model: PreTrainedModel) -> Iterator[None]:
    """No gradients for the model's weights, and no dropout; both as before afterwards."""
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    training = model.training
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        model.train(training)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(before[name])
