"""The text of the pages. What comes from outside, names and tags, is escaped here and nowhere else."""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import PurePath
from string import Template
from typing import NamedTuple
from urllib.parse import quote

from xumx.report.pictures import HEIGHT, HIGHEST, LOWEST, RANGE, height_of
from xumx.report.sound import MARGIN, PIECE, Rate

MARK = '<meta name="generator" content="xumx">'
"""Tells our pages from others."""

Scores = Mapping[str, Mapping[str, float]]
"""Source to metric to value, in dB."""

_COLOURS = 8  # that page.css knows
_SCRIPTS = ("stretch.js", "player.js", "controls.js", "save.js", "embedded.js")
_SPEEDS = (50, 60, 70, 80, 90, 100, 110, 125, 150)  # per cent
_TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds between marks of the ruler


class Drawing(NamedTuple):
    """Pictures of one signal: see :mod:`xumx.report.pictures`."""

    columns: int
    waveform: str
    spectrogram: bytes


class Stem(NamedTuple):
    """A row of the page; ``file`` is relative to its folder."""

    name: str
    file: str
    drawing: Drawing


def of_song(
    title: str,
    about: str,
    seconds: float,
    mix: Drawing,
    stems: Sequence[Stem],
    scores: Scores,
    rate: Rate,
    heard: bool,
    back: str = "",
) -> tuple[str, str]:
    """Write the page of a song: its text before and after its :func:`sound`.

    Parameters
    ----------
    title, about : str
        Plain text, escaped here.
    seconds : float
        Length of the song.
    mix : Drawing
    stems : sequence of Stem
    scores : mapping of str to mapping of str to float
        By source and metric, in dB; empty where the truth is not known.
    rate : Rate
        Of the sound.
    heard : bool
        Whether the stems sum to the song; if not, its own sound is the track after theirs.
    back : str
        The page of all songs, relative to the folder of this one, if there is one.
    """
    kind = "mono" if rate.channels == 1 else "stereo"
    text = _template("song.html").substitute(
        mark=MARK,
        title=escaped(title),
        back=f'<a class="back" href="{linked(back)}">← All songs</a>' if back else "",
        about=escaped(" · ".join(part for part in (clock(seconds), about) if part)),
        style=asset("page.css"),
        script="".join(map(asset, _SCRIPTS)),
        player=player(seconds, mix, stems, scores, heard, save=asset("save.html")),
        mix_key="the mix" if heard else "the original, the stems",
        digits=f"1 to {min(len(stems), 9)}" if len(stems) > 1 else "1",
        lowest=LOWEST,
        highest=f"{HIGHEST / 1000:g}",
        decibels=RANGE,
        quality=f"MP3 at {rate.bits // 1000} kbit/s, {kind}",
    )
    top, bottom = text.split("<!-- sound -->")
    return top, bottom


def player(
    seconds: float,
    mix: Drawing,
    stems: Sequence[Stem],
    scores: Scores,
    heard: bool,
    save: str = "",
) -> str:
    """Write what ``controls.js`` makes play: the element with pictures and controls, without its sound.

    Parameters are those of :func:`of_song`, and ``save``, the button that saves the mix, where there is one.
    """
    rows = [_row(number, stem, scores.get(stem.name, {})) for number, stem in enumerate(stems, 1)]
    return _template("player.html").substitute(
        seconds=f"{seconds:.6f}",
        clock=clock(seconds),
        piece=PIECE,
        margin=MARGIN,
        ruler=_ruler(seconds),
        speaker=asset("speaker.svg"),
        mix=_drawn(0, mix, "the song"),
        own_sound="" if heard else "data-own-sound",
        mix_button="All stems" if heard else "Original",
        save=save,
        speeds="".join(_speed(percent) for percent in _SPEEDS),
        stems="\n".join(rows),
        scores=_table(scores),
    )


class Listed(NamedTuple):
    """A song on the page of several: its title, the name of its file, and its length in seconds, if known."""

    title: str
    file: str = ""
    seconds: float | None = None


def of_songs(pages: Mapping[str, Listed]) -> str:
    """Write the page of several songs, whose pages are given relative to its folder."""
    items = "\n".join(
        f'<li><a href="{linked(page)}">{escaped(song.title)}{_facts(song)}</a></li>'
        for page, song in pages.items()
    )
    lengths = [song.seconds for song in pages.values() if song.seconds is not None]
    whole = f"{clock(sum(lengths))}, " if lengths and len(lengths) == len(pages) else ""
    return _template("songs.html").substitute(
        mark=MARK,
        style=asset("page.css"),
        count="1 song" if len(pages) == 1 else f"{len(pages)} songs",
        about=f"{whole}separated by xumx",
        items=items,
    )


