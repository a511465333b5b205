"""Starts in Ogg: blocks of two lengths, pages of any length, and recordings chained in one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from tests.audio.test_reader import OGG_FLAC, OPUS, VORBIS, Kind, make, music, silent
from tests.networks import DATA
from xumx.audio import probe, read
from xumx.base.errors import AudioError

CLICKS = DATA / "clicks.ogg"


def pages(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        end = at + 27 + len(lacing) + sum(lacing)
        yield data[at:end]
        at = end


def repaged(path: Path, microseconds: int) -> Path:
    """The clicks, in pages of another length."""
    options = {"page_duration": str(microseconds)}
    with av.open(str(CLICKS)) as old, av.open(str(path), "w", "ogg", options=options) as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return path


def check_starts(path: Path, tolerance: float = 1e-6, step: float = 0.17) -> None:
    whole, rate = read(path)
    starts = np.arange(1.05, len(whole) / rate - 0.3, step)
    late = {}
    for start in starts:
        part, _ = silent(lambda: read(path, start=float(start), duration=0.2))  # noqa: B023
        first = round(start * rate)
        expected = whole[first : first + round(0.2 * rate)]
        if part.shape != expected.shape or np.abs(part - expected).max() > tolerance:
            late[round(float(start), 2)] = part.shape
    assert not late, f"{len(late)} of {len(starts)} starts are in another place: {late}"


def test_the_clicks_hold_blocks_of_two_lengths() -> None:
    with av.open(str(CLICKS)) as file:
        sizes = {frame.samples for frame in file.decode(audio=0)}
    assert min(sizes) < max(sizes) / 4, sizes
    assert len(read(CLICKS)[0]) == 9 * 44100


def test_a_start_where_blocks_change_their_length() -> None:
    check_starts(CLICKS)


@pytest.mark.parametrize("microseconds", [1, 100_000, 5_000_000])
def test_a_start_with_pages_of_any_length(tmp_path: Path, microseconds: int) -> None:
    path = repaged(tmp_path / "x.ogg", microseconds)
    np.testing.assert_array_equal(silent(lambda: read(path)[0]), read(CLICKS)[0])
    check_starts(path)


@pytest.mark.parametrize("microseconds", [1, 100_000, 1_000_000])
def test_a_start_in_a_stream_that_was_joined_late(tmp_path: Path, microseconds: int) -> None:
    """Its first time stamp is not 0, and the block before its first is missing."""
    parts = list(pages(repaged(tmp_path / "whole.ogg", microseconds).read_bytes()))
    path = tmp_path / "x.ogg"
    path.write_bytes(b"".join([*parts[:2], *parts[len(parts) // 3 :]]))
    assert 2 < len(read(path)[0]) / 44100 < 8
    check_starts(path)


@pytest.mark.parametrize("kind", [OPUS, OGG_FLAC], ids=lambda kind: kind[0])
@pytest.mark.parametrize("lengths", [(4, 6), (6, 4), (3, 3, 3)])
def test_a_start_in_a_chain(tmp_path: Path, kind: Kind, lengths: tuple[int, ...]) -> None:
    rate = 48000
    links = [
        make(tmp_path / f"{i}.ogg", kind, [music(2 * seconds, rate)[i * rate :][: seconds * rate]], rate)
        for i, seconds in enumerate(lengths)
    ]
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(link.read_bytes() for link in links))
    whole, _ = read(path)
    assert len(whole) / rate == pytest.approx(sum(lengths), abs=0.1)
    assert probe(path).stated is None
    check_starts(path, 1e-4, 0.47)


def test_a_start_in_a_chain_of_vorbis(tmp_path: Path) -> None:
    short = b"".join(list(pages(CLICKS.read_bytes()))[:6])
    path = tmp_path / "chain.ogg"
    path.write_bytes(short + CLICKS.read_bytes())
    assert len(read(path)[0]) / 44100 > 10
    check_starts(path)


@pytest.mark.parametrize(
    "kind, rate, layout", [(VORBIS, 48000, "stereo"), (OPUS, 48000, "mono"), (OPUS, 48000, "stereo")]
)
def test_a_chain_that_changes_is_refused(tmp_path: Path, kind: Kind, rate: int, layout: str) -> None:
    first = make(tmp_path / "first.ogg", VORBIS, [music(3)])
    audio = np.ascontiguousarray(music(3, rate)[:, : 1 if layout == "mono" else 2])
    second = make(tmp_path / "second.ogg", kind, [audio], rate, layout)
    path = tmp_path / "chain.ogg"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    said = r"chain\.ogg: another recording follows at about 3 s, .*; split it first"
    with pytest.raises(AudioError, match=said):
        read(path)


def test_a_chain_of_flac_that_changes_its_rate(tmp_path: Path) -> None:
    links = [make(tmp_path / f"{rate}.oga", OGG_FLAC, [music(3, rate)], rate) for rate in (44100, 48000)]
    path = tmp_path / "chain.oga"
    path.write_bytes(b"".join(link.read_bytes() for link in links))
    with pytest.raises(AudioError, match="its sample rate or channels change at 3"):
        read(path)
