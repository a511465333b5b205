from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soxr

from xumx.audio import FORMATS, Writer, decode, probe, read, writer
from xumx.base.errors import AudioError, UsageError

LOSSY = ("mp3", "ogg", "opus", "m4a")


def music(samples: int, channels: int, rate: int) -> np.ndarray:
    """Decaying tones that differ between channels and never repeat, so that a shift by one sample shows."""
    t = np.arange(samples) / rate
    tones = [(220, 0.3), (523.25, 0.2), (1318.5, 0.15), (2637, 0.1)]
    out = [
        sum(a * np.sin(2 * np.pi * f * (1 + 0.02 * c) * t + c) for f, a in tones)
        * (0.6 + 0.4 * np.cos(9 * t))
        for c in range(channels)
    ]
    return np.stack(out, axis=1).astype(np.float32)


def snr(signal: np.ndarray, other: np.ndarray) -> float:
    return 10 * np.log10(np.mean(signal**2) / (np.mean((signal - other) ** 2) + 1e-20))


def write(path: Path, audio: np.ndarray, rate: int = 44100, **options) -> Path:
    with Writer(path, rate, audio.shape[1], **options) as file:
        for first in range(0, len(audio), 9973):
            file.write(audio[first : first + 9973])
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("name", LOSSY)
def test_lossy_round_trip_is_aligned(tmp_path: Path, name: str, rate: int, channels: int) -> None:
    for samples in (2_000, 30_011):
        audio = music(samples, channels, rate)
        back, file_rate = read(write(tmp_path / f"x.{name}", audio, rate))
        if name in ("ogg", "opus"):
            assert file_rate == 48000
            audio = soxr.resample(audio, rate, 48000) if rate != 48000 else audio
        else:
            assert file_rate == rate
        assert back.shape == audio.shape, (name, rate, samples)
    middle = slice(2000, -2000)
    right = snr(audio[middle], back[middle])
    shifted = [snr(audio[middle], np.roll(back, lag, axis=0)[middle]) for lag in (-2, -1, 1, 2)]
    assert right > 20 and right > max(shifted) + 6, (right, shifted)


@pytest.mark.parametrize("samples", [1, 2, 47, 576, 1023, 1024, 1025, 1152, 4608, 44100])
def test_every_length_comes_back(tmp_path: Path, samples: int) -> None:
    audio = music(samples, 2, 48000)
    for name in FORMATS:
        back, _ = read(write(tmp_path / f"x.{name}", audio, 48000))
        expected = max(samples, 47) if name == "mp3" else samples
        assert back.shape == (expected, 2), (name, samples)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("name", "bits"), [("wav", 16), ("wav", 24), ("flac", 16), ("flac", 24)])
