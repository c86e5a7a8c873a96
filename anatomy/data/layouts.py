"""Recognise the layout of a preference set from a sample of its rows, by rules over names and values.

1. A column, or a field inside of one, is the words of its name and the kind of its values.
2. Two columns named chosen and rejected (or alike) are **pairs**; where they hold lists of texts, a **ranking**.
3. Else columns that differ in a number (``response_a``, ``response_b``) and one that says which is better: **winner**.
4. Else such columns, or a list of responses, with scores: **ranking**.
5. Else one response a row: **unpaired** with a label, **pointwise** with a score that the user names.
6. The prompt is the first column with a word for it; without one, the sides are whole conversations or transcripts, or
   texts with a common start.
7. Several columns that say which is better have to agree; what is ambiguous is refused with the flags to choose.
8. ``--map`` and ``--format`` overrule what is recognised.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from anatomy.data.column_names import (
    BETTER_BY_TRUTH,
    FILLER,
    HISTORY,
    LENGTH,
    MODEL,
    RANK,
    RESPONSE,
    SCORE,
    SYSTEM,
    VOTER,
    VOTES,
    WORSE_BY_TRUTH,
    is_only,
    words_of,
)
from anatomy.data.columns import LISTED, NUMERIC, TEXT, Column, columns_of, getter, kind_of, long_text
from anatomy.data.messages import opens_conversation
from anatomy.data.prompt_column import likely_prompt, prompt_column
from anatomy.data.readers import Record
from anatomy.data.reading import FileReading, format_of, notes_of, unread_of, without_media
from anatomy.data.response_lists import listed
from anatomy.data.row_map import RowMap, nearest
from anatomy.data.side_columns import Sides, named_pair, number_of, numbered, of_several, side_of, winner_of
from anatomy.data.single_responses import single
from anatomy.data.transcripts import HH, Style, asks, is_in, style_of
from anatomy.data.winners import Winner, by_names, by_value, compared
from anatomy.errors import RowsError
from anatomy.settings import RowFormat, RowSettings

PROMPT_COLUMN = {"explicit": "prompt", "full-conversations": "prompt", "sharegpt": "conversations"}
MOST_LISTED = 15
MOSTLY = 0.8
FEW = 16
"""Texts among which one is a transcript, if nearly all are."""
SIDE_ROLES = (
    *("chosen", "rejected", "response_a", "response_b", "winner", "responses", "scores", "response", "score", "label"),
)


def recognise(sample: Sequence[Record], settings: RowSettings) -> FileReading:
    """How the rows of the file are read that ``sample`` was taken from.

    Raises:
        RowsError: no row can be read, nothing is recognised, or what is recognised is ambiguous; with the flags to use.
    """
    if all(record.fault for record in sample):
        raise RowsError(f"{sample[0].place}: {sample[0].fault}, and no later row can be read; write the file again")
    records = [record.values for record in sample if not record.fault]
    columns = columns_of(records)
    try:
        given = RowMap.of(settings.map or {})
        _check_paths(given, columns, records)
        if settings.format != "auto":
            sides = _of_format(settings.format, columns)
        else:
            sides = _mapped(given, columns, records) or _found(columns, records, settings)
        return _complete(given, sides, columns, records, settings)
    except RowsError as error:
        place = next(record.place for record in sample if not record.fault)
        raise RowsError(f"{place}: {error}") from None


def _check_paths(given: RowMap, columns: Mapping[str, Column], records: Sequence[Mapping[str, Any]]) -> None:
    """Refuse paths under which no record of the sample has anything."""
    for role, text in given.named().items():
        if role == "layout" or (role == "winner" and "+" not in text and compared(text)):
            text = "" if role == "layout" else compared(text).reads and text.split("=")[0].split("<")[0].split(">")[0]  # type: ignore[union-attr]
        for path in filter(None, text.split("+")):
            if role in ("response", "scores") and given.responses:
                continue
            if all(getter(path.strip())(values) is None for values in records):
                raise RowsError(f"--map: no column `{path}`{nearest(path, list(columns))}")


def _of_format(wanted: RowFormat, columns: Mapping[str, Column]) -> Sides:
    needed = ["chosen", "rejected", *([PROMPT_COLUMN[wanted]] if wanted in PROMPT_COLUMN else [])]
    for name in needed:
        if not any(column == name or column.startswith(f"{name}.") for column in columns):
            raise RowsError(f"no column `{name}`; columns here: {_listed(columns)}; leave out --format, or give --map")
    roles = {"chosen": "chosen", "rejected": "rejected"}
    return Sides(roles | ({"prompt": PROMPT_COLUMN[wanted]} if wanted in PROMPT_COLUMN else {}))


def _mapped(given: RowMap, columns: Mapping[str, Column], records: Sequence[Mapping[str, Any]]) -> Sides | None:
    """The sides that a person names; None if the map names none.

    Raises:
        RowsError: roles that belong together are not all there.
    """
    roles = {role: name for role, name in given.named().items() if role in SIDE_ROLES}
    if not roles:
        return None
    partners: tuple[tuple[str, ...], ...] = (
        ("chosen", "rejected"),
        ("response_a", "response_b", "winner"),
        ("responses", "scores"),
        ("responses", "winner"),
        ("response", "score"),
        ("response", "label"),
    )
    whole = [names for names in partners if roles.keys() >= set(names)]
    if not whole:
        started = next((names for names in partners if roles.keys() & set(names)), partners[0])
        missing = next(name for name in started if name not in roles)
        raise RowsError(f"--map: `{next(iter(roles))}` without `{missing}`; name it too ({'=…,'.join(started)}=…)")
    winners = (_given_winner(given.named(), columns, records),) if "winner" in whole[0] else ()
    return Sides(roles, winners)


def _given_winner(
    roles: Mapping[str, str], columns: Mapping[str, Column], records: Sequence[Mapping[str, Any]]
) -> Winner:
    text = roles["winner"]
    names = [roles[role] for role in ("response_a", "response_b") if role in roles] or _listed_names(roles["responses"])
    numbers = [number_of(name, place) for place, name in enumerate(names)]
    if "+" in text:
        return of_several(text.split("+"), columns, numbers)
    column = columns.get(text)
    models = [roles[role] for role in ("model_a", "model_b") if role in roles]
    winner = compared(text) or (winner_of(column, numbers) or by_names(column, names) if column else None)
    winner = winner or by_value(text, [names, models] if len(models) == 2 else [names], records)
    if winner is None:
        raise unclear_winner(text, columns)
    return winner


def _listed_names(responses: str) -> list[str]:
    """Names of several responses: their columns, or the places in a list of them."""
    return responses.split("+") if "+" in responses else [f"{responses}.{place}" for place in range(2)]


def unclear_winner(name: str, columns: Mapping[str, Column]) -> RowsError:
    """The error for a column whose values do not say which response is better: how to say it."""
    values = sorted({str(value)[:20] for value in (columns[name].filled if name in columns else [])})
    some = ", ".join(values[:6]) + (" …" if len(values) > 6 else "")
    number = columns[name].kind in NUMERIC if name in columns else True
    value = values[-1] if values else "1"
    return RowsError(
        f"`{name}` ({some}) does not say which response is better; write `--map …,winner={name}={value}` if the first "
        f"is better where it is {value}"
        + (f", or `winner={name}<N` or `winner={name}>N` for a number" if number else "")
    )


def _found(columns: Mapping[str, Column], records: Sequence[Mapping[str, Any]], settings: RowSettings) -> Sides:
    sides = named_pair(columns) or numbered(columns, records, settings) or listed(columns, settings)
    sides = sides or named_pair(columns, BETTER_BY_TRUTH, WORSE_BY_TRUTH)
    if sides is None:
        prompt = prompt_column(columns, [])
        one = single(columns, prompt.split("+") if prompt else [], settings)
        if one and (one.scales or "label" in one.roles or settings.score):
            sides = Sides(one.roles, scales=one.scales, notes=one.notes)
    if sides is None:
        raise _unknown(columns)
    return sides


def _unknown(columns: Mapping[str, Column]) -> RowsError:
    texts = [column.name for column in columns.values() if column.kind in TEXT]
    texts.sort(key=lambda name: (not long_text(columns[name]), not set(columns[name].words) & set(RESPONSE)))
    whole = [name for name in texts if columns[name].words[-1:] == ("transcript",)]
    if whole:
        return RowsError(f"no pairs: `{whole[0]}` is a whole conversation a row, and nothing is compared with it")
    prompt = prompt_column(columns, []) or likely_prompt(columns, []) or (texts[-1] if len(texts) > 2 else "COLUMN")
    roles = {side: name for name in texts if (side := side_of(columns[name].words)[0])}
    left = iter([*(name for name in texts if name not in (prompt, *roles.values())), "COLUMN", "COLUMN"])
    missing = " or ".join(f"`{side}`" for side in ("chosen", "rejected") if side not in roles) or "of responses"
    flags = ",".join(f"{side}={roles.get(side) or next(left)}" for side in ("chosen", "rejected"))
    return RowsError(
        f"no column {missing}, nor another layout of preference rows; columns here: {_listed(columns)}; say which is "
        f"which, e.g. `--map prompt={prompt},{flags}`"
    )


def _listed(columns: Mapping[str, Column]) -> str:
    """The first columns' names, on one line."""
    names = list(columns)
    line = " ".join(", ".join(names[:MOST_LISTED]).split())
    return (line or "none") + (f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else "")


