"""What a training run is: options from the command line, from the run that it resumes, or defaults."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, get_type_hints

from xumx.base.errors import UsageError, XumxError
from xumx.base.jsonfile import JsonError, check
from xumx.data.source import augmentations
from xumx.graph import losses
from xumx.network.config import SOURCES, ModelConfig, bandwidth_to_max_bin
from xumx.train import dataset_options
from xumx.train.args import train_parser
from xumx.train.dataset_options import DatasetOptions

SAMPLE_RATE = 44100

NETWORK = {
    "arch": "arch",
    "sources": "sources",
    "hidden_size": "hidden_size",
    "unidirectional": "unidirectional",
    "nfft": "n_fft",
    "nhop": "n_hop",
    "bandwidth": "max_bin",
    "nb_channels": "nb_channels",
}
"""Options that make the network, and the fields of its configuration."""

DATASET = {field.name: field.default for field in dataclasses.fields(DatasetOptions)}
"""Options that say what the data is, with their defaults."""

FIXED = {
    *(*NETWORK, *DATASET),
    *("seed", "seq_dur", "samples_per_track", "source_augmentations", "batch_size", "loss", "mcoef"),
    "valid_dur",
}
"""Those that a run which goes on cannot change: of the network, samples, the loss, validation."""


@dataclass(frozen=True)
class Options(DatasetOptions):
    """Options of ``python -m xumx.train``, each with a value; its help describes them.

    Raises
    ------
    UsageError
        For a value that cannot be right.
    """

    output: str
    model: str | None
    epochs: int
    patience: int
    checkpoint_every: float
    seed: int
    quiet: bool
    context: str
    device_id: str
    stock_ops: bool
    root: str | None
    is_wav: bool
    cache_dir: str | None
    nb_workers: int
    seq_dur: float
    samples_per_track: int
    source_augmentations: tuple[str, ...]
    valid_dur: float
    arch: str
    sources: tuple[str, ...]
    hidden_size: int
    unidirectional: bool
    nfft: int
    nhop: int
    bandwidth: float
    nb_channels: int
    batch_size: int
    lr: float
    lr_decay_patience: int
    lr_decay_gamma: float
    weight_decay: float
    loss: tuple[str, ...]
    mcoef: float
    lr_scaling: str | None
    warmup: float
    feature_model: str | None
    unpaired: str | None
    sample_rate: int = SAMPLE_RATE  # the network's: another if its weights had another

    def __post_init__(self) -> None:
        for name in ("epochs", "seq_dur", "samples_per_track", "valid_dur", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{_flag(name)} must be positive, not {getattr(self, name)}")
        for name in (
            "patience",
            "checkpoint_every",
            "seed",
            "nb_workers",
            "lr_decay_patience",
            "weight_decay",
            "mcoef",
            "warmup",
        ):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{_flag(name)} must be 0 or more, not {getattr(self, name)}")
        if not 0 < self.lr_decay_gamma < 1:
            raise UsageError(f"--lr-decay-gamma must be between 0 and 1, not {self.lr_decay_gamma}")
        if self.nhop > 0 and self.nfft % self.nhop:
            # NNabla's inverse STFT, with which a GPU trains, takes no other.
            raise UsageError(f"--nhop must divide --nfft, and {self.nfft} is no multiple of {self.nhop}")
        if self.nb_channels not in (1, 2):
            raise UsageError(
                f"--nb-channels must be 1 or 2, not {self.nb_channels}: stems are written as mono or stereo"
            )
        if self.is_wav and self.root is None:
            raise UsageError(
                "--is-wav says how to read --root, which is missing; the preview holds stem files"
            )
        augmentations(self.source_augmentations)
        dataset_options.check(self)
        self._check_loss()

    def _check_loss(self) -> None:
        weights = losses.parse(self.loss)
        losses.check(weights, self.sources)
        terms = losses.terms(weights, self.mcoef)
        listens = any("encoders" in term.loss.extras for term in terms)
        if listens and not self.feature_model:
            raise UsageError("--loss DeepFeatures needs --feature-model, weights (.h5) whose encoder listens")
        if self.feature_model and not listens:
            raise UsageError("--feature-model is for --loss DeepFeatures, which is not there; leave it out")
        if self.unpaired and not any(term.loss.adversarial for term in terms):
            raise UsageError(
                "--unpaired is for the discriminators of LSGAN and HingeGAN, not in --loss; leave it out"
            )

    @property
    def config(self) -> ModelConfig:
        """The network they describe."""
        return ModelConfig(
            arch=self.arch,
            sources=self.sources,
            n_fft=self.nfft,
            n_hop=self.nhop,
            hidden_size=self.hidden_size,
            nb_channels=self.nb_channels,
            max_bin=bandwidth_to_max_bin(self.sample_rate, self.nfft, self.bandwidth),
            unidirectional=self.unidirectional,
            sample_rate=self.sample_rate,
        )


def parse(argv: Sequence[str] | None) -> tuple[dict[str, Any], frozenset[str]]:
    """The values of all options, and the names of those that were given. Ends the process for wrong ones."""
    parser = train_parser()
    values = vars(parser.parse_args(argv))
    # A default does not take the place of what a namespace has already.
    unset = object()
    again = vars(parser.parse_args(argv, argparse.Namespace(**dict.fromkeys(values, unset))))
    return values, frozenset(name for name, value in again.items() if value is not unset)


def new_run(values: Mapping[str, Any], given: frozenset[str]) -> Options:
    """Options of a run that starts afresh.

    Parameters
    ----------
    values, given
        See :func:`parse`.

    Raises
    ------
    UsageError
        For an option that is wrong, missing, or would do nothing.
    """
    values = dict(values)
    if values.pop("umx_train"):
        if "arch" in given and values["arch"] != "umx":
            raise UsageError(f"--umx-train means --arch umx, but --arch is {values['arch']}; leave one out")
        values["arch"] = "umx"
    values = dataset_options.complete(values, given)
    source, sources, _ = (values.pop(name) for name in ("source", "sources", "check_data"))
    arch = values["arch"]
    independent = arch == "umx"
    if not independent and "source" in given:
        raise UsageError(f"--source is what a umx separates; for {arch} use --sources, or add --arch umx")
    if independent and "sources" in given:
        raise UsageError("--sources is what an x-umx or joint network separates; for a umx use --source")
    weights = losses.default(values["arch"]) if values["loss"] is None else losses.parse(values["loss"])
    several_domains = any(name in losses.SUMS for name in weights)
    if "mcoef" in given and not several_domains:
        raise UsageError(
            f"--mcoef weighs the time-domain loss of {' and '.join(losses.SUMS)}, and the loss here is "
            f"{' '.join(losses.spell(weights))}; leave it out"
        )
    values["loss"] = losses.spell(weights)
    values["sources"] = (source or "vocals",) if independent else tuple(sources or SOURCES)
    if values["hidden_size"] is None:
        values["hidden_size"] = 1024 if arch == "joint" else 512
    if values["mcoef"] is None:
        values["mcoef"] = 10.0 if several_domains else 0.0
    if values["patience"] is None:
        values["patience"] = 0 if arch == "x-umx" else 140
    if not values["output"]:
        raise UsageError("--output is missing: the folder of the new run")
    values["source_augmentations"] = tuple(values["source_augmentations"])
    return Options(**values)


def from_weights(values: Mapping[str, Any], given: frozenset[str], config: ModelConfig) -> Options:
    """Options of a new run with the architecture of existing weights; see :func:`new_run`.

    Raises
    ------
    UsageError
        If an option contradicts the weights.
    """
    found = {
        "arch": config.arch,
        "sources": list(config.sources),
        "hidden_size": config.hidden_size,
        "unidirectional": config.unidirectional,
        "nfft": config.n_fft,
        "nhop": config.n_hop,
        "bandwidth": (config.max_bin - 0.5) * config.sample_rate / config.n_fft,
        "nb_channels": config.nb_channels,
        "sample_rate": config.sample_rate,
    }
    values = {
        **found,
        **{name: value for name, value in values.items() if name in given or name not in found},
    }
    if config.independent and "source" not in given:
        values["source"] = config.sources[0]
    if config.independent and "sources" not in given:
        values["sources"] = None
    options = new_run(values, given)
    _same_network(options, config)
    return options


def resumed(values: Mapping[str, Any], given: frozenset[str], stored: Mapping[str, Any]) -> Options:
    """Options of a run that goes on: its own, but for those that were given.

    Parameters
    ----------
    values, given
        See :func:`parse`.
    stored
        The fields of the run's :class:`Options`, as its checkpoint has them.

    Raises
    ------
    UsageError
        If one was given that cannot be changed.
    """
    # Runs from before these options did what is the default now.
    loss = list(losses.spell(losses.default(stored.get("arch", ""))))
    before = {"loss": loss, "feature_model": None, "unpaired": None, "lr_scaling": None, "warmup": 0.0}
    stored = {**DATASET, **before, **stored}
    _check_stored(stored, str(values["model"]))
    wanted = {name: values[name] for name in given}
    if "loss" in wanted:
        wanted["loss"] = losses.spell(losses.parse(wanted["loss"]))
    if wanted.pop("umx_train", False):
        wanted["arch"] = "umx"
    if "source" in wanted:
        wanted["sources"] = [wanted.pop("source")]
    for name, value in wanted.items():
        value = list(value) if isinstance(value, (list, tuple)) else value
        if name in FIXED and value != stored[name]:
            raise UsageError(
                f"{_flag(name)} {_text(value)}: the run in {values['model']} has {_text(stored[name])}; "
                "leave it out, or start a new run"
            )
    merged = {**stored, **wanted, "model": values["model"]}
    tuples = (name for name, default in DATASET.items() if isinstance(default, tuple))
    for name in ("sources", "source_augmentations", "loss", *tuples):
        merged[name] = tuple(merged[name])
    return Options(**merged)


def _check_stored(stored: Mapping[str, Any], model: str) -> None:
    """See that a checkpoint's options are those of this version, and of their types."""
    known = get_type_hints(Options)
    advice = "a new run can start from its weights, best.h5"
    try:
        check(stored, TypedDict("_Stored", known))  # type: ignore[operator]
    except JsonError as error:
        raise XumxError(f"{model}: the run's options cannot be used, {error.reason}; {advice}") from None
    if unknown := sorted(stored.keys() - known):
        name = unknown[0]
        raise XumxError(
            f"{model}: xumx does not know the run's option {name!r}; another version may; {advice}"
        )


def fields(options: Options) -> dict[str, Any]:
    """All of them, as JSON takes them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(options).items()
    }


def _same_network(options: Options, config: ModelConfig) -> None:
    for name, field in NETWORK.items():
        wanted, found = getattr(options.config, field), getattr(config, field)
        if wanted != found:
            what = "" if name != "bandwidth" else " bins"
            raise UsageError(
                f"{_flag(name)}: {options.model} has {_text(found)}{what}, not {_text(wanted)}{what}; "
                "leave the option out, or start without these weights"
            )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
