"""Section 8 with planted validations: which intervention took back what, in a real browser."""

import json
import re
import shutil

import pytest
from support.page_run import Opened
from support.planted_arms import SUPPRESS, plant, training

from anatomy import artifacts
from anatomy.workflows.report import report

HOSTILE = "<img src=x onerror='window.hacked = 1'>"
READ = {("concept", "bold"): 0.4, ("concept", "calm"): 0.0, ("global", "R1"): -0.4}
UNTRUSTED = {**SUPPRESS, "words": f"suppress bold: reward shaping 4 ({HOSTILE})"}


@pytest.fixture
def run(audited, tmp_path):
    """Plain DPO, a plan that halves what it did, and one without effect; capability of two of them."""
    run = shutil.copytree(audited, tmp_path / "run")
    clusters = artifacts.read_json(run / artifacts.MANIFEST)["stages"]["cluster"]["outputs"][artifacts.CLUSTERS]
    for seed, (name, factor, interventions) in enumerate(
        [("plain", 1, []), ("shaped", 0.5, [UNTRUSTED]), ("steered", 1, [SUPPRESS])]
    ):
        shifts = {place: factor * shift for place, shift in READ.items()}
        plant(run / artifacts.VALIDATIONS / name, shifts, training(interventions), seed, noise=0.1, clusters=clusters)
    for name, value in (("plain", 0.5), ("shaped", 0.375)):
        scores = {"arc": {"acc,none": value, "acc_stderr,none": 0.01}}
        artifacts.write_json(run / artifacts.VALIDATIONS / name / artifacts.CAPABILITY, {"results": scores})
    return run


def opened(run, browser):
    report(run)
    found = Opened(browser, run)
    found.go("view=shift").wait_for_selector(".arms table")
    return found


def test_interventions_stand_beside_each_other(run, browser):
    page = (found := opened(run, browser)).page
    assert "Interventions compared" in page.locator("h2").first.inner_text()
    lines = [line.inner_text() for line in page.locator(".arms").first.locator("tbody tr").all()]
    assert len(lines) == 4
    start, plain, shaped, steered = lines
    assert start.startswith("before training")
    assert plain.startswith("plain DPO")
    assert "50.0 %" in plain
    assert "37.5 %" in shaped
    assert HOSTILE in shaped
    assert "as asked" in shaped
    assert "not distinguishable" in steered
    on = page.locator(".arms tbody tr").nth(2).locator("td").nth(2).inner_text().replace("−", "-")
    value, low, high = map(float, re.search(r"(-?\d+) %\s+\[(-?\d+), (-?\d+)\]", on).groups())
    assert low < 50 < high
    assert low < value < high
    cells = {" ".join(cell.split()) for cell in page.locator(".arms td").all_inner_texts()}
    assert {"60 [60, 60]", "90 [90, 90]", "25.0 % [25.0, 25.0]", "50.0 % [48.0, 52.0]"} <= cells
    assert "Concepts not moved: calm" in page.locator("main").inner_text()
    assert found.count(".recovery g.arm") == 4  # bold and R1, of two arms; calm has no recovery
    titles = " ".join(page.locator(".recovery g.arm title").all_text_contents())
    assert "calm" not in titles
    assert page.locator("details.validation").count() == 3
    assert page.evaluate("window.hacked") is None
    assert found.faults == []
    found.context.close()


def test_a_number_over_fewer_seeds_than_the_arm_has_says_so(run, browser):
    """Plain DPO and capability are there for seed 0 only."""
    clusters = artifacts.read_json(run / artifacts.MANIFEST)["stages"]["cluster"]["outputs"][artifacts.CLUSTERS]
    shifts = {place: 0.5 * shift for place, shift in READ.items()}
    record = training([UNTRUSTED], 1)
    plant(run / artifacts.VALIDATIONS / "shaped-1", shifts, record, 3, noise=0.1, clusters=clusters)
    page = (found := opened(run, browser)).page
    cells = [line.locator("td").all_inner_texts() for line in page.locator(".arms").first.locator("tbody tr").all()]
    assert cells[2][1].split() == ["2", "with", "plain", "DPO:", "1"]
    assert cells[2][-1].endswith("seeds with scores: 1")
    assert cells[1][1] == cells[3][1] == "1"
    assert found.faults == []
    found.context.close()


def test_without_plain_dpo_the_page_says_what_to_train(run, browser):
    shutil.rmtree(run / artifacts.VALIDATIONS / "plain")
    page = (found := opened(run, browser)).page
    assert "No plain DPO is among them" in page.locator(".warning").first.inner_text()
    assert "no plain DPO on the same rows" in page.locator(".arms").first.inner_text()
    assert found.count(".recovery") == 0
    assert found.faults == []
    found.context.close()


def test_a_single_training_and_foreign_files_leave_the_report_as_it_was(run, browser):
    folder = run / artifacts.VALIDATIONS
    for name in ("shaped", "steered"):
        shutil.rmtree(folder / name)
    (folder / "plain" / "broken.json").write_text("{")
    (folder / "plain" / "bytes.json").write_bytes(b"\xff\xfe")
    (folder / "plain" / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    (folder / "plain" / "null.json").write_text("null")
    (folder / "plain" / "large.json").write_text(json.dumps(["x" * 100] * 10_000))
    (folder / "plain" / "shard" / "inner.json").parent.mkdir()
    (folder / "plain" / "shard" / "inner.json").write_text('{"inner": 1}')
    report(run)
    found = Opened(browser, run)
    page = found.go("view=shift")
    page.wait_for_selector("details.validation")
    assert found.count(".arms table") == 0
    for line in page.locator("details.validation > summary").all():
        line.click()
    text = page.locator("main").inner_text()
    assert text.count("cannot be read") == 3
    assert "too large" in text
    assert "inner" not in text
    assert found.faults == []
    found.context.close()
