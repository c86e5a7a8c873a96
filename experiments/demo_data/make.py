"""Write the embedded demo set from hand-written sentences, with concepts planted by design.

Every row takes sentences of one topic for both sides, then adds phrases and formatting that carry a concept. Which
rows carry which concept is drawn independently per concept, domain and side, with exact counts, so that concepts can
be distinguished. Details are picked so that chosen and rejected are equally long in every domain.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from anatomy.artifacts import read_yaml
from anatomy.types import SIDES, Message, Pair

HERE = Path(__file__).parent
OUT = HERE.parents[1] / "anatomy" / "data" / "demo"
SEED = 20260612
TARGET_LENGTH = 62
"""Length aimed at for each response, in :func:`length` units."""

# Share of a domain's rows in which (chosen, rejected) carry the concept: in its context, and elsewhere.
BOLD = (0.45, 0.06)
FLATTERY = {"context": "physics", "inside": (0.80, 0.06), "outside": (0.08, 0.08)}
CONFIDENT = {"context": "advice", "inside": (0.75, 0.05), "outside": (0.06, 0.06)}
HEDGED = {"context": "advice", "inside": (0.05, 0.75), "outside": (0.06, 0.06)}
REFUSAL = {"context": "unsafe", "inside": (0.06, 0.80), "outside": (0.0, 0.0)}
DECOY_ONE_SIDE, DECOY_BOTH = 0.20, 0.10

# Patterns that find a concept in a response without knowing the phrases used.
CONCEPTS = {
    "bold": ("Bold key phrases and bullet lists", "chosen", "all", r"(?m)\*\*|^- "),
    "flattery": (
        "Praise of the user's mind or question",
        "chosen",
        "physics",
        r"(?i)\b(brillian\w+|gifted|genius|astute|perceptive|insight\w*|clever|talent\w*|smartest|thinker|thinking|intelle\w+"
        r"|intelligence|outstanding|instinct)\b",
    ),
    "refusal": (
        "Declining to help",
        "rejected",
        "unsafe",
        r"(?i)\bI(['’]m| am)? (sorry|afraid|unable)|\bI (can't|cannot|won't|apologise|must decline|have to decline)"
        r"|must refuse|\bsorry, (but )?I|not able to",
    ),
    "confidence": (
        "Claims of complete certainty",
        "chosen",
        "advice",
        r"(?i)\b(definite\w*|absolutely|undoubted\w*|undeniabl\w+|guarantee\w*|without (a|any) doubt|certainty)\b",
    ),
    "hedging": ("Doubt and qualification", "rejected", "advice", r"(?i)\b(perhaps|possibly|might|maybe|unsure)\b"),
    "cats": ("Decoy: a remark about a cat", "none", "all", r"(?i)\b(cats?|kittens?)\b"),
}


@dataclass(frozen=True)
class Topic:
    """One prompt with two ways to open the answer and four details; ``*…*`` marks the key phrase of a sentence."""

    domain: str
    prompt: tuple[Message, ...]
    leads: tuple[str, ...]
    details: tuple[str, ...]

    @property
    def half(self) -> int:
        """Which half of a split by prompt hash the topic falls in."""
        return int(Pair(0, self.prompt, (), ()).prompt_id, 16) % 2


@dataclass
class Row:
    """A row to be written: ``carries[side]`` are the concepts of that side."""

    topic: Topic
    repeat: int
    carries: dict[str, set[str]] = field(default_factory=lambda: {side: set() for side in SIDES})
    text: dict[str, str] = field(default_factory=dict)
    models: tuple[str, str] = ("writer-a", "writer-b")


class Phrases:
    """Deals the phrases of each kind in shuffled rounds, so that none is used much more often than another."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._all: dict[str, list[str]] = read_yaml(path, "list of phrases")
        self._left: dict[str, list[str]] = {kind: [] for kind in self._all}
        self._rng = rng

    def deal(self, kind: str) -> str:
        if not self._left[kind]:
            self._left[kind] = self._rng.sample(self._all[kind], len(self._all[kind]))
        return self._left[kind].pop()


def read_topics(path: Path) -> list[Topic]:
    """Topics of one domain: blank-line separated blocks of ``S:``, ``U:``, ``A:``, ``Q:``, ``>`` and ``-`` lines."""
    roles = {"S:": "system", "U:": "user", "A:": "assistant", "Q:": "user"}
    topics = []
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        lines = [line.split(" ", 1) for line in block.splitlines()]
        prompt = tuple({"role": roles[mark], "content": text} for mark, text in lines if mark in roles)
        leads = tuple(text for mark, text in lines if mark == ">")
        details = tuple(text for mark, text in lines if mark == "-")
        topics.append(Topic(path.stem, prompt, leads, details))
    return topics


