"""Plots: pages that open from disk without a network, and a static scatter that needs no library.

plotly's library takes almost 5 MB. Pages do not hold it: one copy of it lies in the folder beside them.
"""

from __future__ import annotations

import html
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from anatomy.artifacts import PLOTLY, atomic_path, write_text
from anatomy.text.visible import visible

if TYPE_CHECKING:
    import plotly.graph_objects as go

SIZE, MARGIN = 480, 56


def write_library(folder: Path) -> None:
    """Write plotly's library into ``folder`` for the pages there."""
    with atomic_path(folder / PLOTLY) as temporary:
        shutil.copyfile(str(files("plotly") / "package_data" / "plotly.min.js"), temporary)


def write_page(path: Path, figure: go.Figure, *, still: bool = False) -> None:
    """Write ``figure`` as the page ``path``, and the library beside it; a ``still`` figure does not react to clicks."""
    write_library(path.parent)
    write_text(path, figure.to_html(include_plotlyjs=PLOTLY, config={"staticPlot": True} if still else None))


def error_bars(
    value_X: Float[np.ndarray, " X"] | Sequence[float],
    interval_X2: Float[np.ndarray, "X 2"] | Sequence[Sequence[float]],
) -> dict[str, Any]:
    """plotly's settings of the error bars that reach from each value to the ends of its interval."""
    ends_X2, values_X = np.asarray(interval_X2, np.float64).reshape(-1, 2), np.asarray(value_X, np.float64)
    above_X, below_X = ends_X2[:, 1] - values_X, values_X - ends_X2[:, 0]
    return {"type": "data", "symmetric": False, "array": above_X, "arrayminus": below_X}


def write_scatter(
    path: Path,
    title: str,
    names: Sequence[str],
    predicted_X: Float[np.ndarray, " X"],
    observed_X: Float[np.ndarray, " X"],
    interval_X2: Float[np.ndarray, "X 2"],
    slope: float,
) -> None:
    """Write predicted against observed shifts as ``path`` with the suffixes ``.html`` and ``.svg``.

    Both draw the identity and the fitted slope; the page also draws the intervals and shows ``names`` on hover. Names
    hold text of the data set and are escaped.
    """
    import plotly.graph_objects as go

    ends = _ends(predicted_X)
    figure = go.Figure(
        [
            go.Scatter(
                x=predicted_X,
                y=observed_X,
                mode="markers",
                text=[html.escape(visible(name)) for name in names],
                error_y=error_bars(observed_X, interval_X2) | {"thickness": 0.5},
                name="shift",
            ),
            go.Scatter(x=ends, y=ends, mode="lines", line={"dash": "dot"}, name="identity"),
            go.Scatter(x=ends, y=[slope * end for end in ends], mode="lines", name=f"slope {slope:.3g}"),
        ]
    )
    figure.update_layout(title=html.escape(title), xaxis_title="predicted shift", yaxis_title="observed shift")
    span = [float(np.nanmin(interval_X2)), float(np.nanmax(interval_X2))]
    figure.update_yaxes(range=_padded(span))
    write_page(path.with_suffix(".html"), figure)
    write_text(path.with_suffix(".svg"), scatter_svg(title, predicted_X, observed_X, slope))


def scatter_svg(title: str, predicted_X: np.ndarray, observed_X: np.ndarray, slope: float) -> str:
    """Points, the identity (dotted) and the fitted slope as SVG."""
    x_range, y_range = _padded(_ends(predicted_X)), _padded(_ends(observed_X))

    def place(x: float, y: float) -> tuple[float, float]:
        inner = SIZE - 2 * MARGIN
        across = (x - x_range[0]) / (x_range[1] - x_range[0])
        up = (y - y_range[0]) / (y_range[1] - y_range[0])
        return MARGIN + inner * across, SIZE - MARGIN - inner * up

    def line(gradient: float, style: Mapping[str, str]) -> str:
        (x1, y1), (x2, y2) = (place(x, gradient * x) for x in x_range)
        drawn = " ".join(f'{key}="{value}"' for key, value in style.items())
        return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" clip-path="url(#frame)" {drawn}/>'

    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#2563eb" fill-opacity="0.6"/>'
            for x, y in (place(*point) for point in zip(predicted_X, observed_X, strict=True))]  # fmt: skip
    inner = f'x="{MARGIN}" y="{MARGIN}" width="{SIZE - 2 * MARGIN}" height="{SIZE - 2 * MARGIN}"'
    low = f"{x_range[0]:.3g} to {x_range[1]:.3g}", f"{y_range[0]:.3g} to {y_range[1]:.3g}"
    return (
        "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" '
                'font-family="sans-serif" font-size="12">',
                f'<clipPath id="frame"><rect {inner}/></clipPath><rect {inner} fill="none" stroke="#999"/>',
                f'<text x="{MARGIN}" y="{MARGIN - 14}">{html.escape(visible(title))}</text>',
                f'<text x="{MARGIN}" y="{SIZE - 18}">predicted shift, {low[0]}</text>',
                f'<text transform="translate(18 {SIZE - MARGIN}) rotate(-90)">observed shift, {low[1]}</text>',
                line(1.0, {"stroke": "#999", "stroke-dasharray": "3 3"}),
                line(slope, {"stroke": "#dc2626"}),
                *dots,
                "</svg>",
            ]
        )
        + "\n"
    )


def _ends(values_X: np.ndarray) -> list[float]:
    return [float(min(values_X.min(), 0.0)), float(max(values_X.max(), 0.0))]


def _padded(ends: Sequence[float]) -> list[float]:
    space = 0.05 * (ends[1] - ends[0]) or 1.0
    return [ends[0] - space, ends[1] + space]
