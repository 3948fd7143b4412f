"""The picture of the table: every row as a multiple of one server, drawn as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from bench.report import number, title
from bench.rows import Better
from bench.runs import OURS, Summary
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK: Final = "#1f2430"
_FAINT: Final = "#8a92a3"
_GRID: Final = "#e6e8ee"
_OURS: Final = "#2457d6"
_FLOOR: Final = "#b26a00"
_TICKS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_REFERENCES: Final = ("soketi", "peer", "floor")
_WIDTH_INCHES: Final = 8.0
_ROW_INCHES: Final = 0.4
_FRAME_INCHES: Final = 1.15
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "svg.hashsalt": "herenow",
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _INK,
}


def advantage(ratio: float, better: Better) -> float:
    """How many times better: the ratio, or its inverse where less is better."""
    if better is Better.HIGHER:
        return ratio
    return 1 / ratio if ratio else float("inf")


def draw(summaries: Sequence[Summary], file: Path) -> None:
    """Write *file* with ``.png`` and ``.svg``; nothing without anybody to compare with."""
    compared = {name for summary in summaries for name in summary.ratios}
    reference = next((name for name in _REFERENCES if name in compared), None)
    if reference is None:
        return
    shown = [summary for summary in summaries if reference in summary.ratios]
    with mpl.rc_context():
        mpl.rcParams.update(_STYLE)
        figure = Figure((_WIDTH_INCHES, _FRAME_INCHES + _ROW_INCHES * len(shown)))
        axes = figure.add_axes(_frame(len(shown)))
        _draw_axes(axes, shown, reference)
        for position, summary in enumerate(shown):
            _draw_row(axes, position, summary, reference)
        _draw_legend(axes, shown, reference)
        figure.savefig(file.with_suffix(".png"), dpi=200, facecolor="white")
        figure.savefig(file.with_suffix(".svg"), facecolor="white", metadata={"Date": None})


def _frame(rows: int) -> tuple[float, float, float, float]:
    height = _FRAME_INCHES + _ROW_INCHES * rows
    return (0.363, 0.55 / height, 0.37, _ROW_INCHES * rows / height)


def _draw_axes(axes: Axes, shown: Sequence[Summary], reference: str) -> None:
    reached = [1.0]
    for summary in shown:
        better = summary.row.better
        spread = summary.ratios[reference].spread
        reached += [advantage(value, better) for value in spread]
        reached += [floor for floor in (_floor(summary, reference),) if floor]
        if expected := summary.ratios[reference].expected:
            reached.append(advantage(expected, better))
    least, most = min(reached) / 1.25, max(reached) * 1.25
    axes.set_xscale("log")
    axes.set_xlim(least, most)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.xaxis.set_major_locator(FixedLocator([t for t in _TICKS if least <= t <= most]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{_TIMES}"))
    axes.set_yticks(range(len(shown)), [summary.row.title for summary in shown])
    axes.tick_params(length=0, pad=8)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.axvline(1, color=_FAINT, linewidth=1.2)


def _draw_row(axes: Axes, position: int, summary: Summary, reference: str) -> None:
    ratio = summary.ratios[reference]
    better = summary.row.better
    middle, *ends = (advantage(value, better) for value in ratio.spread)
    axes.plot([1, middle], [position] * 2, color=_OURS, linewidth=5, alpha=0.16)
    axes.plot(ends, [position] * 2, color=_OURS, linewidth=1.4)
    axes.plot(middle, position, "o", color=_OURS, markersize=7.5)
    if floor := _floor(summary, reference):
        axes.plot(floor, position, "D", color="white", markeredgecolor=_FLOOR, markersize=5)
    if ratio.expected:
        expected = advantage(ratio.expected, better)
        axes.plot(expected, position, "|", color=_INK, markersize=13, markeredgewidth=1.3)
    axes.annotate(
        f"{middle:.{1 if middle < 9.95 else 0}f}{_TIMES}",
        (1.02, position),
        xycoords=("axes fraction", "data"),
        va="center",
        color=_OURS,
        fontweight="bold",
    )
    axes.annotate(
        f"{number(summary.cells[OURS].figure.median)} {summary.row.unit}",
        (1.16, position),
        xycoords=("axes fraction", "data"),
        va="center",
        color=_INK,
    )


def _floor(summary: Summary, reference: str) -> float | None:
    if reference == "floor" or "floor" not in summary.cells:
        return None
    floor, other = (summary.cells[name].figure.median for name in ("floor", reference))
    return advantage(floor / other, summary.row.better) if floor and other else None


def _draw_legend(axes: Axes, shown: Sequence[Summary], reference: str) -> None:
    entries = [
        Line2D([], [], color=_OURS, marker="o", markersize=7, linewidth=1.4, label="herenow"),
        Line2D([], [], color=_FAINT, linewidth=1.4, label=f"{title(reference)} = 1"),
    ]
    if any(_floor(summary, reference) for summary in shown):
        entries.append(_marker("D", _FLOOR, title("floor"), markersize=5))
    if any(summary.ratios[reference].expected for summary in shown):
        entries.append(_marker("|", _INK, "aim", markersize=11))
    axes.legend(
        handles=entries,
        loc="lower center",
        bbox_to_anchor=(0.4, 1.01),
        ncols=len(entries),
        frameon=False,
        handletextpad=0.5,
        columnspacing=1.6,
    )
    axes.set_xlabel("times better, logarithmic; thin lines are ranges", color=_FAINT, labelpad=6)


def _marker(shape: str, color: str, label: str, markersize: float) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=shape,
        markerfacecolor="white",
        markeredgecolor=color,
        markersize=markersize,
        label=label,
    )
