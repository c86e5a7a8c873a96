"""The models of a run in one object: the model that will be trained, its tokenizer and the SAE that reads it.

``subject`` is the model before training, *the subject* of the audit. Each part is loaded when it is first asked for, so
that a verb which needs the tokenizer alone loads no weights.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypedDict

from anatomy.progress import logger
from anatomy.settings import ModelSettings, SAESettings, TrainingLength
from anatomy.types import Row, content_hash

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from anatomy.activations.model import Subject
    from anatomy.activations.token_check import TokenCheck
    from anatomy.sae.load_sae import LoadedSAE


class TokenSettings(TypedDict):
    """Everything that decides token ids and spans: content hashes of template and tokenizer, and the window."""

    template: str
    tokenizer: str
    max_length: int
    max_prompt_length: int
    max_response_length: int | None


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of how a tokenizer cuts text, its chat template apart."""
    return content_hash(tokenizer.backend_tokenizer.to_str())


class ModelBundle:
    """Model, tokenizer and SAE that the settings name, each loaded when it is first asked for."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The subject's tokenizer, with its chat template."""
        from anatomy.activations.model import load_tokenizer

        return load_tokenizer(self.settings)

    @cached_property
    def token_check(self) -> TokenCheck:
        """The check of pairs that only a tokenizer can make: truncation, token lengths."""
        from anatomy.activations.token_check import TokenCheck

        return TokenCheck(self.tokenizer, self.settings, train_length=self._train_length)

    def sampled_token_check(self, seed: int) -> TokenCheck:
        """The same check for one that is quick: lengths and cuts of a large set are those of a sample."""
        from anatomy.activations.token_check import TokenCheck
        from anatomy.activations.token_sample import TokenSample

        return TokenCheck(self.tokenizer, self.settings, TokenSample(seed), self._train_length)

    @property
    def _train_length(self) -> int | None:
        return self.settings.train_length if isinstance(self.settings, TrainingLength) else None

    @cached_property
    def subject(self) -> Subject:
        """The model that will be trained."""
        from anatomy.activations.model import load_subject

        subject = load_subject(self.settings, self.tokenizer)
        logger.info(f"model: {subject.name} ({subject.origin}), {subject.dtype}, {subject.device}")
        return subject

    @cached_property
    def sae(self) -> LoadedSAE:
        """The SAE, checked against the subject."""
        from anatomy.sae.load_sae import load_sae

        assert isinstance(self.settings, SAESettings)
        sae = load_sae(self.settings, self.subject)
        logger.info(f"SAE: {sae.name}, {sae.n_features} features after block {sae.layer}")
        return sae

    def has_response(self, row: Row) -> bool:
        """Whether every response of the row has a token left to read."""
        from anatomy.activations.spans import encode_row

        encoded = encode_row(row, self.tokenizer, self.settings)
        return all(side.spans["response"].any() for side in encoded.sides.values())

    def token_settings(self) -> TokenSettings:
        """Settings that decide token ids and spans; part of the mark of everything that is read with them."""
        from anatomy.activations.spans import template_hash

        return {
            "template": template_hash(self.tokenizer),
            "tokenizer": tokenizer_hash(self.tokenizer),
            "max_length": self.settings.max_length,
            "max_prompt_length": self.settings.max_prompt_length,
            "max_response_length": self.settings.max_response_length,
        }
