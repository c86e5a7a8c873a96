"""What a preference set teaches the model that will be trained on it.

Each verb of the command line is a function here, and keyword names equal the flags::

    import anatomy

    run = anatomy.audit("pairs.parquet", model="my-model", sae="saes/mine", out="runs/mine")
    run.findings()       # a DataFrame, one finding a line
    run.rows("R12")      # the rows behind a cluster
    print(run.show())    # what the command line prints
    anatomy.validate(run.path, before="before", after="after")

Settings are validated by the models that the command line uses; a wrong or unknown one raises
:class:`anatomy.errors.SettingsError`, and everything that a user can fix is an :class:`anatomy.errors.AnatomyError`.
Importing this package loads none of the libraries that the functions need.
"""

import os
from functools import cache
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # else TRL and the Hub's library report that a training begins

_WORKFLOWS = (
    "ask", "audit", "check", "cluster", "compare", "doubtful_labels", "estimate", "filter", "forecast", "harvest",
    "make_plan", "name", "null", "open_run", "plan_check", "probe_fit", "probe_score", "probe_test", "rollout",
    "sae_health", "sae_train", "sft", "show", "trace", "train", "validate", "view",
)  # fmt: skip
"""Functions that ``anatomy.workflows`` has in a module of the same name."""

_ELSEWHERE = {
    "list_concepts": ("concepts", "list_concepts"),
    "show_concept": ("concepts", "show_concept"),
    "retest": ("hypotheses", "hypotheses"),
    "write_report": ("report", "report"),
}
"""Functions whose module is named otherwise, and those that would hide a package (``report``, ``hypotheses``)."""

__all__ = ["__version__", *_WORKFLOWS, *_ELSEWHERE]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'anatomy' has no attribute {name!r}")
    return _verb(name)


@cache
def _verb(name: str) -> Any:
    """The function behind a name; what the machine refuses to it is an ``AnatomyError`` too."""
    from anatomy.errors import explained

    module, function = _ELSEWHERE.get(name, (name, name))
    return explained()(getattr(import_module(f"anatomy.workflows.{module}"), function))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
