"""The page of all benchmarks: from what was measured to Markdown, and into the documents that keep it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.common import table
from bench.separate import CLIP_LIMIT, TIMES_IDEAL, TIMES_OPENUNMIX, TIMES_SONY

Values = Mapping[str, float]

PAGE, SEPARATION = "bench", "separation"
"""Names of what stands between marks: the whole page, and in it the part that README.md shows too."""


@dataclass(frozen=True)
class Part:
    """What one part measured.

    Attributes
    ----------
    values : dict of str to float
        By name, as in `LINES`: seconds, MB (10⁶ bytes), shares, samples or songs a second.
    others : float
        The largest part of the cores that other programs took during a measurement.
    disturbed : list of str
        Measurements during which they took more than `bench.common.CALM`.
    peers : dict of str to str
        Versions of the programs that it compares with.
    """

    values: dict[str, float]
    others: float = 0.0
    disturbed: list[str] = field(default_factory=list)
    peers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A line of the page: a value or a ratio, and what is wanted of it."""

    part: str
    about: str
    of: Callable[[Values], float]
    unit: str = "×"
    at_least: float | None = None
    at_most: float | None = None

    def row(self, parts: Mapping[str, Part]) -> list[str] | None:
        """Cells of the table; None where something that it needs was not measured."""
        values = _values(parts)
        if self.part not in parts:
            return None
        try:
            value = self.of(values)
        except KeyError:
            return None
        wanted, met = "", ""
        if self.at_least is not None:
            wanted, met = f"≥ {self.at_least:g} {self.unit}", "yes" if value >= self.at_least else "no"
        elif self.at_most is not None:
            wanted, met = f"≤ {self.at_most:g} {self.unit}", "yes" if value <= self.at_most else "no"
        if parts[self.part].disturbed:
            met = "disturbed"
        return [self.about, f"{_short(value)} {self.unit}", wanted, met]


def _added(values: Values) -> float:
    return 100 * (values["page.cpu"] / values["plain.cpu"] - 1)


LINES = (
    Line(
        "separate", "faster than Sony's X-UMX",
        lambda v: v["sony.wall"] / v["xumx.wall"], at_least=TIMES_SONY,
    ),
    Line(
        "separate", "faster than Open-Unmix",
        lambda v: v["openunmix.wall"] / v["xumx.wall"], at_least=TIMES_OPENUNMIX,
    ),
    Line(
        "separate", "time over the network's matrix products, at ONNX Runtime's rate",
        lambda v: v["xumx.wall"] / v["products"], at_most=TIMES_IDEAL,
    ),
    Line("separate", "CPU outside the network", lambda v: 100 * v["outside"], "%", at_most=28),
    Line(
        "separate", "the very first run, over later ones",
        lambda v: v["first.wall"] / v["xumx.wall"], at_most=1.25,
    ),
    Line("separate", "a clip, shell to files", lambda v: v["clip.wall"], "s", at_most=CLIP_LIMIT),
    Line("separate", "peak memory", lambda v: v["xumx.peak"], "MB", at_most=600),
    Line("start", '`import xumx; Separator("demo")`', lambda v: v["start.wall"], "s", at_most=1),
    Line(
        "int8", "`--precision int8`: faster than Sony's X-UMX",
        lambda v: v["sony.wall"] / v["int8.wall"], at_least=160,
    ),
    Line("int8", "`--precision int8`: faster than float32", lambda v: v["xumx.wall"] / v["int8.wall"]),
    Line("page", "CPU that `--report` adds", _added, "%", at_most=25),
    Line("long", "peak memory of a long file", lambda v: v["long.peak"], "MB", at_most=620),
    Line("long", "a long file, times real time", lambda v: v["long.seconds"] / v["long.wall"]),
    Line("many", "clips in one process, songs a minute", lambda v: 60 * v["many.rate"], ""),
    Line("many", "of that a shell loop's", lambda v: v["many.rate"] / v["many.loop"]),
    Line("many", "clips under `mpirun -n 2`, of a shell loop's", lambda v: v["many.mpi"] / v["many.loop"]),
    Line(
        "train", "time of a training step, of four of Open-Unmix",
        lambda v: v["step.wall"] / v["step.peer"], at_most=0.6,
    ),
    Line("train", "peak memory of training", lambda v: v["step.peak"] / 1000, "GB", at_most=3),
    Line("data", "samples drawn from stems, of musdb's", lambda v: v["data.stems"], at_least=8),
    Line("data", "samples drawn from wav, of musdb's", lambda v: v["data.wav"], at_least=40),
    Line("data", "samples drawn from the cache, of musdb's", lambda v: v["data.cache"], at_least=100),
    Line("eval", "scoring with `--fast`, faster than museval", lambda v: v["museval.cpu"] / v["fast.cpu"]),
    Line("eval", "museval's memory, of that", lambda v: v["museval.peak"] / v["fast.peak"]),
    Line("live", "`--live`, CPU time over the sound's, 2048 / 512", lambda v: v["live.2048.float32"]),
    Line("live", "the same with `--precision int8`", lambda v: v["live.2048.int8"]),
)  # fmt: skip


