"""``anatomy view``: the page of a run in a browser, served on this machine only."""

from __future__ import annotations

from anatomy.report.serve import serve
from anatomy.workflows.outcome import Where
from anatomy.workflows.report import report


def view(run: Where, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page of a run on 127.0.0.1 until interrupted; ``port`` 0 takes a free one.

    Raises:
        RunError: there is no complete run there.
        SettingsError: the port cannot be used.
    """
    serve(report(run).parent, port, browser)
