"""The command line. Verbs are declared in one table; flags come from the settings models; heavy imports wait."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from anatomy import __version__
from anatomy.cli import commands
from anatomy.cli.commands import settings_class
from anatomy.errors import AnatomyError
from anatomy.progress import show_messages

EXAMPLES = """\
a first audit:
  anatomy check ROWS                        what is in the set, and what is wrong with it (no model)
  anatomy audit ROWS --dry-run              tokens, disk, memory and time before anything expensive
  anatomy audit ROWS --out runs/mine        all stages; killed or stopped, the same command goes on
  anatomy null runs/mine                    does the audit stay silent when labels are random?
  anatomy view runs/mine                    the report in a browser (a page: runs/mine/report/index.html)
  anatomy show runs/mine                    findings; `anatomy show runs/mine R12` for one cluster
  anatomy compare runs/mine runs/other      what appeared, vanished or changed sign

named concepts:
  anatomy concepts list                     what can be asked about by name
  anatomy audit ROWS --concepts bold,refusal   test them beside the clusters
  anatomy probe fit sycophancy              fit a detector where no text rule will do

decide, train, check:
  anatomy forecast runs/mine bold           what goes with it, if bold is suppressed
  anatomy plan runs/mine --suppress R12,bold --out plan.yaml    or mark findings in the report and export
  anatomy plan check plan.yaml --rows ROWS --out checked        what it would touch; trains nothing
  anatomy train --rows ROWS --plan plan.yaml --recipe configs/recipes/laptop.yaml --out trained
  anatomy rollout --model trained/model --prompts ROWS --out after
  anatomy validate runs/mine --before base --after after        predicted beside observed

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


ROWS = ("rows", "Hub id, file, folder or glob; `demo` for the embedded set")
RUN = ("run", "run directory of an earlier audit")
OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "run directory (default: runs/<name of the rows>)"})
TOP = ("--top", {"type": int, "default": 5, "metavar": "N", "help": "findings shown per view and direction (5)"})

DRY_RUN = ("--dry-run", {"action": "store_true", "help": "estimate tokens, disk, memory and time; run nothing"})
NAME_DRY_RUN = ("--dry-run", {"action": "store_true", "help": "say how many requests and tokens; ask nothing"})
CHECK_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "also write health.json there"})
SAE_OUT = ("--out", {"type": Path, "required": True, "metavar": "DIR", "help": "folder of the new SAE"})
REPETITIONS = ("--repetitions", {"type": int, "default": 20, "metavar": "N", "help": "random relabellings (20)"})
SEED = ("--seed", {"type": int, "default": 0, "metavar": "N", "help": "seed (0)"})
OTHER = ("other", "run directory of the audit to compare it with")
COMPARE_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "folder of the comparison (RUN/compared/<other>)"})
CLUSTER = ("cluster", {"nargs": "?", "help": "a cluster id (R12, S3, D4, P7): its label, tokens, exemplars"})
VIEW = ("--view", {"choices": ["global", "feature", "prompt"], "help": "one view only"})
PORT = ("--port", {"type": int, "default": 0, "metavar": "N", "help": "port on 127.0.0.1 (default: a free one)"})
NO_BROWSER = ("--no-browser", {"action": "store_true", "help": "print the address only"})
TOKENS = ("--tokens", {"type": int, "default": 100_000, "metavar": "N", "help": "tokens measured (100000)"})

CONCEPT = ("concept", "id of a concept (`anatomy concepts list`)")
DETECTOR = ("detector", "folder that `anatomy probe fit` wrote")
JSON = ("--json", {"action": "store_true", "help": "as JSON"})
CONCEPTS_FILE = ("--concepts-file", {"type": Path, "metavar": "YAML", "help": "file with further concepts"})
PROBE_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "folder of the detector (default: detectors/<concept>)"})
TRAIN_OUT = ("--out", {"type": Path, "required": True, "metavar": "DIR", "help": "directory of the training"})
RECIPE = ("--recipe", {"type": Path, "metavar": "YAML", "help": "recipe (configs/recipes/); flags win over it"})
SCORE_OUT = (
    "--out",
    {
        "type": Path,
        "required": True,
        "metavar": "PATH",
        "help": "run directory for a preference set; file (.csv, .jsonl, .parquet) for a plain table",
    },
)

