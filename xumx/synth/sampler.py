"""Instruments of SoundFonts, played by FluidSynth where it is installed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xumx.base.errors import UsageError, XumxError, install
from xumx.synth.sound import RATE, Note

if TYPE_CHECKING:
    import fluidsynth

KITS = 128
"""The bank of drum kits; melodic instruments are in bank 0, and variants of them in others."""

_FOLDERS = (
    "~/.local/share/soundfonts",
    "~/.local/share/sounds/sf2",
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "/opt/homebrew/share/soundfonts",
)
_redirecting = threading.Lock()
_GAIN = 0.35  # leaves room for a dozen loud notes in 16 bits


class Program(NamedTuple):
    """An instrument: the file's place in the list of SoundFonts, bank and number from 0."""

    file: int
    bank: int
    number: int


class Sampler:
    """A player of SoundFonts.

    Parameters
    ----------
    files : sequence of path
        SoundFonts: .sf2, or .sf3 where FluidSynth can decode them.

    Raises
    ------
    XumxError
        If FluidSynth or its Python package is not there.
    UsageError
        If a file is not a SoundFont.
    """

    def __init__(self, files: Sequence[str | Path]) -> None:
        self._synth = _open()
        try:
            self._fonts = [self._load(file) for file in files]
        except BaseException:
            self.close()  # which nothing else does: the package's object has no end of its own
            raise

    def _load(self, file: str | Path) -> int:
        if not _is_soundfont(Path(file)):
            raise UsageError(f"`soundfont` {file}: not a SoundFont (.sf2 or .sf3)")
        with _unheard():
            font = self._synth.sfload(str(file))
        if font < 0:
            raise UsageError(f"`soundfont` {file}: FluidSynth cannot read it")
        return int(font)

    def close(self) -> None:
        """Free what FluidSynth holds."""
        self._synth.delete()

    def programs(self, numbers: Iterable[int], banks: Iterable[int] = (0,)) -> list[Program]:
        """List the instruments that are there of some numbers and banks."""
        wanted = [(bank, number) for bank in banks for number in numbers]
        return [
            Program(file, bank, number)
            for file, font in enumerate(self._fonts)
            for bank, number in wanted
            if self._synth.sfpreset_name(font, bank, number) is not None
        ]

    def play(
        self, program: Program, notes: Iterable[Note], samples: int, bend: float = 0.0, softer: float = 1.0
    ) -> np.ndarray:
        """Play notes on an instrument.

        Parameters
        ----------
        program : Program
        notes : iterable of Note
            Pitches are rounded.
        samples : int
        bend : float
            Semitones by which all sounds, between -2 and 2.
        softer : float
            Factor of the velocities, which often decide the timbre.

        Returns
        -------
        float32 array (2, samples)
        """
        synth = self._synth
        synth.system_reset()
        synth.program_select(0, self._fonts[program.file], program.bank, program.number)
        synth.pitch_bend(0, round(np.clip(bend, -2, 2) * 4095.5))
        events = []
        for note in notes:
            first, last = (int(second * RATE) for second in (note.start, note.start + note.length))
            if 0 <= first < samples:
                key = int(np.clip(round(note.pitch), 0, 127))
                velocity = int(np.clip(round(127 * note.velocity * softer), 1, 127))
                # Where a note ends as the same one begins, the end comes first.
                events += [(first, 1, key, velocity), (max(last, first + 64), 0, key, 0)]
        audio = np.zeros((samples, 2), np.int16)
        now = 0
        for moment, starts, key, velocity in sorted(events):
            end = min(moment, samples)
            if end > now:
                audio[now:end] = synth.get_samples(end - now).reshape(-1, 2)
                now = end
            if starts:
                synth.noteon(0, key, velocity)
            else:
                synth.noteoff(0, key)
        if now < samples:
            audio[now:] = synth.get_samples(samples - now).reshape(-1, 2)
        return np.ascontiguousarray(audio.T, np.float32) / np.float32(2**15)


def found() -> list[str]:
    """List the SoundFonts of General MIDI in the folders where systems keep them, of those that can be read.

    Raises
    ------
    XumxError
        If there are any, and FluidSynth or its Python package is not there.
    """
    files: dict[Path, None] = {}
    for folder in _FOLDERS:
        for path in sorted(Path(folder).expanduser().glob("*.[sS][fF][23]")):
            with suppress(UsageError):  # a link that leads nowhere, a file of somebody else
                if _is_soundfont(path):
                    files.setdefault(path.resolve())
    general = []
    for file in files:
        with suppress(UsageError), closing(Sampler([file])) as sampler:
            if len(sampler.programs(range(128))) == 128 and sampler.programs([0], [KITS]):
                general.append(str(file))
    return general


def _is_soundfont(path: Path) -> bool:
    """Whether a file says that it is one, and is as long as it says."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
        whole = int.from_bytes(head[4:8], "little") + 8 <= path.stat().st_size
    except OSError as error:
        raise UsageError(f"`soundfont` {path}: cannot be read ({error.strerror})") from None
    return head[:4] == b"RIFF" and head[8:] == b"sfbk" and whole


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep off stderr what FluidSynth and its libraries write there of a bad file.

    FluidSynth's own messages could be caught by a function, but not those of GLib, which libinstpatch uses.
    """
    with _redirecting:  # or one thread would put back what another one has put there
        try:
            kept = os.dup(2)
        except OSError:  # stderr is closed: nothing can be written
            yield
            return
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.close(null)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _open() -> fluidsynth.Synth:
    try:
        import fluidsynth
    except ModuleNotFoundError:
        raise XumxError(f"`soundfont` needs pyfluidsynth; {install('synth')}") from None
    except (ImportError, OSError):
        without = "`soundfont` needs the library FluidSynth"
        raise XumxError(
            f"{without}; install it (Debian: libfluidsynth3, macOS: brew install fluid-synth)"
        ) from None
    settings = {"reverb.active": 0, "chorus.active": 0, "dynamic-sample-loading": 1, "polyphony": 256}
    return fluidsynth.Synth(
        gain=_GAIN, samplerate=float(RATE), channels=16, **{f"synth.{k}": v for k, v in settings.items()}
    )
