"""A SoundFont of a few hundred bytes: one saw, as an instrument and as a drum kit."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RATE, PERIOD = 44100, 100
"""Of the sample, which is thus a little above A4: 441 Hz."""


def write(path: Path, presets: tuple[tuple[int, int], ...] = ((0, 0), (128, 0))) -> Path:
    """Write a SoundFont with these banks and programs, all of one sound that goes on as long as the note."""
    wave = np.tile(np.linspace(-20000, 20000, PERIOD).astype("<i2"), 2)
    sample = np.concatenate([wave, np.zeros(46, "<i2")]).tobytes()
    bank = b"".join(
        struct.pack("<20sHHHIII", b"Saw", number, bank, index, 0, 0, 0)
        for index, (bank, number) in enumerate(presets)
    )
    end = struct.pack("<20sHHHIII", b"EOP", 0, 0, len(presets), 0, 0, 0)
    chunks = {
        b"phdr": bank + end,
        b"pbag": b"".join(struct.pack("<HH", index, 0) for index in range(len(presets) + 1)),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<HH", 41, 0) * len(presets) + bytes(4),  # instrument 0
        b"inst": struct.pack("<20sH", b"Saw", 0) + struct.pack("<20sH", b"EOI", 1),
        b"ibag": struct.pack("<HHHH", 0, 0, 2, 0),
        b"imod": bytes(10),
        b"igen": struct.pack("<HHHH", 54, 1, 53, 0) + bytes(4),  # loops; sample 0
        b"shdr": struct.pack("<20sIIIIIBbHH", b"Saw", 0, 2 * PERIOD, 50, 150, RATE, 69, 0, 0, 1)
        + struct.pack("<20sIIIIIBbHH", b"EOS", *[0] * 9),
    }
    lists = [
        (b"INFO", {b"ifil": struct.pack("<HH", 2, 1), b"isng": b"EMU8000\0", b"INAM": b"Saw\0"}),
        (b"sdta", {b"smpl": sample}),
        (b"pdta", chunks),
    ]
    body = b"sfbk" + b"".join(
        _chunk(b"LIST", kind + b"".join(map(_chunk, parts, parts.values()))) for kind, parts in lists
    )
    path.write_bytes(_chunk(b"RIFF", body))
    return path


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
