"""Imports run one way, light verbs stay light, and the sources are clean to the linters and the type checker."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ["data", "activations", "sae", "features", "clusters", "hypotheses", "concepts", "validation", "report"]
TOP = {
    "cli",
    "commands",
    "verbs",
    "stages",
    "lens",
    "run",
    "material",
    "validate",
    "trace",
    "forecast",
    "prediction",
    "expected",
    "compare",
    "name",
}
FOUNDATION = {"errors", "types", "settings", "artifacts"}
TORCH_FREE = ("anatomy.data", "anatomy.clusters", "anatomy.hypotheses", "anatomy.features.store", "anatomy.report")


def imported_modules(path: Path) -> set[str]:
    """Every module that a source file imports, inside functions too; ``from a import b`` gives ``a`` and ``a.b``."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def packages_used(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported_modules(path) if name.startswith("anatomy.")}


@pytest.mark.parametrize("package", [name for name in ORDER if (ROOT / "anatomy" / name).is_dir()])
def test_a_package_imports_only_earlier_ones(package):
    later = set(ORDER[ORDER.index(package) + 1 :])
    for path in (ROOT / "anatomy" / package).rglob("*.py"):
        assert not packages_used(path) & (later | TOP), path


@pytest.mark.parametrize("module", sorted(FOUNDATION))
def test_the_foundation_imports_no_stage(module):
    assert not packages_used(ROOT / "anatomy" / f"{module}.py") & (set(ORDER) | TOP)


def test_nothing_imports_experiments_or_the_command_line():
    for package in ("anatomy", "probes", "interventions"):
        for path in (ROOT / package).rglob("*.py"):
            roots = {name.split(".")[0] for name in imported_modules(path)}
            assert "experiments" not in roots, path
            if path.name != "__main__.py":
                assert "anatomy.cli" not in imported_modules(path), path
            if path.name != "cli.py":
                assert "anatomy.commands" not in imported_modules(path), path
    for path in set((ROOT / "anatomy").rglob("*.py")) - {ROOT / "anatomy" / "commands.py"}:
        assert not {"probes", "interventions"} & {name.split(".")[0] for name in imported_modules(path)}, path


@pytest.mark.parametrize("package", ["probes", "interventions"])
def test_outer_packages_do_not_import_each_other(package):
    other = {"probes": "interventions", "interventions": "probes"}[package]
    for path in (ROOT / package).rglob("*.py"):
        assert other not in {name.split(".")[0] for name in imported_modules(path)}, path


def test_every_package_is_shipped():
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("anatomy", "probes", "interventions")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert listed == found


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
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
