"""The one DPO loop: TRL's, with the reference's log-probabilities given to it instead of computed by it.

Everything that an intervention does happens around TRL's own loss. Reward shaping moves the reference's
log-probability of the chosen response so that the log-sigmoid's argument gains the offset; inoculation gives the
reference another view; token filtering is in the mask of both; steering is a hook that lives for the policy's forward
pass alone. With unedited pairs every step is TRL's, bit by bit.

Beside TRL's metrics the log says how pairs look without the shaping, and how much each still counts. The gradient of a
pair is weighted by ``σ(−(β Δθ + o))`` (method.md §9): a half at the start, less if the pair is already explained. Its
mean over pairs with a high and with a low gap of a concept shows an intervention at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import broadcast_object_list, is_peft_model
from jaxtyping import Float
from torch import Tensor, nn
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from anatomy.errors import SettingsError
from interventions.backends.pair_edits import SteeringVector, steering
from interventions.training.launch import said_once
from interventions.training.reference_cache import ReferenceCache, fill, with_references
from interventions.training.start_check import StartGap, first_blocks, require_start
from interventions.training.token_rows import TOUCHED, PairCollator, PairTokens
from interventions.training.train_settings import SHAPED

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

BATCH = ("input_ids", "attention_mask", "completion_mask")


class PairValues(NamedTuple):
    """Summed log-ratios of policy to reference of each pair in a batch, and the log-sigmoid's argument with offset."""

    chosen_B: Float[Tensor, " B"]
    rejected_B: Float[Tensor, " B"]
    argument_B: Float[Tensor, " B"]