def _complete(
    given: RowMap,
    sides: Sides,
    columns: Mapping[str, Column],
    records: Sequence[Mapping[str, Any]],
    settings: RowSettings,
) -> FileReading:
    """The reading: the sides with their prompt, authors and scores, how texts are taken apart, and notes."""
    roles = dict(sides.roles)
    taken = [part for name in roles.values() for part in name.split("+")]
    asked = {"hh": "prompt" if "prompt" in columns else None, "implicit": None}
    prompt = asked[settings.format] if settings.format in asked else prompt_column(columns, taken)
    if prompt is not None:
        roles.setdefault("prompt", prompt)
    roles |= _beside_sides(columns, [*taken, *roles.get("prompt", "").split("+")])
    roles |= given.named()
    layout = _layout(roles, columns, given.layout)
    reading = FileReading(layout, RowMap.of({role: name for role, name in roles.items() if role != "layout"}))
    reading = _styled(reading, columns, records, settings)
    reading = _with_winner(reading, sides, columns, records, settings)
    reading = _with_score(reading, sides, columns, settings)
    reading = replace(reading, tools=next((name for name in ("tools", "input.tools") if name in columns), "tools"))
    reading = without_media(reading, columns, records)
    notes = (*sides.notes, *reading.notes, *notes_of(reading, columns))
    name = format_of(reading, records) if settings.format == "auto" else settings.format
    return replace(reading, format=name, notes=notes, unread=unread_of(reading, columns, records))


