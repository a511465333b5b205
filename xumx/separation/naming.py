"""Which files are songs, and which files their stems become."""

from __future__ import annotations

import glob
import itertools
import os
import stat
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from xumx.audio import FORMATS, check_format, probe
from xumx.audio.media import SUFFIXES
from xumx.audio.tracks import FILMS
from xumx.base.errors import UsageError, XumxError, line_of
from xumx.base.files import ASIDE
from xumx.separation.options import STEM_FILE

MAKER = "xumx"
"""Who made the stems, as their files say: in folders they are no songs. What was asked for may follow."""

MIX = "mix"
"""The name of a mixdown among the stems."""

FILM = "film"
"""What a film with other sound is called among the files of a song."""

STDIN = Path("/dev/stdin")
"""The file of standard input, which is not there on Windows."""

_STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


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
        One of :data:`xumx.audio.FORMATS`, or 'stem.mp4': one file of the song and its four stems.
    bitrate : int, optional
        Bit/s of lossy formats.
    subtype : 'int16', 'int24' or 'float32', optional
        Samples of lossless formats; int16 if not given.
    sample_rate : int, optional
        In Hz; that of the song if not given.
    clip_mode : 'rescale', 'clamp' or 'none', optional
        What happens to stems beyond full scale: one gain for all stems of the song, so that they still sum
        to it; cut off; or nothing here. 'rescale' if not given, 'none' for float32, which has no full scale.
    gains : mapping of str to float, optional
        Of a mixdown that is written too: the factor of each stem, 1 for those that it does not name.
    remux : bool
        Whether films are written again, with the stems, or the mixdown, as their audio tracks.
    """

    folder: str | None = None
    filename: str | None = None
    format: str = "wav"
    bitrate: int | None = None
    subtype: str | None = None
    sample_rate: int | None = None
    clip_mode: str | None = None
    gains: Mapping[str, float] | None = None
    remux: bool = False

    def __post_init__(self) -> None:
        if self.clip_mode is None:
            mode = "none" if self.subtype == "float32" else "rescale"
            object.__setattr__(self, "clip_mode", mode)
        kind = "m4a" if self.format == STEM_FILE else self.format  # of such tracks it consists
        check_format(kind, self.sample_rate, bitrate=self.bitrate, subtype=self.subtype)

    def check(self, stems: Sequence[str]) -> None:
        """Refuse what cannot be made of these stems.

        Raises
        ------
        UsageError
        """
        if self.format == STEM_FILE and len(stems) != 4:
            raise UsageError(f"`format` {STEM_FILE} holds 4 stems, and here are {', '.join(stems)}")
        if self.gains is not None and MIX in stems:
            raise UsageError(f"`mix`: one of the stems is called {MIX} already; give it another name")
        for name in self.gains or ():
            if name not in stems:
                raise UsageError(f"`mix`: there is no stem {name!r}; there are {', '.join(stems)}")

    def paths(
        self,
        songs: Sequence[Song | Path],
        stems: Sequence[str],
        model: str,
        *,
        several: bool | None = None,
    ) -> list[dict[str, Path]]:
        """Name the files of each song: by stem, the mixdown's as :data:`MIX`, a film's as :data:`FILM`.

        Parameters
        ----------
        songs : sequence of Song or path
        stems : sequence of str
        model : str
            Name of the network.
        several : bool, optional
            Whether each song has a folder of its own; if not given, if there are several. Without
            ``folder`` they lie in ``separated/<model>``, and where a song comes from a folder, in the same
            folders below that as there.

        Raises
        ------
        UsageError
            If the template is wrong or gives two stems one file.
        """
        several = len(songs) > 1 if several is None else several
        template = self.filename or self._usual(several)
        _check_template(template)
        names, plans = [*stems, *([MIX] if self.gains is not None else [])], []
        for path, (below, name) in zip(map(_path, songs), _names(songs)):
            whole = Path("separated", model) if several else Path(f"{name}_{model}")
            folder = (whole if self.folder is None else Path(self.folder)) / below
            values = {"song": name, "model": model, "ext": self.format}
            if self.format == STEM_FILE:
                self._check_single(template)
                plan = {"stems": folder / template.format(stem="stems", **values)}
            else:
                plan = {stem: folder / template.format(stem=stem, **values) for stem in names}
            if self.remux:
                suffix = path.suffix if path.suffix.lower() in FILMS else ".mkv"
                plan[FILM] = next(iter(plan.values())).parent / f"{name}{suffix}"
            plans.append(plan)
        inputs = {_path(song).resolve() for song in songs}
        taken: set[Path] = set()
        for what, path in (item for plan in plans for item in plan.items()):
            if path.resolve() in inputs:
                raise UsageError(
                    f"{path} is a song, and a stem would be written over it: use another `outdir`"
                )
            if path.resolve() in taken:
                raise UsageError(
                    f"`filename` {template!r}: {path} would be written twice; add {{stem}} or {{song}}"
                )
            if what != FILM and not path.name.endswith(f".{self.format}"):
                raise UsageError(
                    f"`filename` {template!r}: end it in .{{ext}}, since {path} is {self.format}"
                )
            taken.add(path.resolve())
        return plans

    def _usual(self, several: bool) -> str:
        """The template if none is given."""
        file = "{song}.{ext}" if self.format == STEM_FILE else "{stem}.{ext}"
        return f"{{song}}/{file}" if several else file

    def _check_single(self, template: str) -> None:
        if any(name == "stem" for _, name, _, _ in string.Formatter().parse(template)):
            raise UsageError(
                f"`filename` {template!r}: {STEM_FILE} is one file of all stems; leave {{stem}} out"
            )

    def pages(
        self, songs: Sequence[Song | Path], plans: Sequence[Mapping[str, Path]]
    ) -> tuple[list[Path], Path]:
        """The listening page of each song, and the page of all of them.

        A song's page lies in the folder that holds all its stems: as ``index.html``, or, where other songs'
        stems or the page of all lie there too, as ``<song>_page.html``.

        Parameters
        ----------
        songs : sequence of Song or path
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
            for folder, (_, name) in zip(folders, _names(songs))
        ]
        return pages, top / "index.html"


