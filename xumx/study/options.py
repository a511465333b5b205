"""The options of ``python -m xumx.study``: its own, and those of training and scoring that it passes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from xumx.base.cli import Parser
from xumx.base.options import NOT_NEGATIVE, Command, add_options, declared, like, option
from xumx.eval.options import EvalOptions
from xumx.network.config import SOURCES
from xumx.train.options import TrainOptions

SHARED = (
    "seed", "seq_dur", "samples_per_track", "source_augmentations", "batch_size", "hidden_size",
    "unidirectional", "nfft", "nhop", "bandwidth", "nb_channels", "valid_dur", "patience",
    "lr_decay_patience", "lr_decay_gamma", "weight_decay", "lr_schedule", "clip_norm", "accumulate", "ema",
    "mixture_level", "redraw_silence", "validate_sdr", "select",
)  # fmt: skip
"""Options of training that are the same for all runs of a study, now and later."""

PASSED = (*SHARED, "epochs", "context", "device_id", "cache_dir", "nb_workers", "feature_model")
"""All that it passes on to training."""

_study = partial(option, group="study")
_scoring = partial(like, EvalOptions, group="scoring, as in xumx.eval")


@dataclass(frozen=True, kw_only=True)
class StudyOptions(Command):
    """Options of ``python -m xumx.study``."""

    PROG: ClassVar[str] = "python -m xumx.study"
    ABOUT: ClassVar[str] = (
        "Train a network with each of many losses, score them all, and compare them. "
        "What is done already is not done again."
    )

    root: str = _study(None, "MUSDB18, the folder of train and test", metavar="DIR", required=True)
    is_wav: bool = _study(False, "of wav files (MUSDB18-HQ), not stems")
    recipe: str | None = _study(
        None, "of xumx.train: what all runs have in common, where nothing else is given", metavar="NAME"
    )
    output: str = _study("study", "folder of the study, new or to go on with", metavar="DIR")
    losses: tuple[str, ...] | None = _study(
        None,
        "a run each; sums as in L2freq+LSGAN=0.01 (default: all that need nothing else)",
        metavar="NAME[=WEIGHT][+NAME...]",
    )
    arch: tuple[str, ...] = _study(("x-umx",), "of xumx.train; a umx is a run a source", metavar="ARCH")
    sources: tuple[str, ...] = _study(SOURCES, "to separate", metavar="STEM")
    lr: float | None = _study(None, "learning rate of all runs (default: the published study's of each loss)")
    quiet: bool = _study(False, "print warnings and errors only", also=("-q",))

    niter: int = _scoring("niter", range=NOT_NEGATIVE)
    fast: bool = _scoring("fast")
    cores: int = _scoring("cores")

    training: Mapping[str, Any] = field(default_factory=dict)  # what was given of `PASSED`

    @property
    def epochs(self) -> int:
        """How far to train."""
        return int(self.training.get("epochs", TrainOptions.epochs))

    @classmethod
    def parser(cls, whole: bool = False) -> Parser:
        """Make the parser of the command, with training's options too."""
        parser = super().parser(whole)
        group = "as in xumx.train, with its defaults"
        add_options(parser, (replace(declared(TrainOptions)[name], group=group) for name in PASSED))
        return parser

    @classmethod
    def given(cls, argv: Sequence[str] | None) -> dict[str, Any]:
        """The options that a command line gives, those of training, with a recipe's, in ``training``."""
        found = super().given(argv)
        if "recipe" in found:
            recipe = TrainOptions.given(["--recipe", found["recipe"]])
            found = {**{name: recipe[name] for name in PASSED if name in recipe}, **found}
        training = {name: found.pop(name) for name in PASSED if name in found}
        return {**found, "training": training}

    def train_options(self, **own: Any) -> dict[str, Any]:
        """What is given to a training: what all have in common, and its own."""
        return {"root": self.root, "is_wav": self.is_wav, "quiet": True, **self.training, **own}

    def eval_options(self, **own: Any) -> EvalOptions:
        """How something is scored."""
        return EvalOptions(root=self.root, is_wav=self.is_wav, fast=self.fast, **own)

    def network_options(self, model: str) -> EvalOptions:
        """How a network separates and is scored.

        From the ratio mask, as in the published study: what a network trained with cross entropy, SI-SDR or
        SNRPSA gives is no magnitude, but rises and falls with one, and the mask takes its scale off.
        """
        return self.eval_options(model=(model,), softmask=True, niter=self.niter)
