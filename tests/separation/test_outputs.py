"""What is written beside a file a stem: mixdowns, stem files, films; and songs that are done already."""

import io
import json
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.networks import DATA, music
from xumx.audio import Writer, decode, probe, read
from xumx.audio.tracks import STEM_ORDER, _find
from xumx.test import main

MODEL = ["-n", str(DATA / "x-umx.h5"), "--chunk-dur", "0.5"]
RATE = 44100


@pytest.fixture()
def song(tmp_path):
    path = tmp_path / "song.wav"
    with Writer(path, RATE, tags={"title": "Test"}) as writer:
        writer.write(music(1.2))
    return path


def film(path, sound, delay=0.0):
    """A film of pictures that grow brighter, whose sound begins late."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        stream = container.add_stream("flac" if path.suffix == ".mkv" else "aac", rate=RATE)
        stream.layout = "stereo"
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * i, np.uint8))
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        kind = "s16" if path.suffix == ".mkv" else "fltp"
        data = np.rint(2**15 * sound).astype(np.int16).reshape(1, -1) if kind == "s16" else sound.T
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(data), format=kind, layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, round(delay * RATE), Fraction(1, RATE)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_mixdown_is_the_sum_with_its_gains(song, tmp_path):
    out = tmp_path / "o"
    gains = ["--mix", "vocals=-6dB drums=0", "bass=0.25", "--subtype", "float32"]
    assert main([str(song), *MODEL, "-o", str(out), *gains]) == 0
    stems = {path.stem: read(path)[0] for path in out.iterdir()}
    wanted = 10 ** (-6 / 20) * stems["vocals"] + 0.25 * stems["bass"] + stems["other"]
    np.testing.assert_allclose(stems["mix"], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--mix", "piano=0"], "'piano'"),
        (["--mix", "vocals=loud"], "vocals=loud"),
        (["-f", "stem.mp4", "--two-stems", "vocals"], "4 stems"),
        (["-f", "stem.mp4", "--filename", "{stem}.{ext}"], "{stem}"),
        (["-f", "stem.mp4", "--mix", "vocals=0"], "--mix"),
    ],
)
def test_what_cannot_be_is_one_line(song, tmp_path, options, text, capfd):
    try:
        code = main([str(song), *MODEL, "-o", str(tmp_path / "o"), *options])
    except SystemExit as stop:
        code = stop.code
    (line,) = capfd.readouterr().err.splitlines()
    assert code == 2 and text in line and not (tmp_path / "o").exists()


def test_a_stem_file_is_one_of_native_instruments(song, tmp_path, capfd):
    out = tmp_path / "o"
    assert main([str(song), *MODEL, "-o", str(out), "-f", "stem.mp4", "-b", "320k", "--json"]) == 0
    record = json.loads(capfd.readouterr().out)
    path = out / "song.stem.mp4"
    assert record["files"] == {"stems": str(path)} and record["gain"] == 1
    assert main([str(song), *MODEL, "-o", str(tmp_path / "wav"), "--quiet"]) == 0
    wanted = [read(song)[0], *(read(tmp_path / "wav" / f"{stem}.wav")[0] for stem in STEM_ORDER)]
    for stream, audio in enumerate(wanted):
        track = np.concatenate(list(decode(path, stream=stream)))
        assert track.shape == audio.shape
        assert np.sqrt(np.mean((track - audio) ** 2)) < 0.1 * np.sqrt(np.mean(audio**2)) + 1e-4, stream
    assert probe(path).tags["title"] == "Test"

    data = path.read_bytes()
    for kind in (b"moov", b"udta", b"stem"):
        at, size = _find(io.BytesIO(data), kind)
        data = data[at + 8 : at + size]
    manifest = json.loads(data)
    assert [stem["name"].lower() for stem in manifest["stems"]] == list(STEM_ORDER)
    assert not manifest["mastering_dsp"]["limiter"]["enabled"]


def test_musdb_reads_a_stem_file(song, tmp_path):
    musdb = pytest.importorskip("musdb")
    for subset in ("train", "test"):
        (tmp_path / "set" / subset).mkdir(parents=True)
        out = ["-o", str(tmp_path / "set" / subset), "-f", "stem.mp4", "-b", "320k"]
        assert main([str(song), *MODEL, *out, "--quiet"]) == 0
    (track,) = musdb.DB(root=str(tmp_path / "set"), subsets="test").tracks
    samples, channels = track.audio.shape  # ffmpeg, by which musdb reads, gives the last packet whole
    assert 0 <= samples - len(read(song)[0]) < 1024 and channels == 2
    assert set(track.targets) >= {"vocals", "drums", "bass", "other", "accompaniment"}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_film_keeps_its_pictures_and_its_time(tmp_path, suffix):
    sound = music(1.2)
    path = film(tmp_path / f"talk{suffix}", sound, delay=0.3)
    gains = ["--mix", "vocals=1"]  # all stems as they are: their sum is the film's own sound
    assert main([str(path), *MODEL, "-o", str(tmp_path / "o"), "--remux", *gains]) == 0
    new = tmp_path / "o" / path.name

    def look(file):
        with av.open(str(file)) as container:
            pictures = [(f.pts * f.time_base, f.to_ndarray().mean()) for f in container.decode(video=0)]
        with av.open(str(file)) as container:
            frames = list(container.decode(audio=0))
        blocks = [frame.to_ndarray() for frame in frames]
        blocks = [b.reshape(-1, 2).T / 2**15 if len(b) == 1 else b for b in blocks]
        # In Matroska the others' times are whole milliseconds.
        late = np.zeros((2, round(frames[0].time * RATE)))
        return pictures, np.concatenate([late, *blocks], axis=1).mean(axis=0)

    (pictures, old), (again, mixed) = look(path), look(new)
    assert again == pictures
    lag = np.argmax(np.correlate(mixed[20000:40000], old[22000:38000], "valid")) - 2000
    assert abs(lag) <= 1, f"{lag} samples late"


def test_a_film_with_its_stems_as_tracks(tmp_path):
    path = film(tmp_path / "talk.mp4", music(1.2))
    assert main([str(path), *MODEL, "-o", str(tmp_path / "o"), "--remux", "--quiet"]) == 0
    with av.open(str(tmp_path / "o" / "talk.mp4")) as container:
        names = [stream.metadata["handler_name"] for stream in container.streams.audio]
    assert names == ["bass", "drums", "vocals", "other"]


def test_a_song_without_pictures_is_one_line(song, tmp_path, capfd):
    assert main([str(song), *MODEL, "-o", str(tmp_path / "o"), "--remux"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "no picture" in line and "--remux" in line
    assert not list(tmp_path.glob("o/*"))


def test_what_is_done_is_left_out(song, tmp_path, capfd):
    def run(*more):
        assert main([str(song), *MODEL, "-o", str(tmp_path / "o"), "--skip-done", *more]) == 0
        return "done already" in capfd.readouterr().out

    assert not run() and run()
    assert not run("--niter", "0") and run("--niter", "0")  # of another request
    (tmp_path / "o" / "bass.wav").unlink()
    assert not run("--niter", "0") and run("--niter", "0")
    with Writer(song, RATE) as writer:  # another song of the same name
        writer.write(music(1.0, rate=RATE))
    assert not run("--niter", "0")
    for options in (["-f", "m4a"], ["-f", "stem.mp4"]):
        assert not run(*options) and run(*options)
    assert not run("-f", "m4a", "--report") and run("-f", "m4a", "--report")  # the page was not there
    assert main([str(song), *MODEL, "-o", str(tmp_path / "o"), "--skip-done", "-f", "m4a", "--json"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["done"] and set(record["files"]) == {"bass", "drums", "vocals", "other"}
