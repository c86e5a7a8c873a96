"""Bars appear on terminals only; messages are plain lines on standard error, shown only where asked for."""

import io
import subprocess
import sys
from contextlib import redirect_stderr

import pytest

from anatomy.progress import logger, progress_bar, show_messages


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def test_a_bar_shows_what_it_counts_on_a_terminal():
    with redirect_stderr(Terminal()) as terminal, progress_bar("harvest", "row", 4) as bar:
        bar.update(3, note="loss 0.5")
    assert all(text in terminal.getvalue() for text in ("harvest", "3/4", "rows", "loss 0.5"))


def test_messages_stand_above_the_bars():
    show_messages()
    with redirect_stderr(Terminal()) as terminal, progress_bar("outer", "row", 4), progress_bar("inner", "row"):
        logger.info("rows: unchanged")
    assert "rows: unchanged\n" in terminal.getvalue()


def test_elsewhere_a_bar_is_silent(capfd):
    with progress_bar("harvest", "row", 4) as bar:
        bar.update()
    assert capfd.readouterr().err == ""


def test_messages_are_plain_lines_once(capsys):
    show_messages()
    show_messages()
    logger.info("harvest: 100 %% of [rows]")
    assert capsys.readouterr() == ("", "harvest: 100 %% of [rows]\n")


def test_a_library_user_sees_warnings_only():
    code = "from anatomy.progress import logger; logger.info('harvest: 1 s'); logger.warning('warning: odd')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "warning: odd\n"
