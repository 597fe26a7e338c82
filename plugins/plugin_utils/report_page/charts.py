# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report's charts: data in, shapes out, which the page writes as SVG. Every chart is drawn twice, for wide and for narrow pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...module_utils._core import words

WIDE, NARROW = 860, 330
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
CLUSTER_TITLES = {"old": "systemd", "new": "pods"}
ROW = 26
# Width of one character of a label, on the safe side: text is not measured, it is kept clear of what is beside it.
CHARACTER = 6.6


class Scale(NamedTuple):
    """Seconds to pixels."""

    start: float
    end: float
    left: float
    right: float

    def __call__(self, at: float) -> float:
        share = (min(max(at, self.start), self.end) - self.start) / max(self.end - self.start, 1e-9)
        return self.left + share * (self.right - self.left)

    def ticks(self, room: float = 70.0) -> list[float]:
        """Offsets from the start at which to write the time, at least `room` pixels apart."""
        span = self.end - self.start
        fitting = max(1, int((self.right - self.left) / room))
        step = next((step for step in STEPS if span / step <= fitting), STEPS[-1])
        return [float(offset) for offset in range(0, int(span) + 1, step)]


def offset(seconds: float) -> str:
    """`1:30` after the start."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"


class Shape(NamedTuple):
    """One SVG element. The page escapes its text and its attributes."""

    element: str
    attributes: Mapping[str, str]
    text: str = ""


class Chart(NamedTuple):
    """A drawing and its description for people who do not see it."""

    name: str
    title: str
    description: str
    width: str
    height: str
    shapes: Sequence[Shape]


def number(value: float) -> str:
    """A coordinate: short, and the same on every machine."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if value else "0"


def shape(element: str, text_: str = "", **attributes: Any) -> Shape:
    """`class_` loses its underscore, other underscores become dashes; None leaves an attribute out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    return Shape(
        element, {key: number(value) if isinstance(value, float) else str(value) for key, value in given.items()}, text_
    )


def text(x: float, y: float, written: str, class_: str = "", anchor: str | None = None) -> Shape:
    return shape("text", written, x=x, y=y, class_=f"t {class_}".strip(), text_anchor=anchor)


class Drawings(NamedTuple):
    """The same chart for both widths."""

    wide: Chart
    narrow: Chart


def drawings(draw: Callable[..., Chart], *given: Any) -> Drawings:
    return Drawings(draw(*given, narrow=False), draw(*given, narrow=True))


def axis(scale: Scale, top: float, bottom: float) -> list[Shape]:
    """Vertical hair lines with the time since the beginning below them."""
    lines = []
    for tick in scale.ticks():
        x = scale(scale.start + tick)
        lines.append(shape("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
        lines.append(text(x, bottom + 15, offset(tick), "muted", "middle" if tick else "start"))
    return lines


class _Rows:
    """Rows of bars, with their labels at the left (wide) or above each bar (narrow)."""

    def __init__(self, width: float, scale: Scale, narrow: bool) -> None:
        self.width, self.scale, self.narrow = width, scale, narrow
        self.y = 4.0
        self.parts: list[Shape] = []

    def row(self, label: str, note: str, bars: Sequence[tuple[float, float, str, str]]) -> None:
        """`bars` are (from, to, class, text); `note` stands after the last bar, or before it where there is no room."""
        above = 15 if self.narrow else 0
        if self.narrow:
            self.parts.append(text(0, self.y + 11, label, "label"))
            self.parts.append(text(self.width, self.y + 11, note, "muted", "end"))
        else:
            self.parts.append(text(self.scale.left - 12, self.y + 16, label, "label", "end"))
        right = self.scale.left
        for began, ended, class_, inside in bars:
            x, to = self.scale(began), self.scale(ended)
            width = max(2.5, to - x)
            right = max(right, x + width)
            self.parts.append(shape("rect", x=x, y=self.y + 4 + above, width=width, height=15, rx=2, class_=class_))
            if inside and len(inside) * CHARACTER + 8 <= width:
                self.parts.append(text(x + 5, self.y + 15.5 + above, inside, "inside"))
        if not self.narrow and note:
            room = self.width - right - 8
            fits = len(note) * CHARACTER <= room
            first = self.scale(bars[0][0]) if bars else self.scale.left
            x, anchor = (right + 8, None) if fits else (first - 8, "end")
            self.parts.append(text(x, self.y + 16, note, "muted", anchor))
        self.y += ROW + above

    def gap(self, pixels: float = 8.0) -> None:
        self.y += pixels


def timeline(report: Mapping[str, Any], narrow: bool) -> Chart:
    """Phases, the write pause, both clusters' leaders and quorum, and alerts, over one axis of time."""
    width = NARROW if narrow else WIDE
    window = report["window"]
    scale = Scale(window["from"], window["to"], 0 if narrow else 138, width)
    rows = _Rows(width, scale, narrow)
    for phase in report["phases"]:
        bars = []
        if phase["started_at"] is not None:
            ended = phase["finished_at"] if phase["finished_at"] is not None else window["to"]
            bars.append((phase["started_at"], ended, f"phase {phase['state']}", ""))
        note = words.seconds(phase["seconds"]) if bars else "not begun"
        if phase["state"] not in ("done", "pending"):
            note = f"{phase['state'].replace('_', ' ')}, {note}"
        rows.row(phase["title"], note, bars)
    pause = report["write_pause"]
    rows.gap()
    rows.row(
        "Write pause",
        words.seconds(pause["seconds"]) if pause else "not measured",
        [(pause["from"], pause["to"], "pause", "")] if pause else [],
    )
    for name, title in CLUSTER_TITLES.items():
        watch = report["watch"][name]
        bars = []
        for index, led in enumerate(watch["leaderships"]):
            class_ = f"led {name} {'odd' if index % 2 else 'even'}" if led["leader"] else "leaderless"
            bars.append(
                (led["from"], led["to"], class_, f"{led['leader']} · term {led['term']}" if led["leader"] else "")
            )
        bars += [(period["from"], period["to"], "lost", "") for period in watch["without_quorum"]]
        rows.row(f"Leader, {title}", "" if watch["samples"] else "not watched", bars)
    if report["alerts"]:
        alerts = [
            (alert["began"], alert["ended"] or alert["began"], "alert", "")
            for alert in report["alerts"]
            if alert["began"]
        ]
        rows.row("Alerts", str(len(report["alerts"])), alerts)
    bottom = rows.y + 2
    return Chart(
        f"timeline-{'narrow' if narrow else 'wide'}",
        "Time line of the migration",
        "Bars over the time since the beginning: one for each phase, the write pause, and the leaders of each"
        " cluster. The tables below hold the same numbers.",
        number(width),
        number(bottom + 22),
        [*axis(scale, 0, bottom), *rows.parts],
    )


