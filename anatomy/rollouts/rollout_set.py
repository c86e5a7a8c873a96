"""Completions of held-out prompts on disk: ``rollouts.parquet`` with its manifest, written last.

A killed run leaves ``completions.jsonl`` and resumes from it. Only prompts are read of the rows that name them, each
once, whatever follows them in a preference set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from anatomy import artifacts
from anatomy.activations.chat_template import TemplateError
from anatomy.activations.generate import Completion, generate
from anatomy.activations.generate_settings import GenerateSettings
from anatomy.activations.model import Subject
from anatomy.activations.spans import encode_prompt, template_hash
from anatomy.data.faults import Fault
from anatomy.data.messages import RowFault, to_messages
from anatomy.data.pair_stream import read_pairs
from anatomy.data.sources import find_sources
from anatomy.errors import RowsError, RunError, SettingsError
from anatomy.progress import logger
from anatomy.rollouts.rollout_settings import RolloutSettings, SampleSettings
from anatomy.rollouts.training_folder import keep_training
from anatomy.settings import ModelSettings, RowSettings, expanded
from anatomy.types import Message, Pair, Response, Row, content_hash, file_hash

TEXT_COLUMNS = {"prompt_id": "string", "sample": "int64", "prompt": "string", "text": "string"}
"""Columns of ``rollouts.parquet``, with those of ``TOKEN_COLUMNS``."""
TOKEN_COLUMNS = {"prompt_id": "string", "sample": "int64", "tokens": "list<int32>"}


class Prompt(NamedTuple):
    """One distinct prompt."""

    prompt_id: str
    messages: Sequence[Message]


class SampledModel(BaseModel):
    """The model that answered; ``folder`` is where it lies, None for one of the Hub."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    origin: str
    folder: str | None
    fingerprint: str

    @property
    def place(self) -> Path:
        """Its folder, or its name as a path."""
        return expanded(self.folder or self.name)

    @classmethod
    def of(cls, subject: Subject) -> SampledModel:
        """The identity of a loaded model."""
        folder = expanded(subject.name)
        place = str(folder.resolve()) if folder.is_dir() else None
        return cls(name=subject.name, origin=subject.origin, folder=place, fingerprint=subject.fingerprint)


class RolloutManifest(artifacts.Artifact):
    """What made rollouts: the model, its template, how completions were drawn; and hashes of prompts and table.

    ``fingerprint`` covers model, template, prompts and sampling; ``rollouts`` is the hash of the table's bytes,
    ``prompts`` the number of distinct ones, ``left_out`` counts prompts by the reason why they have no completion.
    """

    NAME: ClassVar[str] = "manifest of rollouts"
    REMEDY: ClassVar[str] = "run `anatomy rollout` there again"

    model: SampledModel
    template: str
    sampling: SampleSettings
    left_out: Mapping[str, int]
    prompts: int
    rollouts: str
    fingerprint: str


@dataclass(frozen=True)
class Rollouts:
    """Completions by (prompt id, sample number), the messages of each prompt, what made them, and where they lie."""

    texts: Mapping[tuple[str, int], str]
    prompts: Mapping[str, Sequence[Message]]
    manifest: RolloutManifest
    folder: Path


def read_prompts(name: str) -> list[Prompt]:
    """Distinct prompts of a preference set (any known format), or of a table with a column ``prompt``.

    Rows that cannot be read as prompts are passed over.

    Raises:
        RowsError: nothing there, or no prompt in it.
    """
    rows = RowSettings(rows=name)
    sources = find_sources(rows)
    first = next((record for source in sources for record in source.records()), None)
    found: dict[str, Prompt] = {}
    if first is not None and "prompt" in first.values and "chosen" not in first.values:
        pairs = (_prompt_alone(record.values) for source in sources for record in source.records())
    else:
        pairs = (
            None if isinstance(row, Fault) or row.tools or row.chat_template_kwargs else row for row in read_pairs(rows)
        )
    for pair in pairs:
        if pair is not None and pair.prompt and not pair.tools and not pair.chat_template_kwargs:
            found.setdefault(pair.prompt_id, Prompt(pair.prompt_id, pair.prompt))
    if not found:
        raise RowsError(f"{name}: no prompts; give preference rows or a table with a column `prompt`")
    return list(found.values())


