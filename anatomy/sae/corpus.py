"""Training text of an SAE as token blocks on disk: sources mixed by weight, repeats and held-out prompts set apart.

A document is one sequence for the model with a mask of the tokens that are learned from: content tokens only, no
template, role header, BOS or EOT. A prompt's tokens are learned from once, however many responses it has. Blocks of
about equal size are written before anything is trained, so that any block can be asked for at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from anatomy.activations.spans import encode_row
from anatomy.artifacts import Artifact, inside, is_sealed, sealed_path
from anatomy.data.faults import Fault
from anatomy.data.messages import RowFault, to_messages
from anatomy.data.pair_stream import read_pairs
from anatomy.data.sources import find_sources
from anatomy.errors import RowsError, RunError
from anatomy.progress import progress_bar
from anatomy.settings import CorpusSource, ModelSettings, SAETrainSettings
from anatomy.types import Response, Row, content_hash

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INDEX = "index.json"
HELD_OUT = "held-out"
CHAT_COLUMNS = ("messages", "conversation", "conversations")


class Document(NamedTuple):
    """Token ids, the tokens that count, and what decides on which side of the held-out split the document falls."""

    ids: Int32[np.ndarray, " T"]
    counts: Bool[np.ndarray, " T"]
    key: str


class CorpusIndex(Artifact):
    """``index.json``: names of the token blocks and of the held-out one, and their counted tokens."""

    NAME: ClassVar[str] = "index of a corpus"
    REMEDY: ClassVar[str] = "delete its folder"

    names: tuple[str, ...]
    held_out: str
    tokens: int
    held_out_tokens: int
    source_tokens: dict[str, int]


@dataclass(frozen=True)
class Corpus:
    """Token blocks in ``folder``, and the held-out one."""

    folder: Path
    index: CorpusIndex

    @property
    def blocks(self) -> int:
        """Number of training blocks."""
        return len(self.index.names)

    @property
    def tokens(self) -> int:
        """Counted tokens of all training blocks."""
        return self.index.tokens

    def block(self, name: int | str) -> list[Document]:
        """Documents of a training block (its number) or of ``HELD_OUT``."""
        from safetensors.numpy import load_file

        arrays = load_file(
            inside(self.folder, self.index.names[name] if isinstance(name, int) else self.index.held_out)
        )
        cuts = np.cumsum(arrays["lengths"])[:-1]
        pairs = zip(np.split(arrays["ids"], cuts), np.split(arrays["counts"].astype(bool), cuts), strict=True)
        return [Document(ids, counts, "") for ids, counts in pairs]

    def is_whole(self) -> bool:
        """Whether every block is there, undamaged."""
        return all(is_sealed(inside(self.folder, name)) for name in (*self.index.names, self.index.held_out))


def documents(source: CorpusSource, tokenizer: PreTrainedTokenizerBase, model: ModelSettings) -> Iterator[Document]:
    """Documents of one source, in its order; empty ones and repeats left out.

    Raises:
        RowsError: the source cannot be read, or lacks the column that its kind needs.
    """
    readers: dict[str, Callable[..., Iterator[Document]]] = {
        "pairs": _from_pairs,
        "conversations": _from_conversations,
        "text": _from_text,
    }
    seen: set[bytes] = set()
    for document in readers[source.kind](source, tokenizer, model):
        fingerprint = hashlib.sha256(document.ids.tobytes()).digest()
        if document.counts.any() and fingerprint not in seen:
            seen.add(fingerprint)
            yield document


def _from_pairs(source: CorpusSource, tokenizer: Any, model: ModelSettings) -> Iterator[Document]:
    prompts: set[str] = set()
    for pair in read_pairs(source):
        if isinstance(pair, Fault):
            continue
        encoded = encode_row(pair, tokenizer, model)
        for side in encoded.sides.values():
            counts = side.spans["response"].copy()
            if pair.prompt_id not in prompts:
                prompts.add(pair.prompt_id)
                counts |= side.spans["prompt"]
            yield Document(side.ids, counts, _opening(pair))


def _from_conversations(source: CorpusSource, tokenizer: Any, model: ModelSettings) -> Iterator[Document]:
    for value in _cells(source, CHAT_COLUMNS):
        try:
            messages = to_messages(value, "messages", "user")
        except RowFault:
            continue
        while messages and messages[-1].get("role") != "assistant":
            messages.pop()
        if messages:
            row = Response(0, messages[:-1], messages[-1:])
            side = encode_row(row, tokenizer, model).sides["response"]
            yield Document(side.ids, side.spans["prompt"] | side.spans["response"], _opening(row))


def _from_text(source: CorpusSource, tokenizer: Any, model: ModelSettings) -> Iterator[Document]:
    """The first ``max_length`` tokens of each text, with the tokenizer's own BOS, which does not count."""
    special = np.array(tokenizer.all_special_ids)
    for value in _cells(source, ("text",)):
        if isinstance(value, str) and value:
            ids = np.asarray(tokenizer(value, truncation=True, max_length=model.max_length)["input_ids"], np.int32)
            yield Document(ids, ~np.isin(ids, special), content_hash(value))


