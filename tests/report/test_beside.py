"""Parts beside the page: what does not fit its budget is loaded from files, and the page stays within it."""

import shutil

import pytest
from test_page import Opened

from anatomy import artifacts
from anatomy.report import page
from anatomy.workflows.null import null
from anatomy.workflows.report import report


@pytest.fixture
def split(audited, tmp_path, monkeypatch):
    """The audited run with a page that holds little more than its script."""
    run = tmp_path / "run"
    shutil.copytree(audited, run)
    shutil.rmtree(run / artifacts.REPORT)
    monkeypatch.setattr(page, "EVIDENCE_ROWS", 5)
    opened = len((audited / artifacts.REPORT / artifacts.REPORT_PAGE).read_bytes())
    budget = int(opened * 0.6)
    monkeypatch.setattr(page, "BUDGET", budget)
    monkeypatch.setattr(page, "TEXT_SHARE", 0)
    report(run)
    return run, budget


def test_the_page_keeps_its_budget_and_reads_the_rest_from_files(split, browser):
    run, budget = split
    report = run / artifacts.REPORT
    assert (report / artifacts.REPORT_PAGE).stat().st_size <= budget
    assert (report / "rows-0000.js").is_file()
    opened = Opened(browser, run)
    opened.go("view=rows&row=100&mode=plain").wait_for_selector(".pair .text")
    opened.page.get_by_label("texts").fill("needleword")
    opened.wait("/^1 row of 120/.test(document.querySelector('.left > .note').textContent)")
    assert opened.faults == []
    opened.context.close()


def test_a_page_without_its_files_says_so(split, browser):
    run, _ = split
    for path in (run / artifacts.REPORT).glob("rows-*.js"):
        path.unlink()
    opened = Opened(browser, run)
    opened.go("view=rows&row=100")
    opened.wait("/rows-0000.js is not beside this page/.test(document.querySelector('.reader').textContent)")
    opened.context.close()


def test_files_of_an_earlier_report_are_removed(split):
    run, _ = split
    (run / artifacts.REPORT / "rows-0009.js").write_text("old")
    (run / artifacts.REPORT / artifacts.REPORT_PAGE).unlink()
    report(run)
    assert not (run / artifacts.REPORT / "rows-0009.js").exists()


def test_an_unchanged_report_is_not_written_again_and_a_null_check_makes_it_new(audited, tmp_path, capfd):
    run = tmp_path / "run"
    shutil.copytree(audited, run)
    path = report(run)
    assert "report: unchanged" in capfd.readouterr().err
    assert "Not run: whether" not in path.read_text().split('id="part-main">')[1].split("</script>")[0]
    null(run, repetitions=2, seed=0)
    report(run)
    assert "unchanged" not in capfd.readouterr().err
    assert '"false_positive_rate"' in path.read_text()
