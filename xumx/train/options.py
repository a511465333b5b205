"""The options of ``python -m xumx.train``: here are their defaults, and what is said of each.

What follows for a run from those that were given is in :mod:`xumx.train.resolve`.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from xumx.base.cli import extension
from xumx.base.errors import UsageError
from xumx.base.options import FRACTION, NOT_NEGATIVE, POSITIVE, Command, declared, option
from xumx.network.config import ARCHITECTURES, ModelConfig, bandwidth_to_max_bin
from xumx.train.schedule import SCALINGS, SCHEDULES

SAMPLE_RATE = 44100

TRACKS = ("trackfolder_var", "trackfolder_fix")
FOLDERS = ("aligned", "sourcefolder", *TRACKS)
"""Kinds of ``--dataset`` beside musdb: those of :mod:`xumx.data.folders`."""

OF_THE_LOSS = "loss"
"""The learning rate that is the loss's own."""


def recipe(name: str) -> Path:
    """The file of options that ``--recipe`` names: of args in a clone, which is installed as recipes.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    package = Path(__file__).parents[1]
    folder = package / "recipes"
    if not folder.is_dir():
        folder = package.parent / "args"
    names = sorted(path.stem for path in folder.glob("*.txt"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.0) or ["none"]
        raise UsageError(f"`recipe` {name}: there are {', '.join(names)}; did you mean {near[0]}?")
    return folder / f"{name}.txt"


def _rate(text: str) -> float | str:
    try:
        return text if text == OF_THE_LOSS else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {OF_THE_LOSS!r}") from None


_run = partial(option, group="run")
_data = partial(option, group="data")
_own = partial(option, group="your own data, in folders train and valid", fixed=True)
_network = partial(option, group="network", fixed=True)
_optimisation = partial(option, group="optimisation")


class Given(dict[str, Any]):
    """The options that were given, above those of a recipe.

    Parameters
    ----------
    own : mapping
        Those of the command line itself: they must all do something.
    recipe : mapping, optional
        Defaults for this run. One that does nothing beside the others is left aside, as a default is.
    """

    def __init__(self, own: Mapping[str, Any], recipe: Mapping[str, Any] | None = None) -> None:
        super().__init__({**(recipe or {}), **own})
        self.own, self.recipe = own, recipe or {}

    def beside(self, **own: Any) -> Given:
        """These, and more that are given."""
        return Given({**self.own, **own}, self.recipe)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Given:
        """These options: all are given oneself, if nothing else is known of them."""
        return options if isinstance(options, Given) else cls(options)


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Command):
    """Options of ``python -m xumx.train``, each with a value.

    A default that depends on other options is None here, and said in the help; a run has a value for it.
    """

    PROG: ClassVar[str] = "python -m xumx.train"
    ABOUT: ClassVar[str] = "Train a network on MUSDB18 or your own data."

    recipe: str | None = _run(
        None,
        "options of a file in args, such as x-umx; all that is given beside them wins",
        metavar="NAME",
        stored=False,
    )
    output: str = _run(None, "folder of the run; the resumed one's if not given", metavar="DIR")
    model: str | None = _run(
        None, "folder of a run, to resume it, or weights (.h5), to start a new one from", metavar="PATH"
    )
    epochs: int = _run(1000, "at most", range=POSITIVE)
    patience: int = _run(
        None,
        "epochs without a new best after which to stop; 0: never (default: 140, 0 for x-umx)",
        range=NOT_NEGATIVE,
    )
    checkpoint_every: float = _run(
        30.0,
        "within an epoch, beside the one at its end; 0: after each batch",
        metavar="MINUTES",
        range=NOT_NEGATIVE,
    )
    validate_sdr: bool = _run(
        False, "also separate the validation tracks after each epoch, and tell their SDR in dB"
    )
    select: str = _run(
        "loss", "what best.h5 has the best of, and --patience waits for", choices=("loss", "sdr"), fixed=True
    )
    tensorboard: bool = _run(False, "also write what metrics.csv has for TensorBoard")
    examples: int = _run(
        0,
        "write stems of a validation track to the folder examples, every so many epochs; 0: never",
        metavar="EPOCHS",
        range=NOT_NEGATIVE,
    )
    seed: int = _run(42, "of weights, samples and dropout", range=NOT_NEGATIVE, fixed=True)
    quiet: bool = _run(False, "print warnings and errors only", also=("-q",))
    context: str = _run("auto", "where to compute", also=("-c",), choices=("auto", "cpu", "cudnn"))
    device_id: str = _run("0", "the GPU, for cudnn; of several processes each has its own", also=("-d",))
    stock_ops: bool = _run(False, "on the CPU, NNabla's own functions in place of xumx's faster ones")

    root: str | None = _data(
        None,
        "folder of the data; for musdb that of train and test, or else a preview of 7 s is downloaded",
        metavar="DIR",
    )
    is_wav: bool = _data(False, "the tracks are folders of wav files, not stem files", of=("musdb",))
    cache_dir: str | None = _data(None, "keep decoded audio here: faster, 32 GB for MUSDB18", metavar="DIR")
    nb_workers: int = _data(4, "threads that draw samples; 0: none", range=NOT_NEGATIVE)
    seq_dur: float = _data(6.0, "length of a training sample", metavar="SECONDS", range=POSITIVE, fixed=True)
    samples_per_track: int = _data(64, "in an epoch", range=POSITIVE, fixed=True)
    source_augmentations: tuple[str, ...] = _data(
        ("gain", "channelswap"),
        "of each source before the mix: gain, channelswap, signflip, repitch, equaliser, codec, or none; "
        "with the parameters of docs/training-extras.md, as in repitch:p=0.2,max=12",
        nargs="*",
        metavar="NAME[:P=VALUE,...]",
        fixed=True,
    )
    mixture_level: float = _data(
        0.0,
        "make each mixture louder or quieter, its sources with it, by up to this",
        metavar="DB",
        range=NOT_NEGATIVE,
        fixed=True,
    )
    redraw_silence: bool = _data(False, "draw again where an excerpt of a source is silent", fixed=True)
    valid_dur: float = _data(
        10.0,
        "of a piece in validation",
        also=("--valid_dur",),
        metavar="SECONDS",
        range=POSITIVE,
        fixed=True,
    )
    min_chunk_duration: float = _data(
        0.0,
        "leave out tracks that are shorter; others than these are filled with silence",
        metavar="SECONDS",
        range=NOT_NEGATIVE,
        fixed=True,
    )
    check_data: str | None = _data(
        None,
        "no training: read all data, and print what is wrong with it; also write it to a file",
        nargs="?",
        const="",
        metavar="CSV",
        stored=False,
    )

    dataset: str = _own("musdb", "what --root holds", choices=("musdb", *FOLDERS))
    valid_share: float | None = _own(
        None,
        "of the tracks, to validate on, where there is no folder valid (default: 0.1)",
        metavar="FRACTION",
        range=FRACTION,
        of=FOLDERS,
    )
    ext: tuple[str, ...] = _own(
        (),
        "sourcefolder, trackfolder: what the names of audio files end with (default: .wav)",
        type=extension,
        metavar="EXT",
        of=("sourcefolder", *TRACKS),
    )
    input_file: str | None = _own(
        None, "aligned: name of the mixtures (default: mixture.wav)", metavar="FILE", of=("aligned",)
    )
    output_file: tuple[str, ...] = _own(
        (), "aligned: names of what to separate, such as vocals.wav", metavar="FILE", of=("aligned",)
    )
    target_file: str | None = _own(
        None, "trackfolder: what a umx separates, as a file name", metavar="FILE", of=TRACKS
    )
    interferer_files: tuple[str, ...] = _own(
        (),
        "trackfolder_fix: what else is in the mixtures, as file names",
        metavar="FILE",
        of=("trackfolder_fix",),
    )
    random_track_mix: bool = _own(
        False, "trackfolder_fix: mix sources of different tracks", of=("trackfolder_fix",)
    )
    random_interferer_mix: bool = _own(
        False,
        "trackfolder_var: mix the targets of one track with all else of another",
        of=("trackfolder_var",),
    )
    silence_missing: bool = _own(
        False, "trackfolder_var: a target that a track lacks is silent", of=("trackfolder_var",)
    )
    target_dir: str | None = _own(
        None, "sourcefolder: what a umx separates, as a folder", metavar="DIR", of=("sourcefolder",)
    )
    interferer_dirs: tuple[str, ...] = _own(
        (), "sourcefolder: what else is in the mixtures, as folders", metavar="DIR", of=("sourcefolder",)
    )
    nb_train_samples: int | None = _own(
        None,
        "sourcefolder: samples of an epoch (default: 1000)",
        metavar="N",
        range=POSITIVE,
        of=("sourcefolder",),
    )
    nb_valid_samples: int | None = _own(
        None,
        "sourcefolder: mixes to validate on (default: 100)",
        metavar="N",
        range=POSITIVE,
        of=("sourcefolder",),
    )

    arch: str = _network(
        "x-umx",
        "x-umx: a network a source, which share averages; umx: one network of one source; "
        "joint: one network of all sources, with a last layer for each",
        choices=ARCHITECTURES,
        reaches="arch",
    )
    umx_train: bool = _network(False, "the same as --arch umx", stored=False)
    source: str | None = _network(
        None, "what a umx separates (default: vocals)", metavar="STEM", stored=False
    )
    sources: tuple[str, ...] = _network(
        None,
        "what an x-umx or joint network separates (default: bass drums vocals other)",
        metavar="STEM",
        reaches="sources",
    )
    hidden_size: int = _network(
        None, "width of the layers (default: 512, 1024 for joint)", reaches="hidden_size"
    )
    unidirectional: bool = _network(False, "LSTM forward in time only", reaches="unidirectional")
    nfft: int = _network(4096, "window of the STFT, in samples", reaches="n_fft")
    nhop: int = _network(1024, "its hop; divides --nfft", reaches="n_hop")
    bandwidth: float = _network(16000.0, "what the network sees", metavar="HZ", reaches="max_bin")
    nb_channels: int = _network(2, "audio channels, 1 or 2; 1: the mean", reaches="nb_channels")

    batch_size: int = _optimisation(16, "samples of a step, in each process", range=POSITIVE, fixed=True)
    lr: float = _optimisation(
        1e-3,
        "learning rate of Adam, at first; loss: that of the published study for --loss",
        type=_rate,
        range=POSITIVE,
    )
    lr_scaling: str | None = _optimisation(
        None,
        "multiply the rate by the samples of a step / 16, by its square root, or by nothing "
        "(default: linear for several processes, none for one)",
        choices=SCALINGS,
    )
    warmup: float = _optimisation(
        0.0, "let the rate grow from 0 to its value", metavar="EPOCHS", range=NOT_NEGATIVE
    )
    lr_schedule: str = _optimisation(
        "plateau",
        "plateau: the rate falls when the validation loss has stopped falling; "
        "cosine: along half a cosine, to 0 at the last of --epochs",
        choices=SCHEDULES,
        fixed=True,
    )
    lr_decay_patience: int = _optimisation(
        80, "epochs without a new best before it falls", range=NOT_NEGATIVE
    )
    lr_decay_gamma: float = _optimisation(0.3, "factor by which it falls", range=FRACTION)
    weight_decay: float = _optimisation(
        1e-5, "gradient of the squared weights, times this", range=NOT_NEGATIVE
    )
    clip_norm: float | None = _optimisation(
        None,
        "scale a gradient down to this norm, over all parameters, if it has a larger one",
        metavar="NORM",
        range=POSITIVE,
    )
    accumulate: int = _optimisation(
        1, "batches of a step, one after the other, in each process", metavar="K", range=POSITIVE, fixed=True
    )
    ema: float | None = _optimisation(
        None,
        "also average the weights over steps, with this decay, such as 0.999; the better of both becomes "
        "best.h5",
        metavar="DECAY",
        range=FRACTION,
        fixed=True,
    )
    loss: tuple[str, ...] = _optimisation(
        None,
        "what to minimise: losses of docs/losses.md, their weighted sum if there are several "
        "(default: MSE for umx, CombinationMultiDomain for x-umx)",
        metavar="NAME[=WEIGHT]",
        fixed=True,
    )
    through_filter: bool = _optimisation(
        False,
        "losses on waveforms look at what comes out of the Wiener filter; for --model best.h5 and a low --lr",
        fixed=True,
    )
    mcoef: float = _optimisation(
        None,
        "weight of the time-domain loss in MultiDomain and CombinationMultiDomain (default: 10)",
        range=NOT_NEGATIVE,
        fixed=True,
    )
    feature_model: str | None = _optimisation(
        None, "weights (.h5) whose encoder listens, for --loss DeepFeatures", metavar="PATH"
    )
    unpaired: str | None = _optimisation(
        None,
        "folders <source> of recordings, in place of the targets as what is real to discriminators",
        metavar="DIR",
    )

    sample_rate: int = SAMPLE_RATE  # the network's: another if its weights had another

    @classmethod
    def given(cls, argv: Sequence[str] | None) -> Given:
        """The options that a command line gives, and those of its recipe that it does not give itself."""
        found = super().given(argv)
        name = found.pop("recipe", None)
        return Given(found, cls.given([f"@{recipe(name)}"]) if name is not None else {})

    @property
    def config(self) -> ModelConfig:
        """The network they describe."""
        network = {field: getattr(self, name) for name, field in NETWORK.items()}
        network["max_bin"] = bandwidth_to_max_bin(self.sample_rate, self.nfft, self.bandwidth)
        return ModelConfig(**network, sample_rate=self.sample_rate)

    @property
    def interferers(self) -> tuple[str, ...]:
        """What is in the mixtures beside the sources, by name."""
        return (*self.interferer_dirs, *(Path(file).stem for file in self.interferer_files))


NETWORK = {name: one.reaches for name, one in declared(TrainOptions).items() if one.reaches}
"""Options that make the network, and the fields of its configuration."""

FIXED = frozenset(name for name, one in declared(TrainOptions).items() if one.fixed and one.stored)
"""Those that a run which goes on cannot change: of the network, samples, the loss, validation."""

STORED = tuple(
    field.name
    for field in dataclasses.fields(TrainOptions)
    if field.name not in declared(TrainOptions) or declared(TrainOptions)[field.name].stored
)
"""What a checkpoint has of a run's options."""


def fields(options: TrainOptions) -> dict[str, Any]:
    """All of them, as JSON takes them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(options).items()
        if name in STORED
    }