class PairMetrics:
    """Sums over the batches of a step; ``beta`` turns log-ratios into rewards."""

    def __init__(self, concepts: Sequence[str], beta: float) -> None:
        self.beta = beta
        gaps = [f"weight/{concept}/{tier}_gap" for concept in concepts for tier in ("high", "low")]
        self.means = ["raw/margins", "raw/accuracies", "weight/mean", *gaps]
        self.counts = [f"rows/{name}" for name in TOUCHED]
        self.sums: Tensor | None = None

    def add(self, values: PairValues, inputs: Mapping[str, Any]) -> None:
        """Add a batch; nothing waits for the device."""
        weight_B = torch.sigmoid(-values.argument_B)
        ones_B = torch.ones_like(weight_B)
        margin_B = self.beta * (values.chosen_B - values.rejected_B)
        parts = [(margin_B, ones_B), ((margin_B > 0).to(ones_B), ones_B), (weight_B, ones_B)]
        for tier_B in inputs["tiers"].unbind(dim=1):
            parts += [(weight_B, (tier_B == 1).to(ones_B)), (weight_B, (tier_B == -1).to(ones_B))]
        parts += [(flag_B.to(ones_B), ones_B) for flag_B in inputs["touched"].unbind(dim=1)]
        sums_K2 = torch.stack([torch.stack([(value * among).sum(), among.sum()]) for value, among in parts])
        self.sums = sums_K2 if self.sums is None else self.sums + sums_K2

    def take(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Means and counts since the last call, over all processes (``reduce`` sums over them), or nothing."""
        if self.sums is None:
            return {}
        pairs = reduce(self.sums).tolist()
        self.sums = None
        found = dict(zip([*self.means, *self.counts], pairs, strict=True))
        means = {name: found[name][0] / found[name][1] for name in self.means if found[name][1]}
        return means | {name: found[name][0] for name in self.counts}


class InterventionTrainer(DPOTrainer):
    """DPO on the rows of a token table (``interventions.training.token_rows``).

    Args:
        model: the policy; it is also the reference, before the first step, or with its adapter off.
        args: TRL's settings; one loss type. ``precompute_ref_log_probs`` reads and fills ``cache``; without it the
            reference is run beside the policy and, with no adapter, must be given as ``ref_model``.
        dataset: rows of the token table.
        vectors: steering vectors, in the order in which the rows number them.
        concepts: names of the rows' ``tiers``, for the log.
        cache: where reference log-probabilities are kept.
        ref_model: the reference's weights. TRL would load them again from the name in the configuration, which loses
            what was changed in memory.

    Raises:
        SettingsError: rows with an offset under a loss that does not admit one, or no source of references.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: DPOConfig,
        dataset: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        vectors: Sequence[SteeringVector] = (),
        concepts: Sequence[str] = (),
        cache: ReferenceCache | None = None,
        ref_model: PreTrainedModel | None = None,
        peft_config: PeftConfig | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        refuse_loss(args, dataset)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        if args.precompute_ref_log_probs and cache is None:
            raise SettingsError("precomputed references need a cache to be kept in")
        if not args.precompute_ref_log_probs and ref_model is None and peft_config is None:
            raise SettingsError("without precomputed references, full fine-tuning needs a reference model")
        self.vectors = list(vectors)
        self.collator = PairCollator(tokenizer.pad_token_id, len(self.vectors))
        self.cache = cache if args.precompute_ref_log_probs else None
        self.pair_metrics = PairMetrics(concepts, args.beta)
        args.remove_unused_columns = False
        super().__init__(
            model=model,
            ref_model=ref_model,
            args=args,
            data_collator=self.collator,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=callbacks,
        )
        self.precompute_ref_logps = True  # from here on TRL takes the references that it is given
        self.unchecked = True

    def create_accelerator_and_postprocess(self) -> None:
        """Let FSDP compute policy and reference alike, and as without it.

        Inputs of each sharded part would be cast. The policy's parts are layers and the reference's one is the whole:
        OLMo 3's float32 rotary embeddings would be rounded for the policy alone. Log-probabilities that are rounded
        to bfloat16 when they leave the model do not show changes below a hundredth of a nat.
        """
        super().create_accelerator_and_postprocess()
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        if plugin is not None and plugin.mixed_precision_policy is not None:
            as_they_come = {"cast_forward_inputs": False, "output_dtype": None}
            plugin.mixed_precision_policy = replace(plugin.mixed_precision_policy, **as_they_come)

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> AbstractContextManager[Any]:
        """What the policy computes in: accelerate's autocast, which TRL runs references in, is not around FSDP's."""
        return self.accelerator.autocast() if self.is_fsdp_enabled else nullcontext()

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """The rows are tokens already."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """Fill our cache instead of TRL's, whose key ignores the window and the loss."""
        assert self.cache is not None
        model = self.ref_model or self.model

        def forward(rows: Sequence[PairTokens]) -> tuple[Tensor, Tensor]:
            inputs = self._prepare_inputs(self.collator(rows))
            return self._references(model, inputs)

        fill(
            self.cache,
            dataset,
            forward,
            batch_size,
            self.accelerator.process_index,
            self.accelerator.num_processes,
            lambda starts: list(broadcast_object_list([starts])[0]),
        )
        self.accelerator.wait_for_everyone()
        self.ref_model = None  # not needed any more
        return with_references(dataset, self.cache)

    def training_step(self, model: nn.Module, *given: Any, **named: Any) -> Tensor:
        """TRL's step; before the first one policy and reference are compared.

        Raises:
            RunError: they are not the same model.
        """
        if self.unchecked and self.state.global_step == 0:
            self._check_start(model)
        self.unchecked = False
        return super().training_step(model, *given, **named)  # type: ignore[no-untyped-call, no-any-return]

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss on the policy's view, with references shifted by the offset."""
        chosen_B, rejected_B = self._references_of(inputs)
        batch = {name: inputs[name] for name in BATCH}
        batch["ref_chosen_logps"] = chosen_B - self._shift(inputs)  # method.md §9, + o
        batch["ref_rejected_logps"] = rejected_B
        with self._steered(model, inputs), log_probs_of(model) as seen:
            loss = super().compute_loss(model, batch, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        if model.training:
            self.pair_metrics.add(self._values(seen[0], chosen_B, rejected_B, inputs), inputs)
        return loss

    def _references(self, model: nn.Module | None, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Log-probabilities of chosen and rejected under the reference, which reads its own view of the batch."""
        chosen_B, rejected_B = self.compute_ref_log_probs(model, reference_view(inputs))  # type: ignore[no-untyped-call]
        return chosen_B, rejected_B

    def _references_of(self, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """The references that came with a batch, or those of the model that runs beside the policy."""
        if "ref_chosen_logps" in inputs:
            return inputs["ref_chosen_logps"], inputs["ref_rejected_logps"]
        return self._references(self.ref_model or self.model, inputs)

    def _check_start(self, model: nn.Module) -> None:
        """Stop if the policy, read as the reference is, does not give the reference's values; else share these."""
        model.train()  # as in the step
        gap = StartGap()
        state = self.accelerator
        for rows in first_blocks(self.train_dataset, self.args.per_device_train_batch_size, state):
            inputs = self._prepare_inputs(self.collator(rows))
            view = reference_view(inputs)
            labels = view["input_ids"].masked_fill(view["completion_mask"] == 0, -100)
            keys = {name: view[name] for name in ("input_ids", "attention_mask")}
            with torch.no_grad(), self.compute_loss_context_manager():
                policy_2BT = model(**keys, labels=labels, use_cache=False, fused_lm_head=True).log_probs
            gap.add(policy_2BT.sum(dim=1), torch.cat(self._references_of(inputs)), view["completion_mask"].sum(dim=1))
        half = self.args.bf16 or next(model.parameters()).dtype == torch.bfloat16
        dtype = torch.bfloat16 if half else torch.float32
        with said_once():
            require_start(state.reduce(gap.sums, "sum"), dtype, self.cache.folders if self.cache else ())
        if self.cache is not None and state.is_main_process:
            self.cache.share()

    def _lengths(self, inputs: Mapping[str, Any]) -> tuple[Tensor | float, Tensor | float]:
        """What the loss divides the log-ratios of chosen and rejected by."""
        if self.loss_types != ["sigmoid_norm"]:
            return 1.0, 1.0
        chosen_B, rejected_B = inputs["completion_mask"].sum(dim=1).clamp(min=1).chunk(2)
        return chosen_B, rejected_B

    def _shift(self, inputs: Mapping[str, Any]) -> Tensor:
        """How much lower the reference's chosen log-probability is made, so that the argument gains the offset."""
        offset_B: Tensor = inputs["offset"] / self.beta * self._lengths(inputs)[0]
        return offset_B

    def _values(
        self, log_probs_2BT: Tensor, chosen_B: Tensor, rejected_B: Tensor, inputs: Mapping[str, Any]
    ) -> PairValues:
        policy_chosen_B, policy_rejected_B = log_probs_2BT.sum(dim=1).chunk(2)
        ratio_chosen_B, ratio_rejected_B = policy_chosen_B - chosen_B, policy_rejected_B - rejected_B
        chosen_length, rejected_length = self._lengths(inputs)
        delta_B = ratio_chosen_B / chosen_length - ratio_rejected_B / rejected_length
        return PairValues(ratio_chosen_B, ratio_rejected_B, self.beta * delta_B + inputs["offset"])

    @contextmanager
    def _steered(self, model: nn.Module, inputs: Mapping[str, Any]) -> Iterator[None]:
        """The policy's forward pass in training; evaluation is never steered."""
        if not self.vectors or not model.training:
            yield
            return
        policy = self.accelerator.unwrap_model(model)
        policy = policy.get_base_model() if is_peft_model(policy) else policy
        with steering(policy, self.vectors, inputs["steer_from"]):
            yield

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add our values to TRL's."""
        if "loss" in logs:
            logs |= self.pair_metrics.take(lambda sums: self.accelerator.reduce(sums, "sum"))
        super().log(logs, start_time)


def reference_view(inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """What the reference reads: the policy's batch where no prompt was changed."""
    view = inputs.get("reference", inputs)
    return {name: view[name] for name in BATCH}


@contextmanager
def log_probs_of(model: nn.Module) -> Iterator[list[Float[Tensor, "2B T"]]]:
    """Collect the log-probabilities of tokens that forward passes of ``model`` return, 0 where none is scored."""
    seen: list[Tensor] = []
    handle = model.register_forward_hook(lambda _module, _inputs, output: seen.append(output.log_probs.detach()))
    try:
        yield seen
    finally:
        handle.remove()


def refuse_loss(args: DPOConfig, dataset: Dataset) -> None:
    """Refuse what would be silently wrong: an offset under a loss that has no argument to add it to.

    Raises:
        SettingsError: the settings ask for a loss that cannot be used here.
    """
    if len(args.loss_type) != 1 or args.ld_alpha is not None:
        raise SettingsError(f"loss {args.loss_type}: give one loss, without ld_alpha")
    admits = args.loss_type[0] in SHAPED and args.f_divergence_type == "reverse_kl"
    if not admits and any(offset != 0 for offset in dataset["offset"]):
        raise SettingsError(
            f"loss {args.loss_type[0]} ({args.f_divergence_type}) does not admit reward shaping; "
            f"use one of {', '.join(SHAPED)} with reverse_kl, or another backend"
        )
