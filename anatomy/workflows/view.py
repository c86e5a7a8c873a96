"""``anatomy view``: the page of a run in a browser, served on this machine only."""

from __future__ import annotations

import os
from pathlib import Path

from anatomy.progress import logger
from anatomy.report.page import report_folder
from anatomy.report.serve import serve
from anatomy.runs.run import Run
from anatomy.workflows.outcome import Where
from anatomy.workflows.report import report


def view(run: Where, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page of a run on 127.0.0.1 until interrupted; ``port`` 0 takes a free one.

    The page is written anew where something changed; that of a run that cannot be written to is shown as it is.

    Raises:
        RunError: there is no complete run there, or no page in a run that cannot be written to.
        SettingsError: the port cannot be used.
    """
    if os.access(Path(run), os.W_OK):
        report(run)
    else:
        Run.at(Path(run)).require("report")
        logger.info(f"{run}: read-only; the page is shown as it is")
    serve(report_folder(Path(run)), port, browser)
