"""Figures as SVG text, to be put into a page as they are: no pyplot, no global state, the same bytes every time.

Ink and grid lines are written as CSS (`currentColor`, `var(--line)`), so that a figure follows the page into dark mode;
text stays text, in the page's own font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

BLUE, GREEN, RED, ORANGE, PURPLE, GRAY = "#3f7fbf", "#3d9a6a", "#cf5460", "#d98a2b", "#8a6fc0", "#8b919b"
STATUS_COLORS = {
    "correct": GREEN,
    "wrong": RED,
    "no_answer": ORANGE,
    "truncated": PURPLE,
    "undecided": GRAY,
    "error": "#5c4a3d",
}
# Stand-ins that matplotlib accepts as colors and the page does not use; they become CSS in the text.
_INK, _LINE = "#010203", "#040506"
_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


Values = Sequence[float] | np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve, with an optional band of lower and upper limits; `label` None keeps it out of the legend."""

    label: str | None
    x: Values
    y: Values
    color: str = BLUE
    band: tuple[Values, Values] | None = None
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Points:
    """One row of points with interval bars, joined by a line."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    color: str = BLUE


@dataclass(frozen=True, slots=True)
class Mark:
    """One estimate on a row, with its limits where it has some; `label` "" keeps it out of the legend."""

    value: float
    low: float | None = None
    high: float | None = None
    color: str = BLUE
    label: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a rows plot: text over its marks. `band` shades -band to band, what could not have been seen.

    `points` are the single values behind the mark, such as one a training seed.
    """

    label: str
    marks: tuple[Mark, ...]
    band: float = 0.0
    points: tuple[float, ...] = ()


def line_plot(
    name: str,
    title: str,
    lines: Sequence[Line],
    *,
    xlabel: str = "step",
    percent: bool = False,
    log: bool = False,
    from_zero: bool = False,
    log2: bool = False,
) -> str:
    """Curves over steps as SVG text. `name` must be unique on the page; `percent` shows shares from 0 to 1.

    `log2` spaces x by powers of two, as for pass@k over k.
    """
    with matplotlib.rc_context(_STYLE):
        return _svg(_line_figure(title, lines, xlabel, percent, log, from_zero, log2), name, title)


def line_image(title: str, lines: Sequence[Line], *, xlabel: str = "step", dpi: int = 160) -> bytes:
    """The same curves as a PNG on white paper, for where SVG is not shown."""
    colors = {_INK: "#1d2126", _LINE: "#dcdfe4", "none": "#ffffff"}
    style: dict[Any, Any] = {k: colors.get(v, v) if "color" in k else v for k, v in _STYLE.items()}
    buffer = io.BytesIO()
    with matplotlib.rc_context(style):
        figure = _line_figure(title, lines, xlabel)
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def _line_figure(
    title: str,
    lines: Sequence[Line],
    xlabel: str,
    percent: bool = False,
    log: bool = False,
    from_zero: bool = False,
    log2: bool = False,
) -> Figure:
    figure, axes = _begin(title, xlabel, percent)
    for line in lines:
        axes.plot(
            line.x,
            line.y,
            color=line.color,
            label=line.label,
            alpha=0.35 if line.faint else 1.0,
            linewidth=1.0 if line.faint else None,
            marker="o" if len(line.x) == 1 else None,
        )
        if line.band:
            axes.fill_between(line.x, *line.band, color=line.color, alpha=0.18, linewidth=0)
    if log2:
        ticks = sorted({float(x) for line in lines for x in line.x})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    if log:
        axes.set_yscale("log")
    elif from_zero and not percent:
        axes.set_ylim(bottom=0)
    _legend(axes, sum(line.label is not None for line in lines))
    return figure


def share_plot(name: str, title: str, x: Sequence[float], shares: Mapping[str, Sequence[float]]) -> str:
    """Shares that add to 1, stacked over steps, in the colors of the statuses."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _begin(title, "step", percent=True)
        colors = [STATUS_COLORS.get(status, GRAY) for status in shares]
        labels = [status.replace("_", " ") for status in shares]
        xs, ys = (x, list(shares.values())) if len(x) > 1 else ([0.5, 1.5], [[v[0], v[0]] for v in shares.values()])
        axes.stackplot(xs, ys, labels=labels, colors=colors, linewidth=0, alpha=0.9)
        axes.margins(x=0)
        _legend(axes, len(shares))
        return _svg(figure, name, title)


def points_plot(
    name: str,
    title: str,
    series: Sequence[Points],
    *,
    xlabel: str,
    xticks: Sequence[float] | None = None,
    xticklabels: Sequence[str] | None = None,
    log2: bool = False,
    percent: bool = True,
    fit: bool = False,
) -> str:
    """Values with 95 % bars, for example pass@k over k, before and after; shares from 0 to 1 unless told.

    `fit` ends the axis of shares a little above the highest bar; it begins at zero all the same.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _begin(title, xlabel, percent)
        for points in series:
            below = [max(0.0, y - low) for y, low in zip(points.y, points.low, strict=True)]
            above = [max(0.0, high - y) for y, high in zip(points.y, points.high, strict=True)]
            axes.errorbar(
                points.x, points.y, (below, above), color=points.color, label=points.label, marker="o", markersize=4,
                capsize=0, elinewidth=2.4, linewidth=1.2, clip_on=False,
            )  # fmt: skip
        if percent and fit:
            axes.set_ylim(0, min(1.02, 1.08 * max(max(points.high) for points in series) or 1.02))
        if log2:
            axes.set_xscale("log", base=2)
        if xticks is not None:
            axes.set_xticks(xticks, xticklabels or [f"{tick:g}" for tick in xticks])
            axes.minorticks_off()
        _legend(axes, len(series))
        return _svg(figure, name, title)


