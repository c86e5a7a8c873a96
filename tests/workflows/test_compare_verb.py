"""`anatomy compare` on small runs: the same run twice, labels turned around, another model, errors, the page."""

import json
import shutil
import socket

import pytest
from support import page_run

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.errors import RunError
from anatomy.statistics.differences import NO_CHANGE
from anatomy.workflows.compare import compare


@pytest.fixture(scope="module")
def flipped(audited, tmp_path_factory):
    """The same rows, harvested with their labels turned around, in a folder whose name tries to break out."""
    folder = tmp_path_factory.mktemp("flipped")
    rows = page_run.rows()
    for row in rows:
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = json.loads((audited / artifacts.MANIFEST).read_text())["settings"]
    bundle = [word for name in ("model", "sae", "device", "dtype") for word in (f"--{name}", settings[name])]
    assert main(["harvest", str(folder / "pairs.jsonl"), *bundle, "--out", str(folder / "<b>run")]) == 0
    return folder / "<b>run"


def record(out):
    return json.loads((out / artifacts.COMPARISON).read_text())


def test_a_run_beside_itself_differs_by_exactly_nothing(audited, tmp_path):
    text = str(compare(audited, audited, out=tmp_path))
    document = record(tmp_path)
    assert document["shared"] == {"rows": 120, "prompts": 120}
    assert {line["kind"] for line in document["differences"]} == {"cluster", "concept", "text rule"}
    for line in document["differences"]:
        assert (line["difference"], line["p"], line["change"]) == (0, None, NO_CHANGE)
    assert "No difference shown" in text
    assert "share 120 prompts and 120 whole rows" in text


def test_labels_turned_around_are_found_with_their_sign(audited, flipped, tmp_path):
    """The chosen side of A is bold, the rejected side of B: text rule, and the clusters that follow it."""
    text = str(compare(audited, flipped, out=tmp_path))
    document = record(tmp_path)
    assert document["shared"] == {"rows": 0, "prompts": 120}  # a turned row is another row of the same prompt
    lines = {line["id"]: line for line in document["differences"]}
    assert lines["bold"]["change"] == "changed sign"
    assert lines["bold"]["a"]["effect"] > 0 > lines["bold"]["b"]["effect"]
    clusters = [line for line in document["differences"] if line["kind"] == "cluster"]
    turned = [line for line in clusters if line["change"] == "changed sign"]
    assert turned
    for line in turned:
        assert line["a"]["effect"] * line["b"]["effect"] < 0
        assert line["difference"] * line["a"]["effect"] < 0
    assert "CHANGED SIGN" in text
    assert "Concept bold: scored in A only." in document["not_compared"]
    assert document["counts"]["changed sign"] == sum(line["change"] == "changed sign" for line in lines.values())


def test_clusters_effects_are_those_of_the_audit(audited, flipped, tmp_path):
    compare(audited, flipped, out=tmp_path)
    hypotheses = artifacts.read_table(audited / artifacts.HYPOTHESES).to_pylist()
    audit = {row["response"]: row for row in hypotheses if row["view"] == "global"}
    clusters = [line for line in record(tmp_path)["differences"] if line["kind"] == "cluster"]
    assert {line["id"] for line in clusters} == {name for name in audit if name[0] == "R"}
    for line in clusters:
        assert line["a"]["effect"] == pytest.approx(audit[line["id"]]["effect"], abs=1e-9)
        assert line["a"]["low"] == pytest.approx(audit[line["id"]]["effect_low"], abs=1e-9)


def test_other_models_share_names_only(audited, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(audited, other)
    manifest = json.loads((other / artifacts.MANIFEST).read_text())
    manifest["inputs"]["model"]["fingerprint"] = "another"
    artifacts.write_json(other / artifacts.MANIFEST, artifacts.with_checksum(manifest))
    compare(audited, other, out=tmp_path / "out")
    document = record(tmp_path / "out")
    assert {line["kind"] for line in document["differences"]} == {"concept", "text rule"}
    assert not document["clusters_compared"]
    assert "different models" in " ".join(document["not_compared"])


def test_a_run_without_what_is_needed_is_one_line(audited, flipped, tmp_path, capsys):
    with pytest.raises(RunError, match="cluster"):
        compare(flipped, audited, out=tmp_path)
    assert main(["compare", str(audited), str(tmp_path / "nothing")]) == 2
    message = capsys.readouterr().err.strip()
    assert "not a run directory" in message
    assert "\n" not in message
    assert not (tmp_path / artifacts.COMPARISON).exists()


def test_the_page_stands_alone_and_names_stay_text(audited, flipped, browser, tmp_path):
    assert main(["compare", str(audited), str(flipped), "--out", str(tmp_path)]) == 0
    page_file = tmp_path / artifacts.COMPARISON_PAGE
    assert page_file.stat().st_size < 200_000
    assert "<script" not in page_file.read_text()
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 860})
    page, faults, asked = context.new_page(), [], []
    page.on("console", lambda message: faults.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{page_file}")
    assert "changed sign" in page.locator("h1").inner_text()
    assert "<b>run" in page.locator("nav").inner_text()
    assert page.locator("main b").count() == 0
    assert page.locator("svg.pair-forest").count() == len(record(tmp_path)["differences"])
    address = page.locator("td.what a", has_text="R").first.get_attribute("href")
    page.goto(f"file://{page_file.parent / address}")
    page.wait_for_selector("html[data-ready]")
    assert faults == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    context.close()


def test_comparing_opens_no_connection_and_loads_no_model(audited, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a model or a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr("anatomy.activations.model.load_subject", refused)
    compare(audited, audited, out=tmp_path)
    assert record(tmp_path)["differences"]