def _prompt_alone(values: Mapping[str, Any]) -> Row | None:
    try:
        return Response(0, to_messages(values.get("prompt"), "prompt", "user"), ())
    except RowFault:
        return None


def usable_prompts(
    prompts: Sequence[Prompt], tokenizer: Any, settings: ModelSettings, sampling: SampleSettings
) -> tuple[list[Prompt], dict[str, int]]:
    """Prompts that the model sees whole (at most ``max_prompt_length`` tokens), a random sample if too many; counts.

    A prompt that were cut would be another one to the bundle than to the model that answers it.
    """
    kept, left = [], {"too long": 0, "refused by the template": 0}
    for prompt in prompts:
        try:
            tokens = len(encode_prompt(prompt.messages, tokenizer, settings))
        except TemplateError:
            left["refused by the template"] += 1
            continue
        if tokens < settings.max_prompt_length:
            kept.append(prompt)
        else:
            left["too long"] += 1
    if sampling.max_prompts is not None and sampling.max_prompts < len(kept):
        chosen = np.random.default_rng(sampling.seed).choice(len(kept), sampling.max_prompts, replace=False)
        kept = [kept[place] for place in np.sort(chosen)]
    if not kept:
        raise RowsError(f"none of {len(prompts)} prompts is shorter than `max_prompt_length`; raise it")
    return kept, left


def write_rollouts(
    out: Path,
    load: Callable[[], tuple[Subject, Any]],
    settings: RolloutSettings,
    progress: Callable[[int], object] | None = None,
) -> Rollouts:
    """Complete every prompt ``samples`` times into ``out``; a killed call resumes, a finished one is only checked.

    Raises:
        SettingsError: several greedy samples.
        RunError: ``out`` holds rollouts of another model, other prompts or settings.
    """
    if settings.samples > 1 and settings.temperature == 0:
        raise SettingsError("`samples` > 1 with `temperature` 0: greedy completions are all the same; use --samples 1")
    subject, tokenizer = load()
    prompts, left = usable_prompts(read_prompts(settings.prompts), tokenizer, settings, settings)
    conversations = [prompt.messages for _ in range(settings.samples) for prompt in prompts]
    each, most = settings.max_new_tokens, len(conversations) * settings.max_new_tokens
    logger.info(
        f"rollouts: {len(prompts):,} prompts x {settings.samples}, at most {each} tokens each, "
        f"so {most:,} tokens at most"
    )
    how = GenerateSettings.model_validate(settings.model_dump(include=set(GenerateSettings.model_fields)))
    model = SampledModel.of(subject)
    keep_training(None if model.folder is None else Path(model.folder), out / artifacts.TRAINED_BY)
    completions = generate(out / artifacts.COMPLETIONS, subject, tokenizer, conversations, how, progress)
    sampling = SampleSettings.model_validate(settings.model_dump(include=set(SampleSettings.model_fields)))
    save_rollouts(out, prompts, completions, model, template_hash(tokenizer), sampling, left)
    return read_rollouts(out)


