"""The page's data is what its types say, and the schema that the page's own types are made from is current."""

import json
import re

import pytest
from pydantic import TypeAdapter
from support.planted_arms import plant

from anatomy import artifacts
from anatomy.report.payload import validations
from anatomy.report.payload_types import SCHEMA, PagePayload, payload_schema

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
    plant(tmp_path / "whole", {("concept", "bold"): 0.1}, None)
    old, torn, whole = validations(tmp_path)
    assert "validation without a schema version" in old["document"]["cannot be read"]
    assert "Parquet" in torn["document"]["cannot be read"]
    assert whole["document"].data == "planted"