class Line(NamedTuple):
    """One series of a latency chart."""

    title: str
    class_: str
    points: Sequence[Mapping[str, float]]


def latency(
    name: str,
    lines: Sequence[Line],
    failed: Sequence[float],
    pause: Mapping[str, Any] | None,
    window: Mapping[str, float],
    narrow: bool,
) -> Chart:
    """Latency over time on a logarithmic scale: medians as lines, the largest values as hair lines above them."""
    width, height = (NARROW, 210) if narrow else (WIDE, 230)
    left, top = 46.0, 30.0
    scale = Scale(window["from"], window["to"], left, width)
    values = [value for line in lines for point in line.points for value in (point["median"], point["max"])]
    low = math.floor(math.log10(max(0.1, min(values, default=1.0))))
    high = max(low + 1, math.ceil(math.log10(max([0.2, *(values or [10.0])]))))

    def y(value: float) -> float:
        share = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return height - share * (height - top)

    parts = axis(scale, top, height)
    for power in range(low, high + 1):
        parts.append(shape("line", x1=left, x2=width, y1=y(10.0**power), y2=y(10.0**power), class_="grid"))
        parts.append(
            text(
                left - 6,
                y(10.0**power) + 4,
                words.seconds(10.0**power / 1000) if power >= 0 else "0.1 ms",
                "muted",
                "end",
            )
        )
    if pause:
        x = scale(pause["from"])
        parts.append(
            shape("rect", x=x, y=top, width=max(2.5, scale(pause["to"]) - x), height=height - top, class_="pause band")
        )
    for line in lines:
        hair = [
            f"M{number(scale(point['at']))} {number(y(point['median']))}V{number(y(point['max']))}"
            for point in line.points
        ]
        parts.append(shape("path", d="".join(hair), class_=f"hair {line.class_}"))
        parts.append(
            shape(
                "path",
                d=_path([(scale(point["at"]), y(point["median"])) for point in line.points], (width - left) / 24),
                class_=f"line {line.class_}",
            )
        )
    marked = -8.0
    for at in sorted(failed):
        x = scale(at)
        # One cross marks all that would touch it.
        if x - marked < 8:
            continue
        marked = x
        parts.append(shape("path", d=f"M{number(x - 3)} {number(top - 9)}l6 6m0 -6l-6 6", class_="cross"))
    x = left
    for line in lines:
        parts.append(shape("path", d=f"M{number(x)} 8h22", class_=f"line {line.class_}"))
        parts.append(text(x + 28, 12, line.title, "label"))
        x += 28 + len(line.title) * CHARACTER + 22
    if failed:
        parts.append(shape("path", d=f"M{number(x)} 5l6 6m0 -6l-6 6", class_="cross"))
        parts.append(text(x + 12, 12, "no answer", "label"))
    described = "; ".join(f"{line.title}: {len(line.points)} stretches of time" for line in lines)
    return Chart(
        f"{name}-{'narrow' if narrow else 'wide'}",
        "Latency over time",
        f"Medians and largest values, on a logarithmic scale. {described}. The table below holds the figures.",
        number(width),
        number(height + 22),
        parts,
    )


def _path(points: Sequence[tuple[float, float]], jump: float) -> str:
    """A line through the points, broken where more than `jump` pixels have none."""
    written, last = [], None
    for x, y in points:
        written.append(f"{'M' if last is None or x - last > jump else 'L'}{number(x)} {number(y)}")
        last = x
    return "".join(written)
