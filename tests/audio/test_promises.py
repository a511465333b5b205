"""What headers promise: files that end before, sample rates and silences that cannot be, audio tracks."""

from __future__ import annotations

import struct
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.audio.test_reader import FLAC, FLOAT, M4A, MP3, WAV, Kind, make, music
from tests.logs import silent, warned
from tests.networks import DATA
from xumx.audio import HIGHEST_RATE, LOWEST_RATE, Writer, decode, probe, read, resample
from xumx.audio.structure import promised_bytes
from xumx.base.errors import AudioError, UsageError
from xumx.test import main

RATE = 44100

WAV24: Kind = ("wav", "wav", "pcm_s24le", "s32", {})
RF64: Kind = ("rf64.wav", "wav", "pcm_s16le", "s16", {})
W64: Kind = ("w64", "w64", "pcm_s16le", "s16", {})
CAF: Kind = ("caf", "caf", "pcm_s16be", "s16", {})
AIFF: Kind = ("aiff", "aiff", "pcm_s16be", "s16", {})
AU: Kind = ("au", "au", "pcm_s16be", "s16", {})
TTA: Kind = ("tta", "tta", "tta", "s16", {})
MKA: Kind = ("mka", "matroska", "pcm_s16le", "s16", {})


def written(path: Path, kind: Kind, audio: np.ndarray) -> Path:
    if kind is not RF64:
        return make(path, kind, [audio])
    with av.open(str(path), "w", "wav", options={"rf64": "always"}) as file:
        stream = cast(av.AudioStream, file.add_stream("pcm_s16le", RATE))
        stream.layout = av.AudioLayout("stereo")
        block = np.rint(audio * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    "kind", [WAV, FLOAT, RF64, W64, CAF, AIFF, AU, FLAC, TTA, MKA], ids=lambda k: k[2] + k[0]
)
def test_half_a_download_is_said(tmp_path: Path, kind: Kind) -> None:
    path = written(tmp_path / f"x.{kind[0]}", kind, music(6))
    whole, _ = silent(lambda: read(path))
    assert (len(whole) / RATE, probe(path).stated) == (6, pytest.approx(6, abs=0.01))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with warned(rf"x\.{kind[0]}: damaged or cut short at .* of its 6\.0 s are missing") as w:
        half, _ = read(path)
    assert len(w) == 1 and 1.9 < len(half) / RATE < 4
    silent(lambda: read(path, start=0.5, duration=1))  # of a part that is there nothing is missing


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
@pytest.mark.parametrize("kind", [WAV, FLOAT], ids=["int16", "float32"])
def test_a_header_left_open_promises_nothing(tmp_path: Path, kind: Kind, size: int) -> None:
    path = make(tmp_path / "x.wav", kind, [music(3)])
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    assert probe(path).stated is None
    assert len(silent(lambda: read(path))[0]) == 3 * RATE