PLAN = ("plan", "YAML file of a plan")
PLAN_OUT = ("--out", {"type": Path, "default": Path("plan.yaml"), "metavar": "YAML", "help": "the plan (plan.yaml)"})
MARKS = tuple(
    (f"--{mark}", {"metavar": "TARGETS", "help": f"{text}, with commas: clusters (R12, D4, P7) or concepts"})
    for mark, text in (
        ("suppress", "what the model must not learn"), ("amplify", "what it is to learn more of"),
        ("remove", "what is taken out of the rows"), ("keep", "what was looked at and stays"),
    )
)  # fmt: skip
BACKEND = (
    "--backend",
    {"choices": ["reward_shaping", "steering", "inoculation", "filtering"], "default": "reward_shaping",
     "help": "how it is suppressed or amplified (reward_shaping)"},
)  # fmt: skip
STRENGTH = ("--strength", {"type": float, "default": 1.0, "metavar": "X", "help": "strength of each, 0 or more (1)"})
CHECK_WORK = ("--out", {"type": Path, "metavar": "DIR", "help": "keep rows and scores there (default: thrown away)"})
PAIRS = ("--pairs", {"type": int, "default": 64, "metavar": "N", "help": "pairs that try a steering vector (64)"})
FILTER_OUT = ("--out", {"type": Path, "required": True, "metavar": "DIR", "help": "folder of the cleaned set"})

ROLLOUT_OUT = ("--out", {"type": Path, "required": True, "metavar": "DIR", "help": "folder of the completions"})
VALIDATE_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "figures (default: RUN/validation/<after>)"})
TRACED = ("cluster", "a response cluster (R12, S3) or a concept of the run")
TRACE_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "also write contributions and lists of rows there"})
SUPPRESSED = ("cluster", "the response cluster (R12, S3) or concept of the run that is suppressed")
FORECAST_OUT = ("--out", {"type": Path, "metavar": "DIR", "help": "also write all shifts there, as forecast.parquet"})

