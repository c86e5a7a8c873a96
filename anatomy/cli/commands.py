"""What each verb does: from parsed arguments to the function that does the work; heavy imports wait inside.

Every function takes the arguments and the flags of its settings (None where not given), and returns the exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anatomy.errors import AnatomyError

if TYPE_CHECKING:
    from anatomy.concepts.scorer import Scorer
    from anatomy.sae.model_bundle import ModelBundle
    from anatomy.settings import Settings


def settings_class(name: str) -> type[Settings]:
    """``Name`` of ``anatomy.settings``, or ``module:Name``."""
    module, _, kind = name.rpartition(":")
    found: type[Settings] = getattr(import_module(module or "anatomy.settings"), kind)
    return found


def load(arguments: argparse.Namespace, flags: dict[str, Any], **fixed: Any) -> Any:
    """The verb's settings from its flags and its YAML file; flags win."""
    from anatomy.settings import load_settings

    return load_settings(settings_class(arguments.reads), {**flags, **fixed}, arguments.settings)


def audit(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    settings = load(arguments, flags, rows=arguments.rows)
    out = arguments.out or verbs.default_run_dir(settings)
    if arguments.dry_run:
        print(verbs.dry_run(settings))
        return 0
    if settings.concepts is None:
        verbs.audit(settings, out)
    else:
        from probes.resolve import resolve

        verbs.audit(settings, out, lambda bundle: resolve(settings.concepts, bundle, settings.concepts_file))
    print(verbs.show(out, top=arguments.top))
    return 0


def check(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    print(verbs.check(load(arguments, flags, rows=arguments.rows), arguments.out))
    return 0


def harvest(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    settings = load(arguments, flags, rows=arguments.rows)
    verbs.harvest_only(settings, arguments.out or verbs.default_run_dir(settings))
    return 0


def cluster(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    verbs.rerun(arguments.run, _from_file(arguments, flags), until="cluster")
    return 0


def hypotheses(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    verbs.rerun(arguments.run, _from_file(arguments, flags), until="summary")
    print(verbs.show(arguments.run, top=arguments.top))
    return 0


def _from_file(arguments: argparse.Namespace, flags: dict[str, Any]) -> dict[str, Any]:
    """Validated values that were really given (flags or YAML), to lay over the settings of an existing run."""
    given = load(arguments, flags)
    return {name: getattr(given, name) for name in given.model_fields_set}


def null(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    print(verbs.null(arguments.run, arguments.repetitions, arguments.seed))
    return 0


def show(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    print(verbs.show(arguments.run, cluster=arguments.cluster, view=arguments.view, top=arguments.top))
    return 0


def report(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    print(verbs.report(arguments.run))
    return 0


def view(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.report.serve import serve
    from anatomy.workflows import audit as verbs

    serve(verbs.report(arguments.run).parent, arguments.port, not arguments.no_browser)
    return 0


def sae_train(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.runs.run import locked
    from anatomy.sae.train_sae import train_sae

    settings = load(arguments, flags)
    with locked(arguments.out):
        print(train_sae(settings, arguments.out))
    return 0


def sae_health(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import audit as verbs

    print(verbs.sae_health(load(arguments, flags, rows=arguments.rows), arguments.tokens))
    return 0


def compare(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows.compare import compare

    print(compare(arguments.run, Path(arguments.other), arguments.out))
    return 0


def name(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows.name import name

    print(name(arguments.run, load(arguments, flags), arguments.dry_run))
    return 0


def concepts_list(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows.concepts import list_concepts

    print(list_concepts(arguments.json, arguments.concepts_file))
    return 0


def concepts_show(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows.concepts import show_concept

    print(show_concept(arguments.concept, arguments.json, arguments.concepts_file))
    return 0


def probe_fit(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import probe_fit as verbs

    settings = load(arguments, flags, concept=arguments.concept)
    print(verbs.fit(settings, arguments.out or verbs.default_out(settings)))
    return 0


def probe_test(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import probe_fit as verbs

    print(verbs.test(Path(arguments.detector), load(arguments, flags)))
    return 0


def probe_score(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import probe_fit as verbs

    print(verbs.score(load(arguments, flags, rows=arguments.rows), arguments.out))
    return 0


def plan(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from interventions.plan.audited_plan import decisions, make_plan
    from interventions.plan.plan import save_plan, to_yaml

    if arguments.out.exists():
        raise AnatomyError(f"{arguments.out}: is there already, perhaps edited; choose another --out, or remove it")
    marked = decisions({mark: getattr(arguments, mark) for mark in ("suppress", "amplify", "remove", "keep")})
    plan = make_plan(arguments.run, marked, arguments.backend, arguments.strength, arguments.concepts_file)
    save_plan(arguments.out, plan)
    print(f"{to_yaml(plan)}\n{arguments.out}: read it, then see what it would do: `anatomy plan check {arguments.out}`")
    return 0


def plan_check(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    import tempfile

    from anatomy.sae.model_bundle import ModelBundle
    from anatomy.workflows.plan_detectors import plan_detectors
    from interventions.backends.planned_rows import plan_rows
    from interventions.plan.audited_plan import plan_settings
    from interventions.plan.plan import load_plan, to_yaml
    from interventions.training.plan_preview import preview

    plan = load_plan(Path(arguments.plan))
    if plan.run is None and not flags.get("rows") and arguments.settings is None:
        print(f"{to_yaml(plan)}\n{len(plan.interventions)} interventions; name --rows to see what they do")
        return 0
    settings = plan_settings(plan, flags, arguments.settings)
    bundle = ModelBundle(settings)
    scorers = plan_detectors(plan, bundle, settings.concepts_file)
    with tempfile.TemporaryDirectory(prefix="anatomy-") as temporary:
        folder = arguments.out or Path(temporary)
        planned = plan_rows(plan, settings, bundle, scorers, folder)
        print(preview(planned, folder, arguments.pairs, settings.seed))
    return 0


def filter(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.sae.model_bundle import ModelBundle
    from anatomy.workflows.plan_detectors import plan_detectors
    from interventions.backends.cleaned_set import filter_rows, filterings_of
    from interventions.plan.audited_plan import plan_settings
    from interventions.plan.plan import load_plan

    plan = filterings_of(load_plan(Path(arguments.plan)))
    settings = plan_settings(plan, flags, arguments.settings)
    bundle = ModelBundle(settings)
    scorers = plan_detectors(plan, bundle, settings.concepts_file)
    print(filter_rows(plan, settings, bundle, scorers, arguments.out))
    return 0


def rollout(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows import validate

    print(validate.rollout(load(arguments, flags), arguments.out))
    return 0


def validate(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.settings import AuditSettings
    from anatomy.workflows import validate

    def scorers(audited: AuditSettings, bundle: ModelBundle) -> Sequence[Scorer]:
        from probes.resolve import resolve

        return [] if audited.concepts is None else resolve(audited.concepts, bundle, audited.concepts_file)

    settings = load(arguments, flags)
    out = arguments.out or validate.default_out(arguments.run, settings)
    print(validate.validate(arguments.run, settings, out, scorers))
    return 0


def trace(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows.trace import trace

    print(trace(arguments.run, arguments.cluster, load(arguments, flags), arguments.out))
    return 0


def forecast(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows.forecast import forecast_run

    print(forecast_run(arguments.run, arguments.cluster, load(arguments, flags), arguments.out))
    return 0


def train(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.workflows.run_training_task import run_training_task

    line = run_training_task(load(_recipe(arguments), flags), arguments.out)
    print(line, end="\n" if line else "")
    return 0


sft = train


def _recipe(arguments: argparse.Namespace) -> argparse.Namespace:
    """A recipe is a settings file."""
    if arguments.recipe is not None and arguments.settings is not None:
        raise AnatomyError("--recipe and --settings are the same kind of file; give one")
    return argparse.Namespace(**{**vars(arguments), "settings": arguments.recipe or arguments.settings})
