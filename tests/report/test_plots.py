"""Figures are SVG text: the same bytes every time, following the page's colors, and leaving no global state."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import matplotlib

from rlpath.report.plots import (
    Line,
    Mark,
    Points,
    Row,
    line_image,
    line_plot,
    points_plot,
    rows_plot,
    share_plot,
    standalone,
)

CURVE = Line("reward", [1, 2, 3], [0.2, 0.5, 0.9], band=([0.1, 0.4, 0.8], [0.3, 0.6, 1.0]))


def figures(name: str = "f") -> list[str]:
    shares = {"correct": [0.2, 0.8], "wrong": [0.8, 0.2]}
    points = Points("before", [1, 2, 4], [0.1, 0.2, 0.3], [0.0, 0.1, 0.2], [0.2, 0.3, 0.4])
    return [
        line_plot(name, "Reward <&> 'it'", [CURVE], percent=True),
        line_plot(name, "Gap", [CURVE], log=True),
        share_plot(name, "Status", [1, 2], shares),
        points_plot(name, "pass@k", [points], xlabel="k", xticks=[1, 2, 4], log2=True),
    ]


def test_figures_are_one_well_formed_element_each() -> None:
    """Every figure parses as XML, scales with the page, has a name for screen readers and no fixed size."""
    for svg in figures():
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg") and root.get("viewBox") == "0 0 331.2 198"
        assert root.get("role") == "img" and root.get("aria-label")
        assert root.get("width") is None
    assert ElementTree.fromstring(figures()[0]).get("aria-label") == "Reward <&> 'it'"


def test_rows_grow_with_their_number_and_keep_their_labels() -> None:
    """Half an inch a row; differences in signed points about zero, shares in percent; one legend entry a label."""
    rows = [Row(f"task <{i}>", (Mark(0.1 * i, -0.1, 0.3, label="model"), Mark(-0.1)), band=0.05) for i in range(3)]
    svg = rows_plot("rows", "Differences", rows, xlabel="points", differences=True)
    one = rows_plot("rows", "Differences", rows[:1], xlabel="points")

    heights = [float((ElementTree.fromstring(s).get("viewBox") or "").split()[3]) for s in (svg, one)]
    assert math.isclose(heights[0] - heights[1], 2 * 36)
    assert ">task &lt;2&gt;</text>" in svg and ">+16</text>" in svg and "%</text>" not in svg
    assert svg.count(">model</text>") == 0, "a single label needs no legend"
    assert "%</text>" in one


def test_an_axis_of_shares_can_end_above_its_highest_bar() -> None:
    """Small shares are not squeezed to the floor: the axis still begins at zero."""
    points = Points("model", [1, 2], [0.02, 0.04], [0.01, 0.02], [0.03, 0.06])
    whole, fitted = (points_plot("f", "pass@k", [points], xlabel="k", fit=fit) for fit in (False, True))

    assert ">100 %</text>" in whole and ">100 %</text>" not in fitted
    assert any(f">{zero} %</text>" in fitted for zero in ("0", "0.0"))


def test_same_input_same_bytes() -> None:
    """Nothing depends on time or chance."""
    assert figures() == figures()


def test_ids_carry_the_name() -> None:
    """Two figures on one page share no id, and references follow."""
    first, second = figures("one")[0], figures("two")[0]
    ids = [{e.get("id", "") for e in ElementTree.fromstring(svg).iter() if e.get("id")} for svg in (first, second)]
    assert ids[0].isdisjoint(ids[1])
    assert all(name.startswith("one-") for name in ids[0])
    assert "url(#one-" in first and 'href="#one-' in first


def test_text_and_colors_are_the_pages() -> None:
    """Labels stay text, ink is the page's, and no font is asked for."""
    svg = figures()[0]
    assert ">step</text>" in svg
    assert "currentColor" in svg and "var(--line" in svg
    assert "font-family" not in svg and "#010203" not in svg


def test_global_settings_are_left_alone() -> None:
    """Drawing changes no matplotlib setting."""
    before = dict(matplotlib.rcParams)
    figures()
    assert dict(matplotlib.rcParams) == before


def test_degenerate_series_are_drawn() -> None:
    """One step, or missing values, give a figure and no warning."""
    line_plot("a", "one step", [Line("x", [1], [0.5])])
    line_plot("b", "gap", [Line("x", [1, 2, 3], [0.5, math.nan, 0.7])])
    share_plot("c", "one step", [1], {"correct": [0.3], "wrong": [0.7]})
    share_plot("d", "no step", [1, 2], {"correct": [1.0, 1.0]})


def test_intervals_are_drawn_from_limit_to_limit() -> None:
    """The bar of a point spans its interval: four points apart in value, four times as far in the picture."""
    narrow = Points("a", [1], [0.5], [0.4], [0.6])
    wide = Points("a", [1], [0.5], [0.1], [0.9])
    heights = [_bar_height(points_plot("f", "t", [points], xlabel="k")) for points in (narrow, wide)]
    assert math.isclose(heights[1], 4 * heights[0], rel_tol=1e-3)


def _bar_height(svg: str) -> float:
    root = ElementTree.fromstring(svg)
    collection = next(e for e in root.iter() if (e.get("id") or "").startswith("f-LineCollection"))
    path = next(e for e in collection.iter() if e.tag.endswith("path"))
    numbers = [float(word) for word in (path.get("d") or "").replace("M", "").replace("L", "").split()]
    return abs(numbers[1] - numbers[3])


def test_figures_outside_a_page() -> None:
    """An SVG file brings its ink and paper; a PNG has the same bytes every time; points need not be shares."""
    root = ElementTree.fromstring(standalone(figures()[0]))
    assert "color: #1d2126" in (root[0].text or "")

    image = line_image("Return", [CURVE], xlabel="steps")
    assert image.startswith(b"\x89PNG") and image == line_image("Return", [CURVE], xlabel="steps")
    returns = points_plot("p", "Return", [Points("A", [0], [490], [480], [500])], xlabel="", percent=False)
    assert "490" in returns and "%" not in returns
