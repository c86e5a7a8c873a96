"""``report/``: one page that holds as much as its budget allows, and the rest in script files beside it.

A page on disk may not fetch, but it may load scripts: a part outside the page is a call of one function with JSON data.
Parts inside are JSON in script elements that no browser runs. The content security policy names the page's own script
by its hash; only what that script asks for is loaded, and nothing over a network. Styles are free: Plotly writes its
own, and a style can reach no network here either.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from anatomy import artifacts
from anatomy.clusters.assignments import Clusters
from anatomy.errors import RunError
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.run_signals import Signals
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.report.packing import to_json
from anatomy.report.payload import main_part
from anatomy.report.payload_parts import feature_columns, parts, top_signals
from anatomy.report.payload_types import RowColumns, RowsOnPage, plain
from anatomy.report.row_parts import PIECE, column_parts, some_rows, text_parts
from anatomy.report.summary_record import Summary
from anatomy.report.token_table import concept_colours, rows_behind_report, token_records
from anatomy.validation.plots import write_library

BUDGET = 15_000_000
"""Bytes of ``index.html``, at most."""
TEXT_SHARE = 0.6
"""Rows stand in the page when their characters are at most this share of the budget; else those behind findings do."""
EVIDENCE_ROWS = 1_000
TOKEN_PIECE = 16
MARGIN = 2_000
"""Bytes kept free for the title."""
TOP = 6
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=async function|function|const|let|class)", re.MULTILINE)
POLICY = (
    "default-src 'none'; script-src '{script}' 'strict-dynamic'; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'none'; form-action 'none'; base-uri 'none'"
)


class WrittenPage(NamedTuple):
    """Bytes of ``index.html``, and the number of files beside it with the plot library."""

    bytes: int
    files: int


class Parts:
    """Takes the parts of a page one after the other: inside while there is room, else as a file beside it."""

    def __init__(self, folder: Path, main: str) -> None:
        self.folder = folder
        self.inside = [_element("main", main)]
        self.beside: list[str] = []
        self._room = BUDGET - len(html("", self.inside).encode()) - MARGIN

    def add(self, name: str, value: Any, inside: bool = True) -> None:
        """Place one part; ``inside=False`` always writes a file."""
        text = to_json(value)
        element = _element(name, text)
        size = len(element.encode())
        if inside and size <= self._room:
            self.inside.append(element)
            self._room -= size
        else:
            self.beside.append(f"{name}.js")
            artifacts.write_text(self.folder / self.beside[-1], f'anatomyPart("{name}",{text});\n')


def write_report(run_dir: Path, signals: Signals, clusters: Clusters, store: FeatureStore, seed: int) -> WrittenPage:
    """Write ``report/`` anew, ``index.html`` last; return how large it became.

    Raises:
        RunError: an artifact of the audit is missing, or ``report`` is a link.
    """
    folder = report_folder(run_dir)
    folder.mkdir(exist_ok=True)
    (folder / artifacts.REPORT_PAGE).unlink(missing_ok=True)
    columns, row_ids, characters = column_parts(run_dir, signals.prompts)
    scales, codes = concept_colours(run_dir / artifacts.SCORED_TOKENS, row_ids, _thresholds(run_dir))
    tokens = list(token_records(run_dir / artifacts.TOKENS, store, codes))
    fit = characters <= TEXT_SHARE * BUDGET
    rows = RowsOnPage(
        n=len(row_ids),
        piece=PIECE,
        evidence=not fit,
        tokens=[row for row, _ in tokens],
        token_piece=TOKEN_PIECE,
        scales=scales,
    )
    main = main_part(run_dir, signals, seed, rows)
    placed = Parts(folder, to_json(plain(main)))
    every: RowColumns = {**columns, **feature_columns(clusters, store), "top": top_signals(signals, TOP)}
    placed.add("columns", every)
    placed.add("ids", "".join(row_ids))
    for name, value in parts(run_dir, signals, clusters):
        placed.add(name, value)
    _add_texts(placed, run_dir, row_ids, fit)
    for start in range(0, len(tokens), TOKEN_PIECE):
        placed.add(f"tokens-{start // TOKEN_PIECE:04d}", [record for _, record in tokens[start : start + TOKEN_PIECE]])
    return _finish(folder, placed, main["run"]["name"])


def report_folder(run_dir: Path) -> Path:
    """The folder of a run's report.

    Raises:
        RunError: it is a link: files elsewhere would be replaced, deleted or served.
    """
    folder = run_dir / artifacts.REPORT
    if folder.is_symlink():
        raise RunError(f"{folder}: a link, and a report is a folder of its run; remove the link")
    return folder


def _thresholds(run_dir: Path) -> dict[str, float | None]:
    """The threshold of each concept's detector, as its label tells it."""
    labels = ClusterLabels.read(run_dir / artifacts.LABELS).response
    return {name: label.get("threshold") for name, label in labels.items() if "detector" in label}


