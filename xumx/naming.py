"""Which files are songs, and which files their stems become."""

from __future__ import annotations

import glob
import os
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xumx.audio import check_format
from xumx.errors import UsageError

SUFFIXES = (
    *(".aac", ".aif", ".aiff", ".ape", ".avi", ".flac", ".m4a", ".m4v", ".mka", ".mkv", ".mov", ".mp2"),
    *(".mp3", ".mp4", ".mpg", ".oga", ".ogg", ".opus", ".wav", ".webm", ".wma", ".wv"),
)
"""What is taken for a song in a folder; a file named by itself may have any suffix."""


@dataclass(frozen=True)
class Output:
    """How stems are written.

    Parameters
    ----------
    folder : str, optional
        ``<song>_<model>`` if not given.
    filename : str, optional
        Path below the folder, with the fields song, stem, model and ext. ``{stem}.{ext}`` if not given,
        with ``{song}/`` before it for several songs in one folder.
    format : str
        One of :data:`xumx.audio.FORMATS`.
    bitrate : int, optional
        Bit/s of lossy formats.
    subtype : 'int16', 'int24' or 'float32', optional
        Samples of lossless formats; int16 if not given.
    sample_rate : int, optional
        In Hz; that of the song if not given.
    clip_mode : 'rescale', 'clamp' or 'none', optional
        What happens to stems beyond full scale: one gain for all stems of the song, so that they still sum
        to it; cut off; or nothing here. 'rescale' if not given, 'none' for float32, which has no full scale.
    """

    folder: str | None = None
    filename: str | None = None
    format: str = "wav"
    bitrate: int | None = None
    subtype: str | None = None
    sample_rate: int | None = None
    clip_mode: str | None = None

    def __post_init__(self) -> None:
        if self.clip_mode is None:
            mode = "none" if self.subtype == "float32" else "rescale"
            object.__setattr__(self, "clip_mode", mode)
        check_format(self.format, self.sample_rate, bitrate=self.bitrate, subtype=self.subtype)

    def holds(self, path: Path, walked: Path, model: str) -> bool:
        """Whether a file below the folder ``walked`` lies where an earlier run put its stems."""
        below = [parent for parent in path.parents if walked in parent.parents]
        if self.folder is None:
            return any(parent.name.endswith(f"_{model}") for parent in below)
        return Path(self.folder).resolve() in {parent.resolve() for parent in below}

    def paths(
        self, songs: Sequence[Path], stems: Sequence[str], model: str, *, several: bool | None = None
    ) -> list[dict[str, Path]]:
        """The file of each stem of each song.

        Parameters
        ----------
        songs : sequence of path
        stems : sequence of str
        model : str
            Name of the network.
        several : bool, optional
            Whether each song has a folder of its own below ``folder``; if not given, if there are several.

        Raises
        ------
        UsageError
            If the template is wrong or gives two stems one file.
        """
        several = len(songs) > 1 if several is None else several
        template = self.filename or ("{song}/{stem}.{ext}" if self.folder and several else "{stem}.{ext}")
        _check_template(template)
        plans = []
        for name in _names(songs):
            folder = Path(f"{name}_{model}" if self.folder is None else self.folder)
            values = {"song": name, "model": model, "ext": self.format}
            plans.append({stem: folder / template.format(stem=stem, **values) for stem in stems})
        inputs = {song.resolve() for song in songs}
        taken: set[Path] = set()
        for path in (path for plan in plans for path in plan.values()):
            if path.resolve() in inputs:
                raise UsageError(
                    f"{path} is a song, and a stem would be written over it: use another --outdir"
                )
            if path.resolve() in taken:
                raise UsageError(
                    f"--filename {template!r}: {path} would be written twice; add {{stem}} or {{song}}"
                )
            if path.suffix != f".{self.format}":
                raise UsageError(
                    f"--filename {template!r}: end it in .{{ext}}, since {path} is {self.format}"
                )
            taken.add(path.resolve())
        return plans

    def pages(self, songs: Sequence[Path], plans: Sequence[Mapping[str, Path]]) -> tuple[list[Path], Path]:
        """The listening page of each song, and the page of all of them.

        A song's page lies in the folder that holds all its stems: as ``index.html``, or, where other songs'
        stems or the page of all lie there too, as ``<song>_page.html``.

        Parameters
        ----------
        songs : sequence of path
        plans : sequence of mapping
            What :meth:`paths` gives for them.
        """
        folders = [Path(os.path.commonpath([path.parent for path in plan.values()])) for plan in plans]
        top = Path(os.path.commonpath(folders))
        shared = {
            folder for folder in folders if len(songs) > 1 and (folder == top or folders.count(folder) > 1)
        }
        pages = [
            folder / (f"{name}_page.html" if folder in shared else "index.html")
            for folder, name in zip(folders, _names(songs))
        ]
        return pages, top / "index.html"


def _check_template(template: str) -> None:
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise UsageError(f"--filename {template!r}: {error}") from None
    for _, name, spec, conversion in fields:
        if name not in ("song", "stem", "model", "ext") or spec or conversion:
            raise UsageError(
                f"--filename {template!r}: use {{song}}, {{stem}}, {{model}} and {{ext}} as they are"
            )


def find(
    inputs: Iterable[str], leave_out: Callable[[Path, Path], bool] = lambda path, folder: False
) -> tuple[list[Path], list[str]]:
    """Songs that files, folders (with those below them) and globs name, each once, and what is wrong.

    Parameters
    ----------
    inputs : iterable of str
    leave_out : callable (file, folder), optional
        Whether a file that was found in a folder is no song after all.

    Returns
    -------
    songs : list of paths
    problems : list of str
        A line for each input that gives no song.
    """
    songs: dict[Path, Path] = {}
    problems = []
    for text in inputs:
        path = Path(text).expanduser()
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            files = [file for file in files if not leave_out(file, path)]
            if not files:
                problems.append(f"{text}: the folder holds no audio files")
        elif path.exists():
            files = [path]
        else:
            files = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if os.path.isfile(p)]
            if not files:
                problems.append(f"{text}: no such file or folder")
        for file in files:
            songs.setdefault(file.resolve(), file)
    return list(songs.values()), problems


def _names(songs: Sequence[Path]) -> list[str]:
    """The songs' names, told apart where two are the same."""
    names: list[str] = []
    for song in songs:
        name = song.stem if song.stem.strip(".") else "song"
        count = 2
        while name in names:
            name = f"{song.stem}_{count}"
            count += 1
        names.append(name)
    return names