def _cells(source: CorpusSource, names: tuple[str, ...]) -> Iterator[Any]:
    """Value of the first of the columns ``names`` that each record has; records that cannot be read are passed over."""
    read = 0
    for found in find_sources(source):
        for record in found.records():
            if source.limit is not None and read >= source.limit:
                return
            read += 1
            if record.fault:
                continue
            column = next((name for name in names if name in record.values), None)
            if column is None:
                wanted = " or ".join(f"`{name}`" for name in names)
                raise RowsError(f"{record.place}: no column {wanted}; set the source's `kind`")
            yield record.values[column]


def _opening(row: Row) -> str:
    """Hash of the first user message: conversations that grew from one prompt stay on one side of the split."""
    turns = [*row.prompt, *row.side(row.sides[0])]
    return content_hash(next((turn.get("content") for turn in turns if turn.get("role") == "user"), None))


def mixed(settings: SAETrainSettings, tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[int, Document]]:
    """Documents of all sources with their source's number; the source furthest behind its weight gives the next."""
    streams = {number: documents(source, tokenizer, settings) for number, source in enumerate(settings.corpus)}
    given = dict.fromkeys(streams, 0.0)
    while streams:
        number = min(streams, key=lambda each: given[each])
        document = next(streams[number], None)
        if document is None:
            del streams[number]
            continue
        given[number] += document.counts.sum() / settings.corpus[number].weight
        yield number, document


def is_held_out(key: str, share: float) -> bool:
    """Whether a document with this key belongs to the held-out share; the same in every run."""
    return int(content_hash(["held-out", key])[:8], 16) < share * 16**8


class _Block:
    """Documents collected for one block, and how many of their tokens count: kept, never counted again."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.tokens = 0

    def add(self, document: Document, tokens: int) -> None:
        self.documents.append(document)
        self.tokens += tokens


class _Writer:
    """Collects documents, writes a block whenever it holds ``per_block`` counted tokens, and keeps the totals."""

    def __init__(self, folder: Path, per_block: int, sources: Sequence[CorpusSource]) -> None:
        self.folder, self.per_block = folder, per_block
        self.names = [source.rows for source in sources]
        self.source_tokens = dict.fromkeys(self.names, 0)
        self.tokens = 0
        self.blocks: list[str] = []
        self.block, self.held_out = _Block(), _Block()

    def add(self, number: int, document: Document, tokens: int) -> None:
        self.block.add(document, tokens)
        self.source_tokens[self.names[number]] += tokens
        self.tokens += tokens
        if self.block.tokens >= self.per_block:
            self.flush()

    def flush(self) -> None:
        if self.block.documents:
            self.blocks.append(_write_block(self.folder, f"{len(self.blocks):05d}", self.block.documents))
            self.block = _Block()

    def finish(self) -> Corpus:
        self.flush()
        if not self.blocks or not self.held_out.documents:
            raise RowsError(
                "corpus: too few documents to train on and to hold some out; give more rows, or raise `held_out`"
            )
        index = CorpusIndex(
            names=tuple(self.blocks),
            held_out=_write_block(self.folder, HELD_OUT, self.held_out.documents),
            tokens=self.tokens,
            held_out_tokens=self.held_out.tokens,
            source_tokens=self.source_tokens,
        )
        index.write(self.folder / INDEX)
        return Corpus(self.folder, index)


def build_corpus(
    settings: SAETrainSettings, tokenizer: PreTrainedTokenizerBase, folder: Path, per_block: int
) -> Corpus:
    """Tokenise the corpus into ``folder``, blocks of at least ``per_block`` counted tokens; one that is there is kept.

    It is made anew if a block is missing or damaged. Time grows with the tokens: each document's are counted once,
    whatever the size of a block.

    Raises:
        RowsError: a source cannot be read, or nothing is left to train on or to hold out.
    """
    corpus = _kept(folder)
    if corpus is not None:
        return corpus
    writer = _Writer(folder, per_block, settings.corpus)
    with progress_bar("corpus", "token", settings.tokens) as bar:
        for number, document in mixed(settings, tokenizer):
            tokens = int(document.counts.sum())
            if not is_held_out(document.key, settings.held_out):
                writer.add(number, document, tokens)
                bar.update(tokens)
            elif writer.held_out.tokens < settings.held_out_tokens:
                writer.held_out.add(document, tokens)
            if settings.tokens is not None and writer.tokens >= settings.tokens:
                break
    return writer.finish()


def _kept(folder: Path) -> Corpus | None:
    """The corpus that is in ``folder``; None if it was not finished, or is damaged."""
    try:
        corpus = Corpus(folder, CorpusIndex.read(folder / INDEX))
    except RunError:
        return None
    return corpus if corpus.is_whole() else None


def _write_block(folder: Path, name: str, block: list[Document]) -> str:
    """Write a block; return the name of its file."""
    from safetensors.numpy import save_file

    arrays = {
        "ids": np.concatenate([document.ids for document in block]),
        "counts": np.concatenate([document.counts for document in block]).astype(np.uint8),
        "lengths": np.array([len(document.ids) for document in block], dtype=np.int64),
    }
    with sealed_path(folder, f"tokens-{name}", ".safetensors") as sealed:
        save_file(arrays, sealed.temporary)
    return sealed.path.name