def test_integers_are_nearest_and_clamped(tmp_path: Path, name: str, bits: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    scale = 2.0 ** (bits - 1)
    audio = rng.uniform(-1.2, 1.2, (5000, channels)).astype(np.float32)
    audio[:7, 0] = [1, -1, 1.5, -1.5, 0, 0.5 / scale, 1.5 / scale]
    before = audio.copy()
    path = write(tmp_path / f"x.{name}", audio, subtype=f"int{bits}")
    expected = np.clip(np.rint(audio.astype(np.float64) * scale), -scale, scale - 1)
    assert list(expected[:7, 0]) == [scale - 1, -scale, scale - 1, -scale, 0, 0, 2]
    back, _ = read(path)
    np.testing.assert_array_equal(back.astype(np.float64) * scale, expected)
    np.testing.assert_array_equal(audio, before)
    if name == "wav":
        raw = path.read_bytes().split(b"data", 1)[1][4:][: audio.size * bits // 8]
        words = np.zeros((*audio.shape, 4), np.uint8)
        words[..., 4 - bits // 8 :] = np.frombuffer(raw, np.uint8).reshape(*audio.shape, bits // 8)
        np.testing.assert_array_equal(words.view("<i4")[..., 0] >> (32 - bits), expected)


def test_float_wav_is_exact(tmp_path: Path) -> None:
    audio = (np.random.default_rng(0).standard_normal((5000, 2)) * 10).astype(np.float32)
    back, _ = read(write(tmp_path / "x.wav", audio, subtype="float32"))
    np.testing.assert_array_equal(back, audio)


def test_a_wav_has_room_for_a_header_beyond_4_gib(tmp_path: Path) -> None:
    head = write(tmp_path / "x.wav", music(10, 2, 44100)).read_bytes()[:64]
    assert head[:4] == b"RIFF" and b"JUNK" in head, head  # becomes ds64 in an RF64 file


@pytest.mark.parametrize("name", FORMATS)
def test_blocks_of_any_size(tmp_path: Path, name: str) -> None:
    audio = music(150_000, 2, 48000)
    one = write(tmp_path / f"one.{name}", audio, 48000)
    with Writer(tmp_path / f"many.{name}", 48000) as file:
        for block in np.split(audio, [0, 0, 1, 3, 700, 70_000, 149_999]):
            file.write(block)
        file.write(audio[:0])
    np.testing.assert_array_equal(read(tmp_path / f"many.{name}")[0], read(one)[0])


@pytest.mark.parametrize("name", FORMATS)
def test_tags(tmp_path: Path, name: str) -> None:
    tags = {"title": "Größe 音", "artist": "A & B", "album": "x=y", "date": "1999", "genre": "Jazz"}
    path = write(tmp_path / f"x.{name}", music(5000, 2, 44100), tags=tags)
    assert probe(path).tags == tags
    path = write(tmp_path / f"y.{name}", music(5000, 2, 44100), tags={"title": "\udcff"})  # not Unicode
    assert probe(path).tags == {"title": "?"}


@pytest.mark.parametrize("name", LOSSY)
def test_bitrate(tmp_path: Path, name: str) -> None:
    noise = (np.random.default_rng(0).standard_normal((132_300, 2)) * 0.1).astype(np.float32)
    for bitrate in (96_000, 192_000):
        size = write(tmp_path / f"x.{name}", noise, bitrate=bitrate).stat().st_size
        assert 0.8 < size * 8 / 3 / bitrate < 1.25, (name, bitrate, size)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("xyz", {}, ["`format`", "'xyz'", *FORMATS]),
        ("wav", {"format": "aiff"}, ["`format`", "'aiff'"]),
        ("mp3", {"sample_rate": 96000}, ["`sample_rate`", "96000", "44100"]),
        ("m4a", {"sample_rate": 192000}, ["`sample_rate`", "192000", "96000"]),
        ("wav", {"sample_rate": 0}, ["`sample_rate`"]),
        ("wav", {"channels": 3}, ["channels", "3"]),
        ("wav", {"bitrate": 128000}, ["`bitrate`", "wav"]),
        ("mp3", {"bitrate": 320}, ["`bitrate`", "320"]),
        ("opus", {"bitrate": 1_000_000}, ["`bitrate`", "256000"]),
        ("wav", {"subtype": "int8"}, ["`subtype`", "'int8'", "int24"]),
        ("flac", {"subtype": "float32"}, ["`subtype`", "float32", "flac"]),
        ("mp3", {"subtype": "int24"}, ["`subtype`", "int24", "mp3"]),
    ],
)
def test_what_a_format_cannot_hold(tmp_path: Path, name: str, options: dict, words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        Writer(tmp_path / f"x.{name}", **{"sample_rate": 44100, **options})
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in words), text
    assert not list(tmp_path.iterdir())


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    for name in FORMATS:
        with (
            pytest.raises(AudioError, match=f"x.{name}: no samples"),
            Writer(tmp_path / f"x.{name}", 44100) as file,
        ):
            file.write(np.zeros((0, 2), np.float32))
        assert not list(tmp_path.iterdir()), name


def test_bad_blocks(tmp_path: Path) -> None:
    for block in (np.zeros(10), np.zeros((10, 3)), np.zeros((1, 10, 2))):
        with Writer(tmp_path / "good.wav", 44100) as file:
            with pytest.raises(UsageError, match=r"good\.wav"):
                file.write(block)
            file.write(np.zeros((10, 2)))
    (tmp_path / "good.wav").unlink()
    for value in (np.nan, np.inf):
        with Writer(tmp_path / "bad.wav", 44100) as file, pytest.raises(AudioError, match=r"bad\.wav.*NaN"):
            file.write(np.full((10, 2), value, np.float32))
        assert not list(tmp_path.iterdir())
    with Writer(tmp_path / "done.wav", 44100) as file:
        file.write(np.zeros((10, 2)))
    with pytest.raises(AudioError, match=r"done\.wav.*closed"):
        file.write(np.zeros((10, 2)))


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Writing beyond fails as on a full disk; Python ignores the signal that comes with it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_fills_up(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"x.{name}"
    path.write_text("what was there before")
    noise = (np.random.default_rng(0).standard_normal((100_000, 2)) * 0.1).astype(np.float32)
    with no_file_larger_than(20_000), pytest.raises(AudioError) as error, Writer(path, 44100) as file:
        for _ in range(4):
            file.write(noise)
    text = str(error.value)
    assert text.startswith(f"{path}: cannot be written: ") and "too large" in text and "\n" not in text
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "what was there before"


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.wav").mkdir()
    for path, reason in (
        ("file/x.wav", "Not a directory"),
        ("none/x.wav", "No such file or directory"),
        ("folder.wav", "it is a folder"),
    ):
        with pytest.raises(AudioError) as error:
            Writer(tmp_path / path, 44100)
        assert str(error.value) == f"{tmp_path / path}: cannot be written: {reason}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.wav"]


def test_the_file_appears_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_text("old")
    with Writer(path, 44100) as file:
        file.write(music(50_000, 2, 44100))
        assert path.read_text() == "old"
        hidden = [p.name for p in tmp_path.iterdir() if p != path]
        assert len(hidden) == 1 and hidden[0].startswith(".")
    assert [p.name for p in tmp_path.iterdir()] == ["x.flac"]
    assert len(read(path)[0]) == 50_000
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode  # not a temporary file's


@pytest.mark.parametrize("name", FORMATS)
def test_an_interrupt_leaves_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / f"x.{name}"
    audio = music(20_000, 2, 44100)
    with pytest.raises(KeyboardInterrupt), Writer(path, 44100) as file:
        file.write(audio)
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir()), "between blocks"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(writer, "first_non_finite", interrupt)
        Writer(path, 44100).write(audio)  # without a with, too
    assert not list(tmp_path.iterdir()), "in a block"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), Writer(path, 44100) as file:
        patch.setattr(os, "replace", interrupt)
        file.write(audio)
    assert not list(tmp_path.iterdir()), "before the file has its name"