def _add_texts(placed: Parts, run_dir: Path, row_ids: list[str], fit: bool) -> None:
    """All texts inside, or those of the rows behind the findings inside and all of them beside."""
    if not fit:
        found, labels = (
            Summary.read(run_dir / artifacts.SUMMARY),
            ClusterLabels.read(run_dir / artifacts.LABELS).kinds(),
        )
        rows = rows_behind_report(found.row_ids(), labels, row_ids, EVIDENCE_ROWS)
        placed.add("evidence", some_rows(run_dir, rows))
    for name, value in text_parts(run_dir):
        placed.add(name, value, inside=fit)


def _finish(folder: Path, placed: Parts, name: str) -> WrittenPage:
    """Remove files of an earlier report, add the plot library, write the page."""
    for left in {path.name for path in folder.glob("*.js")} - {*placed.beside, artifacts.PLOTLY}:
        (folder / left).unlink()
    write_library(folder)
    page = html(name, placed.inside)
    artifacts.write_text(folder / artifacts.REPORT_PAGE, page)
    return WrittenPage(len(page.encode()), len(placed.beside) + 1)


def html(title: str, elements: list[str]) -> str:
    """The page: template, style, the data that it opens with, script, and the other parts after it."""
    resources = files("anatomy.report") / "page"
    style = (resources / "style.css").read_text(encoding="utf-8")
    library = (files("xstatic.pkg.js_yaml") / "data" / "js-yaml.js").read_text(encoding="utf-8")
    script = f'{library}\n(() => {{\n"use strict";\n{bundle("main")}}})();\n'
    values = {
        "@TITLE@": escape(title),
        "@POLICY@": POLICY.format(script=_digest(script)),
        "@STYLE@": style,
        "@DATA@": "".join(elements[:1]),
        "@SCRIPT@": script,
        "@PARTS@": "\n".join(elements[1:]),
    }
    template = (resources / "index.html").read_text(encoding="utf-8")
    pieces = re.split(f"({'|'.join(values)})", template)
    return "".join(values.get(piece, piece) for piece in pieces)


def bundle(entry: str) -> str:
    """One script from the modules of ``page/app`` that ``entry`` imports, each after those that it imports itself.

    The page opens from disk, where browsers refuse modules of other files. Names are unique over the modules, so that
    they can share one scope.
    """
    folder, done = files("anatomy.report") / "page" / "app", dict[str, str]()

    def visit(name: str) -> None:
        text = (folder / f"{name}.js").read_text(encoding="utf-8")
        for used in IMPORT.findall(text):
            if used not in done:
                visit(used)
        done[name] = EXPORT.sub("", IMPORT.sub("", text))

    visit(entry)
    return "".join(done.values())


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _element(name: str, text: str) -> str:
    return f'<script type="application/json" id="part-{name}">{text}</script>'
