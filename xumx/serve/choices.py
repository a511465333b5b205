"""What is asked for: fields of a form, checked as the options of a command line are."""

from __future__ import annotations

import argparse
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from xumx.base.errors import UsageError
from xumx.base.options import Option, declared
from xumx.separation.options import STEM_FILE, SongOptions

if TYPE_CHECKING:
    from xumx.separation.naming import Output

OPTIONS = (
    *("model", "targets", "two_stems", "aggregate", "residual_model", "niter", "softmask", "alpha"),
    *("level", "chunk_dur", "overlap", "start", "duration", "audio_track"),
    *("format", "bitrate", "subtype", "sample_rate", "clip_mode"),
)
"""Options of ``xumx separate`` that a form may give; the others are about the server's files and devices."""

LONGEST_NAME = 200
"""Characters of a file's name that are kept."""

BOUNDS = {
    "niter": (0, 20),
    "chunk_dur": (1, 60),
    "overlap": (0, 0.9),
    "sample_rate": (8000, 192_000),
    "audio_track": (0, 1000),
}
"""The least and the most of what would take memory and time."""

_BOOLEANS = {"true": True, "1": True, "on": True, "yes": True}
_BOOLEANS |= {"false": False, "0": False, "off": False, "no": False}
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_PATH = re.compile(r"(?<![\w:./\\])(?:/[^\s/:;,'\"()]+)*/(?=[^\s/])")
_NAMED = re.compile("`([a-z_]+)`")
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def options_of() -> dict[str, Option]:
    """The options that a form may give, by name."""
    known = declared(SongOptions)
    found = {name: known[name] for name in OPTIONS}
    single = tuple(name for name in known["format"].choices or () if name != STEM_FILE)
    return {**found, "format": replace(known["format"], choices=single)}  # a page needs a file a stem


def parsed(form: Mapping[str, Sequence[str]], default_model: str) -> dict[str, Any]:
    """Read the options of a form.

    Parameters
    ----------
    form : mapping of str to sequence of str
        Fields and what they hold; empty ones are left out.
    default_model : str

    Returns
    -------
    dict
        Of the options that differ from their defaults, and the model.

    Raises
    ------
    UsageError
        For a field that is no option, and for a value that an option cannot have.

    Examples
    --------
    >>> parsed({"targets": ["vocals", "drums"], "niter": ["2"], "start": ["0"]}, "demo")
    {'model': ('demo',), 'targets': ('vocals', 'drums'), 'niter': 2}
    """
    known = options_of()
    values: dict[str, Any] = {"model": (default_model,)}
    for name, texts in form.items():
        if name not in known:
            raise UsageError(f"{name}: there is no such field; there are file, path, {', '.join(known)}")
        given = [text.strip() for text in texts if text.strip()]
        if given:
            values[name] = _value(known[name], given)
    options = SongOptions(**values)
    check(options)
    defaults = {one.name: one.default for one in fields(SongOptions)}
    return {n: v for n, v in values.items() if n == "model" or v != defaults[n]}


def check(options: SongOptions) -> None:
    """Refuse what no song can satisfy, and what would take a server's memory or time.

    Raises
    ------
    UsageError
    """
    from xumx.audio import check_part
    from xumx.signal.wiener import check_filter

    for name, (low, high) in BOUNDS.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name} must be {low:g} to {high:g} here, not {value:g}")
    output(options)
    check_part(options.start, options.duration)
    check_filter(options.niter, options.softmask, options.alpha)
    chosen = [n for n in ("targets", "two_stems", "aggregate") if getattr(options, n) is not None]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} each choose the stems: give one of them")


def check_stems(options: SongOptions, sources: Sequence[str]) -> None:
    """Refuse stems that a network with these sources does not give.

    Raises
    ------
    UsageError
    """
    from xumx.separation.stems import chosen

    more = ("accompaniment",) if len(sources) == 1 else ("residual",) if options.residual_model else ()
    chosen((*sources, *more), options.targets, options.two_stems, options.aggregate)


def output(options: SongOptions, folder: str | None = None) -> Output:
    """How the stems are written, into ``<stem>.<format>`` below ``folder``."""
    from xumx.separation.naming import Output

    names = ("format", "bitrate", "subtype", "sample_rate", "clip_mode")
    return Output(folder, "{stem}.{ext}", **{name: getattr(options, name) for name in names})


def display_name(name: str) -> str:
    """What a file is called, from what a client says: no folders, and nothing that steers a screen.

    It is shown, and suggested to browsers as the name of a download; it never becomes a path here.

    Examples
    --------
    >>> display_name("../../etc/pass\\nwd"), display_name("C:\\\\songs\\\\my song.mp3"), display_name("..")
    ('passwd', 'my song.mp3', 'song')
    """
    name = PurePosixPath(name.replace("\\", "/")).name
    name = unicodedata.normalize("NFC", _STEERING.sub("", name)).strip()
    stem, dot, ending = name.rpartition(".")
    if dot and len(name) > LONGEST_NAME and len(ending) <= 10:
        name = stem[: LONGEST_NAME - len(ending) - 1] + dot + ending
    name = name[:LONGEST_NAME].encode("utf-8", "replace").decode()
    return name if name.strip(". ") else "song"


def stored_name(name: str) -> str:
    """What a file is called on disk: ``song``, with an ending if it is one of sound, by which FFmpeg goes.

    Examples
    --------
    >>> stored_name("../My song.MP3"), stored_name("evil.sh")
    ('song.mp3', 'song')
    """
    from xumx.audio.media import SUFFIXES

    ending = os.path.splitext(name)[1].lower()
    return f"song{ending}" if ending in SUFFIXES else "song"


def plain(message: str, names: Mapping[str, str]) -> str:
    """An error for a user of the server: names of its files and folders are replaced or left out.

    Parameters
    ----------
    message : str
    names : mapping of str to str
        Paths, and what the user calls these files.

    Examples
    --------
    >>> plain("/srv/x/jobs/a1/song.mp3: is no audio file", {"/srv/x/jobs/a1/song.mp3": "my song.mp3"})
    'my song.mp3: is no audio file'
    >>> plain("save it as /home/me/.cache/xumx/x-umx.h5 (--model-dir moves it)", {})
    'save it as x-umx.h5 (model_dir moves it)'
    >>> plain("/tmp: is full; give 1/2 and/or https://example.org/a/b", {})
    'tmp: is full; give 1/2 and/or https://example.org/a/b'
    """
    for path in sorted(names, key=len, reverse=True):
        message = message.replace(path, names[path])
    message = _NAMED.sub(r"\1", _PATH.sub("", message))
    return _FLAG.sub(lambda found: found[1].replace("-", "_"), message)


def _value(one: Option, given: Sequence[str]) -> Any:
    if one.nargs:  # several fields, or one with commas
        return tuple(word for text in given for word in re.split(r"[\s,]+", text) if word)
    if len(given) > 1:
        raise UsageError(f"{one.name} is given more than once")
    (text,) = given
    if one.kind is bool:
        if text.lower() not in _BOOLEANS:
            raise UsageError(f"{one.name} must be true or false, not {text!r}")
        return _BOOLEANS[text.lower()]
    if one.choices and text not in one.choices:
        raise UsageError(f"{one.name} must be one of {', '.join(one.choices)}, not {text!r}")
    try:
        return (one.type or one.kind)(text)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{one.name}: {error}") from None
    except ValueError:
        what = "a whole number" if one.kind is int else "a number"
        raise UsageError(f"{one.name} must be {what}, not {text!r}") from None
