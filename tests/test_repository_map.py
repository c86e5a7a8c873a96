"""``docs/repository.md`` has one line for every source file: the first sentence of its docstring.

``python tests/test_repository_map.py`` writes the map again.
"""

import ast
import subprocess
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parent.parent
MAP = ROOT / "docs" / "repository.md"
HEAD = """# Map of the repository

One line for each source file, the first sentence of its docstring; `python tests/test_repository_map.py` writes this
page again, and the tests compare. `tests/` mirrors the packages, `tests/support/` holds what its modules share.

Imports run one way, in the order that `tests/test_architecture.py` lists: types, then compute packages from `text` and
`data` to `report`, then `runs` and `stages`, `probes` and `interventions`, `workflows`, and last `cli`.

*Where is the code of verb X?* In `anatomy/workflows/X.py` (`plan` in `make_plan.py`); `anatomy/cli/` turns flags into
its arguments. *Where does a row go next?* `data` reads it, `activations` cuts it into spans and runs the model,
`features` pools what it sees, `clusters` and `hypotheses` test it, `report` shows it; `interventions` decides what
training does with it.
"""
SHOWN = ("anatomy/", "probes/", "interventions/", "experiments/", "benchmarks/", "notebooks/", "configs/")


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, of a script's first comment, or of a notebook's title."""
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    elif path.suffix == ".js":
        lines = path.read_text(encoding="utf-8").splitlines()
        text = next(line.removeprefix("// ") for line in lines if line.startswith("// ") and "@ts-check" not in line)
    else:
        return ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".:")


def written() -> str:
    """The whole page."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    paths = sorted(
        Path(name)
        for name in listed
        if name.startswith(SHOWN) and Path(name).suffix in {".py", ".js", ".yaml", ".ipynb"} and (ROOT / name).is_file()
    )
    lines = [HEAD]
    for folder, group in groupby(sorted(paths, key=lambda path: path.parent.as_posix()), lambda path: path.parent):
        items = list(group)
        package = ROOT / folder / "__init__.py"
        about = f": {first_sentence(package)}" if package.is_file() and first_sentence(package) else ""
        lines.append(f"\n## `{folder.as_posix()}/`{about}\n")
        for path in items:
            if path.name != "__init__.py":
                sentence = first_sentence(ROOT / path)
                lines.append(f"- `{path.name}`" + (f": {sentence}" if sentence else ""))
    return "\n".join(lines) + "\n"


def test_the_map_is_current():
    assert MAP.read_text(encoding="utf-8") == written(), "run python tests/test_repository_map.py"


def test_every_module_says_what_it_is():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split() if name.startswith(SHOWN) and (ROOT / name).is_file()]
    silent = [str(path) for path in paths if path.read_text().strip() and not first_sentence(path)]
    assert silent == []


if __name__ == "__main__":
    MAP.write_text(written(), encoding="utf-8")