def _layout(roles: Mapping[str, str], columns: Mapping[str, Column], given: str | None) -> str:
    if given:
        return given
    if "chosen" in roles:
        lists = [columns[name].kind for name in (roles["chosen"], roles["rejected"]) if name in columns]
        return "ranking" if any(kind in ("texts", "lists") for kind in lists) else "pairs"
    if "responses" in roles:
        return "ranking"
    if "response_a" in roles:
        return "winner"
    return "unpaired" if "label" in roles else "pointwise"


def _beside_sides(columns: Mapping[str, Column], taken: Sequence[str]) -> dict[str, str]:
    """System turn, history, authors, scores and voters, by their names."""
    roles: dict[str, str] = {}
    for column in columns.values():
        side, rest = side_of(column.words)
        if column.name in taken:
            continue
        if column.kind in ("text", "none") and is_only(column.words, SYSTEM, ("prompt", "message", "instruction")):
            roles.setdefault("system", column.name)
        elif column.words == HISTORY and column.kind in (*LISTED, *TEXT) and any(taken):
            roles.setdefault("history", column.name)
        elif side and column.kind in ("text", "numeral") and rest and is_only(rest, MODEL, ("name", "id")):
            roles.setdefault(f"{side}_model", column.name)
        elif side and column.kind in NUMERIC and rest and is_only(rest, SCORE, (*FILLER, "avg", "overall", "mean")):
            if not set(rest) & set(RANK):
                roles.setdefault(f"{side}_score", column.name)
        elif is_only(column.words, VOTER, ("id", "name", "hash")) and len({str(value) for value in column.filled}) > 1:
            roles.setdefault("vote", column.name)
        elif column.kind in ("dicts", "numbers") and any(word in VOTES for word in column.words):
            inner = _vote_inside(column)
            if inner:
                roles.setdefault("vote", inner)
    return roles


def _vote_inside(column: Column) -> str | None:
    """The path of the single preferences that a list of judgements holds."""
    if column.kind == "numbers":
        return None
    items = [item for value in column.filled if isinstance(value, list) for item in value if isinstance(item, dict)]
    inner = [
        one for one in columns_of(items).values() if one.kind == "number" and set(one.words) & {"score", "preference"}
    ]
    return f"{column.name}.{inner[0].name}" if inner else None


def _styled(
    reading: FileReading, columns: Mapping[str, Column], records: Sequence[Mapping[str, Any]], settings: RowSettings
) -> FileReading:
    """Whether texts are transcripts, or begin with a prompt that no column holds."""
    roles = reading.roles
    names = [
        name for name in (roles.chosen, roles.rejected, roles.response_a, roles.response_b, roles.response) if name
    ]
    texts = [value for name in names for value in map(getter(name), records) if kind_of(value) == "text"]
    if settings.format == "hh":
        return replace(reading, style=HH)
    style = _style(texts)
    values = [value for name in names for value in map(getter(name), records) if kind_of(value) != "none"]
    plain = settings.format == "auto" and bool(texts) and len(texts) > MOSTLY * len(values)
    opens = not plain and 2 * sum(map(opens_conversation, values)) > len(values)
    alone = style is None and roles.prompt is None and settings.format == "auto" and not opens
    if alone and (prompt := likely_prompt(columns, [*names, *(roles.responses or "").split("+")])):
        roles = roles.model_copy(update={"prompt": prompt})
        reading = replace(reading, roles=roles, notes=(*reading.notes, f"`{prompt}` is read as the prompt"))
    if style is None and roles.prompt and settings.format == "auto":
        asked = [value for value in map(getter(roles.prompt), records) if kind_of(value) == "text"]
        style = _style(asked) or _style(asked, asks)
    if style is not None and settings.format == "auto":
        return replace(reading, style=style)
    if roles.prompt or not plain:
        return reading
    if len(names) != 2 or not _common_starts(names, records):
        raise RowsError(
            f"{' and '.join(f'`{name}`' for name in names)} are plain text, there is no `prompt` column, and they have "
            "no common start, so nothing says where the prompt ends; name its column with `--map prompt=COLUMN`"
        )
    note = "no prompt column: the words that both texts start with are the prompt, as in TRL"
    return replace(reading, cut=True, notes=(*reading.notes, note))


