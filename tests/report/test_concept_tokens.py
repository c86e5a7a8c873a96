"""Tokens coloured by a named concept, in a real browser: which ones, the way there, links, runs that kept no scores."""

import re
import shutil

import pytest
from support import page_run
from support.edited_run import accept
from support.page_run import Opened
from support.run_flags import flags_for

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.workflows import audit as workflow
from anatomy.workflows.report import report

HOT = "[...document.querySelectorAll('.side.%s .hot')].map((node) => node.textContent)"


@pytest.fixture(scope="module")
def kept(audited):
    """Rows whose tokens were scored, other than the one whose text is hostile."""
    rows = artifacts.read_table(audited / artifacts.SCORED_TOKENS)["row"].to_pylist()
    return [row for row in rows if row != 5]


@pytest.fixture
def copied(audited, tmp_path):
    return shutil.copytree(audited, tmp_path / "run")


def coloured(opened, side):
    return opened.page.evaluate(HOT % side)


def bold_words(row):
    """The marked words of a row's chosen response, with their marks."""
    return re.findall(r"\*\*\w+\*\*", page_run.rows()[row]["chosen"][0]["content"])


def test_a_concept_colours_the_tokens_of_the_bold_words_alone(opened, kept):
    row = kept[0]
    page = opened.go(f"view=rows&row={row}&mode=tokens&color=bold")
    page.wait_for_selector(".side.chosen .hot")
    assert "".join(coloured(opened, "chosen")) == "".join(bold_words(row))
    assert len(bold_words(row)) == 3
    assert coloured(opened, "rejected") == []
    assert page.locator(".side.chosen .text").inner_text() == page_run.rows()[row]["chosen"][0]["content"]
    assert set(page.evaluate("[...document.querySelectorAll('.hot')].map((node) => node.title)")) == {
        "its text rule matches here"
    }
    assert "what its text rule matches" in page.locator(".controls").inner_text()
    page.locator(".side.chosen .hot").first.click()
    page.wait_for_selector(".peaks a")  # features that peak there can be asked for as before


def test_a_link_restores_the_colours(opened, browser, audited, kept):
    page = opened.go(f"view=rows&row={kept[1]}")
    page.wait_for_selector(".chips")
    page.keyboard.press("c")
    page.get_by_label("coloured by").select_option("bold")
    page.wait_for_selector(".controls :text('text rule')")
    state = [coloured(opened, side) for side in ("chosen", "rejected")]
    assert "".join(state[0]) == "".join(bold_words(kept[1]))
    assert "color=bold" in page.url
    other = Opened(browser, audited)
    other.page.goto(page.url)
    other.page.wait_for_selector(".controls :text('text rule')")
    assert [coloured(other, side) for side in ("chosen", "rejected")] == state
    assert other.page.get_by_label("coloured by").input_value() == "bold"
    other.context.close()


def test_a_concepts_card_and_a_chip_lead_to_its_tokens(opened, kept):
    page = opened.go("view=global&cluster=bold")
    page.wait_for_selector(".exemplars a")
    page.locator(".exemplars a").first.click()
    page.wait_for_selector("main[data-view=rows] .side.chosen .hot")
    assert "color=bold" in page.url
    row = next(row for row in kept if _chip(opened, row))
    opened.go(f"view=rows&row={row}&mode=diff")
    page.locator(".chip", has_text="bold").click()
    page.wait_for_selector(".side.chosen .hot")
    assert "".join(coloured(opened, "chosen")) == "".join(bold_words(row))


def _chip(opened, row):
    """Whether the sides of the row differ most in boldness, among others."""
    page = opened.go(f"view=rows&row={row}&mode=diff")
    page.wait_for_selector(f"h2:text-is('Row {row + 1}')")
    return opened.count(".chip:has-text('bold')")


def test_a_detector_with_a_threshold_colours_from_there_and_tells_its_scores(browser, copied, kept):
    """bold made a detector of block 1 with threshold 2: the first token of the chosen side scores 2, the last 5."""
    table = artifacts.read_table(copied / artifacts.SCORED_TOKENS)
    lines = [line for line in table.to_pylist() if line["row"] == kept[0]]
    count = len(lines[0]["chosen"])
    lines[0] |= {"chosen": [2.0, *[1.99] * (count - 3), 3.5, 5.0], "rejected": [-7.0] * len(lines[0]["rejected"])}
    artifacts.write_table(copied / artifacts.SCORED_TOKENS, type(table).from_pylist(lines, table.schema))
    labels = artifacts.read_json(copied / artifacts.LABELS)
    labels["response"]["bold"] |= {"detector": "linear", "layer": 1, "threshold": 2.0}
    artifacts.write_json(copied / artifacts.LABELS, artifacts.with_checksum(labels))
    accept(copied)
    report(copied)
    opened = Opened(browser, copied)
    page = opened.go(f"view=rows&row={kept[0]}&color=bold")
    page.wait_for_selector(".side.chosen .hot")
    marked = "[...document.querySelectorAll('.side.chosen .hot')].map((node) => [node.title, node.style.cssText])"
    assert page.evaluate(marked) == [
        ["score 2.00; its threshold is 2.00", "--heat: 0.15;"],
        ["score 3.50; its threshold is 2.00", "--heat: 0.58;"],
        ["score 5.00; its threshold is 2.00", "--heat: 1.00;"],
    ]
    assert "its threshold 2.00; full at 5.00" in page.locator(".controls").inner_text()
    assert opened.count(".side.rejected .hot") == 0
    assert opened.faults == []
    opened.context.close()


def test_a_run_that_kept_no_token_scores_says_so(browser, copied, kept):
    (copied / artifacts.SCORED_TOKENS).unlink()
    accept(copied)
    report(copied)
    opened = Opened(browser, copied)
    page = opened.go(f"view=rows&row={kept[0]}&cluster=bold")
    page.wait_for_selector("mark.only")  # as it was before: differences
    page.keyboard.press("c")
    page.wait_for_selector(".controls :text('not kept for this row')")
    assert opened.count(".hot") == 0
    opened.go(f"view=rows&row={kept[0]}&mode=tokens&color=R1")
    page.wait_for_selector(".pair .hot")
    assert opened.faults == []
    opened.context.close()


def test_token_scores_outlive_a_new_analysis_and_change_with_the_concepts(audited, copied, capfd):
    path, before = copied / artifacts.SCORED_TOKENS, (audited / artifacts.SCORED_TOKENS).read_bytes()
    assert main(["hypotheses", str(copied), *flags_for(copied, "model"), "--tau", "0.2", "--min-features", "2"]) == 0
    assert path.read_bytes() == before  # no detector at hand: what was read stays
    capfd.readouterr()
    audit(copied, "bold,length")
    messages = capfd.readouterr().err
    assert "harvest: unchanged" in messages
    assert "cluster: unchanged" in messages
    found = artifacts.read_table(path)
    assert set(found["concept"].to_pylist()) == {"bold", "length"}
    assert set(found["row"].to_pylist()) == set(artifacts.read_table(copied / artifacts.TOKENS)["row"].to_pylist())
    audit(copied, "bold,length")
    assert "scored_tokens: unchanged" in capfd.readouterr().err
    audit(copied, "none")
    assert not path.exists()


def audit(run, concepts):
    """The audit of the run again, with other concepts."""
    settings = artifacts.read_json(run / artifacts.MANIFEST)["settings"]
    workflow.audit(**{**settings, "concepts": concepts}, out=run)
