"""Songs whose stems are known, and what can be read off their pages."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from tests.networks import music
from xumx.audio import Writer


def make_stems(folder: Path, seconds: int, names: tuple[str, ...] = ("bass", "drums", "vocals", "other")):
    """Files of a note a second in each stem, and of the song, which is their sum."""
    stems = {
        name: np.concatenate([music(1, seed=second * len(names) + k, noise=0) for second in range(seconds)])
        / len(names)
        for k, name in enumerate(names)
    }
    song = write(folder / "song.wav", np.sum(list(stems.values()), axis=0))
    return song, {name: write(folder / f"{name}.wav", audio) for name, audio in stems.items()}


def write(path: Path, audio: np.ndarray, rate: int = 44100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(path, rate, audio.shape[1], subtype="float32") as writer:
        writer.write(audio)
    return path


class Page(HTMLParser):
    """Start tags with their attributes, texts by the tag they stand in, and the pieces of sound."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.sound = {
            (int(track), int(piece)): base64.b64decode(data)
            for track, piece, data in re.findall(r'id="sound-(\d+)-(\d+)">([^<]*)<', self.source)
        }

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, {key: value or "" for key, value in attributes}))

    def handle_data(self, data):
        self.texts.append((self.tags[-1][0] if self.tags else "", data.strip()))

    def attributes(self, tag: str, name: str) -> list[str]:
        return [
            attributes[name] for its_tag, attributes in self.tags if its_tag == tag and name in attributes
        ]
