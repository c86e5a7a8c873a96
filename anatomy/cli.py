"""The command line. Verbs are declared in one table; flags come from the settings models; heavy imports wait."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from anatomy import __version__
from anatomy.errors import AnatomyError

if TYPE_CHECKING:
    from anatomy.settings import Settings

EXAMPLES = """\
a first audit:
  anatomy check ROWS                        what is in the set, and what is wrong with it (no model)
  anatomy audit ROWS --dry-run              tokens, disk, memory and time before anything expensive
  anatomy audit ROWS --out runs/mine        all stages; killed or stopped, the same command goes on
  anatomy null runs/mine                    does the audit stay silent when labels are random?
  anatomy show runs/mine                    findings; `anatomy show runs/mine R12` for one cluster

named concepts:
  anatomy concepts list                     what can be asked about by name
  anatomy audit ROWS --concepts bold,refusal   test them beside the clusters
  anatomy probe fit sycophancy              fit a detector where no text rule will do

ROWS is a Hub id, a file, a folder or a glob (parquet, arrow, JSON, JSONL, CSV; gzipped or not), or `demo`.
"""


@dataclass(frozen=True)
class Verb:
    """One subcommand: what it says of itself, the settings it reads, and the function that does it."""

    help: str
    settings: str | None
    positional: Sequence[tuple[str, str]]
    run: Callable[[argparse.Namespace, dict[str, Any]], int]
    extra: Sequence[tuple[str, dict[str, Any]]] = ()


def _settings_class(name: str) -> type[Settings]:
    """``Name`` of ``anatomy.settings``, or ``module:Name``."""
    module, _, kind = name.rpartition(":")
    found: type[Settings] = getattr(import_module(module or "anatomy.settings"), kind)
    return found


def _load(verb: str, arguments: argparse.Namespace, flags: dict[str, Any], **fixed: Any) -> Any:
    from anatomy.settings import load_settings

    name = VERBS[verb].settings
    assert name is not None
    return load_settings(_settings_class(name), {**flags, **fixed}, arguments.settings)


def _audit(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    settings = _load("audit", arguments, flags, rows=arguments.rows)
    out = arguments.out or verbs.default_run_dir(settings)
    if arguments.dry_run:
        print(verbs.dry_run(settings))
        return 0
    if settings.concepts is None:
        verbs.audit(settings, out)
    else:
        from probes.resolve import resolve

        verbs.audit(settings, out, lambda lens: resolve(settings.concepts, lens, settings.concepts_file))
    print(verbs.show(out, top=arguments.top))
    return 0


def _check(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    print(verbs.check(_load("check", arguments, flags, rows=arguments.rows), arguments.out))
    return 0


def _harvest(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    settings = _load("harvest", arguments, flags, rows=arguments.rows)
    verbs.harvest_only(settings, arguments.out or verbs.default_run_dir(settings))
    return 0


def _cluster(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    verbs.rerun(arguments.run, _from_file("cluster", arguments, flags), until="cluster")
    return 0


def _hypotheses(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    verbs.rerun(arguments.run, _from_file("hypotheses", arguments, flags), until="summary")
    print(verbs.show(arguments.run, top=arguments.top))
    return 0


def _from_file(verb: str, arguments: argparse.Namespace, flags: dict[str, Any]) -> dict[str, Any]:
    """Validated values that were really given (flags or YAML), to lay over the settings of an existing run."""
    given = _load(verb, arguments, flags)
    return {name: getattr(given, name) for name in given.model_fields_set}


def _null(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    print(verbs.null(arguments.run, arguments.repetitions, arguments.seed))
    return 0


def _show(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    print(verbs.show(arguments.run, cluster=arguments.cluster, view=arguments.view, top=arguments.top))
    return 0


def _sae_train(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy.sae.train import train_sae

    print(train_sae(_load("sae train", arguments, flags), arguments.out))
    return 0


def _sae_health(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from anatomy import verbs

    print(verbs.sae_health(_load("sae health", arguments, flags, rows=arguments.rows), arguments.tokens))
    return 0


def _concepts_list(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from probes.listing import list_concepts

    print(list_concepts(arguments.json, arguments.concepts_file))
    return 0


def _concepts_show(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from probes.listing import show_concept

    print(show_concept(arguments.concept, arguments.json, arguments.concepts_file))
    return 0


def _probe_fit(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from probes import verbs

    settings = _load("probe fit", arguments, flags, concept=arguments.concept)
    print(verbs.fit(settings, arguments.out or verbs.default_out(settings)))
    return 0


def _probe_test(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from probes import verbs

    print(verbs.test(Path(arguments.detector), _load("probe test", arguments, flags)))
    return 0


def _probe_score(arguments: argparse.Namespace, flags: dict[str, Any]) -> int:
    from probes import verbs

    print(verbs.score(_load("probe score", arguments, flags, rows=arguments.rows), arguments.out))
    return 0


ROWS = ("rows", "Hub id, file, folder or glob; `demo` for the embedded set")
RUN = ("run", "run directory of an earlier audit")
OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "run directory (default: runs/<name of the rows>)"})
TOP = ("--top", {"type": int, "default": 5, "metavar": "N", "help": "findings shown per view and direction (5)"})

DRY_RUN = ("--dry-run", {"action": "store_true", "help": "estimate tokens, disk, memory and time; run nothing"})
CHECK_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "also write health.json there"})
SAE_OUT = ("--out", {"type": Path, "required": True, "metavar": "DIR", "help": "folder of the new SAE"})
REPETITIONS = ("--repetitions", {"type": int, "default": 20, "metavar": "N", "help": "random relabellings (20)"})
SEED = ("--seed", {"type": int, "default": 0, "metavar": "N", "help": "seed (0)"})
CLUSTER = ("cluster", {"nargs": "?", "help": "a cluster id (R12, S3, D4, P7): its label, tokens, exemplars"})
VIEW = ("--view", {"choices": ["global", "feature", "prompt"], "help": "one view only"})
TOKENS = ("--tokens", {"type": int, "default": 100_000, "metavar": "N", "help": "tokens measured (100000)"})

CONCEPT = ("concept", "id of a concept (`anatomy concepts list`)")
DETECTOR = ("detector", "folder that `anatomy probe fit` wrote")
JSON = ("--json", {"action": "store_true", "help": "as JSON"})
CONCEPTS_FILE = ("--concepts-file", {"type": Path, "metavar": "YAML", "help": "file with further concepts"})
PROBE_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "folder of the detector (default: detectors/<concept>)"})
SCORE_OUT = (
    "--out",
    {
        "type": Path,
        "required": True,
        "metavar": "PATH",
        "help": "run directory for a preference set; file (.csv, .jsonl, .parquet) for a plain table",
    },
)

VERBS: dict[str, Verb] = {
    "check": Verb(
        "data health alone: formats, faults, lengths, repeats (no model weights)",
        "CheckSettings", [ROWS], _check, [CHECK_OUT],
    ),
    "audit": Verb(
        "all stages: what the labels reward and punish, where, and the rows behind it",
        "AuditSettings", [ROWS], _audit, [OUT, TOP, DRY_RUN],
    ),
    "harvest": Verb("rows to pooled SAE features only", "HarvestSettings", [ROWS], _harvest, [OUT]),
    "cluster": Verb("cluster a harvested run again, with other settings", "ClusterSettings", [RUN], _cluster),
    "hypotheses": Verb(
        "test a clustered run again, with other settings", "HypothesisSettings", [RUN], _hypotheses, [TOP]
    ),
    "null": Verb(
        "flip labels at random within the set: false-positive rate of every view",
        None, [RUN], _null, [REPETITIONS, SEED],
    ),
    "show": Verb("findings of a run in the terminal", None, [RUN], _show, [CLUSTER, TOP, VIEW]),
    "concepts list": Verb("the library of concepts", None, [], _concepts_list, [JSON, CONCEPTS_FILE]),
    "concepts show": Verb(
        "one concept: what it means, how its detector is made, what asks for it",
        None, [CONCEPT], _concepts_show, [JSON, CONCEPTS_FILE],
    ),
    "probe fit": Verb(
        "fit a detector of a concept, choose its layer, measure it on held-out prompts",
        "probes.settings:ProbeFitSettings", [CONCEPT], _probe_fit, [PROBE_OUT],
    ),
    "probe test": Verb(
        "measure a saved detector on labelled examples that it was not fitted on",
        "probes.settings:ProbeTestSettings", [DETECTOR], _probe_test,
    ),
    "probe score": Verb(
        "score chosen and rejected responses, or a table of prompts and completions",
        "probes.settings:ProbeScoreSettings", [ROWS], _probe_score, [SCORE_OUT],
    ),
    "sae health": Verb(
        "measure L0, variance explained and dead share of an SAE on your rows",
        "HarvestSettings", [ROWS], _sae_health, [TOKENS],
    ),
    "sae train": Verb(
        "train a BatchTopK SAE on the residual stream of your model", "SAETrainSettings", [], _sae_train, [SAE_OUT]
    ),
}  # fmt: skip


def _add_flags(parser: argparse.ArgumentParser, verb: Verb) -> None:
    """One flag per settings field; text is validated by the settings model, so that YAML and flags agree."""
    if verb.settings is None:
        return
    parser.add_argument("--settings", type=Path, metavar="YAML", help="settings from a file; flags win over it")
    taken = {name for name, _ in verb.positional}
    for name, field in _settings_class(verb.settings).model_fields.items():
        if name in taken:
            continue
        default = "" if field.is_required() or field.default is None else f" (default: {field.default})"
        text = f"{field.description}{default}".replace("%", "%%")
        flag = "--" + name.replace("_", "-")
        if field.annotation is bool:
            parser.add_argument(flag, dest=name, action="store_const", const=True, help=text)
        else:
            parser.add_argument(flag, dest=name, metavar=name.split("_")[-1].upper(), help=text)


class Parser(argparse.ArgumentParser):
    """Usage errors are one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        print(f"anatomy: error: {message}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(2)


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser; only the chosen verb gets its flags, so that `anatomy --help` imports nothing heavy."""
    parser = Parser(
        prog="anatomy",
        description="What does a preference set teach? Read it through the model that will be trained on it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"anatomy {__version__}")
    commands = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        command = commands.add_parser(name, help=verb.help, description=verb.help[0].upper() + verb.help[1:] + ".")
        if name != chosen:
            continue
        for argument, text in verb.positional:
            command.add_argument(argument, type=Path if argument == "run" else str, help=text)
        for argument, options in verb.extra:
            command.add_argument(argument, **options)
        _add_flags(command, verb)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0, or 2 after one line on standard error for anything that the user can mend."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["concepts"]:
        argv.append("list")
    if " ".join(argv[:2]) in VERBS:
        argv[:2] = [" ".join(argv[:2])]
    chosen = next((word for word in argv if word in VERBS), None)
    arguments = build_parser(chosen).parse_args(argv)
    verb = VERBS[arguments.verb]
    flags = {}
    if verb.settings is not None:
        flags = {name: getattr(arguments, name, None) for name in _settings_class(verb.settings).model_fields}
    try:
        return verb.run(arguments, flags)
    except AnatomyError as error:
        print(f"anatomy: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("anatomy: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
