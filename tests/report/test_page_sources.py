"""The modules of the page: bundled in order, of one scope, and clean to the type checker and the linters."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from anatomy.report.page import bundle

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "anatomy" / "report" / "page"
APP = PAGE / "app"
TOOLS = Path(__file__).parent / "page_tools"
DECLARED = re.compile(r"^(?:async function|function|const|let|class) (\w+)", re.MULTILINE)
EXPORTED = re.compile(r"^export (?:async function|function|const|let|class) (\w+)", re.MULTILINE)


def test_every_module_is_in_the_bundle_once_and_after_what_it_imports():
    text = bundle("main")
    assert not re.search(r"^(import|export) ", text, re.MULTILINE)
    place = {name: found.start() for found in DECLARED.finditer(text) for name in found.groups()}
    for path in APP.glob("*.js"):
        own = min((place[name] for name in DECLARED.findall(path.read_text().replace("export ", ""))), default=0)
        for used in re.findall(r'from "\./(\w+)\.js"', path.read_text()):
            exported = EXPORTED.findall((APP / f"{used}.js").read_text())
            assert max(place[name] for name in exported) < own, (path.name, used)


def test_names_are_unique_over_the_modules():
    """They share one scope in the page."""
    counted = Counter(
        name for path in APP.glob("*.js") for name in DECLARED.findall(path.read_text().replace("export ", ""))
    )
    assert [name for name, count in counted.items() if count > 1] == []


def test_lines_are_short_and_modules_are_checked():
    for path in APP.glob("*.js"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "// @ts-check", path.name
        assert max(map(len, lines)) <= 120, path.name


def npm_run(script):
    npm = shutil.which("npm")
    if npm is None or not (TOOLS / "node_modules").is_dir():
        pytest.skip(f"needs node and its tools: npm ci --prefix {TOOLS.relative_to(ROOT)}")
    done = subprocess.run([npm, "run", "--silent", script], cwd=TOOLS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_lint_and_layout_of_the_modules():
    npm_run("check")


def test_the_types_of_the_payload_are_those_of_its_schema():
    """Else: npm run types --prefix tests/report/page_tools."""
    npm_run("types:check")


def test_the_types_of_the_payload_name_every_field_of_its_schema():
    """Needs no node."""
    schema, types = json.loads((PAGE / "payload.schema.json").read_text()), (PAGE / "payload.d.ts").read_text()
    for name, definition in schema["$defs"].items():
        body = types.split(f"export interface {name} {{")[1].split("\n}")[0]
        assert set(re.findall(r"^  (\w+)\??: ", body, re.MULTILINE)) == set(definition["properties"]), name


def test_no_module_escapes_the_type_checker():
    assert json.loads((TOOLS / "tsconfig.json").read_text())["compilerOptions"]["strict"]
    for path in [*APP.glob("*.js"), *PAGE.glob("*.d.ts")]:
        assert not re.search(r"@ts-ignore|@ts-nocheck|@ts-expect-error|\bany\b(?=[\]}>;|,)])", path.read_text()), path
