"""A stage runs again for what it declares, and for nothing else."""

from dataclasses import replace

import pytest

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from anatomy.stages.audit_stages import perform
from anatomy.stages.stage import Audit, Stage

MODEL = {"fingerprint": "a"}


@pytest.fixture
def audit(tmp_path):
    settings = AuditSettings(rows="demo")
    with Run.open(tmp_path / "run") as run:
        yield Audit(run, settings, ModelBundle(settings))


@pytest.fixture
def stages(audit, monkeypatch):
    """``rows`` writes the last digit of the seed; ``harvest`` reads the rows, tau, notes and the model."""
    monkeypatch.setitem(MODEL, "fingerprint", "a")

    def rows(work):
        artifacts.write_text(audit.run.file(artifacts.ROWS), str(work.settings.seed % 10))

    def harvest(work):
        audit.run.file(artifacts.FEATURES).mkdir(exist_ok=True)

    return (
        Stage("rows", rows, (artifacts.ROWS,), settings=frozenset({"seed"})),
        Stage(
            "harvest",
            harvest,
            (artifacts.FEATURES,),
            inputs=(artifacts.ROWS,),
            optional=("note*.txt",),
            settings=frozenset({"tau"}),
            computed=lambda _: dict(MODEL),
        ),
    )


def ran(audit, stages, **changes):
    """Names of the stages whose work was done, with some settings changed."""
    done = []

    def counted(stage):
        return replace(stage, work=lambda work: done.append(stage.name) or stage.work(work))

    changed = replace(audit, settings=audit.settings.model_copy(update=changes))
    perform(changed, *map(counted, stages))
    return done


def test_settings_and_contents_decide(audit, stages):
    assert ran(audit, stages) == ["rows", "harvest"]
    assert ran(audit, stages, min_rows=50) == []
    assert ran(audit, stages, tau=0.2) == ["harvest"]
    assert ran(audit, stages, tau=0.2, seed=10) == ["rows"]  # the same content: what reads it stands
    assert ran(audit, stages, tau=0.2, seed=11) == ["rows", "harvest"]


def test_a_file_that_may_be_there_and_a_computed_fact_decide(audit, stages):
    ran(audit, stages)
    artifacts.write_text(audit.run.file("note-1.txt"), "new")
    assert ran(audit, stages) == ["harvest"]
    MODEL["fingerprint"] = "b"
    assert ran(audit, stages) == ["harvest"]
    assert ran(audit, stages) == []


def test_what_is_read_must_be_complete(audit, stages):
    with pytest.raises(RunError, match="`rows` is not complete"):
        perform(audit, stages[1])
