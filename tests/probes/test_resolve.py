"""Which concepts an audit tests: all with a rule on text, those that are named, or none; rules need no model."""

import pytest
import yaml

from anatomy.concepts.concept import load_library
from anatomy.errors import ProbeError
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from probes.resolve import resolve

BUNDLE = ModelBundle(AuditSettings(rows="nothing-is-loaded"))


def test_without_names_every_concept_with_a_rule_is_tested():
    found = {scorer.concept for scorer in resolve(None, BUNDLE)}
    assert found == {concept.id for concept in load_library().values() if concept.heuristic is not None}
    assert {"bold", "refusal", "hedging", "certainty", "praise"} <= found
    assert not {"sycophancy", "formality"} & found


def test_a_concept_of_the_users_with_a_rule_is_tested_too(tmp_path):
    own = load_library()["bold"].model_dump(mode="json") | {"id": "strong-words"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump([own]))
    assert "strong-words" in {scorer.concept for scorer in resolve(None, BUNDLE, tmp_path / "own.yaml")}


def test_none_is_no_concept_and_names_are_these():
    assert resolve("none", BUNDLE) == []
    assert [scorer.concept for scorer in resolve("bold, refusal", BUNDLE)] == ["bold", "refusal"]
    with pytest.raises(ProbeError, match="no text heuristic"):
        resolve("sycophancy", BUNDLE)