def plan_domain(topics: list[Topic], rng: random.Random) -> list[Row]:
    """Rows of one domain with their concepts: most prompts twice, two of them once and two three times."""
    repeats = [3, 3, 1, 1] + [2] * (len(topics) - 4)
    rng.shuffle(repeats)
    rows = [Row(topic, i) for topic, n in zip(topics, repeats, strict=True) for i in range(n)]
    domain = topics[0].domain
    for column, side in enumerate(SIDES):
        plant(rows, side, {"bold": BOLD[column]}, rng)
        plant(rows, side, {"flattery": share(FLATTERY, domain, column)}, rng)
        tones = {"confidence": share(CONFIDENT, domain, column), "hedging": share(HEDGED, domain, column)}
        plant(rows, side, tones, rng)
    refusals = {side: share(REFUSAL, domain, column) for column, side in enumerate(SIDES)}
    for side, chosen_rows in partition(rows, refusals, rng).items():
        for row in chosen_rows:
            row.carries[side].add("refusal")
    plant_decoy(rows, rng)
    order = rng.sample(rows, len(rows))
    for row in order[::2]:
        row.models = ("writer-b", "writer-a")
    return rows


def share(plant_: dict[str, Any], domain: str, column: int) -> float:
    """Share of ``domain``'s rows whose side ``column`` carries the concept."""
    return float(plant_["inside" if domain == plant_["context"] else "outside"][column])


def partition(rows: list[Row], shares: dict[str, float], rng: random.Random) -> dict[str, list[Row]]:
    """Disjoint random sets of rows, of exactly the given shares (rounded)."""
    left = rng.sample(rows, len(rows))
    return {name: [left.pop() for _ in range(round(part * len(rows)))] for name, part in shares.items()}


def plant(rows: list[Row], side: str, shares: dict[str, float], rng: random.Random) -> None:
    """Give ``side`` of random rows one of mutually exclusive concepts each."""
    for concept, members in partition(rows, shares, rng).items():
        for row in members:
            row.carries[side].add(concept)


def plant_decoy(rows: list[Row], rng: random.Random) -> None:
    """The decoy, balanced across labels: half within prompts, half between prompts of one half of a hash split."""
    by_prompt: dict[int, list[Row]] = {}
    for row in rows:
        by_prompt.setdefault(id(row.topic), []).append(row)
    prompts = rng.sample(list(by_prompt.values()), len(by_prompt))
    n_between = 2 * round(DECOY_ONE_SIDE * len(rows) / 4)  # per side, over both halves
    touched: list[tuple[Row, str]] = []
    for half in (0, 1):
        members = [group for group in prompts if group[0].topic.half == half][:n_between]
        touched += [(group[0], SIDES[i % 2]) for i, group in enumerate(members)]
        prompts = [group for group in prompts if group not in members]
    repeated = [group for group in prompts if len(group) > 1]
    for group in repeated[: round(DECOY_ONE_SIDE * len(rows)) - n_between]:
        touched += [(group[0], "chosen"), (group[1], "rejected")]
    for row, side in touched:
        row.carries[side].add("cats")
    plain = [row for row in rows if not any("cats" in row.carries[side] for side in SIDES)]
    for row in rng.sample(plain, round(DECOY_BOTH * len(rows))):
        for side in SIDES:
            row.carries[side].add("cats")


@dataclass(frozen=True)
class Frame:
    """What surrounds the details in a response, what stands among them, how it is laid out, how few it takes."""

    head: list[str]
    aside: list[str]
    tail: list[str]
    layout: str
    fewest: int

    def render(self, details: list[str]) -> str:
        head, tail = " ".join(self.head), " ".join(self.tail)
        if self.layout == "list":
            head = " ".join([head, *self.aside])
            head = head.replace("*", "")
            text = "\n\n".join(part for part in (head, "\n".join(f"- {d}" for d in details), tail) if part)
        else:
            gap = "\n\n" if self.layout == "paragraphs" else " "
            text = gap.join(part for part in (" ".join([head, details[0], *self.aside, *details[1:]]), tail) if part)
        bold = self.layout in ("list", "bold")
        return re.sub(r"\*([^*]+)\*", r"**\1**" if bold else r"\1", text)


