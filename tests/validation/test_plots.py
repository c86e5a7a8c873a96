"""Pages of plots: drawn from disk without a network, the library once in a folder, dataset text as text."""

import numpy as np
import plotly.graph_objects as go
import pytest

from anatomy.artifacts import PLOTLY
from anatomy.validation.plots import error_bars, write_page, write_scatter

HOSTILE = "<b onmouseover=alert(1)>R1</b>"


@pytest.fixture
def folder(tmp_path):
    predicted, observed = np.array([0.1, -0.2, 0.3]), np.array([0.2, -0.1, 0.2])
    interval = np.stack([observed - 0.05, observed + 0.1], axis=1)
    for view in ("global", "feature"):
        write_scatter(tmp_path / f"scatter-{view}", view, [HOSTILE, "R2", "R3"], predicted, observed, interval, 0.8)
    return tmp_path


def test_the_library_is_written_once_for_all_pages(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        PLOTLY, "scatter-feature.html", "scatter-feature.svg", "scatter-global.html", "scatter-global.svg",
    ]  # fmt: skip
    assert (folder / "scatter-global.html").stat().st_size < 50_000
    assert (folder / PLOTLY).stat().st_size > 1_000_000


def test_a_page_draws_from_disk_without_a_network(folder, browser):
    context = browser.new_context(offline=True)
    page, asked, faults = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(f"file://{folder}/scatter-global.html")
    page.wait_for_selector(".scatterlayer .points path")
    assert page.locator(".scatterlayer .points path").count() == 3
    assert page.locator("b[onmouseover]").count() == 0
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert faults == []
    context.close()


def test_error_bars_reach_the_ends_of_the_intervals():
    bars = error_bars([0.5, 1.0], [(0.25, 1.0), (1.0, 1.5)])
    assert bars["array"].tolist() == [0.5, 0.5]
    assert bars["arrayminus"].tolist() == [0.25, 0.0]
    assert error_bars([], [])["array"].size == 0


def test_a_still_page_says_so(tmp_path):
    write_page(tmp_path / "bars.html", go.Figure(), still=True)
    assert '"staticPlot": true' in (tmp_path / "bars.html").read_text()