def test_close_and_discard_act_once(tmp_path: Path) -> None:
    file = Writer(tmp_path / "x.wav", 44100)
    file.write(np.zeros((10, 2)))
    file.close()
    file.close()
    file.discard()
    assert sum(map(len, decode(tmp_path / "x.wav"))) == 10
    file = Writer(tmp_path / "y.wav", 44100)
    file.discard()
    file.close()
    assert [p.name for p in tmp_path.iterdir()] == ["x.wav"]


def test_two_channels_that_share_nothing_both_survive(tmp_path: Path) -> None:
    """A tone on each side: the encoder that FFmpeg itself has for Vorbis loses the right one."""
    t = np.arange(60_000) / 48000
    audio = np.stack([0.4 * np.sin(2 * np.pi * 440 * t), 0.3 * np.sin(2 * np.pi * 660 * t)], 1).astype(
        np.float32
    )
    for name in LOSSY:
        back, _ = read(write(tmp_path / f"x.{name}", audio, 48000))
        for channel in (0, 1):
            assert snr(audio[4800:-4800, channel], back[4800:-4800, channel]) > 25, (name, channel)


def test_noise_in_aac_is_coded_not_made_up(tmp_path: Path) -> None:
    """Noise that decoders make up is never the same twice, and such stems would not sum to the mix."""
    noise = (np.random.default_rng(0).standard_normal((200_000, 2)) * 0.05).astype(np.float32)
    path = write(tmp_path / "x.m4a", noise, bitrate=96_000)
    whole, _ = read(path)
    np.testing.assert_array_equal(read(path, start=3)[0], whole[3 * 44100 :])