def _facts(song: Listed) -> str:
    facts = [song.file, clock(song.seconds) if song.seconds is not None else ""]
    text = escaped(" · ".join(filter(None, facts)))
    return f"<span>{text}</span>" if text else ""


def sound(track: int, number: int, piece: bytes) -> str:
    """Write a piece of a track, an MP3 file, where the page's script finds it."""
    data = base64.b64encode(piece).decode()
    return f'<script type="text/plain" id="sound-{track}-{number}">{data}</script>\n'


def clock(seconds: float) -> str:
    """Write seconds as a clock does.

    >>> clock(205.4), clock(3723)
    ('3:25', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def escaped(text: str) -> str:
    """Escape text for HTML, also within quotes; bytes of a file name that are no UTF-8 become question marks.

    >>> escaped('Q & "A"')
    'Q &amp; &quot;A&quot;'
    """
    return html.escape(text.encode("utf-8", "replace").decode())


def linked(file: str) -> str:
    """Turn a relative path into an URL, safe within quotes too.

    >>> linked("my song/100%.wav")
    'my%20song/100%25.wav'
    """
    return quote(os.fsencode(PurePath(file).as_posix()))


def _row(number: int, stem: Stem, scores: Mapping[str, float]) -> str:
    score = next((f"{metric} {_decibels(value)} dB" for metric, value in scores.items()), "")
    return _template("stem.html").substitute(
        number=number,
        colour=(number - 1) % _COLOURS + 1,
        name=escaped(stem.name),
        speaker=asset("speaker.svg"),
        score=escaped(score),
        key=number if number < 10 else "",
        file=escaped(PurePath(stem.file).name),
        format=escaped(PurePath(stem.file).suffix[1:]),
        link=linked(stem.file),
        pictures=_drawn(number, stem.drawing, stem.name),
    )


def _drawn(number: int, drawing: Drawing, name: str) -> str:
    """Waveform, twice, since the part that was played has another colour, and spectrogram."""
    view = f'viewBox="0 0 {drawing.columns - 1} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true"'
    data = base64.b64encode(drawing.spectrogram).decode()
    marks = "".join(
        f'<span style="bottom:{100 * height_of(frequency):.1f}%">{label}</span>'
        for frequency, label in ((100, "100 Hz"), (1000, "1 kHz"), (10_000, "10 kHz"))
    )
    return (
        f'<svg class="wave" {view}><path id="wave-{number}" d="{drawing.waveform}"/></svg>\n'
        f'<svg class="wave played" {view}><use href="#wave-{number}"/></svg>\n'
        f'<div class="spectrogram"><img alt="Spectrogram of {escaped(name)}" '
        f'src="data:image/png;base64,{data}"><div class="marks" aria-hidden="true">{marks}</div></div>'
    )


def _speed(percent: int) -> str:
    selected = " selected" if percent == 100 else ""
    return f'<option value="{percent / 100:g}"{selected}>{percent} %</option>'


def _ruler(seconds: float) -> str:
    step = next((step for step in _TICKS if seconds / step <= 8), _TICKS[-1])
    marks = range(math.ceil(0.95 * seconds / step))  # none so late that it would not fit
    return "".join(
        f'<span style="left:{100 * k * step / seconds:.3f}%">{clock(k * step)}</span>' for k in marks
    )


def _table(scores: Scores) -> str:
    if not scores:
        return ""
    metrics = list(dict.fromkeys(metric for values in scores.values() for metric in values))
    head = "".join(f'<th scope="col">{escaped(metric)}</th>' for metric in metrics)
    body = "\n".join(
        f'<tr><th scope="row">{escaped(source)}</th>'
        + "".join(f"<td>{_decibels(values.get(metric))}</td>" for metric in metrics)
        + "</tr>"
        for source, values in scores.items()
    )
    return _template("scores.html").substitute(head=head, body=body)


def _decibels(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _template(name: str) -> Template:
    return Template(asset(name))


def asset(name: str) -> str:
    """Read a file of ``assets/``: style, scripts and templates, which other pages with the player share."""
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