def _check_template(template: str) -> None:
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise UsageError(f"`filename` {template!r}: {error}") from None
    for _, name, spec, conversion in fields:
        if name not in ("song", "stem", "model", "ext") or spec or conversion:
            raise UsageError(
                f"`filename` {template!r}: use {{song}}, {{stem}}, {{model}} and {{ext}} as they are"
            )


class Song(NamedTuple):
    """A song as it was named, of which its stems have their names, and the file that holds it.

    ``below`` is where it lies in the folder that was named, ``.`` for a song that was named itself.
    """

    name: Path
    file: Path
    below: Path = Path()


@dataclass
class Found:
    """What inputs name.

    Parameters
    ----------
    songs : list of Song
        Each file once.
    stems : list of path
        Stems in folders, which are no songs.
    problems : list of str
        A line for each input that gives no song, and for what could not be looked at.
    """

    songs: list[Song] = field(default_factory=list)
    stems: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find(inputs: Iterable[str]) -> Found:
    """Songs that files, pipes, folders (with those below them) and globs name.

    Stems that xumx made are left out in folders, however their folders are called. So are the files
    ``._*`` that macOS puts beside others.
    """
    found = Found()
    seen: set[str] = set()
    inputs = list(inputs)
    for text in inputs:
        try:
            songs = list(_songs(text, found))
        except (OSError, ValueError) as error:  # the second for a name with a zero byte
            found.problems.append(line_of(error, text))
            continue
        for song in songs:
            real = os.path.realpath(song.file)
            if real not in seen:
                seen.add(real)
                found.songs.append(song if len(inputs) > 1 else song._replace(below=_inner(song.below)))
    return found


def _inner(below: Path) -> Path:
    """Without the folder that was named itself, which tells nothing apart where it is the only one."""
    return Path(*below.parts[1:])


def names_one(inputs: Sequence[str]) -> bool:
    """Whether inputs name one file or pipe, and no folder or glob, which may hold more another day."""
    path = os.path.expanduser(inputs[0])
    return len(inputs) == 1 and (path in _STDIN or os.path.exists(path)) and not os.path.isdir(path)


