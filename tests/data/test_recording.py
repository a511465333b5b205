from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import scipy.io.wavfile
import soundfile
import stempeg

from tests.audio.test_reader import FLAC, KINDS, MP3, Kind, make
from tests.musdb_set import RATE, STREAMS, generate
from tests.networks import DATA
from xumx.audio.samples import resample
from xumx.base.errors import AudioError
from xumx.data.recording import Recording, recordings


def excerpts(samples: int, count: int = 12) -> list[tuple[int, int]]:
    rng = np.random.default_rng(0)
    starts = [0, 1, 1023, 4096, 4097, *(int(start) for start in rng.integers(0, samples, count))]
    chosen = [(start, int(rng.integers(1, samples - start + 1))) for start in starts]
    return [*chosen, (0, samples), (samples, 0)]


def write_aac(path: Path, audio: np.ndarray, rate: int = RATE, **options: str) -> None:
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=rate, options=options)
        stream.layout, stream.format, stream.bit_rate = "stereo", "fltp", 64000
        for start in range(0, audio.shape[1], 1024):
            block = np.ascontiguousarray(audio[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_streams_of_music_equal_what_ffmpeg_decodes() -> None:
    path = stempeg.example_stem_path()
    found = recordings(path)
    assert len(found) == len(STREAMS)
    audio = stempeg.read_stems(path, dtype=np.float32)[0]
    for recording in found:
        whole = audio[recording.stream]
        assert (recording.samples, recording.channels, recording.sample_rate) == (*whole.shape, 44100)
        for start, length in excerpts(recording.samples):
            ours = recording.read(start, length)
            assert ours.shape == (length, 2) and ours.dtype == np.float32
            error = np.abs(ours - whole[start : start + length]).max(initial=0)
            assert error < 1e-6, (recording.stream, start, length, error)


def test_files_with_encoder_delay_and_padding_keep_their_place(tmp_path: Path) -> None:
    audio = generate(50_001, np.random.default_rng(1))["vocals"]
    write_aac(tmp_path / "a.m4a", audio, aac_pns="0")
    (recording,) = recordings(tmp_path / "a.m4a")
    assert abs(recording.samples - audio.shape[1]) <= 22  # the header states milliseconds
    whole = recording.read(0, recording.samples)
    likeness = np.corrcoef(whole[:50_000, 0], audio[0, :50_000])[0, 1]
    assert likeness > 0.99, likeness  # a shift by a frame would give about 0
    for start, length in excerpts(recording.samples):
        ours = recording.read(start, length)
        assert np.array_equal(ours, whole[start : start + length]), (start, length)


def test_an_excerpt_does_not_depend_on_what_was_read_before(tmp_path: Path) -> None:
    audio = generate(80_000, np.random.default_rng(2))["drums"]
    write_aac(tmp_path / "noise.m4a", audio, aac_pns="1")
    (recording,) = recordings(tmp_path / "noise.m4a")
    first = recording.read(30_000, 40_000)
    recording.read(7, 20_000)
    assert np.array_equal(recording.read(30_000, 40_000), first)


@pytest.mark.parametrize("name, subtype", [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.flac", "PCM_24")])
def test_uncompressed_audio_is_exact(tmp_path: Path, name: str, subtype: str) -> None:
    audio = np.random.default_rng(3).uniform(-1, 1, (9000, 3)).astype(np.float32)
    soundfile.write(tmp_path / name, audio, 22050, subtype=subtype)
    (recording,) = recordings(tmp_path / name)
    assert (recording.channels, recording.samples, recording.sample_rate) == (3, 9000, 22050)
    if subtype == "PCM_16":
        whole = scipy.io.wavfile.read(tmp_path / name)[1].astype(np.float32) / 2**15
    else:
        whole = audio
    for start, length in excerpts(recording.samples):
        error = np.abs(recording.read(start, length) - whole[start : start + length]).max(initial=0)
        assert error <= (2**-24 if subtype == "PCM_24" else 0), (start, length, error)


def test_lossless_stems_are_exact(tmp_path: Path) -> None:
    audio = generate(50_001, np.random.default_rng(4))["vocals"]
    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        stream = container.add_stream("alac", rate=RATE)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.format = "stereo", "s16p"
        for start in range(0, audio.shape[1], 4096):
            block = np.rint(audio[:, start : start + 4096] * 2**15).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16p", layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (recording,) = recordings(tmp_path / "a.m4a")
    assert recording.samples == audio.shape[1]
    for start, length in excerpts(recording.samples):
        error = np.abs(recording.read(start, length).T - audio[:, start : start + length]).max(initial=0)
        assert error <= 2**-16, (start, length, error)


LOW_MP3: Kind = (*MP3[:4], {"b": "32k"})
"""Its frames need what several before them hold."""

ADTS: Kind = ("aac", "adts", "aac", "fltp", {"aac_pns": "0"})


@pytest.mark.parametrize("kind", [*KINDS, LOW_MP3, ADTS], ids=lambda k: k[0])
def test_any_format_is_read_in_its_place(tmp_path: Path, kind: Kind) -> None:
    """Against what FFmpeg gives when it decodes from the beginning."""
    rate = 48000 if kind[0] == "opus" else RATE
    audio = generate(5 * rate + 321, np.random.default_rng(6))["mixture"].T.astype(np.float32)
    path = make(tmp_path / f"a.{kind[0]}", kind, [np.ascontiguousarray(audio)], rate)
    (recording,) = recordings(path)
    assert abs(recording.samples - len(audio)) < 2 * 1152, "encoders may fill up"
    assert (recording.channels, recording.sample_rate) == (2, rate)
    floats = av.AudioResampler("fltp", "stereo", rate)
    with av.open(str(path)) as container:
        frames = [part.to_ndarray() for f in container.decode(audio=0) for part in floats.resample(f)]
    whole = np.concatenate(frames, axis=1)[:, : recording.samples].T
    for start, length in excerpts(recording.samples - 2000, 6):
        error = np.abs(recording.read(start, length) - whole[start : start + length]).max(initial=0)
        assert error < 1e-6, (kind[0], start, length, error)
    together = np.concatenate(list(recording.blocks()))
    assert np.abs(together[: len(whole)] - whole[: len(together)]).max() < 1e-6


def test_the_length_of_an_mp3_without_a_header_is_counted(tmp_path: Path) -> None:
    """FFmpeg guesses it from the bit rate of the first frame, which is that of silence here."""
    audio = np.zeros((2, 6 * RATE), np.float32)
    audio[:, 3 * RATE :] = generate(3 * RATE, np.random.default_rng(7))["mixture"]
    with av.open(str(tmp_path / "a.mp3"), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, options={"compression_level": "9"})
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.flags |= 1 << 1  # variable bit rate
        stream.codec_context.global_quality = 0
        frame = av.AudioFrame.from_ndarray(audio, "fltp", "stereo")
        frame.sample_rate, frame.pts = RATE, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "a.mp3")) as container:
        guess = container.duration / 1e6
    assert abs(guess - 6) > 1, guess
    (recording,) = recordings(tmp_path / "a.mp3")
    assert 6 * RATE <= recording.samples <= 6 * RATE + 3 * 1152
    assert recording.read(recording.samples - 5000, 5000).shape == (5000, 2)


@pytest.mark.parametrize("rate", [8000, 22050, 32000, 48000, 96000, 44101])
@pytest.mark.parametrize("wanted", [44100, 48000])
def test_a_resampled_excerpt_is_that_of_the_resampled_whole(tmp_path: Path, rate: int, wanted: int) -> None:
    audio = np.random.default_rng(8).uniform(-1, 1, (2 * rate + 123, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", audio, rate, subtype="FLOAT")
    (native,) = recordings(tmp_path / "a.wav")
    recording = native.at(wanted)
    if rate == wanted:
        assert recording == native
        return
    whole = resample(audio, rate, wanted)
    assert (recording.samples, recording.sample_rate) == (len(whole), wanted)
    assert recording.at(rate) == native and native.at(wanted).at(44100) == native.at(44100)
    last = recording.samples
    ends = [(0, 1), (last - 1, 1), (last - 700, 700), (last - 5, 5), (0, last), (wanted, 3)]
    for start, length in [*excerpts(last, 8), *ends]:
        ours = recording.read(start, length)
        assert ours.shape == (length, 2) and ours.dtype == np.float32 and ours.flags["C_CONTIGUOUS"]
        error = np.abs(ours - whole[start : start + length]).max(initial=0)
        assert error < 5e-5, (rate, wanted, start, length, error)
    with pytest.raises(ValueError, match=f"of {last}"):
        recording.read(last - 5, 6)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    audio = np.zeros((9000, 2), np.float32)
    audio[5000, 1] = np.nan
    soundfile.write(tmp_path / "a.wav", audio, RATE, subtype="FLOAT")
    (recording,) = recordings(tmp_path / "a.wav")
    assert not recording.read(0, 5000).any()
    with pytest.raises(AudioError, match=r"a\.wav: holds NaN or infinite samples"):
        recording.read(4000, 2000)


def test_files_that_are_no_audio_are_named(tmp_path: Path) -> None:
    for name in ("text.mp4", "text.wav", "text.mp3", "empty.mp4", "empty.ogg"):
        (tmp_path / name).write_text("no audio" if "text" in name else "")
    missing = ("missing.mp4", "missing.wav", "missing.mp3")
    for name in ("text.mp4", "text.wav", "text.mp3", "empty.mp4", "empty.ogg", *missing):
        with pytest.raises(AudioError, match=name) as caught:
            recordings(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    audio = generate(100_000, np.random.default_rng(5))["other"]
    write_aac(tmp_path / "cut.mp4", audio)
    soundfile.write(tmp_path / "cut.wav", audio.T, RATE)
    for name in ("cut.mp4", "cut.wav"):
        (recording,) = recordings(tmp_path / name)
        whole = recording.read(0, 10_000)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        assert np.array_equal(recording.read(0, 10_000), whole)
        with pytest.raises(AudioError, match=name):
            recording.read(80_000, 15_000)
        (tmp_path / name).unlink()
        with pytest.raises(AudioError, match=name):
            recording.read(0, 10)


def test_an_excerpt_over_the_ends_is_refused() -> None:
    recording = Recording(Path("any.wav"), 0, 100, 2, RATE)
    for start, length in ((-1, 5), (96, 5), (0, 101), (5, -1)):
        with pytest.raises(ValueError, match="of 100"):
            recording.read(start, length)


@pytest.mark.parametrize("name, form", [("a.wav", ("OGG", "VORBIS")), ("a.flac", ("MP3", "MPEG_LAYER_III"))])
def test_a_file_is_read_as_what_it_is(tmp_path: Path, name: str, form: tuple[str, str]) -> None:
    """By its suffix it would be read by libsndfile, which does not place coded sound to the sample."""
    audio = generate(9 * RATE, np.random.default_rng(9))["mixture"]
    soundfile.write(tmp_path / name, audio.T, RATE, format=form[0], subtype=form[1])
    (recording,) = recordings(tmp_path / name)
    whole = np.concatenate(list(recording.blocks()))
    for start in range(RATE, recording.samples - RATE, RATE // 3):
        error = np.abs(recording.read(start, 5000) - whole[start : start + 5000]).max()
        assert error < 1e-6, (start, error)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW"])
def test_coded_wav_files(tmp_path: Path, subtype: str) -> None:
    audio = generate(2 * RATE, np.random.default_rng(10))["mixture"]
    soundfile.write(tmp_path / "a.wav", audio.T, RATE, subtype=subtype)
    (recording,) = recordings(tmp_path / "a.wav")
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    for start, length in excerpts(2 * RATE, 4):
        error = np.abs(recording.read(start, length) - whole[start : start + length]).max(initial=0)
        assert error <= 2**-15, (start, length, error)


def test_clicks_in_vorbis_are_read_in_their_place() -> None:
    (recording,) = recordings(DATA / "clicks.ogg")
    whole = np.concatenate(list(recording.blocks()))
    assert recording.samples == len(whole) == 9 * RATE
    for start in range(RATE, 8 * RATE, RATE // 7):
        error = np.abs(recording.read(start, 5000) - whole[start : start + 5000]).max()
        assert error < 1e-6, (start, error)


@pytest.mark.parametrize("name", ["a.wav", "a.mp4"])
def test_media_without_a_rate_that_can_be(tmp_path: Path, name: str) -> None:
    if name == "a.wav":
        soundfile.write(tmp_path / name, np.zeros((100, 2)), RATE)
        data = bytearray((tmp_path / name).read_bytes())
        data[24:28] = (1).to_bytes(4, "little")
    else:
        write_aac(tmp_path / name, np.zeros((2, 5000), np.float32))
        data = bytearray((tmp_path / name).read_bytes())
        for box in (b"mp4a", b"esds"):
            data = data.replace(box, b"zzzz")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AudioError, match=f"{name}: (its sample rate must|no audio in it can be decoded)"):
        recordings(tmp_path / name)


def test_a_damaged_excerpt_is_refused_and_those_around_it_are_not(tmp_path: Path) -> None:
    audio = generate(8 * RATE, np.random.default_rng(11))["mixture"]
    path = make(tmp_path / "a.flac", FLAC, [np.ascontiguousarray(audio.T, np.float32)])
    path = path.rename(tmp_path / "a.fla")  # read by FFmpeg
    (recording,) = recordings(path)
    before, after = recording.read(RATE, RATE), recording.read(6 * RATE, RATE)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    path.write_bytes(data)
    assert np.array_equal(recording.read(RATE, RATE), before)
    assert np.array_equal(recording.read(6 * RATE, RATE), after)
    with pytest.raises(AudioError, match=r"a\.fla: stream 0 at .* s is damaged or cut short"):
        recording.read(2 * RATE, 4 * RATE)
    with pytest.raises(AudioError, match=r"a\.fla: stream 0 at .* s is damaged or cut short"):
        list(recording.blocks())