def _common_starts(names: Sequence[str], records: Sequence[Mapping[str, Any]]) -> bool:
    pairs = [tuple(getter(name)(values) for name in names) for values in records]
    texts = [(ours, theirs) for ours, theirs in pairs if isinstance(ours, str) and isinstance(theirs, str)]
    common = sum(ours.split()[:2] == theirs.split()[:2] and bool(ours.split()) for ours, theirs in texts)
    return 2 * common > len(texts)


def _style(texts: Sequence[str], fits: Callable[[str, Style], bool] = is_in) -> Style | None:
    """The style that nearly all texts are transcripts in."""
    first = next((style for text in texts[:FEW] if (style := style_of(text, fits))), None)
    return first if first and sum(fits(text, first) for text in texts) >= MOSTLY * len(texts) else None


def _with_winner(
    reading: FileReading,
    sides: Sides,
    columns: Mapping[str, Column],
    records: Sequence[Mapping[str, Any]],
    settings: RowSettings,
) -> FileReading:
    """The winner column that is asked for, or the only one; several are rivals until they are found to agree."""
    if reading.layout not in ("winner", "ranking") or reading.roles.scores or reading.roles.chosen:
        return replace(reading, rivals=sides.winners if sides.rated else ())
    winners = sides.winners
    if settings.label is not None and not any(winner.column == settings.label for winner in winners):
        winners = (_given_winner({**reading.roles.named(), "winner": settings.label}, columns, records),)
    winners = tuple(winner for winner in winners if settings.label in (None, winner.column))
    if not winners and sides.unclear:
        raise unclear_winner(sides.unclear[0], columns)
    if not winners:
        names = [name for name in (reading.roles.response_a, reading.roles.response_b) if name]
        raise RowsError(
            f"two responses ({', '.join(names)}) and no column that says which is better; columns here: "
            f"{_listed(columns)}; name it with `--map response_a={names[0]},response_b={names[-1]},winner=COLUMN`"
        )
    first = winners[0]
    note = f"`{first.column}` {first.meaning}"
    roles = reading.roles.model_copy(update={"winner": first.column})
    return replace(reading, roles=roles, winner=first, rivals=winners[1:], notes=(*reading.notes, note))


def _with_score(
    reading: FileReading, sides: Sides, columns: Mapping[str, Column], settings: RowSettings
) -> FileReading:
    """The scale of pointwise ratings, which the user has to name."""
    if reading.layout != "pointwise":
        return reading
    name = settings.score or reading.roles.score
    asked = columns.get(reading.roles.prompt or "")
    prompts = [repr(value) for value in (asked.values if asked else [])]
    if name is None and len(set(prompts)) == len(prompts):
        what = "transcripts" if reading.style else "responses"
        raise RowsError(f"{what} with ratings ({', '.join(sides.scales[:6])}), no pairs: no prompt has two responses")
    if name is None:
        ordered = sorted(sides.scales, key=lambda scale: bool(set(words_of(scale)) & set(LENGTH)))
        rows = shlex.quote(settings.rows)
        scales = " or ".join(f"`--score {scale}`" + _warning(scale) for scale in ordered[:8])
        raise RowsError(
            "pointwise ratings, one response a row; to pair the responses to one prompt, name the scale with one of "
            f"{scales}, e.g. `anatomy check {rows} --score {ordered[0]}`"
        )
    if name not in columns:
        raise RowsError(f"--score: no column `{name}`{nearest(name, list(sides.scales) or list(columns))}")
    notes = [f"pointwise ratings: responses to one prompt are paired by `{name}`"]
    if _warning(name):
        notes.append(f"`{name}` says how much is said, not how good it is")
    roles = reading.roles.model_copy(update={"score": name})
    return replace(reading, roles=roles, notes=(*reading.notes, *notes))


def _warning(scale: str) -> str:
    """A warning of a scale that is none of quality."""
    return " (how much is said, not how good it is)" if set(words_of(scale)) & set(LENGTH) else ""
