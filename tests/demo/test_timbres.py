"""SoundFonts and spoken voices in generated songs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.networks import random_weights, small_config
from tests.soundfonts import write
from xumx.audio import read
from xumx.base.errors import XumxError
from xumx.demo import song
from xumx.demo.__main__ import main
from xumx.network import weights
from xumx.synth import Timbres, effects, speech, timbres
from xumx.synth import song as generate
from xumx.synth.dataset import STREAMS
from xumx.synth.genres import GENRES
from xumx.synth.parts import write as write_part
from xumx.synth.sampler import KITS, Program, Sampler
from xumx.synth.score import compose
from xumx.synth.singers import Singer, sing
from xumx.synth.sound import RATE, Note, hertz

try:
    import fluidsynth  # noqa: F401
except (ImportError, OSError):
    FLUIDSYNTH = False
else:
    FLUIDSYNTH = True

needs_fluidsynth = pytest.mark.skipif(not FLUIDSYNTH, reason="the library FluidSynth is not installed")


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("fonts") / "saw.sf2")


@needs_fluidsynth
def test_notes_of_a_soundfont_have_their_time_and_pitch(font: Path) -> None:
    sampler = Sampler([font])
    assert sampler.programs(range(128)) == [Program(0, 0, 0)]
    assert sampler.programs(range(128), [KITS]) == [Program(0, KITS, 0)]
    for bend, pitch in ((0.0, 57), (2.0, 59)):
        audio = sampler.play(Program(0, 0, 0), [Note(0.25, 0.5, 57, 0.8)], RATE, bend)
        assert audio.shape == (2, RATE) and audio.dtype == np.float32
        assert np.abs(audio[:, : RATE // 4]).max() < 1e-4  # no more than its dither
        assert np.abs(audio[:, RATE // 4 : RATE // 4 + 1000]).max() > 0.01
        assert np.abs(audio[:, -1000:]).max() < 1e-3
        assert loudest(audio[0, 12000:32000]) == pytest.approx(hertz(pitch) * 441 / 440, rel=0.003)
    sampler.close()


def loudest(audio: np.ndarray) -> float:
    """Hz of the highest peak of a spectrum."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 18))
    return float(spectrum.argmax() * RATE / (1 << 18))


