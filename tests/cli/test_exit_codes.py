"""One rule for every command: 0; 2 and a line for the user to fix; 1 and a log for us to fix; 130; no traceback."""

import errno
import inspect
import os
import re
import stat
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from support import failing_verb

import anatomy
from anatomy.cli.app import LONGEST_LINE, build_app, main
from anatomy.errors import REFUSALS, AnatomyError, MachineError, explained, machine_error

ROOT = Path(__file__).parents[2]
FULL = "limit on a file's size is reached; free space"
MEMORY = "not enough memory"
REFUSED = {
    "text": FULL,
    "numpy_array": FULL,
    "parquet": FULL,
    "tensors": FULL,
    "checkpoint": FULL,
    "database": "the disk or network drive fails",
    "array_memory": MEMORY,
    "tensor_memory": MEMORY,
    "table_memory": MEMORY,
    "gpu_memory": MEMORY,
    "files": "/dev/null: too many files are open",
    "long_name": "the name is too long",
    "read_only": "out: this place is read-only",
    "forbidden": "out: not allowed here",
    "missing": "file: not there",
    "folder": "a folder stands where a file is expected",
    "not_a_folder": "part of the path is a file",
    "circle": "its links lead in a circle",
    "broken": "out: the disk or network drive fails",
}


def failing(how, folder, *, words=None, **more):
    command = [sys.executable, failing_verb.__file__, how, *(words or ["null", str(folder / "out")])]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)} | more.pop("env", {})
    return subprocess.run(command, env=environment, capture_output="stdout" not in more, text=True, **more)


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Folder with one folder for each way to be refused: the exit code, and standard error."""
    folder = tmp_path_factory.mktemp("refused")
    done = failing(",".join(REFUSED), folder, words=["null", "out"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("how", REFUSED)
def test_what_the_machine_refuses_is_one_line(how, refused):
    text = (refused / how / "stderr").read_text()
    assert (refused / how / "code").read_text() == "2", text
    assert len(text.splitlines()) == 1, text
    assert text.startswith("anatomy: error: ")
    assert REFUSED[how] in text
    assert not list(refused.glob("anatomy-bug-*"))


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_every_refusal_says_where_and_what(number):
    found = machine_error(OSError(number, os.strerror(number), "/data/a", None, "/data/b"))
    assert str(found) == f"/data/a → /data/b: {REFUSALS[number]}"
    assert os.strerror(number) in str(machine_error(OSError(number, os.strerror(number))))


@pytest.mark.parametrize(
    "error", [OSError(errno.EBADF, "x"), ValueError("out of memory"), KeyError("errno 28"), OSError()]
)
def test_errors_of_ours_are_no_refusals(error):
    assert machine_error(error) is None


def test_the_python_interface_raises_the_same(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")

    monkeypatch.setattr("anatomy.workflows.trace.trace", full)
    anatomy._verb.cache_clear()
    with pytest.raises(MachineError, match="/data/x: the disk"):
        anatomy.trace("run", "R1")
    anatomy._verb.cache_clear()
    assert issubclass(MachineError, AnatomyError)
    with pytest.raises(ZeroDivisionError), explained():
        raise ZeroDivisionError


def methods():
    """Public methods of everything that a function of the Python interface returns."""
    returned = {typing.get_type_hints(inspect.unwrap(anatomy._verb(name)))["return"]
                for name in anatomy.__all__ if name != "__version__"}  # fmt: skip
    for kind in filter(inspect.isclass, returned):
        if kind.__module__.startswith("anatomy.workflows"):
            yield from ((kind, name) for name, method in vars(kind).items()
                        if inspect.isfunction(method) and not name.startswith("_"))  # fmt: skip


METHODS = sorted(methods(), key=str)


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=[f"{kind.__name__}.{name}" for kind, name in METHODS])
def test_methods_of_what_python_callers_hold_raise_the_same(kind, name, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")

    monkeypatch.setattr("anatomy.runs.manifest.Manifest.of", full)
    needed = inspect.signature(getattr(kind, name)).parameters.values()
    given = [one.name for one in needed if one.default is one.empty and one.name != "self"]
    with pytest.raises(MachineError, match="/data/x: the disk"):
        getattr(kind("run"), name)(*given)


def test_there_are_such_methods():
    assert {name for _, name in METHODS} >= {"findings", "tests", "arms", "rows", "show", "report"}


@pytest.mark.parametrize(("how", "name"), [("bug", "KeyError"), ("panic", "Panic")])
def test_an_error_of_ours_is_one_line_and_a_private_log(how, name, tmp_path):
    done = failing(how, tmp_path)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    found = re.fullmatch(rf"anatomy: bug: {name}: .*; the log (\S+) holds the details, please report it", lines[0])
    log = Path(found[1])
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    text = log.read_text()
    assert f"in {how}" in text
    assert "$ anatomy null " in text
    for secret in ("pass", "sk-1", "\x1b", "\x07"):
        assert secret not in text.replace("raise KeyError", "").split("Traceback")[0] + lines[0]


def test_where_no_log_can_be_written_the_line_says_where_it_happened(tmp_path):
    done = failing("no_log", tmp_path)
    assert done.returncode == 1
    assert "no log could be written; it happened in failing_verb.py, line " in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["null", "x"], ["--help"], ["--version"]], ids=" ".join)
def test_output_to_a_full_disk_is_an_error(words, tmp_path):
    with open("/dev/full", "w") as full:
        done = failing("nothing", tmp_path, words=words, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("anatomy: error: the disk, its quota")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_change_nothing(closed, tmp_path):
    """What is opened later must not get the number of a closed stream, and messages that are lost stop no work."""
    command = f'"{sys.executable}" "{failing_verb.__file__}" nothing null "{tmp_path}/out" {closed}'
    done = subprocess.run(
        ["bash", "-c", command], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout in ("done\n", "")


def test_a_reader_who_leaves_is_no_error(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = failing("nothing", tmp_path, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_nothing_that_a_terminal_obeys_reaches_it(encoding, tmp_path):
    done = failing("hostile_output", tmp_path, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "\\u001b]52;c;aGk=\\u0007\\u001b[2J\\u009b2J \\u202egnp.exe \\ud800 \\u0000\\u007f \\u200b end\n"
    )


def test_what_libraries_say_is_one_plain_line_each(tmp_path):
    """Whether a library has a handler of its own, or none, and whether it warns, logs or logs an exception."""
    done = failing("hostile_libraries", tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    said = "\\u001b]52;c;aGk=\\u0007\\u001b[2J\\u202e second http://***@host/***/v1"
    lines = done.stderr.splitlines()
    assert all(line.isprintable() and line.count(said) == 1 for line in lines), lines
    assert [line for line in lines if "UserWarning" in line] == [lines[-1]]
    for name in ("httpx", "trl", "datasets.x", "transformers.x", "huggingface_hub.x", "accelerate.x", "torch.x"):
        shown = [line[line.index(name) :] for line in lines if name in line]
        assert shown == [f"{name}: {said}", f"{name} (ValueError: {said})"]
    assert len(lines) == 15


HOSTILE = "a\x1b[2J\x07\u202eb\nc"


@pytest.mark.parametrize(
    "words",
    [
        ["audit", HOSTILE],
        ["audit", "x", f"--{HOSTILE}"],
        ["audit", "x", "--tau", HOSTILE],
        ["audit", "x", "--settings", HOSTILE],
        ["show", HOSTILE],
        [HOSTILE],
        ["name", "x", "--base-url", "http://user:sk-1@host/v1", "--judge", "m"],
        ["audit", "x", "--tau", "9" * 10_000_000],
    ],
    ids=lambda words: str(words)[:40],
)
def test_an_error_line_is_short_and_holds_nothing_hostile(words, capsys):
    assert main(words) == 2
    text = capsys.readouterr().err
    assert text.startswith("anatomy: error: ")
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert len(text) < LONGEST_LINE + 100
    assert "sk-1" not in text


def test_only_the_boundary_prints():
    """``print`` and the standard streams are used in one module: what is escaped there is escaped everywhere."""
    used = re.compile(r"(?<![\w.`])print\(|sys\.(__)?std(out|err)(?!\.isatty)")
    sources = [path for name in ("anatomy", "probes", "interventions") for path in (ROOT / name).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if used.search(path.read_text())}
    of_its_own = {"anatomy/__init__.py", "anatomy/activations/template_worker.py"}  # an example; a pipe to its parent
    assert found - of_its_own == {"anatomy/cli/app.py", "anatomy/progress.py"}
    assert build_app()
