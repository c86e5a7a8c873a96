"""Look the pinned dependencies up in the database of known vulnerabilities: ``python .ci/audit.py FILE...``.

Exit code 1 if a pinned version has a known vulnerability, and if pip-audit itself is broken. Without a network nothing
was audited: that is said, and is no failure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

UNREACHABLE = re.compile(
    r"ConnectionError|ConnectTimeout|ReadTimeout|Max retries exceeded|Name or service not known|Could not connect|"
    r"Network is unreachable|Temporary failure in name resolution|No module named pip_audit|ServiceError|HTTPError",
)
WAIT_S = 900


def pinned(files: list[str]) -> str:
    """The pinned versions of all files, one a line; builds of a version (``+cpu``) count as that version."""
    lines = [line.strip() for file in files for line in Path(file).read_text(encoding="utf-8").splitlines()]
    return "\n".join(line.partition("+")[0] for line in lines if "==" in line and not line.startswith("#")) + "\n"


def main(files: list[str]) -> int:
    """Audit the pinned versions of the files; return the exit code."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--format=json",
        "--progress-spinner=off",
        "--no-deps",
        "--disable-pip",
    ]
    try:
        done = subprocess.run(
            [*command, "--requirement=/dev/stdin"], input=pinned(files), capture_output=True, text=True, timeout=WAIT_S
        )
    except subprocess.TimeoutExpired:
        print("audit: the database of vulnerabilities does not answer; nothing was audited")
        return 0
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        if UNREACHABLE.search(done.stderr):
            print("audit: pip-audit or the database of vulnerabilities cannot be reached; nothing was audited")
            return 0
        print(f"audit: pip-audit failed: {done.stderr[-2000:]}")
        return 1
    skipped = [entry for entry in found if "skip_reason" in entry]
    bad = [entry for entry in found if entry.get("vulns")]
    if len(skipped) == len(found):
        print("audit: the database of vulnerabilities knows none of these packages; nothing was audited")
        return 0
    if skipped:
        print(f"audit: not in the database, and not audited: {', '.join(entry['name'] for entry in skipped)}")
    for entry in bad:
        for fault in entry["vulns"]:
            fixed = ", ".join(fault.get("fix_versions", [])) or "no version"
            print(f"audit: {entry['name']} {entry['version']}: {fault['id']}, fixed in {fixed}")
    print(f"audit: {len(found) - len(skipped)} versions looked up, {len(bad)} with known vulnerabilities")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
