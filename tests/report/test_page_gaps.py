"""The page of a run that lacks figures: nothing is drawn for them, and nothing is claimed."""

import json

import pytest
from support.page_run import IMAGE, Opened

from anatomy import artifacts
from anatomy.report.packing import to_json

UNKNOWN_RULE = {"rule": "longer wins", "accuracy": None, "low": None, "high": None, "decided": 0.0}
UNTESTED = {"tested": 0, "repetitions": 5, "false_positive_rate": None, "low": None, "high": None, "discoveries": 0.0}


@pytest.fixture
def lacking(audited, browser, tmp_path):
    """Opens the page of the audited run with some fields of its main document replaced."""
    pages = []

    def make(**parts):
        text = (audited / artifacts.REPORT / artifacts.REPORT_PAGE).read_text()
        before, rest = text.split('id="part-main">')
        document, after = rest.split("</script>", 1)
        main = {**json.loads(document), **parts}
        folder = tmp_path / artifacts.REPORT
        folder.mkdir(exist_ok=True)
        (folder / artifacts.REPORT_PAGE).write_text(f'{before}id="part-main">{to_json(main)}</script>{after}')
        pages.append(Opened(browser, tmp_path))
        return pages[-1]

    yield make
    for page in pages:
        assert page.faults == []
        page.context.close()


def main_of(audited):
    text = (audited / artifacts.REPORT / artifacts.REPORT_PAGE).read_text()
    return json.loads(text.split('id="part-main">')[1].split("</script>")[0])


def test_parts_of_data_health_that_were_not_measured_leave_no_trace(lacking, audited):
    absent = {"flags": {}, "lengths": {}, "sources": {}, "models": {}, "prompts": None}
    absent |= {"content": None, "languages": None, "groups": None}
    page = lacking(health={**main_of(audited)["health"], **absent}).go("view=data")
    page.wait_for_selector("main h2")
    assert page.locator("main").evaluate("box => [...box.childNodes].filter(node => node.nodeType === 3).length") == 0


def test_content_languages_and_groups_are_shown_by_side(lacking, audited):
    unknown = {"value": None, "low": None, "high": None}
    share, example = {"value": 0.8, "low": 0.6, "high": 0.9}, {"index": 4, "side": "chosen", "excerpt": IMAGE}
    check = {"chosen": share, "rejected": share, "difference": share, "wins": share, "examples": [example]}
    counts = {"rows": 30, "retained": 28, "identical": 2, "ties": 0}
    lengths = {"mean_characters": {"chosen": 90.0, "rejected": 40.0}, "longer_wins": share}
    rows = {**counts, **lengths, "models": {IMAGE: {"chosen": 1, "rejected": 2}}}
    none = {**rows, "retained": 0, "longer_wins": unknown, "models": {}}
    mixed = {"count": 1, "examples": [{"index": 3, "excerpt": IMAGE}]}
    parts = {
        "content": {
            "sampled": 20,
            "checks": {"loop": {**check, "wins": unknown}, "refusal": check},
            "absent": ["link"],
        },
        "languages": {"sampled": 20, "chosen": {"en": 20}, "rejected": {"en": 15, "zh": 5}, "mixed": mixed},
        "groups": {"columns": {"domain": {"values": {IMAGE: rows, "b": none}}}, "refused": {"id": "too many values"}},
    }
    page = lacking(health={**main_of(audited)["health"], **parts}).go("view=data")
    page.wait_for_selector("main h2")
    text = page.locator("main").inner_text()
    for shown in ("a random sample of 20 rows", "In no response: link.", "1 pair of two languages", "By domain",
                  "Not grouped by id: too many values.", "60 % to 90 %"):  # fmt: skip
        assert shown in text
    assert page.locator("main b, main img").count() == 0


def test_a_rule_that_decides_no_pair_has_no_picture(lacking, audited):
    page = lacking(health={**main_of(audited)["health"], "baselines": {"longer wins": UNKNOWN_RULE}}).go("view=data")
    row = page.locator("main section").first.locator("tbody tr")
    assert row.locator("td").nth(1).inner_text() == "?"
    assert row.locator("svg").count() == 0


def test_a_null_check_without_a_test_is_not_called_cautious(lacking):
    page = lacking(null={"global": UNTESTED}).go("view=sae")
    row = page.locator("main section", has_text="Null check").locator("tbody tr")
    assert "nothing to test" in row.inner_text()
    assert "cautious" not in row.inner_text()
