"""Public text stays plain English: a list of words and openings that have crept in before is refused."""

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORDS = re.compile(
    r"\b(told|foretold|foretells?|foretell|mend(?:s|ed|ing)?|(?:goes|going|went|go) on(?! the\b)|whoever|"
    r"by which)\b",
    re.IGNORECASE,
)
OPENING = re.compile(r"(?:^|(?<=[.!?:] ))(Of|That of|Where)(?= [a-z`][^.!?]*[.!?])")
"""A sentence that opens with one of these reads as translated; a heading has no full stop."""


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def markdown(path: Path) -> Iterator[tuple[int, str]]:
    """Paragraphs and table cells outside code, with the line where each begins."""
    fenced, start, lines = False, 1, []
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        if line.startswith("```"):
            fenced = not fenced
        if fenced or not line.strip() or line.startswith(("```", "|", "#", "- ", "* ", "1.")):
            if lines:
                yield start, " ".join(lines)
            lines, start = [], number
            if not fenced and line.startswith("|"):
                yield from ((number, cell.strip()) for cell in line.strip("|").split("|"))
            elif not fenced and line.strip() and not line.startswith("```"):
                lines = [line.lstrip("#-* ")]
        else:
            if not lines:
                start = number
            lines.append(line.strip())


def python(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings (docstrings, messages), each as one line of text."""
    with tokenize.open(path) as file:
        text = file.read()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
        elif token.type == tokenize.STRING:
            for paragraph in re.split(r"\n\s*\n", token.string.strip("rbfRBF").strip("\"'")):
                yield token.start[0], " ".join(paragraph.split())


def script(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings of JavaScript, HTML and YAML files, line by line."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        yield from ((number, found) for found in re.findall(r"(?://|#|/?\*+|[\"'`>])\s*([A-Za-z][^\"'`<]*)", line))


def faults(path: Path) -> list[str]:
    read = {".md": markdown, ".py": python}.get(path.suffix, script)
    found = []
    for number, text in read(path):
        clean = re.sub(r"`[^`]*`", "``", text)
        found += [f"{path.relative_to(ROOT)}:{number}: “{match.group(0)}” in: {clean[:100]}"
                  for pattern in (WORDS, OPENING) for match in pattern.finditer(clean)]  # fmt: skip
    return found


FILES = [
    path
    for path in tracked("*.md", "*.py", "anatomy/report/page/*", "configs/*")
    if path.suffix in {".md", ".py", ".js", ".ts", ".html", ".yaml"} and path != Path(__file__)
]


@pytest.mark.parametrize("folder", sorted({path.relative_to(ROOT).parts[0] for path in FILES}))
def test_prose_is_plain(folder):
    found = [fault for path in FILES if path.relative_to(ROOT).parts[0] == folder for fault in faults(path)]
    assert not found, "\n".join(found)


def test_the_check_can_fail(tmp_path, monkeypatch):
    monkeypatch.setattr("test_prose.ROOT", tmp_path)
    (tmp_path / "a.py").write_text('"""A name.\n\nOf features only the last counts.\n"""\nx = 1  # it is told\n')
    (tmp_path / "b.md").write_text("# Title\n\nFirst sentence. Where it is, we see.\n\n| cell | by which |\n")
    assert len(faults(tmp_path / "a.py")) == 2
    assert len(faults(tmp_path / "b.md")) == 2
