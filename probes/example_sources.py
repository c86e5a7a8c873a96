"""Labelled examples for a concept, made in the way that its settings name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anatomy.activations.generate_settings import GenerateSettings
from anatomy.activations.spans import encode_row
from anatomy.concepts.concept import Concept, load_questions
from anatomy.data.pair_stream import PairStream
from anatomy.data.sources import find_sources
from anatomy.errors import ProbeError
from anatomy.judge.judge import Judge, Question
from anatomy.judge.judge_settings import JudgeSettings
from anatomy.progress import logger, progress_bar
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import RowSettings
from anatomy.text.matchers import MATCHERS
from anatomy.types import SIDES, Pair
from probes import collect
from probes.collect import Labelled
from probes.elicit import Judging, elicit
from probes.probe_settings import ExampleSettings

ANSWERS = "answers.jsonl"


class Sources(NamedTuple):
    """Labelled items, and facts about how they were made."""

    items: list[Labelled]
    facts: dict[str, Any]


def gather(concept: Concept, settings: ExampleSettings, bundle: ModelBundle, folder: Path) -> Sources:
    """The examples that ``settings`` ask for; ``folder`` keeps what is generated.

    Raises:
        ProbeError: the way of making them lacks what it needs.
    """
    way = settings.positives or concept.positives
    facts: dict[str, Any] = {"positives": way, "examples": settings.examples}
    if way == "generate":
        found = _generated(concept, settings, bundle, folder)
        return found._replace(facts=facts | found.facts)
    if way == "cluster":
        items = from_cluster(*_cluster(settings), settings.limit, settings.seed, bundle)
        return Sources(items, facts | {"run": str(settings.run), "cluster": settings.cluster})
    if settings.examples is None:
        raise ProbeError(f"examples of `{concept.id}` by `{way}` need rows: name them with --examples")
    rows = RowSettings(rows=settings.examples, seed=settings.seed)
    if way == "prompts":
        records = (record for source in find_sources(rows) for record in source.records())
        items = collect.from_prompts(records, bundle.tokenizer, bundle.settings)
    elif way == "pairs":
        items = collect.from_pairs(_pairs(rows), bundle.tokenizer, bundle.settings)
    else:
        if concept.heuristic is None:
            raise ProbeError(f"concept `{concept.id}` has no text heuristic; use --positives pairs or generate")
        if settings.hard_negatives not in (None, *MATCHERS):
            raise ProbeError(f"--hard-negatives {settings.hard_negatives}: there are {', '.join(MATCHERS)}")
        items = collect.from_heuristic(
            _pairs(rows),
            concept.heuristic,
            settings.limit,
            settings.seed,
            bundle.tokenizer,
            bundle.settings,
            settings.hard_negatives,
        )
    facts |= {"hard_negatives": settings.hard_negatives} if way == "heuristic" else {}
    return Sources(collect.pick(items, settings.limit, settings.seed), facts)


def _pairs(rows: RowSettings) -> Iterator[Pair]:
    return (row for row in PairStream(rows) if isinstance(row, Pair))


def _generated(concept: Concept, settings: ExampleSettings, bundle: ModelBundle, folder: Path) -> Sources:
    questions = load_questions()[: settings.questions]
    logger.info(
        f"generate: {2 * len(questions)} answers of at most {settings.max_new_tokens} tokens by {bundle.subject.name}"
    )
    generation = GenerateSettings(
        max_new_tokens=settings.max_new_tokens, temperature=1.0, top_p=0.9, seed=settings.seed
    )
    judging = _judging(concept, settings, folder)
    with progress_bar("generate", "answer", 2 * len(questions)) as bar:
        found = elicit(
            concept, questions, bundle.subject, bundle.tokenizer, generation, folder / ANSWERS, judging, bar.update
        )
    facts = {"asked": found.asked, "kept": len(found.answers), "filtered_by": found.filtered_by,
             "abstained": found.abstained}  # fmt: skip
    return Sources(collect.from_answers(found.answers, bundle.tokenizer, bundle.settings), facts)


def _judging(concept: Concept, settings: ExampleSettings, folder: Path) -> Judging | None:
    if settings.judge_url is None or settings.judge_model is None:
        return None
    judge = Judge(JudgeSettings(base_url=settings.judge_url, model=settings.judge_model), folder / "judge.sqlite")

    def judging(answers: Sequence[tuple[str, str]]) -> list[float | None]:
        items = [Question(str(concept.judge_question), {"question": q, "answer": a}) for q, a in answers]
        logger.info(judge.estimate(items))
        return [verdict.score for verdict in judge.ask(items)]

    return judging


def _cluster(settings: ExampleSettings) -> tuple[Run, list[int]]:
    """The audit and the features of the cluster."""
    if settings.run is None or settings.cluster is None:
        raise ProbeError("examples by `cluster` need --run RUN and --cluster R12")
    run = Run.at(settings.run)
    return run, run.cluster_features(settings.cluster)


def from_cluster(run: Run, features: Sequence[int], wanted: int, seed: int, bundle: ModelBundle) -> list[Labelled]:
    """Responses of an audit on which the cluster fires most (positive) and never (negative), one a prompt."""
    store = run.features
    activity_N2 = np.concatenate(
        [
            np.stack([shard.matrix(side, "freq")[:, features].sum(axis=1) for side in SIDES], axis=1)
            for shard in store.shards()
        ]
    )
    tie_N2 = np.random.default_rng(seed).random(activity_N2.shape)
    order = np.lexsort((tie_N2.ravel(), -activity_N2.ravel()))
    half = wanted // 2
    chosen = {1: _one_a_prompt(order[activity_N2.ravel()[order] > 0], store.prompt_ids, half)}
    silent = np.random.default_rng(seed).permutation(np.flatnonzero(activity_N2.ravel() == 0))
    chosen[0] = _one_a_prompt(silent, store.prompt_ids, half)
    label_of = {place: label for label, places in chosen.items() for place in places}
    items = []
    for row, stored in enumerate(run.rows()):
        for column, side in enumerate(SIDES):
            if 2 * row + column in label_of:
                part = encode_row(stored.pair, bundle.tokenizer, bundle.settings).sides[side]
                items.append(collect.response(part, label_of[2 * row + column], stored.pair.prompt_id))
    return items


def _one_a_prompt(places: np.ndarray, prompt_ids: Sequence[str], wanted: int) -> list[int]:
    seen: dict[str, int] = {}
    for place in places.tolist():
        if len(seen) == wanted:
            break
        seen.setdefault(prompt_ids[place // 2], place)
    return list(seen.values())
