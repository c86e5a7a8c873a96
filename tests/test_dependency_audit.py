"""The audit of dependencies fails for a known vulnerability, and says so plainly where it could look up nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLEAN = {
    "dependencies": [{"name": "a", "version": "1.0", "vulns": []}, {"name": "b", "skip_reason": "not on the index"}]
}
FOUND = {"dependencies": [{"name": "a", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}]}
NOTHING = {"dependencies": [{"name": "b", "skip_reason": "not on the index"}]}
CASES = {
    "clean": (json.dumps(CLEAN), "", 0, 0, "1 versions looked up, 0 with"),
    "one is left out": (json.dumps(CLEAN), "", 0, 0, "not audited: b"),
    "a vulnerability": (json.dumps(FOUND), "Found 1 known vulnerability", 1, 1, "a 1.0: PYSEC-1, fixed in 1.1"),
    "a database without packages": (json.dumps(NOTHING), "", 0, 0, "nothing was audited"),
    "no network": ("", "requests.exceptions.ConnectionError: Max retries exceeded", 1, 0, "nothing was audited"),
    "no tool": ("", "No module named pip_audit", 1, 0, "nothing was audited"),
    "a broken tool": ("", "SyntaxError: invalid syntax", 1, 1, "pip-audit failed: SyntaxError"),
    "no answer of its kind": ("[]", "odd", 0, 1, "pip-audit failed"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_audit_says(name, tmp_path):
    out, err, code, expected, line = CASES[name]
    (tmp_path / "pip_audit.py").write_text(
        f"import sys\nopen('asked', 'w').write(sys.stdin.read())\n"
        f"sys.stdout.write({out!r})\nsys.stderr.write({err!r})\nsys.exit({code})\n"
    )
    (tmp_path / "pins.txt").write_text("# a note\na==1.0\ntorch==2.0+cpu\n\n")
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", "pins.txt"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == expected, done.stdout + done.stderr
    assert line in done.stdout
    assert (tmp_path / "asked").read_text() == "a==1.0\ntorch==2.0\n"


def test_continuous_integration_runs_it():
    assert "make audit" in (ROOT / ".ci" / "run").read_text()
    assert ".ci/audit.py constraints.txt" in (ROOT / "Makefile").read_text()
