"""Every kind of layout is read by rule: the pairs that come out are those that were planted."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anatomy.data.column_names import corrected, words_of
from anatomy.data.faults import Fault
from anatomy.data.ingest import measure
from anatomy.data.pair_stream import PairStream
from anatomy.errors import RowsError
from anatomy.settings import RowSettings
from anatomy.types import Pair
from anatomy.workflows.show_mapping import show_mapping
from tests.support.planted_layouts import LAYOUTS, Planted, planted, sides, turn

Write = Callable[[str, Any], Path]
COUNT = 24


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def stream_of(path: Path, **flags: Any) -> tuple[PairStream, list[Pair | Fault]]:
    stream = PairStream(RowSettings(rows=str(path), **flags))
    return stream, list(stream)


def texts(pair: Pair | Fault) -> tuple[str, str, str]:
    assert isinstance(pair, Pair), pair
    prompt, chosen, rejected = (span[-1]["content"].strip() for span in (pair.prompt, pair.chosen, pair.rejected))
    return prompt.removeprefix("Question: ").removesuffix("Answer:").strip(), chosen, rejected


@pytest.mark.parametrize("name", LAYOUTS)
def test_planted_pairs_are_read_back(name: str, write: Write) -> None:
    told, record = LAYOUTS[name]
    pairs = planted(COUNT)
    stream, rows = stream_of(write("a.jsonl", lines([record(pair) for pair in pairs])))
    assert stream.format == told
    if name == "common start":
        pairs = [pair._replace(good=pair.good, bad=pair.bad) for pair in pairs]
    assert [texts(row) for row in rows] == [(pair.prompt, pair.good, pair.bad) for pair in pairs]
    assert [row.source_rows for row in rows] == [(number,) for number in range(COUNT)]
    assert stream.reading().map["layout"] in ("pairs", "winner", "ranking")


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_recognised_can_be_said_with_a_map(name: str, write: Write) -> None:
    path = write("a.jsonl", lines([LAYOUTS[name][1](pair) for pair in planted(COUNT)]))
    stream, rows = stream_of(path)
    again, same = stream_of(path, map=stream.reading().map)
    assert (again.reading().map, same) == (stream.reading().map, rows)


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "csv", "jsonl.gz"])
@pytest.mark.parametrize("name", ["chosen", "model_a", "index", "sign", "HH", "message lists as JSON", "scores of two"])
def test_layouts_in_every_file_with_faults(kind: str, name: str, write: Write) -> None:
    """Every source row is in a pair or in a fault, and the others are as planted."""
    record, pairs = LAYOUTS[name][1], planted(60)
    records = [record(pair) for pair in pairs]
    columns = list(records[0])
    for number in (7, 20, 41):
        broken = "" if kind == "csv" else None
        records[number] = {
            key: broken if isinstance(records[number][key], str) else records[number][key] for key in columns
        }
    _, rows = stream_of(write(f"a.{kind}", records))
    assert sorted(row for item in rows for row in item.source_rows) == list(range(60))
    assert [row.index for row in rows if isinstance(row, Fault)] == [7, 20, 41]
    kept = [pair for number, pair in enumerate(pairs) if number not in (7, 20, 41)]
    assert [texts(row) for row in rows if isinstance(row, Pair)] == [
        (pair.prompt, pair.good, pair.bad) for pair in kept
    ]


def pointwise(pair: Planted) -> list[dict[str, Any]]:
    return [
        {"prompt": pair.prompt, "response": pair.bad, "helpfulness": 1, "verbosity": 4},
        {"prompt": pair.prompt, "response": pair.good, "helpfulness": 4, "verbosity": 1},
    ]


def unpaired(pair: Planted) -> list[dict[str, Any]]:
    return [
        {"prompt": [turn("user", pair.prompt)], "completion": [turn("assistant", text)], "label": good}
        for text, good in ((pair.good, True), (pair.bad, False))
    ]


def votes(pair: Planted) -> list[dict[str, Any]]:
    good, bad = ({"chosen": pair.good, "rejected": pair.bad}, {"chosen": pair.bad, "rejected": pair.good})
    return [{"prompt": pair.prompt, **vote, "annotator_id": f"p{n}"} for n, vote in enumerate((bad, good, good))]


@pytest.mark.parametrize(
    ("record", "flags", "each"), [(pointwise, {"score": "helpfulness"}, 2), (unpaired, {}, 2), (votes, {}, 3)]
)
def test_records_that_belong_together_are_joined(
    record: Callable[[Planted], list[dict[str, Any]]], flags: dict[str, Any], each: int, write: Write
) -> None:
    """The rows of a pair lie as far apart as can be."""
    pairs = planted(COUNT)
    groups = [record(pair) for pair in pairs]
    rows = [group[place] for place in range(each) for group in groups]
    _, found = stream_of(write("a.jsonl", lines(rows)), **flags)
    assert [texts(row) for row in found] == [(pair.prompt, pair.good, pair.bad) for pair in pairs]
    assert [row.source_rows for row in found] == [tuple(range(n, each * COUNT, COUNT)) for n in range(COUNT)]
    assert [row.index for row in found] == list(range(COUNT))


def test_votes_that_are_even_are_a_tie_and_agreement_is_told(write: Write) -> None:
    even = [row for pair in planted(2) for row in votes(pair)[:2]]
    sure = [row for pair in planted(6)[2:] for row in votes(pair)]
    found = measure(RowSettings(rows=str(write("a.jsonl", lines(even + sure)))))
    assert (found.retained, found.reasons["tie"].count) == (4, 2)
    assert found.reading is not None
    assert found.reading.votes is not None
    assert (found.reading.votes.pairs, found.reading.votes.ties) == (6, 2)
    assert found.reading.votes.percent == pytest.approx(4 * (1 / 3) / 6, abs=1e-4)


def test_a_vote_keeps_its_share_and_what_all_voters_say(write: Write) -> None:
    rows = [{**row, "country": "fr", "seconds": n} for pair in planted(3) for n, row in enumerate(votes(pair))]
    _, found = stream_of(write("a.jsonl", lines(rows)))
    assert found[0].metadata == {"country": "fr", "votes": 3, "vote_share": 2 / 3}  # type: ignore[union-attr]


def test_more_pairs_of_a_ranking_share_its_weight(write: Write) -> None:
    path = write("a.jsonl", lines([LAYOUTS["lists with scores"][1](pair) for pair in planted(4)]))
    for mode, each in (("best-worst", 1), ("all", 3), ("adjacent", 2)):
        _, rows = stream_of(path, pairs=mode)
        assert len(rows) == 4 * each
        assert len({row.index for row in rows}) == len(rows)
        assert sum(row.weight for row in rows if isinstance(row, Pair)) == pytest.approx(4)


def test_ties_and_both_bad_are_counted_apart(write: Write) -> None:
    record = LAYOUTS["model_a"][1]
    rows = [
        {**record(pair), "winner": said}
        for pair, said in zip(
            planted(6), ["model_a", "tie", "both_bad", "model_b", "tie (bothbad)", "model_a"], strict=True
        )
    ]
    found = measure(RowSettings(rows=str(write("a.jsonl", lines(rows)))))
    assert {name: entry.count for name, entry in found.reasons.items()} == {"tie": 1, "both-bad": 2}


REFUSED: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
    "two labels that differ": (
        [{**LAYOUTS["index"][1](pair), "safer_answer_id": n % 2} for n, pair in enumerate(planted(9))],
        ("`better_answer_id` and `safer_answer_id`", "of 9 rows", "--label safer_answer_id", "anatomy compare"),
    ),
    "ratings of single responses": (
        [row for pair in planted(4) for row in pointwise(pair)],
        ("pointwise ratings", "--score helpfulness", "`--score verbosity` (how much"),
    ),
    "labels that pair nothing": ([unpaired(pair)[pair.second] for pair in planted(9)], ("unpaired", "9 responses")),
    "images": (
        [{"prompt": "What is it?", "chosen": "A dog.", "rejected": "A cat.", "image": {"bytes": "x", "path": None}}]
        * 3,
        ("`image`", "only text is read"),
    ),
    "a number that may mean either": (
        [LAYOUTS["model_a"][1](pair) | {"winner": int(pair.second)} for pair in planted(9)],
        ("`winner` (0, 1)", "winner=winner=1"),
    ),
    "nothing that says which": (
        [{key: value for key, value in LAYOUTS["model_a"][1](pair).items() if key != "winner"} for pair in planted(3)],
        ("no column that says which is better", "winner=COLUMN"),
    ),
    "lists without scores": (
        [{"instruction": pair.prompt, "output": [pair.good, pair.bad]} for pair in planted(3)],
        ("--map chosen=output.0,rejected=output.1",),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_unclear_is_refused_with_what_to_type(name: str, write: Write) -> None:
    rows, says = REFUSED[name]
    with pytest.raises(RowsError) as refusal:
        stream_of(write("a.jsonl", lines(rows)))
    for part in says:
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"map": {"chosen": "good", "rejected": "rejected"}}, "no column `good`"),
        ({"map": {"chosen": "chsen", "rejected": "rejected"}}, "no column `chsen`; did you mean `chosen`"),
        ({"map": {"chosen": "chosen"}}, "`chosen` without `rejected`"),
        ({"map": {"best": "chosen"}}, "no role `best`"),
    ],
)
def test_a_wrong_map_is_refused_in_one_line(flags: dict[str, Any], says: str, write: Write) -> None:
    path = write("a.jsonl", lines([LAYOUTS["chosen"][1](pair) for pair in planted(3)]))
    with pytest.raises(RowsError, match=says):
        stream_of(path, **flags)


def test_a_map_overrules_and_joins_texts(write: Write) -> None:
    rows = [{"a": {"b": p.prompt}, "x": [p.bad, p.good], "hint": "Be brief."} for p in planted(3)]
    _, found = stream_of(write("a.jsonl", lines(rows)), map={"prompt": "hint+a.b", "chosen": "x.1", "rejected": "x.0"})
    assert [texts(row)[1:] for row in found] == [(pair.good, pair.bad) for pair in planted(3)]
    assert found[0].prompt == [turn("user", f"Be brief.\n{planted(1)[0].prompt}")]  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["winner=1", "winner<2", "winner>0.5"])
def test_a_map_says_what_a_number_means(text: str, write: Write) -> None:
    path = write("a.jsonl", lines([LAYOUTS["model_a"][1](p) | {"winner": 3 if p.second else 1} for p in planted(6)]))
    roles = {"response_a": "response_a", "response_b": "response_b", "winner": text}
    if ">" in text:
        roles |= {"response_a": "response_b", "response_b": "response_a", "winner": "winner>2"}
    _, found = stream_of(path, map=roles)
    assert [texts(row) for row in found] == [(pair.prompt, pair.good, pair.bad) for pair in planted(6)]


def test_equal_labels_are_only_noted(write: Write) -> None:
    rows = [{**(row := LAYOUTS["index"][1](pair)), "safer_answer_id": row["better_answer_id"]} for pair in planted(9)]
    stream, found = stream_of(write("a.jsonl", lines(rows)))
    assert len(found) == 9
    assert any("say the same of every row" in note for note in stream.reading().notes)


def test_a_file_of_another_layout_beside_is_read_too(write: Write, tmp_path: Path) -> None:
    for name in ("chosen", "HH", "sign"):
        write(f"set/{name}.jsonl", lines([LAYOUTS[name][1](pair) for pair in planted(5)]))
    _, found = stream_of(tmp_path / "set")
    assert [texts(row) for row in found] == [(p.prompt, p.good, p.bad) for p in planted(5)] * 3


def test_a_set_of_mostly_other_rows_is_refused_past_a_share(write: Write) -> None:
    rows = [LAYOUTS["chosen"][1](pair) for pair in planted(40)] + [{"other": n} for n in range(12)]
    path = write("a.jsonl", lines(rows))
    with pytest.raises(
        RowsError, match=r"12 of 52 rows cannot be read, more than 20% \(12 unreadable, first row 41: .*"
    ):
        stream_of(path)
    stream, found = stream_of(path, most_faulty=0.3)
    assert (len(found), sum(isinstance(row, Fault) for row in found)) == (52, 12)
    assert any("the first of them row 41" in note for note in stream.reading().notes)


def test_names_are_read_in_any_spelling() -> None:
    assert words_of("Chosen-Responses") == words_of("chosenResponse") == ("chosen", "response")
    assert words_of("non_preferred_output") == ("nonpreferred", "output")
    assert corrected("chonsen_model") == "chosen_model"
    assert corrected("chosen_model") is None


def test_text_columns_that_are_not_read_are_told(write: Write) -> None:
    rows = [LAYOUTS["chosen"][1](pair) | {"reasoning": f"Long words about {pair.prompt}"} for pair in planted(4)]
    stream, _ = stream_of(write("a.jsonl", lines(rows)))
    assert stream.reading().unread == {"reasoning": "Long words about What is question 0 about, please?"}


def test_memory_of_joined_records_does_not_grow_with_them(write: Write) -> None:
    """Ratings of ten times the responses, whose text is as many times as large, are joined in about the same memory."""

    def peak(count: int) -> int:
        rows = [row for pair in planted(count) for row in pointwise(pair._replace(good=f"{pair.good} {'x' * 2000}"))]
        path = write(f"{count}.jsonl", lines(rows))
        tracemalloc.start()
        assert sum(1 for _ in PairStream(RowSettings(rows=str(path), score="helpfulness"))) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(3_000) < 1.5 * max(peak(300), 4 << 20)


def test_two_lists_of_turns_are_one_conversation(write: Write) -> None:
    rows = [{**LAYOUTS["one-hot"][1](pair), "prompt": json.dumps([pair.prompt, "Sure?"])} for pair in planted(5)]
    rows = [{**row, **{name: json.dumps([row[name], "Yes."]) for name in ("response_a", "response_b")}} for row in rows]
    _, found = stream_of(write("a.jsonl", lines(rows)))
    first = found[0]
    assert isinstance(first, Pair)
    assert [message["content"] for message in first.prompt] == [planted(1)[0].prompt]
    assert [message["role"] for message in first.chosen] == ["assistant", "user", "assistant"]


def test_the_map_is_shown_as_yaml_with_three_rows(write: Write, tmp_path: Path) -> None:
    path = write("a.jsonl", lines([LAYOUTS["sign"][1](pair) for pair in planted(5)]))
    shown = show_mapping(str(path))
    assert "# row 3" in shown
    assert "# row 4" not in shown
    assert f"#     assistant: {planted(1)[0].good}" in shown
    (tmp_path / "map.yaml").write_text(shown)
    again = show_mapping(str(path), map=str(tmp_path / "map.yaml"))
    assert again == shown


def test_whole_conversations_with_a_label_are_paired(write: Write) -> None:
    rows = [
        {"messages": [turn("user", pair.prompt), turn("assistant", text)], "kto_tag": good}
        for pair in planted(5)
        for text, good in ((pair.bad, False), (pair.good, True))
    ]
    _, found = stream_of(write("a.jsonl", lines(rows)))
    assert [texts(row) for row in found] == [(pair.prompt, pair.good, pair.bad) for pair in planted(5)]


def test_a_question_that_is_a_list_of_texts_is_turns(write: Write) -> None:
    rows = [{"dialogue": ["Hi.", "Hello!", p.prompt], "chosen": p.good, "rejected": p.bad} for p in planted(4)]
    stream, found = stream_of(write("a.jsonl", lines(rows)))
    assert [message["role"] for message in found[0].prompt] == ["user", "assistant", "user"]  # type: ignore[union-attr]
    assert any("turns that alternate" in note for note in stream.reading().notes)


def test_columns_that_may_be_a_prompt_or_not_are_no_prompt(write: Write) -> None:
    rows = [{"rationale": f"Because of {p.prompt}", "chosen": p.good, "rejected": p.bad} for p in planted(4)]
    with pytest.raises(RowsError, match="--map prompt=COLUMN"):
        stream_of(write("a.jsonl", lines(rows)))


def test_columns_of_votes_are_told_with_their_agreement(write: Write) -> None:
    rows = [LAYOUTS["three votes"][1](pair) for pair in planted(6)]
    rows.append({**rows[0], "annotator1": 0, "annotator3": 0, "prompt": "Another?"})
    rows.append({**rows[0], "annotator2": 0, "annotator3": 2, "prompt": "Even?"})
    stream, found = stream_of(write("a.jsonl", lines(rows)))
    votes = stream.reading().votes
    assert votes is not None
    assert (votes.pairs, votes.votes) == (8, 24)
    assert [row.reason for row in found if isinstance(row, Fault)] == ["tie"]


SCORED = sides(
    "answer_a", "answer_b", score_a=lambda p: 1.0 if p.second else 2.0, score_b=lambda p: 2.0 if p.second else 1.0
)


def scored_and_labelled(count: int, wrong: int, column: str, first: object, second: object) -> list[dict[str, Any]]:
    """Rows with scores, and a column that contradicts them in some."""
    return [
        {**SCORED(pair), column: second if pair.second != (n < wrong) else first}
        for n, pair in enumerate(planted(count))
    ]


@pytest.mark.parametrize(
    ("column", "first", "second", "flags"),
    [
        ("winner", "answer_a", "answer_b", ("--label winner", "--score score_a+score_b")),
        ("labels", 1, 0, ("winner=labels=VALUE", "--score score_a+score_b")),
        ("preferred", True, False, ("winner=preferred=VALUE", "--score score_a+score_b")),
    ],
)
def test_scores_and_a_label_have_to_agree(
    column: str, first: object, second: object, flags: tuple[str, ...], write: Write
) -> None:
    path = write("same.jsonl", lines(scored_and_labelled(12, 0, column, first, second)))
    stream, found = stream_of(path)
    assert [texts(row) for row in found] == [(p.prompt, p.good, p.bad) for p in planted(12)]
    assert any("say the same of every row" in note for note in stream.reading().notes)
    path = write("other.jsonl", lines(scored_and_labelled(12, 2, column, first, second)))
    with pytest.raises(RowsError) as refusal:
        stream_of(path)
    for part in ("differ in 2 of 12 rows", "anatomy compare", *flags):
        assert part in str(refusal.value)
    _, found = stream_of(path, score="score_a+score_b")
    assert [texts(row) for row in found] == [(p.prompt, p.good, p.bad) for p in planted(12)]


def test_a_label_is_taken_where_it_is_asked_for(write: Write) -> None:
    path = write("a.jsonl", lines(scored_and_labelled(12, 2, "winner", "answer_a", "answer_b")))
    _, found = stream_of(path, label="winner")
    assert [texts(row)[1] == pair.good for row, pair in zip(found, planted(12), strict=True)] == [False] * 2 + [
        True
    ] * 10
    path = write("b.jsonl", lines(scored_and_labelled(12, 2, "labels", 1, 0)))
    _, found = stream_of(path, map={"response_a": "answer_a", "response_b": "answer_b", "winner": "labels=1"})
    assert [texts(row)[1] == pair.good for row, pair in zip(found, planted(12), strict=True)] == [False] * 2 + [
        True
    ] * 10


def test_a_list_of_scores_and_a_choice_have_to_agree(write: Write) -> None:
    record = LAYOUTS["lists with scores"][1]
    rows = [
        {**(row := record(p)), "best_index": row["scores"].index(9.0 if n else 1.0)} for n, p in enumerate(planted(9))
    ]
    path = write("a.jsonl", lines(rows))
    with pytest.raises(RowsError, match=r"`best_index` and `scores` both .* differ in 1 of 9 rows.*--label best_index"):
        stream_of(path)
    _, found = stream_of(path, score="scores")
    assert [texts(row) for row in found] == [(p.prompt, p.good, p.bad) for p in planted(9)]


def test_ties_of_scores_do_not_contradict_a_label(write: Write) -> None:
    rows = scored_and_labelled(12, 0, "winner", "answer_a", "answer_b")
    rows[3] |= {"score_a": 1.0, "score_b": 1.0}
    rows[4] |= {"winner": "tie"}
    _, found = stream_of(write("a.jsonl", lines(rows)))
    assert sum(isinstance(row, Pair) for row in found) == 11


@pytest.mark.parametrize(
    ("column", "values"),
    [("label", (1, 0)), ("label", (0, 1, 2)), ("a_is_better", (0.9, 0.2)), ("winner", (0, 1, 2))],
)
def test_a_number_that_may_be_a_tie_or_a_response_is_refused(
    column: str, values: tuple[float, ...], write: Write
) -> None:
    names = ("response_a", "response_b") if column == "a_is_better" else ("response_1", "response_2")
    rows = [{"prompt": p.prompt, names[0]: p.good, names[1]: p.bad, column: values[n % len(values)]}
            for n, p in enumerate(planted(12))]  # fmt: skip
    with pytest.raises(RowsError, match=f"`{column}` .* does not say which response is better"):
        stream_of(write("a.jsonl", lines(rows)))


def test_a_rare_nought_beside_the_numbers_of_the_responses_is_a_tie(write: Write) -> None:
    rows = [
        {**LAYOUTS["number"][1](pair), **({"preference": 0} if n == 5 else {})} for n, pair in enumerate(planted(12))
    ]
    _, found = stream_of(write("a.jsonl", lines(rows)))
    assert [row.index for row in found if isinstance(row, Fault)] == [5]


def test_several_labels_of_one_response_have_to_agree(write: Write) -> None:
    rows = [{"prompt": p.prompt, "response": text, "is_safe": good, "is_correct": good != (n == 2)}
            for n, p in enumerate(planted(4)) for text, good in ((p.good, True), (p.bad, False))]  # fmt: skip
    path = write("a.jsonl", lines(rows))
    with pytest.raises(RowsError, match="--label is_safe` or `--label is_correct"):
        stream_of(path)
    _, found = stream_of(path, label="is_safe")
    assert [texts(row) for row in found] == [(p.prompt, p.good, p.bad) for p in planted(4)]


def test_a_verdict_of_another_type_is_a_fault_of_its_row(write: Write) -> None:
    rows = [LAYOUTS["a sentence"][1](pair) for pair in planted(24)]
    rows[5]["judgment"] = [1, 2]
    _, found = stream_of(write("a.jsonl", lines(rows)))
    assert [row.index for row in found if isinstance(row, Fault)] == [5]
