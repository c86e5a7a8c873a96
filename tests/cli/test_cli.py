"""The command line: quick help, one-line errors with exit code 2, nothing half-written."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from anatomy.cli.app import build_app, main

GROUPS = ("concepts", "probe", "sae", "plan")
README = Path(__file__).parents[2] / "README.md"


def run(*arguments, cwd=None):
    return subprocess.run([sys.executable, "-m", "anatomy", *arguments], capture_output=True, text=True, cwd=cwd)


def verbs() -> list[str]:
    """Every verb, those below a group by both words."""
    app = build_app()
    names = [name for name in app if not name.startswith("-")]
    below = [f"{group} {name}" for group in GROUPS for name in app[group] if not name.startswith("-")]
    return [*[name for name in names if name not in GROUPS], "plan", *below]


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_is_light_and_names_every_verb(words):
    done = run(*words)
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "anatomy", *words], capture_output=True, text=True
    ).stderr
    assert done.returncode == 0
    for verb in verbs():
        assert all(word in done.stdout for word in verb.split()), verb
    assert "anatomy audit ROWS --out runs/mine" in done.stdout  # a first audit
    assert not [name for name in ("torch", "numpy", "pyarrow", "pydantic") if f"| {name}\n" in loaded]


def test_every_verb_of_the_readme_is_there():
    known = verbs()
    named = [line.split("#")[0].split()[1:] for line in README.read_text().splitlines() if line.startswith("anatomy ")]
    assert named
    for words in named:
        assert words[0] in known or " ".join(words[:2]) in known, words


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_explains_itself_and_each_of_its_flags(verb, capsys):
    assert main([*verb.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"anatomy {verb}" in text
    assert "None" not in text
    app = build_app()
    for word in verb.split():
        app = app[word]
    for argument in app.assemble_argument_collection():
        assert argument.parameter.help, f"{verb}: {argument.name} has no line of help"
        assert argument.name in text


def test_a_flag_says_its_default_and_its_words(capsys):
    main(["audit", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--tau FLOAT A feature is present when it fires on more than this share. [default: 0.01]" in text
    assert "[choices: delta_min, effect, d, z]" in text


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_alone_shows_its_own_help(group, capsys):
    assert main([group]) == 0
    text = capsys.readouterr().out
    assert f"Usage: anatomy {group}" in text
    assert all(name in text for name in build_app()[group] if not name.startswith("-"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["audit"], "ROWS requires an argument"),
        (["audit", "x", "--no-such-flag"], "Unknown option: --no-such-flag"),
        (["train"], "--out requires an argument"),
        (["no-such-verb"], 'Unknown command "no-such-verb"'),
        (["audit", "x.parquet", "--tau", "7", "--dtype", "int4"], "`dtype` = 'int4'"),
        (["audit", "nothing-here.parquet"], "no such file"),
        (["audit", "x.parquet", "--settings", "none.yaml"], "none.yaml: cannot read"),
        (["check", "nothing-here.jsonl"], "nothing-here.jsonl"),
        (["show", "no-run"], "not a run directory"),
        (["null", "no-run"], "not a run directory"),
        (["cluster", "no-run"], "not a run directory"),
        (["hypotheses", "no-run"], "not a run directory"),
        (["train", "--out", "t", "--recipe", "a.yaml", "--settings", "b.yaml"], "give one"),
    ],
)
def test_errors_are_one_line(arguments, expected, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    _check_error(capfd.readouterr().err, expected)
    assert not (tmp_path / "no-run").exists()


def test_a_process_of_its_own_writes_no_more_than_that_line(tmp_path):
    done = run("audit", "nothing-here.parquet", cwd=tmp_path)
    assert done.returncode == 2
    _check_error(done.stderr, "no such file")
    assert list(tmp_path.iterdir()) == []


def _check_error(text, expected):
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert lines[0].startswith("anatomy: error: ")
    assert expected in lines[0]


def test_all_wrong_settings_are_named_at_once(capsys):
    assert main(["audit", "x.parquet", "--tau", "7", "--dtype", "int4", "--seed", "-1"]) == 2
    line = capsys.readouterr().err
    assert all(part in line for part in ("`tau` = '7'", "`dtype` = 'int4'", "`seed` = '-1'"))


def test_flags_win_over_the_file_and_unknown_keys_are_refused(tmp_path, capsys):
    file = tmp_path / "audit.yaml"
    file.write_text("tau: 0.9\nno-such-key: 1\n")
    assert main(["audit", "x.parquet", "--settings", str(file), "--tau", "7"]) == 2
    line = capsys.readouterr().err
    assert "`tau` = '7'" in line
    assert "unknown setting `no_such_key` (allowed: base_rollouts, batch_tokens" in line


def test_a_flag_may_have_its_value_behind_an_equals_sign_or_be_switched_off(capsys):
    assert main(["audit", "x.parquet", "--tau=7", "--no-force", "--trust-remote-code"]) == 2
    assert capsys.readouterr().err == "anatomy: error: `tau` = '7': input should be less than 1\n"


def test_of_a_flag_given_twice_the_last_counts(capsys):
    assert main(["audit", "x.parquet", "--tau", "7", "--tau", "8"]) == 2
    assert "`tau` = '8'" in capsys.readouterr().err


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 0)])
def test_interrupted_and_unread(stop, code, monkeypatch):
    def raises(*arguments, **flags):
        raise stop

    monkeypatch.setattr("anatomy.workflows.null.null", raises)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # one that may be closed
    assert main(["null", "run"]) == code


@pytest.mark.parametrize("kind", ["missing", "folder", "not text"])
def test_check_refuses_a_chat_template_that_it_cannot_read(kind, tmp_path, capsys):
    path = tmp_path / "t.jinja"
    if kind == "folder":
        path.mkdir()
    elif kind == "not text":
        path.write_bytes(b"\xff\xfe")
    assert main(["check", "demo", "--chat-template", str(path)]) == 2
    assert "t.jinja: " in capsys.readouterr().err


@pytest.mark.parametrize("flag", [[], ["--model"], ["--settings"], ["--chat-template"]])
def test_home_of_nobody_is_one_line(flag, capsys):
    assert main(["check", *(["demo", *flag] if flag else []), "~no-such-user/rows.jsonl"]) == 2
    assert "~no-such-user/rows.jsonl" in capsys.readouterr().err
