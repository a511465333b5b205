import numpy as np
import pytest

from tests.networks import identity_weights, music, random_weights, small_config
from xumx.audio import Writer, probe, read
from xumx.base.errors import AudioError, WriteError
from xumx.separation.naming import Output
from xumx.separation.separator import Separator
from xumx.separation.song import separate_song

CONFIG = small_config()


@pytest.fixture(scope="module")
def separator():
    return Separator(random_weights(CONFIG), chunk_dur=0.5, overlap=0.2)


def make_song(path, seconds=1.5, rate=44100, channels=2, gain=1.0, **options):
    with Writer(path, rate, channels, subtype="float32", **options) as writer:
        writer.write(gain * music(seconds, rate=rate, channels=channels))
    return path


def run(separator, song, folder, **output):
    output = Output(str(folder), **output)
    (paths,) = output.paths([song], separator.stems, "net")
    found = separate_song(separator, song, paths, output)
    return paths, found.seconds


@pytest.mark.parametrize(
    "rate, samples", [(44100, 50001), (48000, 48001), (96000, 70003), (22050, 31337), (8000, 9001)]
)
@pytest.mark.parametrize("mode", ["rescale", "none"])
def test_stems_are_exactly_as_long_as_the_song(tmp_path, separator, rate, samples, mode):
    with Writer(tmp_path / "song.wav", rate) as writer:
        writer.write(music(2, rate=48000)[:samples])
    paths, seconds = run(
        separator, tmp_path / "song.wav", tmp_path / "out", subtype="float32", clip_mode=mode
    )
    assert seconds == pytest.approx(samples / rate)
    for path in paths.values():
        stem, stem_rate = read(path)
        assert (stem.shape, stem_rate) == ((samples, 2), rate)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_stems_sum_to_the_song(tmp_path, separator, rate):
    with Writer(tmp_path / "song.wav", rate, subtype="float32") as writer:
        writer.write(music(1.5, rate=rate, noise=0))
    song = tmp_path / "song.wav"
    paths, _ = run(separator, song, tmp_path / "out", subtype="float32")
    total = sum(read(p)[0] for p in paths.values())
    audio = read(song)[0]
    assert np.sqrt(((total - audio) ** 2).mean()) < 0.01 * np.sqrt((audio**2).mean())


def test_files_hold_what_the_separator_gives(tmp_path, separator):
    song = make_song(tmp_path / "song.wav")
    expected = separator(read(song)[0])
    for subtype, tolerance in (("int16", 1 / 32767), ("int24", 1e-6), ("float32", 0)):
        paths, _ = run(separator, song, tmp_path / subtype, subtype=subtype)
        for stem, path in paths.items():
            assert np.abs(read(path)[0] - expected[stem]).max() <= tolerance, (subtype, stem)


def test_one_gain_for_all_stems_keeps_their_sum(tmp_path, separator):
    song = make_song(tmp_path / "song.wav", gain=6.0)
    plain = {s: read(p)[0] for s, p in run(separator, song, tmp_path / "a", subtype="float32")[0].items()}
    peak = max(np.abs(stem).max() for stem in plain.values())
    assert peak > 1.2, "the test needs stems beyond full scale"
    paths, _ = run(separator, song, tmp_path / "b", subtype="float32", clip_mode="rescale")
    for stem, path in paths.items():
        np.testing.assert_allclose(read(path)[0], plain[stem] / peak, atol=1e-6)
    paths, _ = run(separator, song, tmp_path / "c", subtype="float32", clip_mode="clamp")
    for stem, path in paths.items():
        np.testing.assert_array_equal(read(path)[0], np.clip(plain[stem], -1, 1))
    paths, _ = run(separator, song, tmp_path / "d")
    assert max(np.abs(read(p)[0]).max() for p in paths.values()) == pytest.approx(1, abs=1e-4)


def test_tags_format_and_rate(tmp_path, separator):
    song = make_song(tmp_path / "song.wav", tags={"title": "Größe", "artist": "xumx"})
    paths, _ = run(separator, song, tmp_path / "out", format="flac", sample_rate=48000)
    for stem, path in paths.items():
        info = probe(path)
        assert path.name == f"{stem}.flac" and info.sample_rate == 48000
        assert info.tags["title"] == "Größe" and info.tags["artist"] == "xumx"


def test_part_of_a_song(tmp_path):
    separator = Separator(identity_weights(CONFIG), niter=0, targets=["bass"], chunk_dur=0.5)
    song = make_song(tmp_path / "song.wav")
    audio = read(song)[0]
    output = Output(str(tmp_path / "out"), subtype="float32")
    for start, duration, part in (
        (0.5, None, audio[22050:]),
        (0, 0.25, audio[:11025]),
        (1, 0.1, audio[44100:48510]),
    ):
        (paths,) = output.paths([song], separator.stems, "net")
        separate_song(separator, song, paths, output, start=start, duration=duration)
        np.testing.assert_allclose(read(paths["bass"])[0], part, atol=1e-5)


def test_progress_adds_up(tmp_path, separator):
    song = make_song(tmp_path / "song.wav")
    output = Output(str(tmp_path / "out"))
    steps = []
    separate_song(
        separator, song, output.paths([song], separator.stems, "n")[0], output, progress=steps.append
    )
    assert sum(steps) == pytest.approx(1.5) and len(steps) > 2


def test_a_failure_on_the_way_leaves_no_stem(tmp_path):
    """The song turns to NaN after stems have begun."""
    audio = music(2)
    audio[-100] = np.nan
    import av

    with av.open(str(tmp_path / "song.wav"), "w") as container:
        stream = container.add_stream("pcm_f32le", 44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(audio.reshape(1, -1), "flt", "stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    separator = Separator(random_weights(CONFIG), chunk_dur=0.2)
    for mode in ("rescale", "clamp"):
        with pytest.raises(AudioError, match=r"song\.wav.*1\.99"):
            run(separator, tmp_path / "song.wav", tmp_path / "out", clip_mode=mode)
        assert not list((tmp_path / "out").rglob("*"))


def test_an_old_stem_stays_until_the_new_one_is_whole(tmp_path, separator):
    old = tmp_path / "out" / "bass.wav"
    old.parent.mkdir()
    old.write_bytes(b"old")
    (tmp_path / "text.mp3").write_text("no music")
    with pytest.raises(AudioError, match=r"text\.mp3"):
        run(separator, tmp_path / "text.mp3", tmp_path / "out")
    assert old.read_bytes() == b"old"
    run(separator, make_song(tmp_path / "song.wav"), tmp_path / "out")
    assert probe(old).duration == pytest.approx(1.5, abs=1e-3)


def test_folders_that_cannot_be(tmp_path, separator):
    song = make_song(tmp_path / "song.wav")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="file"):
        run(separator, song, tmp_path / "file" / "out")
