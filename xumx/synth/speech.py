"""Voices of speech synthesisers, taken apart by WORLD so that they can be made to sing.

Of each voice some dozens of made-up sentences are spoken once, analysed and kept in a folder: pitch, spectral
envelope and aperiodicity of every 5 ms, and where the syllables are.

WORLD: Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for real-time
applications", IEICE Transactions, 2016.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.io import wavfile
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from xumx.base.errors import UsageError, XumxError, install
from xumx.base.files import replacing
from xumx.network.pretrained import cache_folder
from xumx.synth.lyrics import sentence

FRAME = 0.005
"""Seconds between two frames."""

_VERSION = 1
"""Of what is kept of a voice: another one when `analyse` or the sentences change."""

_PATIENCE = 600.0
"""Seconds that a program has for what it is asked."""

_SENTENCES = 48
_ENVELOPE, _APERIODICITY = 128, 24  # points that are kept of a frame
_NO_SINGERS = ("awb_time", "kal")  # of flite: tells the time only; 8 kHz
_ALPHABETS = {  # of festival's voices that do not read Latin letters, or that read English
    "msu_ru": "cyrillic", "hindi": "devanagari", "marathi": "devanagari", "telugu": "telugu",
    "kal": "english", "ked": "english", "cmu_us": "english", "rab": "english", "don": "english",
}  # fmt: skip


@dataclass(frozen=True)
class Speech:
    """What a voice has said, frame by frame.

    Parameters
    ----------
    hertz : array (points,)
        Frequencies of the envelope's points, 0 to half of the rate of the recordings.
    envelope : float16 array (frames, points)
        Natural logarithm of the power.
    aperiodicity : float16 array (frames, fewer points)
        0 to 1, at frequencies that are spread as evenly.
    pitch : float32 array (frames,)
        In Hz; 0 where the voice is silent or whispers.
    syllables : int array (syllables, 5)
        Of each: its sentence, and the frames at which it, its vowel, what follows and the next one begin.
    """

    hertz: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray
    pitch: np.ndarray
    syllables: np.ndarray

    @property
    def height(self) -> float:
        """Median of the pitch in Hz."""
        return float(np.median(self.pitch[self.pitch > 0]))


def found() -> list[str]:
    """List the voices of the programs that are installed, such as 'flite:slt' and 'festival:kal_diphone'.

    Raises
    ------
    XumxError
        If one of the programs cannot be run, or does not end.
    """
    voices = []
    if shutil.which("flite"):
        told = _run(["flite", "-lv"]).partition(":")[2].split()
        voices += [f"flite:{name}" for name in sorted(told) if name not in _NO_SINGERS]
    if shutil.which("festival"):
        told = re.findall(r"[^\s()\"]+", _run(["festival", "--batch", "(print (voice.list))"]))
        voices += [f"festival:{name}" for name in sorted(told)]
    return voices


def resolve(voices: Sequence[str]) -> list[str]:
    """Make sure that voices are there, and list each once.

    Raises
    ------
    UsageError
        If one is not there.
    """
    there = found() if voices else []
    for voice in voices:
        if voice not in there:
            have = f"there are {', '.join(there)}" if there else "install flite or festival"
            raise UsageError(f"`voices`: no voice {voice} is installed; {have}")
    return list(dict.fromkeys(voices))


@lru_cache(maxsize=32)
def load(voice: str) -> Speech:
    """Return what a voice has said: from the folder of caches, or now, in half a minute.

    Raises
    ------
    XumxError
        If the voice's program fails, pyworld is not there, or what it said cannot be kept.
    """
    world()
    path = cache_folder() / "voices" / f"{voice.replace(':', '-')}-{_VERSION}.npz"
    try:
        with path.open("rb") as file, np.load(file) as kept:  # numpy leaves a broken one open
            return Speech(**{field.name: kept[field.name] for field in fields(Speech)})
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        pass  # not there yet, or not whole
    speech = analyse(_speak(voice))
    with replacing(path) as new, new.open("wb") as made:
        np.savez(made, **{field.name: getattr(speech, field.name) for field in fields(Speech)})
    return speech


@lru_cache(maxsize=1)
def world() -> ModuleType:
    """Import pyworld."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that it uses, which no user can help
            import pyworld
    except ImportError as error:
        raise XumxError(f"`voices` needs pyworld ({error}); {install('voices')}") from None
    return pyworld


