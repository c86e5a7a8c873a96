"""The command line: verbs by group, each imported when it is called; errors of a user are one line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group, Parameter

from anatomy import __version__
from anatomy.cli.bug_report import bug_line
from anatomy.errors import AnatomyError, explained
from anatomy.progress import end_output, message, prepare_streams, show_messages

LONGEST_LINE = 2_000
"""Characters of an error's line: a message may quote a value from a file."""

ABOUT = "What does a preference set teach? Read it through the model that will be trained on it."
EXAMPLES = """\
a first audit:
  anatomy check ROWS                   what is in the set, what is wrong
  anatomy audit ROWS --dry-run         tokens, disk, memory and time first
  anatomy audit ROWS --out runs/mine   all stages; the same call resumes
  anatomy null runs/mine               silent when labels are random?
  anatomy view runs/mine               the report in a browser
  anatomy show runs/mine               findings; add R12 for one cluster
  anatomy compare runs/mine runs/other what appeared, vanished, turned

named concepts:
  anatomy concepts list                        what can be asked about by name
  anatomy audit ROWS --concepts bold,refusal   test them beside the clusters
  anatomy probe fit sycophancy                 a detector if no rule will do

decide, train, check:
  anatomy forecast runs/mine bold      what goes with it, if suppressed
  anatomy plan runs/mine --suppress R12,bold --out plan.yaml
  anatomy plan check plan.yaml --rows ROWS --out checked
  anatomy train --rows ROWS --plan plan.yaml --recipe R.yaml --out trained
  anatomy rollout --model trained/model --prompts ROWS --out after
  anatomy validate runs/mine --before base --after after

ROWS is a Hub id, a file, a folder or a glob (parquet, arrow, JSON, JSONL, CSV;
gzipped or not), or `demo`. `anatomy VERB --help` explains a verb and its flags.
"""


def build_app() -> App:
    """The command line, with no verb imported yet."""
    app = App(
        name="anatomy",
        help=ABOUT,
        help_format="plaintext",
        version=__version__,
        default_parameter=Parameter(allow_repeating=True),  # of a flag that is given twice, the last counts
        suppress_keyboard_interrupt=False,
    )
    _add_audit(app, Group("Audit a set", sort_key=1))
    _add_reading(app, Group("Read a run", sort_key=2))
    _add_concepts(app, Group("Concepts, detectors, autoencoders", sort_key=3))
    _add_training(app, Group("Decide and train", sort_key=4))
    _add_prediction(app, Group("Predict and check", sort_key=5))
    options = Group("Options", sort_key=6)
    for flag in ("--help", "--version"):
        app[flag].group = options
    return app


def _add(app: App, group: Group, module: str, verb: str, text: str) -> None:
    """Register ``anatomy.cli.<module>:<verb>``, to be imported when it is called; verbs are listed in this order."""
    place = len(list(app))
    app.command(f"anatomy.cli.{module}:{verb}", name=verb, group=group, help=text, sort_key=place)


def _add_audit(app: App, group: Group) -> None:
    for verb, text in (
        ("check", "Data health alone: formats, faults, lengths, repeats (no model weights)."),
        ("audit", "All stages: what the labels reward and punish, where, and the rows behind it."),
        ("harvest", "Rows to pooled SAE features only."),
        ("cluster", "Cluster a harvested run again, with other settings."),
        ("hypotheses", "Test a clustered run again, with other settings."),
        ("null", "Flip labels at random within the set: false-positive rate of every view."),
    ):
        _add(app, group, "audit_verbs", verb, text)


def _add_reading(app: App, group: Group) -> None:
    for verb, text in (
        ("show", "Findings of a run in the terminal."),
        ("rows", "The rows behind a cluster, or those whose label the rest of the set speaks against."),
        (
            "ask",
            "What the set teaches about a prompt, a pair, or a bad response beside a good one; and the rows that do.",
        ),
        ("report", "Write the run's page again, from its artifacts (no model)."),
        ("view", "Open the run's page, served on this machine only."),
        ("compare", "What two runs reward, and where they differ: appeared, vanished, changed sign."),
        ("name", "Names for clusters by a language model (any OpenAI-compatible endpoint), each put to a blind test."),
    ):
        _add(app, group, "audit_verbs", verb, text)


def _add_concepts(app: App, group: Group) -> None:
    _add(app, group, "concept_verbs", "concepts", "The library of concepts: list, show.")
    _add(app, group, "probe_verbs", "probe", "Detectors of concepts: fit, test, score.")
    _add(app, group, "sae_verbs", "sae", "Sparse autoencoders: train, health.")


def _add_training(app: App, group: Group) -> None:
    for verb, text in (
        ("plan", "Make a plan of interventions from decisions on findings; `plan check` says what it would do."),
        ("filter", "Carry out a plan's filterings: a cleaned set for the Hub, and every row with its reason."),
        ("train", "DPO with the interventions of a plan; killed or stopped, the same command resumes."),
        ("sft", "Supervised fine-tuning on the chosen responses, the stage before DPO."),
    ):
        _add(app, group, "plan_verbs", verb, text)


def _add_prediction(app: App, group: Group) -> None:
    for verb, text in (
        ("rollout", "Completions of prompts by a model, before or after training."),
        ("validate", "Predicted shifts of a run beside those observed in rollouts before and after training."),
        ("trace", "The rows that carry a predicted shift, and lists of rows to train without."),
        ("forecast", "What suppressing one concept or cluster is predicted to do to the others; trains nothing."),
    ):
        _add(app, group, "prediction_verbs", verb, text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb, and return the exit code.

    0; or after one line on standard error 2 for anything that the user can fix, 1 for an error of ours, whose
    traceback is in a log, and 130 if interrupted. Output that nobody reads to its end is no error.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["plan"]:  # the one verb that does something itself and has a verb below it
        words.append("--help")
    prepare_streams()
    show_messages()
    try:
        with explained():
            _run(words)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where it can still be reported that it fails
    except (AnatomyError, CycloptsError) as error:
        message(f"anatomy: error: {_one_line(error)}")
        return 2
    except KeyboardInterrupt:
        message("anatomy: interrupted; the same command resumes from here")
        return 130
    except BrokenPipeError:
        return 0
    except SystemExit:
        raise
    except BaseException as error:  # panics of Rust libraries are no Exception
        message(f"anatomy: bug: {bug_line(error, words)}")
        return 1
    finally:
        end_output()
    return 0


def _run(words: list[str]) -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")  # nothing that a user can fix
    app = build_app()
    if words in ([], ["--help"], ["-h"]):
        app.help_epilogue = EXAMPLES
    app(words, exit_on_error=False, print_error=False, result_action="return_none")


def _one_line(error: AnatomyError | CycloptsError) -> str:
    """The message on one line of bounded length: what is wrong stands at its start, the remedy at its end."""
    if isinstance(error, CycloptsError):
        error.verbose = False
    text = " ".join(str(error).split())
    if len(text) > LONGEST_LINE:
        text = f"{text[: LONGEST_LINE * 2 // 3]} … {text[-LONGEST_LINE // 3 :]}"
    if isinstance(error, AnatomyError):
        return text
    verb = " ".join(["anatomy", *(error.command_chain or ())])
    return f"{text} See `{verb} --help`."