def _songs(text: str, found: Found) -> Iterator[Song]:
    """Those that one input names."""
    path = os.path.expanduser(text)
    try:
        mode = os.stat(0 if text in _STDIN else path).st_mode
    except OSError as error:
        matches = sorted({*glob.glob(path, recursive=True), *_below_literal(path)})
        for match in matches:
            yield from _in_folder(match, found) if os.path.isdir(match) else [_matching(match, path)]
        if not matches and not isinstance(error, FileNotFoundError):
            raise
        if not matches:
            found.problems.append(f"{text}: no such file or folder")
        return
    if stat.S_ISDIR(mode):
        yield from _in_folder(path, found)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        found.problems.append(f"{text}: is a device, not a file")
    elif text in _STDIN:
        yield Song(Path("stdin"), STDIN)
    elif stat.S_ISFIFO(mode) and path.startswith(("/dev/fd/", "/proc/self/fd/")):  # of the shell's <( )
        yield Song(Path("pipe"), Path(path))
    else:
        yield Song(Path(path), Path(path))


def _matching(match: str, pattern: str) -> Song:
    """A song that a glob matches, below the folder that the glob's plain part names."""
    plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
    try:
        below = Path(match).parent.relative_to(Path(*plain))
    except ValueError:  # a folder whose name looks like a glob
        below = Path()
    return Song(Path(match), Path(match), Path(*plain[-1:]) / below)


def _below_literal(pattern: str) -> list[str]:
    """What a glob matches below a folder whose name looks like a glob itself."""
    parts = Path(pattern).parts
    for count in range(len(parts) - 1, 0, -1):
        folder = str(Path(*parts[:count]))
        if os.path.isdir(folder):
            rest = str(Path(*parts[count:]))
            return glob.glob(os.path.join(glob.escape(folder), rest), recursive=True)
    return []


def _in_folder(folder: str, found: Found) -> Iterator[Song]:
    """Songs in a folder and those below it."""
    songs = stems = 0
    named = Path(os.path.basename(os.path.abspath(folder)))
    told = len(found.problems)
    for path in _walk(folder, found):
        if not os.path.isfile(path):
            found.problems.append(f"{path}: {'leads nowhere' if os.path.islink(path) else 'is no file'}")
        elif _is_stem(path):
            stems += 1
            found.stems.append(path)
        else:
            songs += 1
            yield Song(path, path, named / path.parent.relative_to(folder))
    if not songs and len(found.problems) == told:
        what = f"no songs, only {stems} stems that xumx made" if stems else "no audio files"
        found.problems.append(f"{folder}: the folder holds {what}")


def _walk(folder: str, found: Found) -> Iterator[Path]:
    """Files that are called like songs, in order. Linked folders are followed, each folder is seen once."""
    seen = set()

    def tell(error: OSError) -> None:
        found.problems.append(line_of(error))

    for place, folders, files in os.walk(folder, onerror=tell, followlinks=True):
        state = os.stat(place)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith(ASIDE))
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("._"):
                yield Path(place, name)


def made_of(path: Path) -> str | None:
    """Read what a file was made for, if xumx made it: the request that follows the maker's name, or ''."""
    try:
        who, _, request = probe(path).maker.partition(":")
    except XumxError:
        return None
    return request if who == MAKER else None


def _is_stem(path: Path) -> bool:
    suffix = path.suffix.lower()
    return (suffix[1:] in FORMATS or suffix in FILMS) and made_of(path) is not None


def _path(song: Song | Path) -> Path:
    return song.name if isinstance(song, Song) else song


def _names(songs: Sequence[Song | Path]) -> list[tuple[Path, str]]:
    """Where each song's files go below the output, and its name.

    Two songs of one name are told apart by the folders that they lie in, or else by numbers.
    """
    found = [(song.below, song.name) if isinstance(song, Song) else (Path(), song) for song in songs]
    count = Counter((below, path.stem) for below, path in found)
    places: list[tuple[Path, str]] = []
    for below, path in found:
        name = path.stem if path.stem.strip(".") else "song"
        if count[below, path.stem] > 1 and below == Path() and path.parent.name:
            below = Path(path.parent.name)
        place, number = (below, name), 2
        while place in places:
            place = below, f"{name}_{number}"
            number += 1
        places.append(place)
    return places