@needs_fluidsynth
def test_a_data_set_by_a_soundfont(font: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drums, bass and other are its sounds, they sum to the mixture, and the folder knows of what it is."""
    monkeypatch.setattr(timbres, "_SAMPLED", dict.fromkeys(timbres._SAMPLED, 1.0))
    options = [
        "--tracks",
        "1",
        "--valid",
        "0",
        "--test",
        "0",
        "--duration",
        "2",
        "--format",
        "wav",
        "--quiet",
    ]
    assert main(["dataset", "--out", str(tmp_path / "a"), *options, "--soundfont", str(font)]) == 0
    assert main(["dataset", "--out", str(tmp_path / "b"), *options]) == 0
    settings = json.loads((tmp_path / "a" / "synth.json").read_text())
    assert settings["soundfont"] == [str(font)] and "voices" not in settings
    a, b = (
        {
            stream: read(tmp_path / made / "train" / "xumx - Song 001" / f"{stream}.wav")[0]
            for stream in STREAMS
        }
        for made in "ab"
    )
    assert np.array_equal(a["mixture"], sum(a[stream] for stream in STREAMS[1:]))
    for stream in STREAMS:
        assert np.abs(a[stream]).max() > 0.02, stream
        assert not np.array_equal(a[stream], b[stream]), stream
    assert main(["dataset", "--out", str(tmp_path / "a"), *options]) == 2, "another kind of songs"


@needs_fluidsynth
def test_a_song_does_not_depend_on_those_before(font: Path) -> None:
    """A FluidSynth that has played begins its blocks elsewhere."""
    made = [generate(0.5, np.random.default_rng(seed), Timbres((str(font),))) for seed in (1, 2, 1)]
    for stream, audio in made[0].items():
        assert np.array_equal(audio, made[2][stream]) and not np.array_equal(audio, made[1][stream]), stream


@needs_fluidsynth
def test_the_song_says_who_plays(
    font: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr(song, "_scores", lambda *_: {})
    weights.save(tmp_path / "small.h5", random_weights(small_config()))
    out = tmp_path / "out"
    options = [
        "--model",
        str(tmp_path / "small.h5"),
        "--duration",
        "2",
        "--no-open",
        "--soundfont",
        str(font),
        "--voices",
        "found",
    ]
    monkeypatch.setattr("shutil.which", lambda name: None)  # no voices: which is no error here
    assert main(["song", "--out", str(out), *options]) == 0
    assert "made by rule and saw.sf2" in capsys.readouterr().out
    assert "saw.sf2" in (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--soundfont", "{tmp}/none.sf2"], 2, "none.sf2: cannot be read (No such file or directory)"),
        (["--soundfont", "{tmp}/text.sf2"], 2, "text.sf2: not a SoundFont (.sf2 or .sf3)"),
        (["--soundfont", "{tmp}/short.sf2"], 2, "short.sf2: not a SoundFont (.sf2 or .sf3)"),
        (["--soundfont", "{tmp}/empty.sf2"], 2, "empty.sf2: FluidSynth cannot read it"),
        (["--soundfont", "{tmp}/kit.sf2"], 2, "kit.sf2: no instrument of bank 0"),
        (["--soundfont", "{tmp}/saw.sf2"], 2, "saw.sf2: no drum kit (bank 128)"),
        (
            ["--voices", "flite:nobody"],
            2,
            "--voices: no voice flite:nobody is installed; install flite or festival",
        ),
        (["--voices", "found"], 2, "--voices found: none is installed; install flite"),
    ],
)
def test_wrong_timbres_are_one_line(
    options: list[str],
    code: int,
    message: str,
    font: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "--soundfont" in options and not FLUIDSYNTH:
        pytest.skip("the library FluidSynth is not installed")
    if message.startswith("--voices found"):
        pytest.importorskip("pyworld")
    monkeypatch.setattr("shutil.which", lambda name: None)
    whole = font.read_bytes()
    (tmp_path / "text.sf2").write_text("no sound")
    (tmp_path / "short.sf2").write_bytes(whole[:-10])
    (tmp_path / "empty.sf2").write_bytes(b"RIFF\x08\x00\x00\x00sfbkLIST")
    write(tmp_path / "kit.sf2", ((128, 0),))
    write(tmp_path / "saw.sf2", ((0, 0),))
    words = [option.format(tmp=tmp_path) for option in options]
    assert main(["dataset", "--out", str(tmp_path / "new"), "--valid", "0", *words]) == code
    told = capfd.readouterr()
    assert message in told.err and told.err.count("\n") == 1 and not told.out, told
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("package", "options"), [("fluidsynth", ["--soundfont", "{font}"]), ("pyworld", ["--voices", "found"])]
)
def test_a_missing_package_is_said(
    package: str,
    options: list[str],
    font: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    speech.world.cache_clear()
    words = [option.format(font=font) for option in options]
    assert main(["dataset", "--out", str(tmp_path / "new"), "--valid", "0", *words]) == 1
    told = capfd.readouterr().err
    assert told.startswith(f"error: {options[0]}") and "pip install" in told and told.count("\n") == 1, told


def test_parts_of_all_genres_fit_their_song() -> None:
    score = compose(20 * RATE, np.random.default_rng(3))
    for name, genre in GENRES.items():
        for role in dict.fromkeys(genre.roles):
            notes = write_part(role, 0, score, np.random.default_rng(4))
            assert len(notes) > 5, (name, role)
            assert all(note.start >= 0 and note.length > 0 for note in notes), (name, role)
            assert all(28 <= note.pitch <= 108 and 0 < note.velocity <= 1.1 for note in notes), (name, role)


def test_effects_do_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    seconds = np.arange(RATE) / RATE
    tone = (np.sin(2 * np.pi * 330 * seconds) * np.exp(-6 * seconds)).astype(np.float32)
    squeezed = effects.compress(tone, 8, -30)
    gain = [
        np.abs(squeezed[part]).max() / np.abs(tone[part]).max()
        for part in (slice(2000), slice(-22000, -20000))
    ]
    assert gain[0] < 0.5 * gain[1] <= 0.51, gain
    driven = effects.amplify(tone, 20.0, rng)
    power = np.abs(np.fft.rfft(driven)) ** 2
    assert power[900:4500].sum() > 0.05 * power.sum(), "an amplifier adds harmonics"
    assert power[13000:].sum() < 1e-4 * power.sum(), "a guitar's loudspeaker has no treble"
    click = np.zeros((2, RATE), np.float32)
    click[0, 100] = 1
    later = effects.echo(click, 0.25, 0.5)
    assert [int(np.abs(channel).argmax()) // 1000 for channel in later] == [11, 22], "from side to side"
    late = int(np.abs(effects.double(click[0], rng)).argmax())
    assert 100 + 0.002 * RATE <= late <= 100 + 0.06 * RATE


@pytest.fixture(scope="module")
def spoken() -> speech.Speech:
    """Four vowels with hisses between them, spoken at 120 Hz."""
    pytest.importorskip("pyworld")
    rate, rng = 16000, np.random.default_rng(1)
    hiss = 0.02 * np.diff(rng.standard_normal(rate // 10 + 1))
    pulses = np.zeros(rate // 5)
    pulses[:: rate // 120] = 1
    said = [np.zeros(800)]
    for formant in (500, 700, 400, 600):
        ring = np.exp(-300 * np.arange(400) / rate) * np.sin(2 * np.pi * formant * np.arange(400) / rate)
        said += [hiss, np.convolve(pulses, ring)[: len(pulses)] * np.hanning(len(pulses)) ** 0.3]
    return speech.analyse([(rate, np.concatenate([*said, np.zeros(800)]))])


def test_speech_is_taken_apart(spoken: speech.Speech) -> None:
    assert spoken.height == pytest.approx(120, rel=0.03)
    assert len(spoken.syllables) == 4
    for index, (sentence, begin, vowel, after, end) in enumerate(spoken.syllables):
        first = 0.05 + 0.3 * index + 0.1  # second at which this vowel begins
        assert sentence == 0 and begin < vowel < after <= end
        assert vowel * speech.FRAME == pytest.approx(first, abs=0.05)
        assert after * speech.FRAME == pytest.approx(first + 0.2, abs=0.07)


def test_speech_sings(spoken: speech.Speech) -> None:
    """Vowels last as long as their notes and have their pitch; before them are the consonants."""
    singer = Singer(45, 60, 1.0, 0.0, 0.0, 0.0, 6.0, 5.0, 0.0, 0.03, 0.0)
    notes = [Note(0.5, 0.6, 52, 0.9), Note(1.1, 0.8, 57, 0.9)]
    audio = sing(spoken, singer, [notes], 3 * RATE, np.random.default_rng(2))
    assert audio.shape == (3 * RATE,) and audio.dtype == np.float32
    power = audio[: len(audio) // 441 * 441].reshape(-1, 441)
    level = np.sqrt(np.mean(power**2, axis=1))  # of every 10 ms
    assert level[55:85].min() > 0.2 * level.max() and level[125:180].min() > 0.2 * level.max()
    assert level[97:107].max() < 0.2 * level.max(), "no consonant between the notes"
    assert level[:15].max() < 1e-3 * level.max() and level[260:].max() < 1e-3 * level.max()
    for note in notes:
        part = audio[round((note.start + 0.2) * RATE) : round((note.start + 0.5) * RATE)]
        lags = np.fft.irfft(np.abs(np.fft.rfft(part, 1 << 15)) ** 2)[: RATE // 80]
        lag = 150 + int(lags[150:].argmax())
        assert RATE / lag == pytest.approx(hertz(note.pitch), rel=0.03)


def test_a_voice_is_heard_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyworld")
    if "flite:slt" not in speech.found():
        pytest.skip("flite is not installed")
    monkeypatch.setenv("XUMX_HOME", str(tmp_path))
    monkeypatch.setattr(speech, "_SENTENCES", 2)
    speech.load.cache_clear()
    heard = speech.load("flite:slt")
    assert 140 < heard.height < 220 and len(heard.syllables) >= 8
    speech.load.cache_clear()
    monkeypatch.setattr(speech, "_speak", lambda voice: pytest.fail("speaks again"))
    again = speech.load("flite:slt")
    assert np.array_equal(again.envelope, heard.envelope)
    speech.load.cache_clear()


def test_a_voice_that_says_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyworld")
    monkeypatch.setenv("XUMX_HOME", str(tmp_path))
    monkeypatch.setattr(speech, "_run", lambda command: "")
    with pytest.raises(XumxError, match="flite said 0 of 48 sentences"):
        speech.load("flite:mute")


def test_spoken_voices_sing_a_song(spoken: speech.Speech, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leads, harmonies, choirs and raps, of any singer that is drawn."""
    monkeypatch.setattr(timbres.choir, "load", lambda voice: spoken)
    score = compose(3 * RATE, np.random.default_rng(1))
    for seed, genre in enumerate(("pop", "hiphop")):
        audio = timbres.choir.render(score, GENRES[genre], ("any",), np.random.default_rng(seed))
        assert audio.shape == (2, 3 * RATE) and np.isfinite(audio).all() and np.abs(audio).max() > 0.01


def test_who_plays_is_drawn() -> None:
    both = Timbres(voices=("flite:slt",))
    drawn = []
    for seed in range(30):
        with both.players(np.random.default_rng(seed)) as players:
            drawn.append(set(players))
    assert drawn.count({"vocals"}) + drawn.count(set()) == 30 and 15 < drawn.count({"vocals"}) < 30
