"""What bands of several kinds play: grooves, bass lines, instruments and how much of what."""

from __future__ import annotations

from dataclasses import dataclass

Groove = dict[str, str]
"""Sixteenths of a bar by drum: X accent, x stroke, o ghost note."""


@dataclass(frozen=True)
class Genre:
    """A kind of music.

    Parameters
    ----------
    grooves : tuple of Groove
    kits : tuple of int
        Programs of the bank of drum kits.
    lines : tuple of str
        Bass lines, of `BASS_LINES`.
    basses : tuple of int
        Programs that play them.
    roles : tuple of str
        What the other instruments do, the likelier the more often.
    density : float
        Syllables of the singers.
    rap : float
        How likely verses are spoken.
    drive : float
        Of all that is driven: 0 clean, 1 loud.
    """

    grooves: tuple[Groove, ...]
    kits: tuple[int, ...]
    lines: tuple[str, ...]
    basses: tuple[int, ...]
    roles: tuple[str, ...]
    density: float = 1.0
    rap: float = 0.0
    drive: float = 0.3


BASS_LINES = {  # step, tone of the chord (0 root, 1 third, 2 fifth, 7 seventh or sixth, 8 octave), steps
    "eighths": tuple((step, 0, 2) for step in range(0, 16, 2)),
    "rock": ((0, 0, 3), (3, 0, 3), (6, 0, 2), (8, 0, 2), (10, 0, 2), (12, 2, 2), (14, 0, 2)),
    "gallop": tuple((beat + step, 0, 1 + (step == 0)) for beat in (0, 4, 8, 12) for step in (0, 2, 3)),
    "roots": ((0, 0, 8), (8, 0, 8)),
    "whole": ((0, 0, 16),),
    "ballad": ((0, 0, 6), (6, 0, 2), (8, 2, 6), (14, 8, 2)),
    "octaves": tuple((step, 8 * (step % 4 // 2), 2) for step in range(0, 16, 2)),
    "offbeat": tuple((step, 0, 2) for step in (2, 6, 10, 14)),
    "acid": tuple(
        (step, (0, 0, 8, 0, 7, 0, 8, 2)[step % 8], 1) for step in range(16) if step % 8 not in (1, 5)
    ),
    "funk": ((0, 0, 2), (3, 8, 1), (4, 0, 1), (7, 7, 1), (10, 8, 1), (11, 7, 1), (12, 2, 2), (14, 0, 1)),
    "soul": ((0, 0, 3), (3, 0, 1), (4, 2, 2), (6, 7, 2), (8, 8, 3), (11, 7, 1), (12, 2, 2), (14, 1, 2)),
    "walking": ((0, 0, 4), (4, 1, 4), (8, 2, 4), (12, 7, 4)),
    "dub": ((0, 0, 2), (3, 0, 2), (6, 2, 2), (10, 1, 2), (12, 0, 3)),
    "tumbao": ((3, 2, 3), (6, 8, 6), (12, 0, 4)),
    "trap": ((0, 0, 5), (6, 0, 2), (10, 0, 5)),
    "pump": ((0, 0, 3), (3, 0, 3), (6, 0, 2), (8, 0, 3), (11, 0, 3), (14, 2, 2)),
    "country": ((0, 0, 4), (8, 2, 4)),
}

_ROCK: tuple[Groove, ...] = (
    {"kick": "X.......X.x.....", "snare": "....X.......X...", "hat": "X.x.x.x.X.x.x.x."},
    {"kick": "X.....x.X.x.....", "snare": "....X..o....X..o", "hat": "X.x.X.x.X.x.X.x."},
    {"kick": "X.x...x.X.....x.", "snare": "....X.......X...", "wide": "X.x.X.x.X.x.X.x."},
    {"kick": "X..x..x.X..x....", "snare": "....X.......X...", "ride": "X.x.X.x.X.x.X.x."},
    {"kick": "X.x.....X.x.x...", "snare": "....X.......X...", "crash": "X...x...X...x..."},
    {"kick": "X...X...X...X...", "snare": "..X...X...X...X.", "hat": "X...X...X...X..."},
    {"kick": "X.......X.......", "snare": "....X.......X...", "tambourine": "x.xxx.xxx.xxx.xx"},
    {"kick": "X.x.x...X.x.x...", "tom2": "X.x.X.x.X.x.X.x.", "snare": "....X.......X..."},
)
_METAL: tuple[Groove, ...] = (
    {"kick": "XxxxXxxxXxxxXxxx", "snare": "....X.......X...", "wide": "X...X...X...X..."},
    {"kick": "X.xxX.xxX.xxX.xx", "snare": "....X.......X...", "crash": "X...X...X...X..."},
    {"kick": "X.x.X.x.X.x.X.x.", "snare": ".x.x.x.x.x.x.x.x", "ride": "X.x.X.x.X.x.X.x."},
    {"kick": "X..x..x...x..x..", "snare": "........X.......", "china": "X...X...X...X..."},
)
_POP: tuple[Groove, ...] = (
    {
        "kick": "X.....x.X.......",
        "snare": "....X.......X...",
        "hat": "x.x.x.x.x.x.x.x.",
        "shaker": "xxxxxxxxxxxxxxxx",
    },
    {
        "kick": "X..x....X.x.....",
        "clap": "....X.......X...",
        "snare": "....X.......X...",
        "hat": "X.xxX.xxX.xxX.xx",
    },
    {"kick": "X.........x.....", "rim": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
    {
        "kick": "X...X...X...X...",
        "clap": "....X.......X...",
        "tambourine": "..x...x...x...x.",
        "hat": "x.x.x.x.x.x.x.x.",
    },
)
_FUNK: tuple[Groove, ...] = (
    {"kick": "X.x.......x..x..", "snare": "....X..o.o..X..o", "hat": "X.xxX.xxX.xxX.xx"},
    {
        "kick": "X..x...x..X.....",
        "snare": "....X..o.o.oX..o",
        "hat": "x.x.x.x.x.x.x.x.",
        "open": "..............X.",
    },
    {
        "kick": "X......x..x.....",
        "snare": "....X.o..o..X.o.",
        "hat": "xxxxxxxxxxxxxxxx",
        "cowbell": "X...X...X...X...",
    },
    {
        "kick": "X.x....x..x.....",
        "snare": "..o.X..o.o..X...",
        "ride": "X.x.X.xxX.x.X.xx",
        "conga": "..x..xx...x..xx.",
    },
)
_HIPHOP: tuple[Groove, ...] = (
    {"kick": "X..x...x..x.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
    {"kick": "X.....x...x.....", "clap": "........X.......", "hat": "xxxxx.xxxxxxx.xx"},
    {
        "kick": "X......x..X..x..",
        "snare": "....X.......X.o.",
        "shaker": "x.xxx.xxx.xxx.xx",
        "open": "......x.........",
    },
    {
        "kick": "X..X..X.....X...",
        "clap": "....X.......X...",
        "snare": "....x.......x...",
        "hat": "x.x.xxx.x.x.xxxx",
    },
)
_DANCE: tuple[Groove, ...] = (
    {
        "kick": "X...X...X...X...",
        "clap": "....X.......X...",
        "open": "..X...X...X...X.",
        "hat": "x..xx..xx..xx..x",
    },
    {
        "kick": "X...X...X...X...",
        "snare": "....X.......X...",
        "open": "..X...X...X...X.",
        "shaker": "xxxxxxxxxxxxxxxx",
    },
    {"kick": "X..X..X...X.....", "snare": "....X.......X...", "ride": "x.x.x.x.x.x.x.x."},
    {"kick": "X.........X.....", "snare": "....X..x.x..X..x", "hat": "x.x.x.x.x.x.x.x."},
    {
        "kick": "X...X...X...X...",
        "clap": "....X.......X..x",
        "conga": "x..x..xx.x.x..x.",
        "hat": "..x...x...x...x.",
    },
)
_SOFT: tuple[Groove, ...] = (
    {"kick": "X.........x.....", "rim": "....x.......x...", "hat": "x...x...x...x..."},
    {"kick": "X.......x.......", "snare": "....x.......x...", "ride": "x.x.x.x.x.x.x.x."},
    {"kick": "X...............", "shaker": "x.xxx.xxx.xxx.xx", "tambourine": "....x.......x..."},
    {"kick": "X.....x...x.....", "snare": "........X.......", "hat": "x.x.x.x.x.x.x.x."},
)
_SWING: tuple[Groove, ...] = (
    {
        "ride": "X...X.x.X...X.x.",
        "pedal": "....x.......x...",
        "kick": "x.......o.......",
        "snare": "......o......o..",
    },
    {"kick": "X..x..x...x..x..", "snare": "....X..o....X..o", "ride": "X...X.x.X...X.x."},
)
_REGGAE: tuple[Groove, ...] = (
    {"kick": "........X.......", "rim": "........X.......", "hat": "x.xxx.xxx.xxx.xx"},
    {
        "kick": "X...X...X...X...",
        "rim": "........X.....x.",
        "hat": "..x...x...x...x.",
        "conga": "x.....x...xx....",
    },
)
_LATIN: tuple[Groove, ...] = (
    {"kick": "X..x....X..x....", "rim": "x..x..x...x.x...", "shaker": "XxxxXxxxXxxxXxxx"},
    {
        "kick": "...X..X....X..X.",
        "claves": "X..X..X...X.X...",
        "conga": "x.xx..XXx.xx..XX",
        "cowbell": "X.x.X.xxX.x.X.xx",
    },
    {
        "kick": "X...x...X...x...",
        "snare": "...x..x....x..x.",
        "bongo": "xoxxxoxxxoxxxoxx",
        "maracas": "x.x.x.x.x.x.x.x.",
    },
)
WALTZES: tuple[Groove, ...] = (
    {"kick": "X...........", "snare": "....x...x...", "hat": "X.x.x.x.x.x."},
    {"kick": "X.....x.....", "snare": "........X...", "ride": "X...x.x.x..."},
    {"kick": "X.......x...", "rim": "....X...x...", "shaker": "x.x.x.x.x.x."},
)

_ROOMS, _LOUD = (0, 1, 2, 3, 4, 8, 9, 10, 11), (0, 1, 8, 12, 16, 17, 18)
_QUIET = (32, 33, 40, 41)
_MACHINES = (24, 25)
_SYNTHS = (38, 39, 38, 81, 87, 80)

GENRES = {
    "rock": Genre(_ROCK, (*_ROOMS, *_LOUD), ("eighths", "rock", "roots", "pump"), (33, 34, 34, 33),
                  ("riff", "riff", "chunk", "strum", "bed", "lead", "comping"), 1.0, 0.02, 0.7),
    "metal": Genre(_METAL + _ROCK[:5], _LOUD, ("eighths", "gallop", "roots"), (34, 34, 33),
                   ("riff", "chunk", "chunk", "lead", "bed"), 0.9, 0.02, 1.0),
    "pop": Genre(_POP + _ROCK[:3], (*_ROOMS, *_MACHINES), ("eighths", "roots", "ballad", "octaves", "pump"),
                 (33, 34, 38, 39, 33), ("bed", "comping", "strum", "arpeggio", "lead", "stab", "riff"),
                 1.2, 0.06, 0.3),
    "ballad": Genre(_SOFT + _POP[2:3], (0, 8, 32, 40), ("roots", "whole", "ballad"), (33, 35, 32, 33),
                    ("bed", "comping", "comping", "arpeggio", "strum", "lead"), 0.7, 0.01, 0.1),
    "funk": Genre(_FUNK, _ROOMS, ("funk", "soul", "octaves"), (33, 36, 37, 34),
                  ("skank", "comping", "stab", "brass", "lead", "bed"), 1.3, 0.1, 0.3),
    "hiphop": Genre(_HIPHOP, (25, 24, 0, 8, 25), ("trap", "dub", "whole", "roots"), (38, 39, 33, 80, 32),
                    ("arpeggio", "bed", "comping", "stab", "lead"), 1.5, 0.7, 0.4),
    "dance": Genre(_DANCE, (24, 25, 24, 16), ("octaves", "offbeat", "acid", "pump", "eighths"), _SYNTHS,
                   ("stab", "stab", "arpeggio", "bed", "lead", "comping"), 1.0, 0.1, 0.5),
    "reggae": Genre(_REGGAE, _ROOMS, ("dub", "dub", "roots"), (33, 33, 32),
                    ("skank", "skank", "bed", "brass", "lead"), 1.1, 0.1, 0.2),
    "latin": Genre(_LATIN, (*_ROOMS, *_QUIET), ("tumbao", "octaves", "country", "ballad"), (33, 32, 35),
                   ("comping", "strum", "brass", "arpeggio", "lead", "bed"), 1.2, 0.03, 0.1),
    "jazz": Genre(_SWING, _QUIET, ("walking", "walking", "soul"), (32, 32, 35, 33),
                  ("comping", "comping", "brass", "lead", "arpeggio"), 1.0, 0.01, 0.05),
    "folk": Genre(_SOFT + _POP[2:3], (*_QUIET, 0, 8), ("country", "roots", "ballad"), (32, 33, 33),
                  ("strum", "strum", "arpeggio", "lead", "bed"), 1.1, 0.01, 0.05),
}  # fmt: skip
CHANCES = {"rock": 5, "metal": 2, "pop": 5, "ballad": 2, "funk": 2, "hiphop": 2, "dance": 2, "reggae": 1,
           "latin": 1, "jazz": 1, "folk": 2}  # fmt: skip
"""How often a genre comes."""
