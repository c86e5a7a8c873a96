"""The page's data is what its types say, and the schema that the page's own types are made from is current."""

import json
import re

import pytest
from pydantic import TypeAdapter
from support.planted_arms import plant

from anatomy import artifacts
from anatomy.report.payload import validations
from anatomy.report.payload_types import SCHEMA, PagePayload, payload_schema
from anatomy.runs.run import Run
from anatomy.validation.validated import OTHER

ELEMENT = re.compile(r'<script type="application/json" id="part-([^"]+)">(.*?)</script>', re.DOTALL)


@pytest.fixture(scope="module")
def payload(audited):
    """Every part of a real page, under the name of its kind."""
    page = (audited / artifacts.REPORT / artifacts.REPORT_PAGE).read_text()
    return {re.sub("-.*", "", name): json.loads(text) for name, text in ELEMENT.findall(page)}


def test_a_real_page_holds_what_the_types_say(payload):
    assert set(payload) == {"main", "columns", "ids", "tests", "features", "contexts", "signal", "rows", "tokens"}
    assert TypeAdapter(PagePayload).validate_python(payload)
    assert payload["main"]["clusters"]["R1"]["at"]
    assert payload["main"]["clusters"]["bold"]["detector"] == "text"


def test_a_key_that_the_types_do_not_know_is_refused(payload):
    main = {**payload["main"], "surplus": 1}
    with pytest.raises(ValueError, match="surplus"):
        TypeAdapter(PagePayload).validate_python({**payload, "main": main})


def test_the_schema_file_is_current():
    """Else: python -m anatomy.report.payload_types."""
    assert SCHEMA.read_text() == payload_schema()


def test_a_validation_that_cannot_be_read_says_why(tmp_path):
    artifacts.write_json(tmp_path / "old" / artifacts.VALIDATION, {"figures": {}})
    plant(tmp_path / "torn", {("concept", "bold"): 0.1}, None, agreements={"mean": {}})
    (tmp_path / "torn" / artifacts.SHIFTS).write_bytes(b"no table")
    artifacts.record_outputs(tmp_path / "torn", [artifacts.SHIFTS])
    artifacts.record_outputs(tmp_path / "old", [])
    plant(tmp_path / "whole", {("concept", "bold"): 0.1}, None)
    old, torn, whole = validations(tmp_path, {})
    assert "validation without a schema version" in old["document"]["cannot be read"]
    assert "Parquet" in torn["document"]["cannot be read"]
    assert whole["document"].data == "planted"


def test_a_validation_of_other_clusters_is_not_shown(tmp_path):
    """The run was clustered again: what to do is said in one line, and the shifts are not on the page."""
    for name, clusters in (("now", {"clusters": "now"}), ("before", {"clusters": "before"})):
        plant(tmp_path / name, {("concept", "bold"): 0.1}, None, about=clusters)
    before, now = validations(tmp_path, {"clusters": "now"})
    assert list(before["document"].values()) == [OTHER]
    assert "run `anatomy validate` again" in OTHER
    assert before["shifts"] == []
    assert now["document"].data == "planted"


def test_labels_of_other_clusters_are_not_shown(audited):
    run = Run.at(audited)
    assert run.words
    labels = run.manifest.stages["labels"].model_copy(update={"status": "stale"})
    run.manifest = run.manifest.model_copy(update={"stages": {**run.manifest.stages, "labels": labels}})
    assert run.words == {}
