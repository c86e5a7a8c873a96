"""Every command that writes: refused in one line where it is somebody else's folder, or another process writes there.

What was there is left as it was; no file that is there is overwritten.
"""

import pytest

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.runs.manifest import Manifest
from anatomy.runs.out_folder import claimed

PLAN = "interventions:\n- {concept: bold, direction: suppress, strength: 1.0, backend: filtering}\n"
CORPUS = "corpus: [{rows: ROWS}]\nlayer: 1\n"
VERBS = {
    "audit": "audit ROWS --model MODEL --sae SAE",
    "harvest": "harvest ROWS --model MODEL --sae SAE",
    "check": "check ROWS --model MODEL",
    "compare": "compare RUN RUN",
    "trace": "trace RUN R1",
    "forecast": "forecast RUN bold",
    "validate": "validate RUN --before base --after base --prompts ROWS --model MODEL --sae SAE",
    "rollout": "rollout --prompts ROWS --model MODEL",
    "train": "train --rows ROWS --model MODEL",
    "sft": "sft --rows ROWS --model MODEL",
    "filter": "filter PLAN --rows ROWS --model MODEL --sae SAE",
    "plan check": "plan check PLAN --rows ROWS --model MODEL --sae SAE",
    "probe fit": "probe fit bold --examples ROWS --model MODEL",
    "probe score": "probe score ROWS --concept bold --model MODEL",
    "sae train": "sae train --settings CORPUS --model MODEL",
}

FILES = {
    "plan": ("plan RUN --suppress bold", ".yaml"),
    "probe score csv": ("probe score TABLE --concept bold", ".csv"),
    "probe score parquet": ("probe score TABLE --concept bold", ".parquet"),
}
"""Commands whose ``--out`` is a file."""


@pytest.fixture(scope="module")
def places(audited, tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    settings = Manifest.of(audited).settings
    (folder / "plan.yaml").write_text(PLAN)
    (folder / "corpus.yaml").write_text(CORPUS.replace("ROWS", settings.rows))
    (folder / "table.jsonl").write_text('{"prompt": "a", "completion": "**b**"}\n')
    return {
        "ROWS": settings.rows, "MODEL": settings.model, "SAE": settings.sae, "RUN": str(audited),
        "TABLE": str(folder / "table.jsonl"), "PLAN": str(folder / "plan.yaml"), "CORPUS": str(folder / "corpus.yaml"),
    }  # fmt: skip


def run_verb(verb, places, out):
    words = VERBS[verb] if verb in VERBS else FILES[verb][0]
    return main([places.get(word, word) for word in words.split()] + ["--out", str(out)])


@pytest.mark.parametrize("there", ["ours", "somebody else's", "a link to somebody else's", "a link to nothing"])
@pytest.mark.parametrize("verb", FILES)
def test_a_file_that_is_there_is_refused(verb, there, places, tmp_path, capsys):
    out = tmp_path / f"out{FILES[verb][1]}"
    if there == "ours":
        assert run_verb(verb, places, out) == 0
    elif there == "somebody else's":
        out.write_text("mine")
    else:
        out.symlink_to(tmp_path / "target")
        if there != "a link to nothing":
            (tmp_path / "target").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.exists()}
    capsys.readouterr()
    assert run_verb(verb, places, out) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"anatomy: error: {out}: is there already")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.exists()} == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_somebody_else_is_refused(verb, places, tmp_path, capsys):
    files = {"rows.parquet": "mine", "manifest.json": '{"name": "page"}', ".x.1.anatomy-part": "mine", "cfg": "mine"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert run_verb(verb, places, tmp_path) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "holds files without a mark" in error or "manifest without a schema version" in error
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize("verb", VERBS)
def test_a_second_process_is_refused(verb, places, tmp_path, capsys):
    with claimed(tmp_path):
        assert run_verb(verb, places, tmp_path) == 2
    assert "another anatomy process" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == [artifacts.LOCK]


def test_a_command_that_fails_before_it_writes_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    with claimed(tmp_path / "begun"):
        (tmp_path / "begun" / "part").touch()
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "begun"):
        raise ZeroDivisionError
    assert {path.name for path in (tmp_path / "begun").iterdir()} == {"part", artifacts.LOCK}
