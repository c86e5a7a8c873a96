"""Order and invalidation of stages follow from what they declare."""

from anatomy.settings import AuditSettings
from anatomy.stages.audit_stages import DECLARED, MAKER, STAGES, dependents
from anatomy.stages.hypotheses_stage import HYPOTHESES_STAGE
from anatomy.stages.labels_stage import LABELS_STAGE
from anatomy.stages.own_stage import OWN_STAGE


def test_a_stage_stands_behind_those_whose_outputs_it_reads():
    names = [stage.name for stage in STAGES]
    assert sorted(names) == sorted(stage.name for stage in DECLARED)
    for stage in STAGES:
        for name in (*stage.inputs, *stage.optional):
            if name in MAKER:
                assert names.index(MAKER[name].name) < names.index(stage.name), (stage.name, name)


def test_what_must_be_there_is_made_by_a_stage_and_once():
    outputs = [name for stage in DECLARED for name in stage.outputs]
    assert len(outputs) == len(set(outputs))
    assert {name for stage in DECLARED for name in stage.inputs} <= set(outputs)


def test_settings_are_fields_of_an_audit():
    assert {name for stage in DECLARED for name in stage.settings} <= set(AuditSettings.model_fields)


def test_only_what_reads_a_stage_depends_on_it():
    shown = ["summary", "tokens", "scored_tokens", "report"]
    assert [stage.name for stage in dependents(HYPOTHESES_STAGE)] == shown  # labels are made of clusters
    assert [stage.name for stage in dependents(LABELS_STAGE)] == shown
    assert [stage.name for stage in dependents(OWN_STAGE)] == shown
