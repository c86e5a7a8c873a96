"""``anatomy ask`` and ``anatomy rows``: what a set with a planted preference says of texts, and of its own labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.planted_run import FLAGS, write_pairs
from support.run_flags import flags_for
from support.tiny import save_sae

import anatomy
from anatomy.cli.app import main
from anatomy.errors import RowsError, RunError, SettingsError
from anatomy.runs.run import Run

PROMPT = "Tell me about quick 41"
BOLD = "the **quick** **brown** fox **jumps** over a lazy dog"
PLAIN = "the quick brown fox jumps over a lazy dog"


def audited(folder: Path, model: Path, **shares: float) -> Path:
    sae = save_sae(folder / "sae", model)
    rows = write_pairs(folder / "pairs.jsonl", **shares)
    command = ["audit", str(rows), "--model", str(model), "--sae", str(sae), *FLAGS, "--out", str(folder / "run")]
    assert main(command) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model_dir) -> Path:
    """Chosen is bold in 80 % of the rows, rejected in 30 %; two rows a prompt."""
    return audited(tmp_path_factory.mktemp("taught"), tiny_model_dir("llama"))


@pytest.fixture(scope="module")
def silent(tmp_path_factory, tiny_model_dir) -> Path:
    """Both sides are bold in half of the rows."""
    folder = tmp_path_factory.mktemp("silent")
    return audited(folder, tiny_model_dir("llama"), bold_chosen=0.5, bold_rejected=0.5)


def loaded(run: Path) -> dict[str, str]:
    """Model and SAE of the run, as keywords."""
    words = flags_for(run, "model", "sae")
    return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}


def test_labels_against_the_planted_preference_look_wrong(run):
    """The chosen side is plain and the rejected one bold in all that stand first, and so the decisions say."""
    found = anatomy.doubtful_labels(run)
    assert found.agreement.low > 0.6
    assert found.agreement.p < 0.02
    assert (np.diff(found.rows.probability) >= 0).all()
    first = found.rows.head(8)
    assert (first.more_in == "rejected").all()
    assert first.rejected.str.contains("**", regex=False).all()
    assert not first.chosen.str.contains("**", regex=False).any()
    assert anatomy.open_run(run).doubtful_labels().equals(found.rows)


def test_doubtful_labels_are_written_as_decisions(run, tmp_path, capsys):
    out = tmp_path / "doubtful.jsonl"
    command = ["rows", str(run), "--label-looks-wrong", "--top", "3", "--out", str(out)]
    assert main(command) == 0
    assert "labels are predicted (50 % is chance" in capsys.readouterr().out
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row_id"] for line in lines] == list(anatomy.doubtful_labels(run).rows.row_id[:3])
    assert {line["decision"] for line in lines} == {"remove"}
    before = out.read_bytes()
    assert main(command) == 2
    assert out.read_bytes() == before


def test_no_label_looks_wrong_where_the_set_teaches_nothing(silent):
    found = anatomy.doubtful_labels(silent)
    assert found.agreement.low < 0.5 < found.agreement.high
    assert not len(found.rows)
    assert "no label can be said to look wrong" in str(found)


def test_rows_behind_a_concept(run, capsys):
    assert main(["rows", str(run), "bold", "--top", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "240 rows"
    assert len(lines) == 6
    assert "**" in lines[2].split("|")[0]
    assert "**" in lines[-1].split("|")[1]
    assert main(["rows", str(run), "R99"]) == 2
    assert main(["rows", str(run)]) == 2
    assert main(["rows", str(run), "bold", "--label-looks-wrong"]) == 2
    assert "name a cluster or a concept" in capsys.readouterr().err


def test_the_labels_push_towards_the_planted_behaviour(run):
    answer = anatomy.ask(run, prompt=PROMPT, behaviour=(BOLD, PLAIN), **loaded(run))
    push = answer.push
    assert push.low > 0
    assert push.win_rate_low > 0.5
    assert push.rows > 50
    assert answer.rows.chosen.str.contains("**", regex=False).sum() >= 6
    assert answer.rows.rejected.str.contains("**", regex=False).sum() <= 2
    concept = answer.differ.set_index("response").loc["bold"]
    assert concept.difference > 0 < concept.effect
    assert "The labels push towards BAD" in str(answer)
    turned = anatomy.ask(run, prompt=PROMPT, behaviour=(PLAIN, BOLD), **loaded(run))
    assert turned.push.effect == pytest.approx(-push.effect)
    assert turned.push.win_rate == pytest.approx(1 - push.win_rate)
    assert "The labels push towards GOOD" in str(turned)


def test_a_row_pushes_as_far_as_it_differs_in_the_same_way(run):
    """Asked about a row of the set itself: its own projection is the sum of its squared standardised signals."""
    with Run.read(run) as opened:
        u_NM = opened.signals.disparity.values_NM.astype(float)
        row = int(np.abs(u_NM).sum(axis=1).argmax())
        pair = list(opened.rows())[row].pair
    z_NM = u_NM / np.where((size_M := np.sqrt((u_NM**2).mean(axis=0))) > 0, size_M, 1)
    texts = (pair.chosen[-1]["content"], pair.rejected[-1]["content"])
    answer = anatomy.ask(run, prompt=pair.prompt[-1]["content"], behaviour=texts, top=240, **loaded(run))
    expected = z_NM @ z_NM[row] / np.sqrt(((z_NM @ z_NM[row]) ** 2).mean())
    assert np.allclose(np.sort(expected)[::-1], answer.rows.value, atol=1e-4)
    assert answer.push.effect == pytest.approx(expected.mean(), abs=1e-4)


def test_two_responses_that_differ_in_nothing(run):
    answer = anatomy.ask(run, prompt=PROMPT, behaviour=(PLAIN, PLAIN), **loaded(run))
    assert answer.push is None
    assert "differ in no cluster and no concept" in str(answer)


def test_where_labels_are_random_nothing_is_said(silent):
    answer = anatomy.ask(silent, prompt=PROMPT, behaviour=(BOLD, PLAIN), **loaded(silent))
    assert answer.push.low < 0 < answer.push.high
    assert "The labels say nothing sure" in str(answer)


def test_a_pair_is_asked_about_as_it_stands_in_its_file(run, tmp_path):
    path = tmp_path / "seen.json"
    path.write_text(json.dumps([{"instruction": PROMPT, "response_a": BOLD, "response_b": PLAIN, "winner": "a"}]))
    by_file = anatomy.ask(run, pair=path, **loaded(run))
    by_text = anatomy.ask(run, prompt=PROMPT, behaviour=(BOLD, PLAIN), **loaded(run))
    assert by_file.push == by_text.push


def test_a_prompt_alone_finds_its_like(run):
    answer = anatomy.ask(run, prompt=PROMPT, top=3, **loaded(run))
    assert answer.push is None
    assert answer.rows.prompt[0] == PROMPT
    assert answer.rows.value[0] == pytest.approx(1, abs=1e-3)
    assert answer.rows.prompt.is_unique


@pytest.mark.parametrize(
    ("asked", "error", "reason"),
    [
        ({}, SettingsError, "name what to ask about"),
        ({"prompt": "  "}, SettingsError, "name what to ask about"),
        ({"behaviour": (BOLD, PLAIN)}, SettingsError, "name what to ask about"),
        ({"prompt": PROMPT, "pair": "a.json"}, SettingsError, "brings its own prompt"),
        ({"prompt": PROMPT, "behaviour": ("", PLAIN)}, SettingsError, "no text that is read"),
        ({"pair": "nowhere.json"}, RowsError, "nowhere.json"),
    ],
)
def test_what_cannot_be_asked(run, asked, error, reason):
    with pytest.raises(error, match=reason):
        anatomy.ask(run, **asked, **loaded(run))


def test_a_run_without_tests_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run directory"):
        anatomy.ask(tmp_path, prompt=PROMPT)
