"""The command line: quick help, one-line errors with exit code 2, nothing half-written."""

import subprocess
import sys

import pytest

from anatomy.cli.app import VERBS, main


def run(*arguments, cwd=None):
    return subprocess.run([sys.executable, "-m", "anatomy", *arguments], capture_output=True, text=True, cwd=cwd)


def test_help_is_quick_and_names_every_verb():
    done = run("--help")
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "anatomy", "--help"], capture_output=True, text=True
    ).stderr
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)
    assert not [name for name in ("torch", "numpy", "pyarrow", "pydantic") if f"| {name}\n" in loaded]


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*verb.split(), "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert VERBS[verb].help[1:20] in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["audit"], "required: rows"),
        (["audit", "x", "--no-such-flag"], "unrecognized arguments"),
        (["sae"], "invalid choice: 'sae'"),
        (["audit", "x.parquet", "--tau", "7", "--dtype", "int4"], "`dtype` = 'int4'"),
        (["audit", "nothing-here.parquet"], "no such file"),
        (["audit", "x.parquet", "--settings", "none.yaml"], "none.yaml: cannot read"),
        (["check", "nothing-here.jsonl"], "nothing-here.jsonl"),
        (["show", "no-run"], "not a run directory"),
        (["null", "no-run"], "not a run directory"),
        (["cluster", "no-run"], "not a run directory"),
        (["hypotheses", "no-run"], "not a run directory"),
    ],
)
def test_errors_are_one_line(arguments, expected, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("anatomy: error: ")
    assert expected in lines[0]
    assert not (tmp_path / "no-run").exists()
