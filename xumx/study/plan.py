"""What a study is: its configurations, their runs, and the file that keeps it one study."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from xumx.base import jsonfile
from xumx.base.errors import UsageError, XumxError, install
from xumx.base.files import replacing
from xumx.data.track import Track
from xumx.engines import automatic_context
from xumx.graph import losses
from xumx.network.config import ARCHITECTURES, SOURCES
from xumx.network.weights import parameter_shapes
from xumx.study.args import train_argv
from xumx.train import checkpoint
from xumx.train.options import new_run, parse

FILE = "study.json"

LEARNING_RATES = {"L1time": 1e-5, "L2time": 1e-5, "L2mask": 1e-4}
"""Of the published study, where they are not `LEARNING_RATE`."""
LEARNING_RATE = 1e-3

_ALONE = [name for name, loss in losses.LOSSES.items() if not {"critics", "encoders"} & set(loss.extras)]
DEFAULT = (*_ALONE, "CombinationMultiDomain")
"""Losses that need neither a companion nor another network."""

_SHARED = (
    "seed", "seq_dur", "samples_per_track", "source_augmentations", "batch_size", "hidden_size",
    "unidirectional", "nfft", "nhop", "bandwidth", "nb_channels", "valid_dur", "patience",
    "lr_decay_patience", "lr_decay_gamma", "weight_decay",
)  # fmt: skip
"""Options of training that all runs of a study share."""


_COPIES = 7
"""Of a network's parameters in a run: weights, and a checkpoint with Adam's two moments that replaces one."""
_SECOND, _PICTURES = 600, 500_000
"""Bytes: of a source's scores a second of music, and of what a configuration adds to the pictures."""


@dataclass(frozen=True)
class Configuration:
    """A network and the loss that it is trained with, in the one spelling of :func:`losses.spell`."""

    arch: str
    losses: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the loss."""
        return "+".join(self.losses)

    def __str__(self) -> str:
        return f"{self.arch} {self.name}"

    @property
    def path(self) -> str:
        """Below each folder that has one a configuration."""
        return f"{self.arch}/{self.name}"

    @property
    def rate(self) -> float:
        """The learning rate of the published study; of a sum the smallest of its terms."""
        return min(LEARNING_RATES.get(name, LEARNING_RATE) for name in losses.parse(self.losses))


@dataclass(frozen=True)
class Run:
    """A training: a configuration, or its network of one source."""

    configuration: Configuration
    folder: Path
    argv: tuple[str, ...]
    source: str | None = None


class _Study(TypedDict):
    settings: dict[str, Any]
    epochs: Annotated[int, Meta(ge=1)]
    configurations: list[tuple[str, list[str]]]
    notes: list[str]
    commands: list[list[str]]


def configurations(args: argparse.Namespace) -> tuple[list[Configuration], list[str]]:
    """What to train, and notes on what was left out of the default.

    Raises
    ------
    UsageError
        For an unknown loss, or a configuration that is given twice.
    """
    found, notes = [], []
    for arch in args.arch:
        names = args.losses or list(DEFAULT)
        if not args.losses and (arch == "umx" or len(sources_of(args)) == 1):
            left_out = [name for name in names if _several(name)]
            names = [name for name in names if name not in left_out]
            notes.append(f"{arch}: not trained with {', '.join(left_out)}, which are of several sources")
        for name in names:
            found.append(Configuration(arch, losses.spell(losses.parse(re.split(r"\+(?=[A-Za-z])", name)))))
    for configuration in found:
        if found.count(configuration) > 1:
            raise UsageError(f"{configuration} is there twice; name each of --losses and --arch once")
    return found, notes


def _several(name: str) -> bool:
    """Whether a loss is made for several sources; a combination loss of one is the loss without it."""
    return name.startswith("Combination") or (name in losses.LOSSES and losses.LOSSES[name].compares)


def sources_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The sources to separate."""
    return tuple(args.sources or SOURCES)


def runs(args: argparse.Namespace, configuration: Configuration) -> list[Run]:
    """The trainings of a configuration: one, or of a umx one a source."""
    folder = Path(args.output) / "runs" / configuration.path
    rate = configuration.rate if args.lr is None else args.lr
    common = [*train_argv(args), "--arch", configuration.arch, "--lr", repr(rate)]
    common += ["--loss", *configuration.losses]
    if args.feature_model and "DeepFeatures" in losses.parse(configuration.losses):
        common += ["--feature-model", args.feature_model]
    if configuration.arch != "umx":
        argv = (*common, "--sources", *sources_of(args), "--output", str(folder))
        return [Run(configuration, folder, argv)]
    return [
        Run(configuration, folder / s, (*common, "--source", s, "--output", str(folder / s)), s)
        for s in sources_of(args)
    ]


def epochs_of(args: argparse.Namespace) -> int:
    """How far to train."""
    return int(parse(train_argv(args))[0]["epochs"])