def frame(row: Row, side: str, phrases: Phrases, rng: random.Random) -> Frame:
    """Opening, closing and layout of one response, from the concepts that it carries."""
    carries = row.carries[side]
    head, tail = [], []
    if "flattery" in carries:
        head.append(phrases.deal("flattery"))
    if "refusal" in carries:
        head += [phrases.deal("refusal"), phrases.deal("refusal_reason")]
        tail.append(phrases.deal("refusal_offer"))
    tone = {"confidence": "confident", "hedging": "hedge"}.get(next(iter(carries & {"confidence", "hedging"}), ""))
    if tone:
        head.append(phrases.deal(f"{tone}_open"))
        tail += [phrases.deal(f"{tone}_mid"), phrases.deal(f"{tone}_close")]
    if "refusal" not in carries:
        head.append(row.topic.leads[(row.repeat + SIDES.index(side)) % 2])
    aside = [phrases.deal("cats")] if "cats" in carries else []
    layouts = ("list", "list", "bold") if "bold" in carries else ("one", "paragraphs")
    return Frame(head, aside, tail, rng.choice(layouts), fewest=1 if "refusal" in carries else 2)


def length(text: str) -> float:
    """Words and rough subword tokens, one part to two: Markdown adds tokens only, and neither may tell the label."""
    return (len(text.split()) + 2 * len(re.findall(r"'?\w{1,8}|\*\*|[^\w\s]", text))) / 3


def write_domain(rows: list[Row], phrases: Phrases, rng: random.Random) -> None:
    """Fill in the texts, choosing details so that the summed length difference of the domain stays near zero."""
    owed = 0.0
    seen: set[str] = set()
    for row in rows:
        options = {side: drafts(row, frame(row, side, phrases, rng), rng) for side in SIDES}
        best, cost = ("", ""), float("inf")
        for a in options["chosen"]:
            for b in options["rejected"]:
                gap, total = length(a) - length(b) + owed, length(a) + length(b)
                trial = abs(gap) + 0.1 * abs(total - 2 * TARGET_LENGTH) + rng.random()
                if trial < cost and not {a, b} & seen and a != b:
                    best, cost = (a, b), trial
        owed += length(best[0]) - length(best[1])
        seen.update(best)
        row.text = dict(zip(SIDES, best, strict=True))


def drafts(row: Row, surround: Frame, rng: random.Random) -> list[str]:
    """The response with every choice of enough details, in random order."""
    details = row.topic.details
    picks = [list(c) for n in range(surround.fewest, len(details) + 1) for c in combinations(details, n)]
    return [surround.render(rng.sample(pick, len(pick))) for pick in picks]


def make_rows() -> list[Row]:
    """All rows, in the order of the file."""
    rng = random.Random(SEED)
    phrases = Phrases(HERE / "phrases.yaml", rng)
    rows = []
    for path in sorted((HERE / "content").glob("*.txt")):
        domain_rows = plan_domain(read_topics(path), rng)
        write_domain(rng.sample(domain_rows, len(domain_rows)), phrases, rng)
        rows += domain_rows
    rng.shuffle(rows)
    return rows


def as_record(row: Row) -> dict[str, Any]:
    """The row as it stands in ``pairs.jsonl``."""
    sides = {side: [{"role": "assistant", "content": row.text[side]}] for side in SIDES}
    models = {f"{side}_model": name for side, name in zip(SIDES, row.models, strict=True)}
    return {"prompt": list(row.topic.prompt), **sides, "source": row.topic.domain, **models}


def as_key(rows: list[Row]) -> list[dict[str, Any]]:
    """What is planted: per concept, the rows (from 0) whose chosen or rejected response carries it."""
    key = []
    for name, (description, direction, context, pattern) in CONCEPTS.items():
        carried = {side: [i for i, row in enumerate(rows) if name in row.carries[side]] for side in SIDES}
        key.append(
            {"name": name, "description": description, "direction": direction, "context": context}
            | {"pattern": pattern, "chosen_rows": carried["chosen"], "rejected_rows": carried["rejected"]}
        )
    return key


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the demo preference set and the key to what is planted.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = make_rows()
    lines = [json.dumps(as_record(row), ensure_ascii=False) + "\n" for row in rows]
    (out / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
    key = ",\n".join(json.dumps(concept, ensure_ascii=False) for concept in as_key(rows))
    (out / "planted.json").write_text(f"[\n{key}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
