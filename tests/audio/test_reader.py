from __future__ import annotations

import importlib.util
import os
import shutil
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest

from tests.logs import silent, warned
from xumx.audio import Writer, decode, probe, read
from xumx.audio.samples import BLOCK
from xumx.base.errors import AudioError, UsageError

RATE = 44100

Kind = tuple[str, str, str, str, dict[str, str]]
"""Suffix, container, codec, sample format, codec options."""

WAV: Kind = ("wav", "wav", "pcm_s16le", "s16", {})
FLOAT: Kind = ("wav", "wav", "pcm_f32le", "flt", {})
FLAC: Kind = ("flac", "flac", "flac", "s16", {})
MP3: Kind = ("mp3", "mp3", "libmp3lame", "fltp", {})
M4A: Kind = (
    "m4a",
    "ipod",
    "aac",
    "fltp",
    {"aac_pns": "0", "b": "900k"},
)  # noise that decoders make up is never the same twice
OPUS: Kind = ("opus", "ogg", "libopus", "flt", {})
VORBIS: Kind = ("ogg", "ogg", "vorbis", "fltp", {"strict": "-2"})
OGG_FLAC: Kind = ("oga", "ogg", "flac", "s16", {})
ADPCM: Kind = ("adpcm.wav", "wav", "adpcm_ms", "s16", {})
MKV: Kind = ("mkv", "matroska", "aac", "fltp", {"aac_pns": "0"})
KINDS = [WAV, FLOAT, FLAC, MP3, M4A, OPUS, VORBIS, OGG_FLAC, ADPCM, MKV]