def _run(command: Sequence[str]) -> str:
    """What a program prints, whatever its exit code."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise XumxError(f"`voices`: {command[0]} did not end within {_PATIENCE:g} s") from None
    except OSError as error:
        raise XumxError(f"`voices`: {command[0]} cannot be run ({error.strerror})") from None
    return done.stdout.decode(errors="replace")


def _speak(voice: str) -> list[tuple[int, np.ndarray]]:
    """Let a program say sentences: rate and samples, -1 to 1, of each."""
    program, _, name = voice.partition(":")
    reads = "english" if program == "flite" else "latin"
    reads = next(
        (value for key, value in _ALPHABETS.items() if program == "festival" and name.startswith(key)), reads
    )
    rng = np.random.default_rng(sum(voice.encode()))
    lines = [sentence(reads, rng) for _ in range(_SENTENCES)]
    spoken = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.wav" for number in range(len(lines))]
        if program == "flite":
            for line, path in zip(lines, paths):
                _run(["flite", "-voice", name, "-t", line, "-o", str(path)])
        else:
            script = Path(folder) / "say.scm"
            says = [
                f'(let ((u (Utterance Text "{line}"))) (utt.synth u) (utt.save.wave u "{path}" (quote riff)))'
                for line, path in zip(lines, paths)
            ]
            script.write_text("\n".join([f"(voice_{name})", *says]), encoding="utf-8")
            _run(["festival", "--batch", str(script)])
        for path in paths:
            if path.is_file() and path.stat().st_size > 8000:
                rate, audio = wavfile.read(path)
                spoken.append((rate, audio / 2**15))
    if len(spoken) < _SENTENCES // 2:
        raise XumxError(f"`voices` {voice}: {program} said {len(spoken)} of {_SENTENCES} sentences")
    return spoken


def analyse(spoken: Sequence[tuple[int, np.ndarray]]) -> Speech:
    """Take sentences apart, each a rate in Hz and samples of -1 to 1; all have one rate."""
    pw = world()
    rate = spoken[0][0]
    half = rate / 2
    mel = np.linspace(0, np.log1p(half / 700), _ENVELOPE)
    hertz = 700 * np.expm1(mel)
    coarse = np.linspace(0, half, _APERIODICITY)
    parts: list[tuple[np.ndarray, ...]] = []
    syllables, first = [], 0
    for number, (_, audio) in enumerate(spoken):
        audio = np.ascontiguousarray(audio, np.float64)
        pitch, moments = pw.dio(audio, rate, f0_floor=60.0, f0_ceil=420.0)  # in a tenth of harvest's time
        pitch = pw.stonemask(audio, pitch, moments, rate)
        power = pw.cheaptrick(audio, pitch, moments, rate)
        noise = pw.d4c(audio, pitch, moments, rate)
        bins = np.linspace(0, half, power.shape[1])
        logs = np.log(power + 1e-12)
        envelope = np.stack([np.interp(hertz, bins, row) for row in logs])
        rough = np.stack([np.interp(coarse, bins, row) for row in noise])
        parts.append((envelope.astype(np.float16), rough.astype(np.float16), pitch.astype(np.float32)))
        heard = (bins > 250) & (bins < 3500)
        loud = 10 * np.log10(power[:, heard].sum(axis=1) + 1e-12)
        syllables += [(number, *(first + edge for edge in edges)) for edges in _syllables(loud, pitch > 0)]
        first += len(pitch)
    envelopes, roughs, pitches = (np.concatenate(column) for column in zip(*parts))
    return Speech(hertz, envelopes, roughs, pitches, np.array(syllables, int).reshape(-1, 5))


def _syllables(loud: np.ndarray, voiced: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Find vowels, where a voiced sound is louder than around it: frames as rows of `Speech.syllables`."""
    smooth = uniform_filter1d(loud, 7)
    sounding = smooth > smooth.max() - 40
    peaks, _ = find_peaks(np.where(voiced, smooth, smooth.min()), distance=16, prominence=2.0)
    peaks = peaks[voiced[peaks] & (smooth[peaks] > smooth.max() - 22)]
    if not len(peaks):
        return []
    dips = [int(a + np.argmin(smooth[a:b])) for a, b in pairwise(peaks)]
    cores = []
    for index, peak in enumerate(peaks):
        low = dips[index - 1] if index else 0
        high = dips[index] if index < len(dips) else len(loud) - 1
        start = end = int(peak)
        while start > low and voiced[start - 1] and smooth[start - 1] > smooth[peak] - 5:
            start -= 1
        while end < high and voiced[end + 1] and smooth[end + 1] > smooth[peak] - 5:
            end += 1
        if end - start >= 5:
            cores.append((start, end))
    if not cores:
        return []
    heard = np.flatnonzero(sounding)
    between = [(a[1] + b[0]) // 2 for a, b in pairwise(cores)]
    begins = [min(int(heard[0]), cores[0][0]), *between]
    ends = [*between, max(int(heard[-1]), cores[-1][1])]
    return [(begin, *core, end) for begin, core, end in zip(begins, cores, ends)]