def save_rollouts(
    out: Path,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    model: SampledModel,
    template: str,
    sampling: SampleSettings,
    left_out: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Write completions: the first of every prompt, then the second of every prompt, and so on; the manifest last.

    Args:
        template: content hash of the chat template.
        left_out: numbers of prompts by the reason why they have no completion.
    """
    turns = [json.dumps(list(prompt.messages)) for prompt in prompts]
    samples = len(completions) // len(prompts)
    ids = [prompt.prompt_id for prompt in prompts] * samples
    table = {
        "prompt_id": ids,
        "sample": [sample for sample in range(samples) for _ in prompts],
        "prompt": turns * samples,
        "text": [completion.text for completion in completions],
        "tokens": pa.array([completion.tokens for completion in completions], pa.list_(pa.int32())),
    }
    artifacts.write_table(out / artifacts.ROLLOUTS, pa.table(table))
    RolloutManifest(
        model=model,
        template=template,
        sampling=sampling,
        left_out=dict(left_out),
        prompts=len(prompts),
        rollouts=file_hash(out / artifacts.ROLLOUTS),
        fingerprint=content_hash([model.fingerprint, template, sampling.model_dump(mode="json"), sorted(ids)]),
    ).write(out / artifacts.MANIFEST)
    artifacts.record_outputs(out, [artifacts.ROLLOUTS, artifacts.MANIFEST])


def is_rollouts(path: str) -> bool:
    """Whether ``path`` is a folder of finished rollouts (a model's folder has no such table)."""
    return (expanded(path) / artifacts.ROLLOUTS).is_file()


def read_rollouts(folder: Path) -> Rollouts:
    """Finished rollouts.

    Raises:
        RunError: there are none, or the table is not the one that the manifest names.
    """
    manifest = RolloutManifest.read(folder / artifacts.MANIFEST)
    if manifest.rollouts != artifacts.output_hash(folder / artifacts.ROLLOUTS):
        raise RunError(f"{folder}: not finished rollouts; run `anatomy rollout` there again")
    rows = artifacts.read_table(folder / artifacts.ROLLOUTS, TEXT_COLUMNS).to_pylist()
    texts = {(row["prompt_id"], row["sample"]): row["text"] for row in rows}
    return Rollouts(texts, {row["prompt_id"]: json.loads(row["prompt"]) for row in rows}, manifest, folder)


def drawn_tokens(folder: Path) -> dict[tuple[str, int], list[int]]:
    """The tokens that each of a folder's completions was made of, the one that ended it included.

    Raises:
        RunError: the table is missing or broken.
    """
    table = artifacts.read_table(folder / artifacts.ROLLOUTS, TOKEN_COLUMNS)
    columns = (table[name].to_pylist() for name in ("prompt_id", "sample", "tokens"))
    return {(prompt, sample): tokens for prompt, sample, tokens in zip(*columns, strict=True)}


def own_responses(rollouts: Rollouts, has_response: Callable[[Row], bool]) -> list[Response]:
    """Every completion that has a token to read, by prompt id and sample number."""
    found = [
        Response(number, rollouts.prompts[prompt], [{"role": "assistant", "content": text}])
        for number, ((prompt, _), text) in enumerate(sorted(rollouts.texts.items()))
    ]
    return [response for response in found if has_response(response)]


def rollout_pair(before: Rollouts, after: Rollouts, key: tuple[str, int], index: int = 0) -> Pair:
    """The completions of a prompt and sample number as a pair: chosen is after, rejected before."""
    chosen, rejected = ([{"role": "assistant", "content": side.texts[key]}] for side in (after, before))
    return Pair(index, before.prompts[key[0]], chosen, rejected)


def rollout_pairs(
    before: Rollouts, after: Rollouts, seen: set[str], has_response: Callable[[Row], bool]
) -> tuple[list[Pair], dict[str, int]]:
    """Pairs (chosen: after, rejected: before) of the completions that both hold, in a fixed order; and counts.

    Args:
        seen: ids of prompts in the data; their completions are left out, since the prediction is about unseen prompts.
        has_response: whether both sides of a pair have a token to pool.

    Raises:
        RunError: nothing is left, or the completions were not sampled in the same way.
    """
    free = {"seed", "max_prompts", "samples"}
    ways = [side.manifest.sampling.model_dump(exclude=free) for side in (before, after)]
    if ways[0] != ways[1]:
        raise RunError("the rollouts before and after were sampled with different settings; sample them alike")
    keys = sorted(before.texts.keys() & after.texts.keys())
    pairs: list[Pair] = []
    left = {"prompts seen in the data": 0, "empty completions": 0}
    left["prompts seen in the data"] = len({prompt for prompt, _ in keys if prompt in seen})
    for prompt, sample in keys:
        texts = after.texts[prompt, sample], before.texts[prompt, sample]
        if prompt in seen:
            continue
        pair = rollout_pair(before, after, (prompt, sample), len(pairs))
        if all(text.strip() for text in texts) and has_response(pair):
            pairs.append(pair)
        else:
            left["empty completions"] += 1
    if not pairs:
        raise RunError(f"no completions to compare: {len(keys)} common to before and after, {left}; use unseen prompts")
    return pairs, left