def compose(parts: Mapping[str, Part], about: Mapping[str, Any]) -> str:
    """Write the page.

    Parameters
    ----------
    parts : mapping of str to Part
    about : mapping
        ``machine``, ``commit``, ``code`` and ``sizes``, each a line of text.
    """
    rows = [row for line in LINES if (row := line.row(parts))]
    blocks = []
    if "separate" in parts:
        blocks.append(marked(SEPARATION, separation(parts["separate"].values)))
    blocks.append(table(["ratios", "measured", "wanted", "met"], rows))
    if shares := {name[6:]: v for name, v in _values(parts).items() if name.startswith("stage.")}:
        cells = [
            [name, f"{100 * share:.0f} %"] for name, share in sorted(shares.items(), key=lambda s: -s[1])
        ]
        blocks.append(table(["where xumx's CPU goes", ""], cells))
    peers = {name: text for part in parts.values() for name, text in part.peers.items()}
    others = max((part.others for part in parts.values()), default=0.0)
    lines = [
        f"{about['machine']}. xumx at {about['commit']}, code {about['code']}. {about['sizes']}",
        *(f"{name}: {text}." for name, text in peers.items()),
        f"Other programs took at most {100 * others:.0f} % of the cores. MB are 10^6 bytes.",
    ]
    blocks.append(" ".join(lines))
    return "\n\n".join(blocks)


def separation(values: Values) -> str:
    """Write the table of README.md, and what it says in a sentence."""
    names = {
        "xumx": "xumx",
        "first": "xumx, the very first time",
        "clip": f"xumx, a clip of {values['clip.seconds']:g} s",
        "openunmix": "Open-Unmix on PyTorch, 4 targets, from wav",
        "sony": f"Sony's X-UMX on NNabla, scaled from {values.get('sony.measured', 0):g} s",
    }
    rows = []
    for key, name in names.items():
        if f"{key}.wall" in values:
            wall, cpu, peak = (values[f"{key}.{what}"] for what in ("wall", "cpu", "peak"))
            seconds = values["clip.seconds" if key == "clip" else "seconds"]
            rows.append([name, f"{wall:.2f} s", f"{cpu:.1f} s", f"{seconds / wall:.1f}", f"{peak:.0f} MB"])
    header = [
        f"{values['seconds']:g} s of music, file to files",
        "time",
        "CPU",
        "times real time",
        "peak memory",
    ]
    text = table(header, rows)
    peers = {"sony": "Sony's code", "openunmix": "Open-Unmix"}
    faster = [
        f"{_short(values[f'{peer}.wall'] / values['xumx.wall'])} times as fast as {name}"
        for peer, name in peers.items()
        if f"{peer}.wall" in values
    ]
    return f"{text}\n\nThat is {' and '.join(faster)}." if faster else text


def problems(parts: Mapping[str, Part], wanted: Iterable[str], failed: Mapping[str, str]) -> list[str]:
    """Say why the page is not to be published; nothing if it may be."""
    found = [f"{name} failed: {why}" for name, why in failed.items()]
    found += [f"{name} was not measured" for name in wanted if name not in parts and name not in failed]
    found += [
        f"{name} was disturbed ({', '.join(part.disturbed)})"
        for name, part in parts.items()
        if part.disturbed
    ]
    return found


def marked(name: str, text: str) -> str:
    """Put marks around a text, by which :func:`put` and :func:`between` find it."""
    return f"<!-- {name}: made by make bench-all -->\n\n{text}\n\n<!-- {name}: end -->"


def between(document: str, name: str) -> str:
    """Find what stands between the marks of this name.

    Raises
    ------
    ValueError
        If there are no such marks.

    Examples
    --------
    >>> between("above\\n" + marked("it", "text") + "\\nbelow", "it")
    'text'
    """
    found = re.search(_pattern(name), document, re.DOTALL)
    if not found:
        raise ValueError(f"there are no marks of {name}")
    return found[1]


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands between the marks in a document.

    Raises
    ------
    ValueError
        If there are no such marks.
    """
    document = path.read_text(encoding="utf-8")
    between(document, name)
    new = re.sub(_pattern(name), lambda _: marked(name, text), document, count=1, flags=re.DOTALL)
    path.write_text(new, encoding="utf-8", newline="\n")


def _pattern(name: str) -> str:
    return rf"<!-- {name}: made by [^>]*-->\n\n(.*?)\n\n<!-- {name}: end -->"


def _values(parts: Mapping[str, Part]) -> dict[str, float]:
    return {name: value for part in parts.values() for name, value in part.values.items()}


def _short(value: float) -> str:
    """Three digits, and all of a whole number.

    >>> _short(83.96), _short(3.666), _short(718.2), _short(1234.5)
    ('84', '3.67', '718', '1234')
    """
    return f"{value:.0f}" if abs(value) >= 99.5 else f"{value:.3g}"