def check(every: Iterable[Configuration], args: argparse.Namespace) -> None:
    """See that all runs could begin: options, losses, and the training data.

    Raises
    ------
    UsageError, XumxError
        If one could not.
    """
    from xumx.parallel.communicator import Communicator
    from xumx.train.datasets import Datasets

    _check_device(args)
    listened = set()
    for configuration in every:
        for run in runs(args, configuration):
            options = new_run(*parse(run.argv))
            if (run.configuration.arch, run.source) not in listened:
                Datasets(options, options.config, Communicator())
            listened.add((run.configuration.arch, run.source))
    if args.feature_model and not any("DeepFeatures" in losses.parse(c.losses) for c in every):
        raise UsageError("--feature-model is for the loss DeepFeatures, not in --losses; leave it out")
    if args.cores < 1:
        raise UsageError(f"--cores must be 1 or more, not {args.cores}")
    if args.niter < 0:
        raise UsageError(f"--niter must be 0 or more, not {args.niter}")


def _check_device(args: argparse.Namespace) -> None:
    """What each run would say in turn."""
    if args.context == "cpu" and args.device_id is not None:
        raise UsageError("--device-id chooses a GPU, but --context cpu computes on none; leave it out")
    if args.context == "cudnn" or args.device_id is not None:
        device = args.device_id or "0"
        context, why = automatic_context(device)
        if context == "cpu":
            raise XumxError(
                f"--context {args.context or 'auto'}: NNabla cannot use a GPU of number {device}"
                f"{f' ({why})' if why else ''}; "
                f"{install('gpu')}, or use --context cpu"
            )


def room(every: Iterable[Configuration], args: argparse.Namespace, tracks: list[Track]) -> int:
    """Bytes that the runs which are not there yet will take, and the scores and pictures of all; about."""
    seconds = sum(track.samples / track.sample_rate for track in tracks)
    needed = 0
    for configuration in every:
        needed += round(_SECOND * len(sources_of(args)) * seconds) + _PICTURES
        for run in runs(args, configuration):
            if not (run.folder / checkpoint.NAME).exists():
                shapes = parameter_shapes(new_run(*parse(run.argv)).config).values()
                needed += _COPIES * 4 * sum(map(math.prod, shapes))
    return needed


def settings(args: argparse.Namespace, tracks: list[Track]) -> dict[str, Any]:
    """What all configurations of a study have in common."""
    values, _ = parse(train_argv(args))
    return {
        "root": str(Path(args.root).expanduser().resolve()),
        "test_tracks": len(tracks),
        "sources": list(sources_of(args)),
        "lr": args.lr,
        **{name: values[name] for name in _SHARED},
        **{name: getattr(args, name) for name in ("is_wav", "niter", "fast")},
    }


def load(folder: Path) -> dict[str, Any] | None:
    """The study of a folder; None if there is none.

    Raises
    ------
    XumxError
        If it cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        study: dict[str, Any] = {**jsonfile.read(path, _Study)}
        study["configurations"] = [_known(arch, tuple(names)) for arch, names in study["configurations"]]
    except XumxError as error:
        raise XumxError(f"{error}; {path} is damaged: give another --output") from None
    return study


def _known(arch: str, names: tuple[str, ...]) -> Configuration:
    """A configuration, whose names become those of folders."""
    try:
        known = bool(names) and losses.spell(losses.parse(names)) == names
    except UsageError:
        known = False
    if arch not in ARCHITECTURES or not known:
        raise UsageError(f"there is no configuration {arch!r} {names}")
    return Configuration(arch, names)


def joined(
    folder: Path, now: dict[str, Any], epochs: int, wanted: list[Configuration], notes: list[str]
) -> dict[str, Any]:
    """The study of a folder with what is wanted now, or a new one; nothing is written.

    Raises
    ------
    UsageError
        If the folder holds a study of other settings, or one that has been told to train further.
    """
    now = json.loads(json.dumps(now))
    study = load(folder)
    if study is None:
        study = {"settings": now, "epochs": epochs, "configurations": [], "notes": [], "commands": []}
    before = study["settings"]
    for name in now:
        if before.get(name) != now[name]:
            option = f"--{name.replace('_', '-')}" if name != "test_tracks" else "number of test tracks"
            raise UsageError(
                f"--output {folder} holds a study of another configuration: its {option} is "
                f"{_text(before.get(name))}, not {_text(now[name])}; give the same, or another folder"
            )
    if epochs < study["epochs"]:
        raise UsageError(
            f"--epochs {epochs}: the study in {folder} trains {study['epochs']}; give as many or more"
        )
    return {
        "settings": now,
        "epochs": epochs,
        "configurations": list(dict.fromkeys([*study["configurations"], *wanted])),
        "notes": list(dict.fromkeys([*study["notes"], *notes])),
        "commands": [*study["commands"], ["python", "-m", "xumx.study", *sys.argv[1:]]],
    }


def save(folder: Path, study: dict[str, Any]) -> None:
    """Write it.

    Raises
    ------
    XumxError
        If the folder cannot be written.
    """
    lists = [[c.arch, list(c.losses)] for c in study["configurations"]]
    try:
        with replacing(folder / FILE) as aside:
            text = json.dumps({**study, "configurations": lists}, indent=2)
            aside.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise XumxError(f"--output {folder}: cannot be written ({error.strerror or error})") from None


def _text(value: Any) -> str:
    """In one line, whatever the file holds."""
    if isinstance(value, list):
        return " ".join(" ".join(map(str, value)).split()) or "none"
    return "the default" if value is None else " ".join(str(value).split())
