"""Published scores stand beside what was measured on the same tracks and stems, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from xumx.data.recording import Recording
from xumx.data.track import Track
from xumx.eval import published
from xumx.network.config import SOURCES

MUSDB18 = """\
AM Contra - Heart Peripheral
Al James - Schoolboy Facination
Angels In Amplifiers - I'm Alright
Arise - Run Run Run
BKS - Bulldozer
BKS - Too Much
Ben Carrigan - We'll Talk About It All Tonight
Bobby Nobody - Stitch Up
Buitraker - Revo X
Carlos Gonzalez - A Place For Us
Cristina Vane - So Easy
Detsky Sad - Walkie Talkie
Enda Reilly - Cur An Long Ag Seol
Forkupines - Semantics
Georgia Wonder - Siren
Girls Under Glass - We Feel Alright
Hollow Ground - Ill Fate
James Elder & Mark M Thompson - The English Actor
Juliet's Rescue - Heartbeats
Little Chicago's Finest - My Own
Louis Cressy Band - Good Time
Lyndsey Ollard - Catching Up
M.E.R.C. Music - Knockout
Moosmusic - Big Dummy Shake
Motor Tapes - Shore
Mu - Too Bright
Nerve 9 - Pray For The Rain
PR - Happy Daze
PR - Oh No
Punkdisco - Oral Hygiene
Raft Monk - Tiring
Sambasevam Shanmugam - Kaathaadi
Secretariat - Borderline
Secretariat - Over The Top
Side Effects Project - Sing With Me
Signe Jakobsen - What Have You Done To Me
Skelpolu - Resurrection
Speak Softly - Broken Man
Speak Softly - Like Horses
The Doppler Shift - Atrophy
The Easton Ellises (Baumi) - SDRNR
The Easton Ellises - Falcon 69
The Long Wait - Dark Horses
The Mountaineering Club - Mallory
The Sunshine Garcia Band - For I Am The Moon
Timboz - Pony
Tom McKenzie - Directions
Triviul feat. The Fiend - Widow
We Fell From The Sky - Not You
Zeno - Signs
""".splitlines()


def tracks(names: list[str], seconds: float = 240.0) -> list[Track]:
    recording = Recording(Path("x.wav"), 0, round(44100 * seconds), 2, 44100)
    return [Track(name, dict.fromkeys(SOURCES, recording)) for name in names]


def test_musdb18_has_them_with_their_mean() -> None:
    found = published.beside(tracks(MUSDB18[::-1]), SOURCES)
    assert list(found) == list(published.SDR)
    assert found["X-UMX, published"]["mean"] == pytest.approx((6.61 + 6.47 + 5.43 + 4.64) / 4)


@pytest.mark.parametrize(
    ("names", "seconds", "stems"),
    [
        (MUSDB18[:-1], 240, SOURCES),  # a track that failed
        ([*MUSDB18[:-1], "Mine"], 240, SOURCES),
        ([f"Song {index}" for index in range(50)], 240, SOURCES),
        (MUSDB18, 7, SOURCES),  # the preview
        (MUSDB18, 240, ("vocals", "no_vocals")),
        (MUSDB18, 240, ("vocals", "drums")),
        (MUSDB18, 240, (*SOURCES, "accompaniment")),
    ],
)
def test_others_have_none(names: list[str], seconds: float, stems: tuple[str, ...]) -> None:
    assert not published.beside(tracks(names, seconds), stems)
