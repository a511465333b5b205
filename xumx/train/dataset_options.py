"""The options that say what the data is: those of each kind of data set, and what they mean together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xumx.base.errors import UsageError
from xumx.data.track import MIXTURE
from xumx.train.args import KINDS

if TYPE_CHECKING:
    from xumx.train.options import Options

_FOLDERS = tuple(kind for kind in KINDS if kind != "musdb")
_TRACKS = ("trackfolder_var", "trackfolder_fix")

OWN = {
    "is_wav": ("musdb",),
    "input_file": ("aligned",),
    "output_file": ("aligned",),
    "target_dir": ("sourcefolder",),
    "interferer_dirs": ("sourcefolder",),
    "nb_train_samples": ("sourcefolder",),
    "nb_valid_samples": ("sourcefolder",),
    "target_file": _TRACKS,
    "interferer_files": ("trackfolder_fix",),
    "random_track_mix": ("trackfolder_fix",),
    "random_interferer_mix": ("trackfolder_var",),
    "silence_missing": ("trackfolder_var",),
    "ext": ("sourcefolder", *_TRACKS),
    "valid_share": _FOLDERS,
}
"""Options that belong to some kinds, and these kinds."""


@dataclass(frozen=True, kw_only=True)
class DatasetOptions:
    """What a run that goes on cannot change of its data; None or empty where it means nothing."""

    dataset: str = "musdb"
    input_file: str | None = None
    output_file: tuple[str, ...] = ()
    target_dir: str | None = None
    interferer_dirs: tuple[str, ...] = ()
    nb_train_samples: int | None = None
    nb_valid_samples: int | None = None
    target_file: str | None = None
    interferer_files: tuple[str, ...] = ()
    random_track_mix: bool = False
    random_interferer_mix: bool = False
    silence_missing: bool = False
    ext: tuple[str, ...] = ()
    valid_share: float | None = None
    min_chunk_duration: float = 0.0

    @property
    def interferers(self) -> tuple[str, ...]:
        """What is in the mixtures beside the sources, by name."""
        return (*self.interferer_dirs, *(Path(file).stem for file in self.interferer_files))


def complete(values: Mapping[str, Any], given: frozenset[str]) -> dict[str, Any]:
    """The options of a new run, with ``source`` or ``sources`` and the defaults that follow from the kind.

    Parameters
    ----------
    values : mapping
        Of all options, the architecture decided on.
    given : frozenset of str
        Names of those that were given.

    Raises
    ------
    UsageError
        For an option that is wrong, missing, or would do nothing.
    """
    values = dict(values)
    kind, single = values["dataset"], values["arch"] == "umx"
    if kind != "musdb" and not values["root"]:
        raise UsageError(f"--root is missing: the folder of the data, which --dataset {kind} needs")
    if kind == "aligned":
        _of_aligned(values, given, single)
    elif kind == "sourcefolder":
        if "samples_per_track" in given:
            raise UsageError(
                "--samples-per-track: --dataset sourcefolder has no tracks; use --nb-train-samples"
            )
        for name, default in (("nb_train_samples", 1000), ("nb_valid_samples", 100)):
            values[name] = default if values[name] is None else values[name]
        _of_target(values, given, single, "target_dir")
    elif kind in _TRACKS:
        _of_target(values, given, single, "target_file")
    if kind == "trackfolder_fix" and values["target_file"]:
        if values["ext"]:
            raise UsageError("--ext does nothing with --target-file, which has an extension: leave it out")
    elif kind in OWN["ext"]:
        values["ext"] = values["ext"] or (".wav",)
    for name in ("output_file", "interferer_dirs", "interferer_files", "ext"):
        values[name] = tuple(values[name] or ())
    return values


def _of_aligned(values: dict[str, Any], given: frozenset[str], single: bool) -> None:
    for name in ("source", "sources"):
        if name in given:
            raise UsageError(f"--{name}: with --dataset aligned, --output-file names what to separate")
    if not values["output_file"]:
        raise UsageError("--output-file is missing: --dataset aligned needs the name of the target's file")
    if single and len(values["output_file"]) > 1:
        raise UsageError("--output-file: a umx separates one source, one a run")
    if "source_augmentations" in given and values["source_augmentations"]:
        raise UsageError(
            "--source-augmentations: the mixtures of --dataset aligned are recorded, and no source can change"
        )
    values["source_augmentations"] = ()
    values["input_file"] = values["input_file"] or f"{MIXTURE}.wav"
    names = [Path(file).stem for file in values["output_file"]]
    values.update({"source": names[0]} if single else {"sources": names})


def _of_target(values: dict[str, Any], given: frozenset[str], single: bool, option: str) -> None:
    if values[option] is None:
        return
    if not single:
        raise UsageError(
            f"{_flag(option)} is what a umx separates; for {values['arch']} use --sources, or add --arch umx"
        )
    if "source" in given:
        raise UsageError(f"{_flag(option)} and --source both say what to separate: leave one out")
    values["source"] = values[option] if option == "target_dir" else Path(values[option]).stem


def check(options: Options) -> None:
    """See that the options go together.

    Raises
    ------
    UsageError
        If they do not.
    """
    kind = options.dataset
    for name, kinds in OWN.items():
        if getattr(options, name) not in (None, False, ()) and kind not in kinds:
            raise UsageError(f"{_flag(name)} is for --dataset {' or '.join(kinds)}, not for {kind}")
    if not options.min_chunk_duration >= 0:
        raise UsageError(f"--min-chunk-duration must be 0 or more, not {options.min_chunk_duration}")
    if options.valid_share is not None and not 0 < options.valid_share < 1:
        raise UsageError(f"--valid-share must be between 0 and 1, not {options.valid_share}")
    for name in ("nb_train_samples", "nb_valid_samples"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UsageError(f"{_flag(name)} must be positive, not {value}")
    if kind != "musdb":
        _check_names((*options.sources, *options.interferers), kind)


def _check_names(names: tuple[str, ...], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is named twice: each source and interferer has a name of its own")
        if name == MIXTURE or not name or name != Path(name).name or "\\" in name:
            raise UsageError(f"{name!r} cannot be the name of a source: it must be a plain file name")
    if kind in ("sourcefolder", "trackfolder_fix") and len(names) < 2:
        more = "--interferer-dirs" if kind == "sourcefolder" else "--interferer-files"
        raise UsageError(
            f"a mixture of {names[0]!r} alone is nothing to separate: name more --sources, or {more}"
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
