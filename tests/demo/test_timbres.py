"""SoundFonts and spoken voices in generated songs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from tests.networks import random_weights, small_config
from tests.soundfonts import write
from xumx.audio import read
from xumx.base.errors import UsageError, XumxError
from xumx.demo import song
from xumx.demo.__main__ import main
from xumx.network import weights
from xumx.synth import Timbres, effects, sampler, speech, timbres
from xumx.synth import song as generate
from xumx.synth.dataset import STREAMS
from xumx.synth.genres import GENRES
from xumx.synth.parts import write as write_part
from xumx.synth.sampler import KITS, Program, Sampler
from xumx.synth.score import compose
from xumx.synth.singers import Spoken, sing
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
    player = Sampler([font])
    assert player.programs(range(128)) == [Program(0, 0, 0)]
    assert player.programs(range(128), [KITS]) == [Program(0, KITS, 0)]
    for bend, pitch in ((0.0, 57), (2.0, 59)):
        audio = player.play(Program(0, 0, 0), [Note(0.25, 0.5, 57, 0.8)], RATE, bend)
        assert audio.shape == (2, RATE) and audio.dtype == np.float32
        assert np.abs(audio[:, : RATE // 4]).max() < 1e-4  # no more than its dither
        assert np.abs(audio[:, RATE // 4 : RATE // 4 + 1000]).max() > 0.01
        assert np.abs(audio[:, -1000:]).max() < 1e-3
        assert loudest(audio[0, 12000:32000]) == pytest.approx(hertz(pitch) * 441 / 440, rel=0.003)
    player.close()


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
    ("command", "options", "message"),
    [
        ("dataset", "--soundfont {tmp}/none.sf2", "none.sf2: cannot be read (No such file or directory)"),
        ("dataset", "--soundfont {tmp}/text.sf2", "text.sf2: not a SoundFont (.sf2 or .sf3)"),
        ("dataset", "--soundfont {tmp}/short.sf2", "short.sf2: not a SoundFont (.sf2 or .sf3)"),
        ("dataset", "--soundfont {tmp}/empty.sf2", "empty.sf2: FluidSynth cannot read it"),
        ("dataset", "--soundfont {tmp}/kit.sf2", "kit.sf2: no instrument of bank 0"),
        ("dataset", "--soundfont {tmp}/saw.sf2", "saw.sf2: no drum kit (bank 128)"),
        ("song", "--soundfont {tmp}/kit.sf2", "kit.sf2: no instrument of bank 0"),
        ("song", "--soundfont {tmp}/saw.sf2", "saw.sf2: no drum kit (bank 128)"),
        (
            "dataset",
            "--voices flite:nobody",
            "--voices: no voice flite:nobody is installed; install flite or festival",
        ),
        ("dataset", "--voices found", "--voices found: none is installed; install flite"),
    ],
)
def test_wrong_timbres_are_one_line(
    command: str,
    options: str,
    message: str,
    font: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "--soundfont" in options and not FLUIDSYNTH:
        pytest.skip("the library FluidSynth is not installed")
    monkeypatch.setattr("shutil.which", lambda name: None)
    whole = font.read_bytes()
    (tmp_path / "text.sf2").write_text("no sound")
    (tmp_path / "short.sf2").write_bytes(whole[:-10])
    (tmp_path / "empty.sf2").write_bytes(b"RIFF\x08\x00\x00\x00sfbkLIST")
    write(tmp_path / "kit.sf2", ((128, 0),))
    write(tmp_path / "saw.sf2", ((0, 0),))
    words = [option.format(tmp=tmp_path) for option in options.split(" ")]
    words += ["--valid", "0"] if command == "dataset" else []
    assert main([command, "--out", str(tmp_path / "new"), *words]) == 2
    told = capfd.readouterr()
    assert message in told.err and told.err.count("\n") == 1 and not told.out, told
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("package", "extra", "options"),
    [("fluidsynth", "synth", ["--soundfont", "{font}"]), ("pyworld", "voices", ["--voices", "found"])],
)
def test_a_missing_package_is_said(
    package: str,
    extra: str,
    options: list[str],
    font: Path,
    programs: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    speech.world.cache_clear()
    words = [option.format(font=font) for option in options]
    assert main(["dataset", "--out", str(tmp_path / "new"), "--valid", "0", *words]) == 1
    told = capfd.readouterr().err
    assert told.startswith(f"error: {options[0]}") and told.count("\n") == 1, told
    assert "pip install" in told and f"[{extra}]" in told, told
    speech.world.cache_clear()


def test_what_is_found_and_cannot_be_used_is_left_out_with_a_warning(
    font: Path,
    programs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SoundFonts without FluidSynth do not take the voices with them, nor the other way round."""
    monkeypatch.setattr(sampler, "_FOLDERS", (str(font.parent),))
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    monkeypatch.setattr(speech, "world", lambda: None)
    found = Timbres.named(["found"], ["found"], needed=False)
    assert found is not None and not found.soundfonts and len(found.voices) == 4
    assert "`soundfont` needs pyfluidsynth" in caplog.text and caplog.records[0].levelno == logging.WARNING
    with pytest.raises(XumxError, match="pyfluidsynth"):
        Timbres.named(["found"], ["found"])


