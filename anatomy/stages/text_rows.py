"""Texts and tokens of a run's rows, as the model read them."""

from __future__ import annotations

from anatomy.naming.cluster_names import Rows
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.types import SPANS


def text_rows(run: Run, bundle: ModelBundle, needed: set[int]) -> Rows:
    """Texts and tokens of the needed rows (places in the order of the features), encoded as they were for the model."""
    from anatomy.activations.spans import encode_row, span_text, span_tokens

    pieces: dict[tuple[int, str], list[str]] = {}
    texts: dict[tuple[int, str], str] = {}
    indices = []
    for position, stored in enumerate(run.rows()):
        indices.append(stored.pair.index)
        if position in needed:
            encoded = encode_row(stored.pair, bundle.tokenizer, bundle.settings)
            for span in SPANS:
                pieces[position, span] = span_tokens(encoded, span, bundle.tokenizer)
                texts[position, span] = span_text(encoded, span, bundle.tokenizer)
    return Rows(
        row_ids=run.features.row_ids,
        indices=indices,
        prompt_ids=run.features.prompt_ids,
        text_of=lambda row, span: texts[row, span],
        tokens_of=lambda row, span: pieces[row, span],
    )