VERBS: dict[str, Verb] = {
    "check": Verb(
        "data health alone: formats, faults, lengths, repeats (no model weights)",
        "CheckSettings", [ROWS], commands.check, [CHECK_OUT],
    ),
    "audit": Verb(
        "all stages: what the labels reward and punish, where, and the rows behind it",
        "AuditSettings", [ROWS], commands.audit, [OUT, TOP, DRY_RUN],
    ),
    "harvest": Verb("rows to pooled SAE features only", "HarvestSettings", [ROWS], commands.harvest, [OUT]),
    "cluster": Verb("cluster a harvested run again, with other settings", "ClusterSettings", [RUN], commands.cluster),
    "hypotheses": Verb(
        "test a clustered run again, with other settings", "HypothesisSettings", [RUN], commands.hypotheses, [TOP]
    ),
    "null": Verb(
        "flip labels at random within the set: false-positive rate of every view",
        None, [RUN], commands.null, [REPETITIONS, SEED],
    ),
    "show": Verb("findings of a run in the terminal", None, [RUN], commands.show, [CLUSTER, TOP, VIEW]),
    "report": Verb("write the run's page again, from its artifacts (no model)", None, [RUN], commands.report),
    "view": Verb("open the run's page, served on this machine only", None, [RUN], commands.view, [PORT, NO_BROWSER]),
    "compare": Verb(
        "what two runs reward, and where they differ: appeared, vanished, changed sign",
        None, [RUN, OTHER], commands.compare, [COMPARE_OUT],
    ),
    "name": Verb(
        "names for clusters by a language model (any OpenAI-compatible endpoint), each put to a blind test",
        "anatomy.naming.name_settings:NameSettings", [RUN], commands.name, [NAME_DRY_RUN],
    ),
    "concepts list": Verb("the library of concepts", None, [], commands.concepts_list, [JSON, CONCEPTS_FILE]),
    "concepts show": Verb(
        "one concept: what it means, how its detector is made, what asks for it",
        None, [CONCEPT], commands.concepts_show, [JSON, CONCEPTS_FILE],
    ),
    "probe fit": Verb(
        "fit a detector of a concept, choose its layer, measure it on held-out prompts",
        "probes.probe_settings:ProbeFitSettings", [CONCEPT], commands.probe_fit, [PROBE_OUT],
    ),
    "probe test": Verb(
        "measure a saved detector on labelled examples that it was not fitted on",
        "probes.probe_settings:ProbeTestSettings", [DETECTOR], commands.probe_test,
    ),
    "probe score": Verb(
        "score chosen and rejected responses, or a table of prompts and completions",
        "probes.probe_settings:ProbeScoreSettings", [ROWS], commands.probe_score, [SCORE_OUT],
    ),
    "plan": Verb(
        "make a plan of interventions from marks on an audit's findings",
        None, [RUN], commands.plan, [*MARKS, BACKEND, STRENGTH, CONCEPTS_FILE, PLAN_OUT],
    ),
    "plan check": Verb(
        "what a plan would do to rows, and whether steering has the intended sign; trains nothing",
        "interventions.plan.audited_plan:PlanSettings", [PLAN], commands.plan_check, [PAIRS, CHECK_WORK],
    ),
    "filter": Verb(
        "carry out a plan's filterings: a cleaned set for the Hub, and a log of every row with its reason",
        "interventions.plan.audited_plan:PlanSettings", [PLAN], commands.filter, [FILTER_OUT],
    ),
    "rollout": Verb(
        "completions of prompts by a model, before or after training",
        "anatomy.rollouts.rollout_settings:RolloutSettings", [], commands.rollout, [ROLLOUT_OUT],
    ),
    "validate": Verb(
        "predicted shifts of a run beside those observed in rollouts before and after training",
        "anatomy.prediction.prediction_settings:ValidateSettings", [RUN], commands.validate, [VALIDATE_OUT],
    ),
    "trace": Verb(
        "the rows that carry a predicted shift, and lists of rows to train without",
        "anatomy.prediction.prediction_settings:TraceSettings", [RUN, TRACED], commands.trace, [TRACE_OUT],
    ),
    "forecast": Verb(
        "what suppressing one concept or cluster is predicted to do to the others; trains nothing",
        "anatomy.prediction.prediction_settings:ForecastSettings", [RUN, SUPPRESSED], commands.forecast, [FORECAST_OUT],
    ),
    "train": Verb(
        "DPO with the interventions of a plan; killed or stopped, the same command goes on",
        "interventions.training.train_settings:TrainSettings", [], commands.train, [TRAIN_OUT, RECIPE],
    ),
    "sft": Verb(
        "supervised fine-tuning on the chosen responses, the stage before DPO",
        "interventions.training.train_settings:SFTSettings", [], commands.sft, [TRAIN_OUT, RECIPE],
    ),
    "sae health": Verb(
        "measure L0, variance explained and dead share of an SAE on your rows",
        "HarvestSettings", [ROWS], commands.sae_health, [TOKENS],
    ),
    "sae train": Verb(
        "train a BatchTopK SAE on the residual stream of your model",
        "SAETrainSettings", [], commands.sae_train, [SAE_OUT],
    ),
}  # fmt: skip


def _add_flags(parser: argparse.ArgumentParser, verb: Verb) -> None:
    """One flag per settings field; text is validated by the settings model, so that YAML and flags agree."""
    if verb.settings is None:
        return
    parser.add_argument("--settings", type=Path, metavar="YAML", help="settings from a file; flags win over it")
    taken = {name for name, _ in verb.positional}
    for name, field in settings_class(verb.settings).model_fields.items():
        if name in taken:
            continue
        default = "" if field.is_required() or field.default is None else f" (default: {field.default})"
        text = f"{field.description}{default}".replace("%", "%%")
        flag = "--" + name.replace("_", "-")
        if field.annotation is bool:
            parser.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, default=None, help=text)
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
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        command = subparsers.add_parser(name, help=verb.help, description=verb.help[0].upper() + verb.help[1:] + ".")
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
    show_messages()
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv == ["concepts"]:
        argv.append("list")
    if " ".join(argv[:2]) in VERBS:
        argv[:2] = [" ".join(argv[:2])]
    chosen = next((word for word in argv if word in VERBS), None)
    arguments = build_parser(chosen).parse_args(argv)
    verb = VERBS[arguments.verb]
    arguments.reads = verb.settings
    flags = {}
    if verb.settings is not None:
        flags = {name: getattr(arguments, name, None) for name in settings_class(verb.settings).model_fields}
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")  # nothing that a user can mend
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