@needs_fluidsynth
def test_a_soundfont_is_loaded_where_stderr_is_closed(font: Path) -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        Sampler([font]).close()
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@needs_fluidsynth
def test_what_is_opened_is_freed_if_a_later_file_fails(font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, freed = sampler._open(), []
    delete = opened.delete
    monkeypatch.setattr(opened, "delete", lambda: freed.append(delete()))
    monkeypatch.setattr(sampler, "_open", lambda: opened)
    with pytest.raises(UsageError, match="not a SoundFont"):
        Sampler([font, __file__])
    assert len(freed) == 1


@needs_fluidsynth
def test_whole_general_midi_is_found_among_anything(
    font: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    general = write(tmp_path / "all.sf2", (*((0, number) for number in range(128)), (128, 0)))
    (tmp_path / "other.sf2").write_bytes(font.read_bytes())
    (tmp_path / "dangling.sf2").symlink_to(tmp_path / "nowhere.sf2")
    (tmp_path / "folder.sf2").mkdir()
    (tmp_path / "text.sf3").write_text("no sound")
    monkeypatch.setattr(sampler, "_FOLDERS", (str(tmp_path), str(tmp_path / "missing")))
    assert sampler.found() == [str(general)]


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


def four_vowels() -> tuple[int, np.ndarray]:
    """Rate and samples of four vowels with hisses between them, spoken at 120 Hz."""
    rate, rng = 16000, np.random.default_rng(1)
    hiss = 0.02 * np.diff(rng.standard_normal(rate // 10 + 1))
    pulses = np.zeros(rate // 5)
    pulses[:: rate // 120] = 1
    said = [np.zeros(800)]
    for formant in (500, 700, 400, 600):
        ring = np.exp(-300 * np.arange(400) / rate) * np.sin(2 * np.pi * formant * np.arange(400) / rate)
        said += [hiss, np.convolve(pulses, ring)[: len(pulses)] * np.hanning(len(pulses)) ** 0.3]
    return rate, np.concatenate([*said, np.zeros(800)])


@pytest.fixture(scope="module")
def spoken() -> speech.Speech:
    pytest.importorskip("pyworld")
    return speech.analyse([four_vowels()])


_PROGRAMS = {
    "flite": """
if [ "$1" = -lv ]; then echo "Voices available: kal awb_time slt rms "; exit; fi
printf '%s\\n' "$4" >> "$0.said"
[ "$2" = slt ] && cp "${0%/*}/said.wav" "$6"
""",
    "festival": """
case "$2" in "("*) echo '(ked_diphone "kal_diphone")'; exit;; esac
cp "$2" "$0.said"
for path in $(sed -n 's/.*utt.save.wave u "\\([^"]*\\)".*/\\1/p' "$2"); do cp "${0%/*}/said.wav" "$path"; done
""",
}
"""Scripts that are called as flite and festival are, note what they are to say, and say four vowels."""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a flite and a festival, which are found first."""
    folder = tmp_path / "programs"
    folder.mkdir()
    rate, audio = four_vowels()
    wavfile.write(folder / "said.wav", rate, np.rint(audio * 2**15 / 8).astype(np.int16))
    for name, script in _PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh{script}")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_programs_are_asked_for_voices_and_sentences(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["flite:rms", "flite:slt", "festival:kal_diphone", "festival:ked_diphone"]
    assert speech.found() == there and speech.resolve(there[::-1] * 2) == there[::-1]
    monkeypatch.setattr(speech, "_SENTENCES", 3)
    for voice in ("flite:slt", "festival:kal_diphone"):
        said = speech._speak(voice)
        assert [rate for rate, _ in said] == [16000] * 3
        assert all(0.01 < np.abs(audio).max() < 1 for _, audio in said)
    lines = (programs / "flite.said").read_text().splitlines()
    assert len(set(lines)) == 3 and all(re.fullmatch(r"[A-Za-z ,.?!']{10,}", line) for line in lines), lines
    first, *says = (programs / "festival.said").read_text().splitlines()
    assert first == "(voice_kal_diphone)" and len(set(says)) == 3
    say = r'\(let \(\(u \(Utterance Text "[^"]{10,}"\)\)\) \(utt.synth u\) \(utt.save.wave u "[^"]+" '
    assert all(re.fullmatch(say + r"\(quote riff\)\)\)", line) for line in says), says
    with pytest.raises(XumxError, match="`voices` flite:rms: flite said 0 of 3 sentences"):
        speech._speak("flite:rms")


def test_a_program_that_does_not_end_is_named(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (programs / "festival").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(speech, "_PATIENCE", 0.1)
    with pytest.raises(XumxError, match=r"`voices`: festival did not end within 0\.1 s"):
        speech._run(["festival"])
    monkeypatch.setenv("PATH", str(programs))
    (programs / "festival").write_text("#!/no/such/shell\n")
    with pytest.raises(XumxError, match="`voices`: festival cannot be run"):
        speech._run(["festival"])


def test_what_is_kept_of_a_voice_may_be_damaged(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty file and one that was cut off are made anew; a whole one is not."""
    pytest.importorskip("pyworld")
    monkeypatch.setenv("XUMX_HOME", str(tmp_path))
    monkeypatch.setattr(speech, "_SENTENCES", 1)
    speech.load.cache_clear()
    heard = speech.load("flite:slt")
    assert heard.height == pytest.approx(120, rel=0.03)
    (kept,) = (tmp_path / "voices").iterdir()
    whole = kept.read_bytes()
    for damaged, times in ((b"", 2), (whole[: len(whole) // 2], 3), (whole, 3)):
        kept.write_bytes(damaged)
        speech.load.cache_clear()
        assert np.array_equal(speech.load("flite:slt").envelope, heard.envelope)
        assert len((programs / "flite.said").read_text().splitlines()) == times
    speech.load.cache_clear()


def test_a_bar_says_which_voice_is_heard(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speech, "world", lambda: None)
    monkeypatch.setattr(speech, "load", lambda voice: None)
    options = ["--tracks", "0", "--valid", "0", "--test", "1", "--duration", "1", "--format", "wav"]
    monkeypatch.setattr(timbres, "_SPOKEN", 0.0)
    assert main(["dataset", "--out", str(tmp_path / "new"), *options, "--voices", "found"]) == 0
    told = terminal.readouterr().err
    assert all(f"hearing {voice}" in told for voice in speech.found()), told


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
    singer = Spoken(45, 60, 1.0, 5.0, 0.0, 0.03, 0.0, tilt=0.0, ring=0.0, breath=0.0, air=6.0)
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