def test_chunks_without_end_or_sense(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    for tail in (b"", b"LIST", b"LIST\xff\xff\xff\xff", bytes(1 << 20), b"LIST" + bytes(4) + b"data\x07"):
        path.write_bytes(b"RIFF\x00\x00\x00\x00WAVE" + tail)
        assert promised_bytes(path) is None
    for magic in (b"RF64", b"riff", b"caff", b"", b"OggS"):
        path.write_bytes(magic + b"\xff" * 30)
        assert promised_bytes(path) is None


@pytest.mark.parametrize("kind", [WAV, FLOAT, WAV24], ids=lambda kind: kind[2])
def test_a_wav_cut_inside_a_sample(tmp_path: Path, kind: Kind) -> None:
    audio = music(3)
    path = tmp_path / "x.wav"
    with Writer(path, RATE, subtype={"s16": "int16", "s32": "int24"}.get(kind[3], "float32")) as file:
        file.write(audio)
    whole, _ = read(path)
    data = path.read_bytes()
    frame = 2 * {"pcm_s16le": 2, "pcm_s24le": 3, "pcm_f32le": 4}[kind[2]]
    for cut in (1, frame - 1, frame + 1, 5000 * frame + 3):
        path.write_bytes(data[:-cut])
        missing = -(-cut // frame)
        with warned("") if missing > RATE // 10 else nullcontext():
            part, _ = read(path)
        np.testing.assert_array_equal(part, whole[: len(whole) - missing], err_msg=str(cut))


def with_rate(path: Path, rate: int) -> Path:
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", rate)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_files_of_rates_that_no_sound_has(tmp_path: Path, rate: int) -> None:
    path = with_rate(make(tmp_path / "x.wav", WAV, [music(0.1)]), rate)
    for use in (probe, read, lambda p: list(decode(p, sample_rate=RATE))):
        with pytest.raises(AudioError) as error:
            use(path)
        assert str(error.value).startswith(
            f"{path}: its sample rate must be a whole number of Hz from 1000"
        ), use


@pytest.mark.parametrize("rate", [LOWEST_RATE, HIGHEST_RATE])
def test_files_of_the_last_rates_that_are_read(tmp_path: Path, rate: int) -> None:
    path = with_rate(make(tmp_path / "x.wav", WAV, [music(0.1)]), rate)
    assert read(path, sample_rate=RATE)[1] == RATE


@pytest.mark.parametrize("rate", [True, 1, 0, -5, 999, 768_001, 10**12, 44100.5, "44100", None])
def test_arguments_that_are_no_rate(tmp_path: Path, rate: Any) -> None:
    audio = np.zeros((100, 2), np.float32)
    uses = [lambda: resample(audio, rate, RATE), lambda: resample(audio, RATE, rate)]
    uses += [lambda: Writer(tmp_path / "x.wav", rate)] if rate is not None else []
    uses += [lambda: decode("any", sample_rate=rate)] if rate is not None else []
    for use in uses:
        with pytest.raises(UsageError, match="must be a whole number of Hz from 1000 to 768000"):
            use()
    assert not list(tmp_path.iterdir())


def with_hole(path: Path, container: str, hole: float) -> Path:
    """A second of sound, a hole, another second."""
    with av.open(str(path), "w", container) as file:
        stream = cast(av.AudioStream, file.add_stream("pcm_s16le" if container != "mp4" else "alac", RATE))
        stream.format, stream.layout = ("s16" if container != "mp4" else "s16p"), av.AudioLayout("stereo")
        for first in (0, round((1 + hole) * RATE)):
            block = np.full((2, RATE) if container == "mp4" else (1, 2 * RATE), 8192, np.int16)
            frame = av.AudioFrame.from_ndarray(block, stream.format.name, "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_silence_stands_for_holes_of_a_length_that_can_be(tmp_path: Path, container: str) -> None:
    suffix = {"matroska": "mkv", "mp4": "m4a"}[container]
    path = with_hole(tmp_path / f"short.{suffix}", container, 30)
    audio, _ = read(path)
    assert len(audio) / RATE == pytest.approx(32, abs=0.1)
    assert not audio[2 * RATE : 30 * RATE].any() and audio[-RATE // 2 :].all()
    path = with_hole(tmp_path / f"long.{suffix}", container, 12 * 3600)
    seconds = 0.0
    with pytest.raises(AudioError, match=rf"long\.{suffix}: time stamps leave 12 h without sound at 1\.0 s"):
        for block in decode(path):
            seconds += len(block) / RATE
    assert seconds < 3


def two_tracks(path: Path, default: int) -> Path:
    """A quiet and a loud track, one of them marked as the default."""
    with av.open(str(path), "w") as file:
        tracks = []
        for index in range(2):
            track = cast(av.AudioStream, file.add_stream("flac" if path.suffix == ".mkv" else "alac", RATE))
            track.layout = av.AudioLayout("stereo")
            track.format = av.AudioFormat("s16" if path.suffix == ".mkv" else "s16p")
            track.disposition = Disposition.default if index == default else Disposition(0)
            tracks.append(track)
        for track, gain in zip(tracks, (0.1, 0.5)):
            planar = track.format.name.endswith("p")
            block = np.rint(gain * 32767 * np.ones((RATE, 2))).astype(np.int16)
            block = block.T.copy() if planar else block.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, track.format.name, "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            file.mux(track.encode(frame))
        for track in tracks:
            file.mux(track.encode(None))
    return path


@pytest.mark.parametrize("default", [0, 1, None])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_the_default_track_is_taken(tmp_path: Path, suffix: str, default: int | None) -> None:
    path = two_tracks(tmp_path / f"film.{suffix}", -1 if default is None else default)
    for stream, gain in ((None, (0.1, 0.5)[default or 0]), (0, 0.1), (1, 0.5)):
        assert np.abs(read(path, stream=stream)[0]).max() == pytest.approx(gain, abs=0.01), stream
    with pytest.raises(AudioError, match=r"has no audio stream 2, only 2 from 0 on"):
        probe(path, stream=2)


def test_the_track_that_is_asked_for_is_separated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = two_tracks(tmp_path / "film.mkv", 1)
    model = ["--model", str(DATA / "x-umx.h5"), "--chunk-dur", "0.5", "--inputs", str(path), "--quiet"]
    stems = {}
    for name, option in (("default", []), ("0", ["--audio-track", "0"]), ("1", ["--audio-track", "1"])):
        assert main([*model, "--outdir", str(tmp_path / name), *option]) == 0
        stems[name] = read(tmp_path / name / "vocals.wav")[0]
    np.testing.assert_array_equal(stems["default"], stems["1"])
    assert np.abs(stems["0"]).max() < np.abs(stems["1"]).max()
    capsys.readouterr()
    assert main([*model, "--audio-track", "2"]) == 1
    assert "film.mkv: has no audio stream 2" in capsys.readouterr().err
    assert main([*model, "--audio-track", "-1"]) == 2
    assert "--audio-track must be 0 or more" in capsys.readouterr().err


def test_what_is_stated_and_what_is_guessed(tmp_path: Path) -> None:
    for kind in (WAV, FLAC, MP3, M4A):
        path = make(tmp_path / f"x.{kind[0]}", kind, [music(3)])
        assert probe(path).stated == pytest.approx(3, abs=0.03), kind
    with av.open(str(tmp_path / "guess.mp3"), "w", options={"write_xing": "0"}) as file:
        stream = cast(av.AudioStream, file.add_stream("libmp3lame", RATE))
        frame = av.AudioFrame.from_ndarray(music(3).T.copy(), "fltp", "stereo")
        frame.sample_rate, frame.pts = RATE, 0
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert probe(tmp_path / "guess.mp3").stated is None
