"""What a study is: its configurations, their runs, and the file that keeps it one study."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping
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
from xumx.network.config import ARCHITECTURES
from xumx.network.weights import parameter_shapes
from xumx.study.options import SHARED, StudyOptions
from xumx.train import checkpoint
from xumx.train.options import OF_THE_LOSS, TrainOptions
from xumx.train.resolve import new_run

FILE = "study.json"

_ALONE = [name for name, loss in losses.LOSSES.items() if not {"critics", "encoders"} & set(loss.extras)]
DEFAULT = (*_ALONE, "CombinationMultiDomain")
"""Losses that need neither a companion nor another network."""

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
        """The learning rate of the published study."""
        return losses.rate(losses.parse(self.losses))


@dataclass(frozen=True)
class Run:
    """A training: a configuration, or its network of one source, and the options that it is given."""

    configuration: Configuration
    folder: Path
    given: Mapping[str, Any]
    source: str | None = None


class _Study(TypedDict):
    settings: dict[str, Any]
    epochs: Annotated[int, Meta(ge=1)]
    configurations: list[tuple[str, list[str]]]
    notes: list[str]
    commands: list[list[str]]


def configurations(args: StudyOptions) -> tuple[list[Configuration], list[str]]:
    """What to train, and notes on what was left out of the default.

    Raises
    ------
    UsageError
        For an unknown loss, or a configuration that is given twice.
    """
    found, notes = [], []
    for arch in args.arch:
        names = args.losses or list(DEFAULT)
        if not args.losses and (arch == "umx" or len(args.sources) == 1):
            left_out = [name for name in names if _several(name)]
            names = [name for name in names if name not in left_out]
            notes.append(f"{arch}: not trained with {', '.join(left_out)}, which are of several sources")
        for name in names:
            found.append(Configuration(arch, losses.spell(losses.parse(re.split(r"\+(?=[A-Za-z])", name)))))
    for configuration in found:
        if found.count(configuration) > 1:
            raise UsageError(f"{configuration} is there twice; name each of `losses` and `arch` once")
    return found, notes


def _several(name: str) -> bool:
    """Whether a loss is made for several sources; a combination loss of one is the loss without it."""
    return name.startswith("Combination") or (name in losses.LOSSES and losses.LOSSES[name].compares)


def runs(args: StudyOptions, configuration: Configuration) -> list[Run]:
    """The trainings of a configuration: one, or of a umx one a source."""
    folder = Path(args.output) / "runs" / configuration.path
    lr = OF_THE_LOSS if args.lr is None else args.lr
    common = args.train_options(arch=configuration.arch, loss=configuration.losses, lr=lr)
    if "DeepFeatures" not in losses.parse(configuration.losses):
        common.pop("feature_model", None)
    if configuration.arch != "umx":
        given = {**common, "sources": args.sources, "output": str(folder)}
        return [Run(configuration, folder, given)]
    return [
        Run(configuration, folder / s, {**common, "source": s, "output": str(folder / s)}, s)
        for s in args.sources
    ]


def check(every: Iterable[Configuration], args: StudyOptions) -> None:
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
            options = new_run(run.given)
            if (run.configuration.arch, run.source) not in listened:
                Datasets(options, options.config, Communicator())
            listened.add((run.configuration.arch, run.source))
    listens = any("DeepFeatures" in losses.parse(c.losses) for c in every)
    if args.training.get("feature_model") and not listens:
        raise UsageError("`feature_model` is for the loss DeepFeatures, not in `losses`; leave it out")


def _check_device(args: StudyOptions) -> None:
    """What each run would say in turn."""
    wanted, device = (args.training.get(name) for name in ("context", "device_id"))
    if wanted == "cpu" and device is not None:
        raise UsageError("`device_id` chooses a GPU, but `context` cpu computes on none; leave it out")
    if wanted == "cudnn" or device is not None:
        device = device or "0"
        context, why = automatic_context(device)
        if context == "cpu":
            raise XumxError(
                f"`context` {wanted or 'auto'}: NNabla cannot use a GPU of number {device}"
                f"{f' ({why})' if why else ''}; "
                f"{install('gpu')}, or use `context` cpu"
            )


def room(every: Iterable[Configuration], args: StudyOptions, tracks: list[Track]) -> int:
    """Bytes that the runs which are not there yet will take, and the scores and pictures of all; about."""
    seconds = sum(track.samples / track.sample_rate for track in tracks)
    needed = 0
    for configuration in every:
        needed += round(_SECOND * len(args.sources) * seconds) + _PICTURES
        for run in runs(args, configuration):
            if not (run.folder / checkpoint.NAME).exists():
                shapes = parameter_shapes(new_run(run.given).config).values()
                needed += _COPIES * 4 * sum(map(math.prod, shapes))
    return needed


def settings(args: StudyOptions, tracks: list[Track]) -> dict[str, Any]:
    """What all configurations of a study have in common."""
    values = {**TrainOptions.defaults(), **args.training}
    return {
        "root": str(Path(args.root).expanduser().resolve()),
        "test_tracks": len(tracks),
        "sources": list(args.sources),
        "lr": args.lr,
        **{name: values[name] for name in SHARED},
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
        raise XumxError(f"{error}; {path} is damaged: give another `output`") from None
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
    # A study from before there was an option did what is its default now.
    before = {**TrainOptions.defaults(), **study["settings"]}
    for name in now:
        if before.get(name) != now[name]:
            option = f"`{name}`" if name != "test_tracks" else "number of test tracks"
            raise UsageError(
                f"`output` {folder} holds a study of another configuration: its {option} is "
                f"{_text(before.get(name))}, not {_text(now[name])}; give the same, or another folder"
            )
    if epochs < study["epochs"]:
        raise UsageError(
            f"`epochs` {epochs}: the study in {folder} trains {study['epochs']}; give as many or more"
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
    with replacing(folder / FILE) as aside:
        text = json.dumps({**study, "configurations": lists}, indent=2)
        aside.write_text(text + "\n", encoding="utf-8")


def _text(value: Any) -> str:
    """In one line, whatever the file holds."""
    if isinstance(value, list):
        return " ".join(" ".join(map(str, value)).split()) or "none"
    return "the default" if value is None else " ".join(str(value).split())