def rows_plot(name: str, title: str, rows: Sequence[Row], *, xlabel: str, differences: bool = False) -> str:
    """Estimates under each other with 95 % bars, a label over each, so that long names fit a narrow page.

    Values are shares; with `differences` they are shown in percentage points about a line at zero, else in percent.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _begin(title, xlabel, percent=False)
        height = 0.95 + 0.5 * len(rows)
        figure.set_size_inches(4.6, height)
        figure.subplots_adjust(left=0.03, right=0.97, top=1 - 0.5 / height, bottom=0.42 / height)
        # Bars would stick to the frame, as if they were cut there.
        axes.use_sticky_edges = False
        named: set[str] = set()
        for y, row in enumerate(rows):
            _draw_row(axes, y, row, named)
        axes.set_ylim(len(rows) - 0.55, -0.65)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(visible=True, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        if differences:
            axes.axvline(0, color=_INK, linewidth=0.9)
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.3g}" if value else "0")
        else:
            axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        _legend(axes, len(named))
        return _svg(figure, name, title)


def _draw_row(axes: Axes, y: int, row: Row, named: set[str]) -> None:
    axes.annotate(row.label, (0, y), (0, 8), xycoords=("axes fraction", "data"), textcoords="offset points", size=8.5)
    if row.band:
        axes.barh(y, 2 * row.band, left=-row.band, height=0.3, color=GRAY, alpha=0.25, linewidth=0)
    if row.points:
        axes.plot(row.points, [y + 0.19] * len(row.points), "o", color=GRAY, markersize=3.2, clip_on=False)
    for mark in row.marks:
        if mark.low is not None and mark.high is not None:
            axes.plot([mark.low, mark.high], [y, y], color=mark.color, linewidth=2.4, solid_capstyle="butt")
        label = mark.label if mark.label not in named else ""
        named |= {label} - {""}
        axes.plot([mark.value], [y], "o", color=mark.color, markersize=5.5, label=label or None)


def chains_plot(name: str, title: str, chains: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """Rows of stations, each (label, state) under its row's name: `done` is filled, `open` a ring, all else a dot."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _begin(title, "", percent=False)
        height = 0.6 + 0.75 * len(chains)
        figure.set_size_inches(7.4, height)
        figure.subplots_adjust(left=0.03, right=0.97, top=1 - 0.4 / height, bottom=0.02)
        for y, (row, stations) in enumerate(chains.items()):
            axes.annotate(row, (-0.4, y - 0.42), size=8.5, weight="bold")
            axes.plot(range(len(stations)), [y] * len(stations), color=_LINE, zorder=1)
            for x, (label, state) in enumerate(stations):
                style: dict[str, Any] = {"color": GREEN, "markersize": 9}
                if state != "done":
                    style = {"color": GRAY, "markersize": 8 if state == "open" else 4}
                    style |= {"markerfacecolor": "none", "markeredgewidth": 1.6} if state == "open" else {}
                axes.plot([x], [y], "o", zorder=2, clip_on=False, **style)
                axes.annotate(label, (x, y), (0, -15), textcoords="offset points", ha="center", size=8)
        axes.set_ylim(len(chains) - 0.3, -0.75)
        axes.set_xlim(-0.5, max(map(len, chains.values())) - 0.5)
        axes.set_axis_off()
        return _svg(figure, name, title)


def standalone(svg: str) -> str:
    """A figure as a file of its own, with the ink, the lines and the paper that a page would give it."""
    style = "<style>svg { color: #1d2126; --line: #dcdfe4; background: #fff; font-family: sans-serif }</style>"
    return svg.replace(">", f">{style}", 1)


def _begin(title: str, xlabel: str, percent: bool) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.6, 2.75))
    figure.subplots_adjust(left=0.125, right=0.985, top=0.82, bottom=0.17)
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set_title(title, pad=20)
    axes.set_xlabel(xlabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    if percent:
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
    return figure, axes


def _legend(axes: Axes, entries: int) -> None:
    if entries > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 0.99), ncols=min(entries, 6), columnspacing=0.9,
            handlelength=0.9, handletextpad=0.4, borderaxespad=0,
        )  # fmt: skip


def _svg(figure: Figure, name: str, title: str) -> str:
    """The figure as one <svg> element whose ids begin with `name` and whose bytes depend on its content alone."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = re.sub(r"font-family: [^;\"]*; ?", "", text)
    text = text.replace(_INK, "currentColor").replace(_LINE, "var(--line, #999)")
    opening = f'<svg role="img" aria-label="{escape(title, quote=True)}"'
    return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf"{opening} \1 {_NAMESPACES}>", text, count=1)