def make(path: Path, kind: Kind, streams: list[np.ndarray], rate: int = RATE, layout: str = "stereo") -> Path:
    """A file with one audio stream for each array (samples, channels), by PyAV alone."""
    _, container, codec, sample_format, options = kind
    with av.open(f"file:{path}", "w", container) as file:
        tracks = [cast(av.AudioStream, file.add_stream(codec, rate, dict(options))) for _ in streams]
        for track in tracks:
            track.format, track.layout = av.AudioFormat(sample_format), av.AudioLayout(layout)
        for track, audio in zip(tracks, streams):
            if sample_format == "s16":
                audio = np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16)
            for first in range(0, len(audio), rate):
                block = np.ascontiguousarray(audio[first : first + rate]).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(block, sample_format.removesuffix("p"), layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
                file.mux(track.encode(frame))
        for track in tracks:
            file.mux(track.encode(None))
    return path


def music(seconds: float, rate: int = RATE) -> np.ndarray:
    """Gliding tones, (samples, 2), so that no two moments are alike."""
    t = np.arange(round(seconds * rate)) / rate
    left = 0.4 * np.sin(2 * np.pi * (220 + 15 * t) * t) + 0.1 * np.sin(2 * np.pi * (1500 - 20 * t) * t)
    right = 0.3 * np.sin(2 * np.pi * (330 + 25 * t) * t) + 0.1 * np.sin(2 * np.pi * (900 + 30 * t) * t)
    return np.stack([left, right], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """12.3 s of music in every kind of file, by suffix."""
    folder = tmp_path_factory.mktemp("songs")
    rates = {OPUS[0]: 48000}
    return {
        kind[0]: make(
            folder / f"{kind[2]}.{kind[0]}",
            kind,
            [music(12.3, rates.get(kind[0], RATE))],
            rates.get(kind[0], RATE),
        )
        for kind in KINDS
        if kind is not FLOAT
    }


def test_probe(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    with Writer(path, 48000, 1, tags={"title": "T", "artist": "A"}) as file:
        file.write(np.zeros((24000, 1)))
    info = probe(path)
    assert (info.path, info.sample_rate, info.channels, info.duration) == (str(path), 48000, 1, 0.5)
    assert info.tags == {"title": "T", "artist": "A"}


def test_tags_in_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    with Writer(path, 8000, 1, tags={"title": "Größe"}) as file:
        file.write(np.zeros((100, 1)))
    path.write_bytes(path.read_bytes().replace("Größe".encode(), "Größe  ".encode("latin-1")))
    assert probe(path).tags == {"title": "Größe"}
    assert len(read(path)[0]) == 100


def test_blocks_are_what_they_should_be(song: dict[str, Path]) -> None:
    for suffix, path in song.items():
        blocks = silent(lambda: list(decode(path)))  # noqa: B023
        for block in blocks:
            assert block.dtype == np.float32 and block.flags.c_contiguous and block.ndim == 2 and len(block)
        assert all(len(block) >= BLOCK for block in blocks[:-1]), (suffix, [len(b) for b in blocks])
        whole, rate = read(path)
        np.testing.assert_array_equal(np.concatenate(blocks), whole)
        assert rate == (48000 if suffix == "opus" else RATE)


def test_lossless_reading(song: dict[str, Path]) -> None:
    expected = np.rint(music(12.3) * 32768) / 32768
    for suffix in ("wav", "flac", "oga"):
        np.testing.assert_array_equal(read(song[suffix])[0], expected, err_msg=suffix)


@pytest.mark.parametrize("sample_rate", [None, 48000, 22050])
@pytest.mark.parametrize("suffix", [kind[0] for kind in KINDS if kind is not FLOAT])
def test_start_and_duration_are_exact(song: dict[str, Path], suffix: str, sample_rate: int | None) -> None:
    rng = np.random.default_rng(len(suffix) + (sample_rate or 0))
    whole, rate = read(song[suffix], sample_rate=sample_rate)
    starts = [0.0, 1.1, 5.0, 12.29, *rng.uniform(0, 12.2, 4), *rng.uniform(1.1, 1.9, 2)]
    for case, start in enumerate(starts):
        duration = [None, 0.001, 1.0, float(rng.uniform(0, 13))][case % 4]
        part, _ = silent(lambda: read(song[suffix], sample_rate=sample_rate, start=start, duration=duration))  # noqa: B023
        expected = whole[round(start * rate) :]
        if duration is not None:
            expected = expected[: round(duration * rate)]
        # Opus forgets only gradually what came before; a shift by one sample is an error of 0.05 here.
        tolerance = 1e-4 if suffix == "opus" else 2e-6 if sample_rate else 0
        assert part.shape == expected.shape, (start, duration)
        assert np.abs(part - expected).max() <= tolerance, (start, duration, np.abs(part - expected).max())


def test_duration_alone_and_tiny(song: dict[str, Path]) -> None:
    whole, _ = read(song["mp3"])
    np.testing.assert_array_equal(read(song["mp3"], duration=2.5)[0], whole[: round(2.5 * RATE)])
    assert read(song["mp3"], start=3, duration=1e-9)[0].shape == (1, 2)
    assert len(read(song["mp3"], start=12, duration=100)[0]) == len(whole) - 12 * RATE


def test_channels(tmp_path: Path) -> None:
    stereo = np.rint(music(0.5) * 32768) / 32768
    path = make(tmp_path / "stereo.wav", WAV, [stereo])
    np.testing.assert_allclose(read(path, channels=1)[0], stereo.mean(axis=1, keepdims=True), atol=1e-7)
    np.testing.assert_array_equal(read(path, channels=2)[0], stereo)
    path = make(tmp_path / "mono.wav", WAV, [stereo[:, :1]], layout="mono")
    np.testing.assert_array_equal(read(path)[0], stereo[:, :1])
    np.testing.assert_array_equal(read(path, channels=2)[0], stereo[:, [0, 0]])


@pytest.mark.parametrize(("kind", "atol"), [(WAV, 1e-4), (FLAC, 1e-4), (M4A, 0.03)])
@pytest.mark.parametrize("layout", ["5.1", "7.1"])
def test_surround_is_mixed_down(tmp_path: Path, kind: Kind, atol: float, layout: str) -> None:
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    channels = len(names)
    t = np.arange(RATE) / RATE
    pitch = {name: 60 if name == "LFE" else 110 * (index + 2) for index, name in enumerate(names)}
    audio = np.stack([0.5 * np.sin(np.pi * t) * np.sin(2 * np.pi * pitch[n] * t) for n in names], axis=1)
    audio = audio.astype(np.float32)
    path = make(tmp_path / f"x.{kind[0]}", kind, [audio], layout=layout)
    with warned(f"{path.name}: {channels} channels mixed down to 2") as caught:
        mixed, _ = read(path, channels=2)
    assert len(caught) == 1
    g = np.sqrt(0.5)  # ITU-R BS.775: centre and surround at -3 dB, no LFE
    left = {"FL": 1, "FC": g, "BL": g, "SL": g}
    right = {"FR": 1, "FC": g, "BR": g, "SR": g}
    matrix = np.array([[left.get(n, 0), right.get(n, 0)] for n in names])
    np.testing.assert_allclose(mixed, audio @ (matrix / matrix.sum(axis=0)), atol=atol)
    with warned("mixed down to 1"):
        mono, _ = read(path, channels=1)
    np.testing.assert_allclose(mono, mixed.mean(axis=1, keepdims=True), atol=1e-6)
    native, _ = silent(lambda: read(path))
    np.testing.assert_allclose(native, audio, atol=atol)


def test_streams_of_a_stems_file(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("stempeg")
    if spec and spec.origin:
        (path,) = Path(spec.origin).parent.glob("data/*.stem.mp4")
        count, samples = 5, 268_288
    else:
        count, samples = 3, 2 * RATE
        path = make(tmp_path / "x.m4a", M4A, [music(2) * gain for gain in (0.9, 0.5, 0.1)])
    stems = [silent(lambda: read(path, stream=index)[0]) for index in range(count)]  # noqa: B023
    assert all(stem.shape == (samples, 2) for stem in stems)
    for index in range(1, count):
        assert np.abs(stems[index] - stems[0]).max() > 0.1, index
    part, _ = read(path, stream=1, start=1.5, duration=0.25)
    np.testing.assert_allclose(part, stems[1][round(1.5 * RATE) :][: len(part)], atol=1e-6)
    with pytest.raises(AudioError, match=f"{path.name}: has no audio stream {count}"):
        read(path, stream=count)


def test_blocks_stay_small_in_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    minute = (np.random.default_rng(0).standard_normal((60 * 8000, 1)) * 0.1).astype(np.float32)
    with Writer(path, 8000, 1) as file:
        for _ in range(20):
            file.write(minute)
    sizes = [len(block) for block in decode(path, sample_rate=16000)]
    assert sum(sizes) == 20 * 60 * 16000
    assert max(sizes) < 3 * BLOCK
    # An early end closes the file without having read it all.
    assert sum(map(len, decode(path, start=600, duration=3))) == 24000


NAMES = [
    "a:b.wav",
    "concat:x",
    "http:",
    "data:,x.wav",
    "-lead.wav",
    "50% %03d.wav",
    "ünï 音?#.wav",
    "it's.wav",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    audio = np.full((100, 2), 0.5, np.float32)
    with Writer(name, 8000, format="wav") as file:
        file.write(audio)
    assert os.listdir() == [name]
    np.testing.assert_array_equal(read(name)[0], audio)
    assert probe(tmp_path / name).sample_rate == 8000


def test_playlists_are_not_followed(tmp_path: Path, song: dict[str, Path]) -> None:
    shutil.copy(song["wav"], tmp_path / "song.wav")
    path = tmp_path / "list.wav"
    path.write_text("ffconcat version 1.0\nfile song.wav\n")
    with av.open(str(path)) as file:  # FFmpeg by itself follows it
        assert next(file.decode(audio=0)).samples
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsong.wav\n#EXT-X-ENDLIST\n"
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    for text, name in ((path.read_text(), "list.wav"), (hls, "x.m3u8"), (hls, "x.mp3"), (sdp, "x.sdp")):
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioError, match=f"{name}: is no audio file"):
            read(tmp_path / name)


def test_bad_files(tmp_path: Path, song: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "empty.mp3").write_bytes(b"")
    (tmp_path / "text.mp3").write_text("This is no music at all.\n" * 2000)
    (tmp_path / "short.mp3").write_text("hi")
    (tmp_path / "random.mp3").write_bytes(rng.integers(0, 256, 100_000, np.uint8).tobytes())
    (tmp_path / "header.wav").write_bytes(song["wav"].read_bytes().split(b"data", 1)[0] + b"data" + bytes(4))
    header = bytearray(song["flac"].read_bytes())
    header[8:12] = bytes(4)  # blocks of 0 samples: the decoder does not even open
    (tmp_path / "header.flac").write_bytes(header)
    (tmp_path / "cut.m4a").write_bytes(song["m4a"].read_bytes()[:20_000])  # its index stood at the end
    with av.open(str(tmp_path / "video.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        file.mux(stream.encode(None))
    cases = {
        "none.mp3": "No such file",
        "": "Is a directory",
        "empty.mp3/x.mp3": "Not a directory",
        "empty.mp3": "is empty",
        "text.mp3": "no audio",
        "short.mp3": "is no audio file",
        "random.mp3": "no audio",
        "header.wav": "holds no audio samples",
        "header.flac": "no audio",
        "cut.m4a": "is no audio file",
        "video.mp4": "holds no audio stream",
    }
    for name, reason in cases.items():
        path = tmp_path / name
        with pytest.raises(AudioError) as error:
            silent(lambda: read(path))  # noqa: B023
        text = str(error.value)
        assert text.startswith(f"{path}: ") and reason in text and "\n" not in text, text
    assert capfd.readouterr() == ("", "")  # FFmpeg says nothing on the terminal


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise av.PermissionError(13, "Permission denied")  # nothing is denied to root, who may run this

    monkeypatch.setattr(av, "open", denied)
    (tmp_path / "x.mp3").write_text("x")
    with pytest.raises(AudioError, match=r"x\.mp3: cannot be read: Permission denied"):
        probe(tmp_path / "x.mp3")


@pytest.mark.parametrize("suffix", ["mp3", "flac", "m4a"])
def test_a_file_cut_short(tmp_path: Path, song: dict[str, Path], suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    whole, _ = read(song[suffix])
    if suffix == "m4a":  # with its index in front, or nothing can be read at all
        with (
            av.open(str(song[suffix])) as old,
            av.open(str(path), "w", options={"movflags": "faststart"}) as new,
        ):
            stream = new.add_stream_from_template(old.streams.audio[0])
            for packet in old.demux(audio=0):
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
    else:
        shutil.copy(song[suffix], path)
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * 0.6) + 37])
    with warned("damaged or cut short at ") as caught:
        part, _ = read(path)
    (text,) = caught
    assert text.startswith(f"{path}: damaged or cut short at ") and "of its 12.3 s are missing" in text, text
    assert 0.5 < len(part) / len(whole) < 0.7
    np.testing.assert_array_equal(part[:-4096], whole[: len(part) - 4096])
    np.testing.assert_array_equal(
        silent(lambda: read(path, start=2, duration=1)[0]), whole[2 * RATE : 3 * RATE]
    )
    with pytest.raises(AudioError, match=r"`start` 11 lies beyond its end"):
        read(path, start=11)


@pytest.mark.parametrize("suffix", ["flac", "m4a", "ogg", "opus", "mp3"])
def test_damage_in_the_middle(tmp_path: Path, song: dict[str, Path], suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    data = bytearray(song[suffix].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    path.write_bytes(data)
    whole, rate = read(song[suffix])
    with warned("damaged or cut short at ") as caught:
        part, _ = read(path)
    (text,) = caught
    assert text.startswith(f"{path}: damaged or cut short at "), text
    if suffix == "mp3":  # has no time stamps of its own: what follows moves up
        assert abs(len(part) - len(whole)) < rate / 2
        return
    assert part.shape == whole.shape
    tolerance = 1e-4 if suffix == "opus" else 1e-6
    late = slice(-2 * rate, None)
    assert np.abs(part[late] - whole[late]).max() < tolerance, "the time line after the damage"
    np.testing.assert_array_equal(part[: 2 * rate], whole[: 2 * rate])


def test_foreign_tags_at_the_end_are_no_damage(tmp_path: Path, song: dict[str, Path]) -> None:
    whole, _ = read(song["mp3"])
    junk = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    for tail in (b"TAG" + bytes(125), junk):
        (tmp_path / "x.mp3").write_bytes(song["mp3"].read_bytes() + tail)
        np.testing.assert_array_equal(silent(lambda: read(tmp_path / "x.mp3")[0]), whole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    audio = music(4)
    audio[round(2.5 * RATE), 1] = value
    path = make(tmp_path / "x.wav", FLOAT, [audio])
    for options in ({}, {"sample_rate": 48000}, {"channels": 1}, {"start": 2.0}):
        with pytest.raises(AudioError) as error:
            read(path, **options)
        assert str(error.value) == f"{path}: NaN or infinite samples at 2.500 s", options
    np.testing.assert_array_equal(read(path, duration=2.5)[0], audio[: round(2.5 * RATE)])
    np.testing.assert_array_equal(read(path, start=2.6)[0], audio[round(2.6 * RATE) :])


def test_loud_is_not_infinite(tmp_path: Path) -> None:
    audio = np.full((1000, 2), 3e38, np.float32)
    np.testing.assert_array_equal(read(make(tmp_path / "x.wav", FLOAT, [audio]))[0], audio)


def test_start_beyond_the_end(song: dict[str, Path]) -> None:
    for suffix, path in song.items():
        for start in (12.5, 100.0, 1e6):
            with pytest.raises(AudioError) as error:
                read(path, start=start)
            assert str(error.value).startswith(f"{path}: `start` {start:g} lies beyond its end at 12.3"), (
                suffix
            )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"start": -1}, "`start`"),
        ({"start": np.nan}, "`start`"),
        ({"start": np.inf}, "`start`"),
        ({"duration": 0}, "`duration`"),
        ({"duration": -2}, "`duration`"),
        ({"duration": np.nan}, "`duration`"),
        ({"sample_rate": 0}, "`sample_rate`"),
        ({"channels": 3}, "channels"),
        ({"stream": -1}, "stream"),
    ],
)
def test_wrong_arguments_fail_at_once(options: dict, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        decode("no such file", **options)  # not even iterated


def test_a_rate_that_changes_on_the_way(tmp_path: Path) -> None:
    noise = (np.random.default_rng(0).standard_normal((3 * RATE, 2)) * 0.1).astype(np.float32)
    parts = [make(tmp_path / f"{rate}.mp3", MP3, [noise], rate).read_bytes() for rate in (44100, 48000)]
    path = tmp_path / "x.mp3"
    path.write_bytes(parts[0] + parts[1])
    with pytest.raises(AudioError, match=r"x\.mp3: its sample rate or channels change at"):
        read(path)


def test_channels_that_change_on_the_way(tmp_path: Path) -> None:
    audio = music(3)
    parts = [
        make(tmp_path / f"{layout}.mp3", MP3, [audio[:, :channels]], layout=layout).read_bytes()
        for layout, channels in (("mono", 1), ("stereo", 2))
    ]
    path = tmp_path / "x.mp3"
    path.write_bytes(parts[0] + parts[1])
    with warned(r"at 3\.0 s: what cannot be decoded"):  # a frame is lost
        both, _ = read(path, channels=2)
    np.testing.assert_array_equal(both[:RATE, 0], both[:RATE, 1])
    assert np.abs(both[4 * RATE : 5 * RATE, 0] - both[4 * RATE : 5 * RATE, 1]).max() > 0.1
    assert len(both) / RATE == pytest.approx(6, abs=0.1)
