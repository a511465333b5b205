"""All losses by name: what each needs, and how a weighted sum of them is written."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import nnabla as nn

from xumx.base.errors import UsageError
from xumx.graph.losses import adversarial, combination, distance, features, mask, phase, ratio, resolution

Domain = Literal["mask", "magnitude", "waveform"]
"""Where in the pipeline a loss acts, from the network's output to the audio."""


@dataclass(frozen=True)
class Loss:
    """A loss of the registry.

    Parameters
    ----------
    domain : 'mask', 'magnitude' or 'waveform'
        What of each source it is given. Beside masks the targets are magnitudes too.
    function : callable
        ``function(estimates, targets, *extras, ops)`` gives a Variable (); its docstring has the rest.
    extras : tuple of str
        What it needs beside estimates and targets: 'agreements', 'residual' or 'residual_waveform' of
        :class:`xumx.graph.inputs.Inputs`, 'encoders' of a frozen network, or 'critics', which are
        discriminators that are trained too.
    compares : bool
        Whether it compares sources with one another, and so needs several.
    rate : float
        The learning rate that the published study trained it with.
    """

    domain: Domain
    function: Callable[..., nn.Variable]
    extras: tuple[str, ...] = ()
    compares: bool = False
    rate: float = 1e-3

    @property
    def adversarial(self) -> bool:
        """Whether it is the opinion of a discriminator, which changes as training goes on."""
        return "critics" in self.extras


LOSSES: dict[str, Loss] = {
    "L1freq": Loss("magnitude", distance.l1),
    "L2freq": Loss("magnitude", distance.l2),
    "LogL1freq": Loss("magnitude", distance.log_l1),
    "LogL2freq": Loss("magnitude", distance.log_l2),
    "L1time": Loss("waveform", distance.l1, rate=1e-5),
    "L2time": Loss("waveform", distance.l2, rate=1e-5),
    "LogL1time": Loss("waveform", distance.log_l1),
    "LogL2time": Loss("waveform", distance.log_l2),
    "L1mask": Loss("mask", mask.l1, ("residual",)),
    "L2mask": Loss("mask", mask.l2, ("residual",), rate=1e-4),
    "BinaryCrossEntropy": Loss("mask", mask.binary_cross_entropy, ("residual",)),
    "CrossEntropy": Loss("mask", mask.cross_entropy, compares=True),
    "SISDRtime": Loss("waveform", ratio.si_sdr),
    "SISDRfreq": Loss("magnitude", ratio.si_sdr),
    "MinSNRsdsdr": Loss("waveform", ratio.min_snr_sd_sdr),
    "PSA": Loss("magnitude", phase.psa, ("agreements",)),
    "SNRPSA": Loss("magnitude", phase.snr_psa, ("agreements",)),
    "Dissimilarity": Loss("magnitude", distance.dissimilarity, compares=True),
    "MSE": Loss("magnitude", combination.mse),
    "CombinationMSE": Loss("magnitude", combination.combination_mse),
    "WeightedSDR": Loss("waveform", combination.weighted_sdr, ("residual_waveform",)),
    "CombinationWeightedSDR": Loss("waveform", combination.combination_sdr, ("residual_waveform",)),
    "MultiResolutionSTFT": Loss("waveform", resolution.multi_resolution_stft),
    "DeepFeatures": Loss("magnitude", features.deep_features, ("encoders",)),
    "LSGAN": Loss("magnitude", adversarial.least_squares, ("critics",)),
    "HingeGAN": Loss("magnitude", adversarial.hinge, ("critics",)),
}
"""Single losses by name, the first 18 being those of the study; docs/losses.md is about them."""

SUMS: dict[str, tuple[str, str]] = {
    "MultiDomain": ("WeightedSDR", "MSE"),
    "CombinationMultiDomain": ("CombinationWeightedSDR", "CombinationMSE"),
}
"""X-UMX's sums of a loss in time, weighted by mcoef, and one in frequency."""

CRITICS: dict[str, Callable[..., nn.Variable]] = {
    "LSGAN": adversarial.least_squares_critic,
    "HingeGAN": adversarial.hinge_critic,
}
"""What the discriminators of an adversarial loss minimise."""


@dataclass(frozen=True)
class Term:
    """One summand of what is minimised: ``weight · loss``; the label is its name in records."""

    label: str
    loss: Loss
    weight: float


def default(arch: str) -> dict[str, float]:
    """Give the losses that the published networks of an architecture were trained with.

    Examples
    --------
    >>> default("x-umx")
    {'CombinationMultiDomain': 1.0}
    """
    return {"CombinationMultiDomain" if arch == "x-umx" else "MSE": 1.0}


def parse(texts: Iterable[str]) -> dict[str, float]:
    """Read weights by name from ``NAME`` or ``NAME=weight``.

    Raises
    ------
    UsageError
        For an unknown name, one that comes twice, or a weight that is not a positive number.

    Examples
    --------
    >>> parse(["L1freq", "SISDRtime=0.1"])
    {'L1freq': 1.0, 'SISDRtime': 0.1}
    """
    weights: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if name not in {*LOSSES, *SUMS}:
            near = _nearest(name)
            raise UsageError(f"`loss` {name}: there is no such loss; did you mean {near}?")
        if name in weights:
            raise UsageError(f"`loss` {name} is given twice; give each loss once, with its weight")
        try:
            weights[name] = float(number) if equals else 1.0
        except ValueError:
            weights[name] = math.nan
        if not 0 < weights[name] < math.inf:
            raise UsageError(f"`loss` {text}: a weight must be a positive number, as in {name}=0.5")
    return weights


def spell(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Write the texts that :func:`parse` reads, in one spelling only.

    Examples
    --------
    >>> spell({"L1freq": 1.0, "SISDRtime": 0.10})
    ('L1freq', 'SISDRtime=0.1')
    """
    return tuple(name if weight == 1 else f"{name}={weight!r}" for name, weight in weights.items())


def check(weights: Mapping[str, float], sources: Sequence[str]) -> None:
    """See that a network of these sources can be trained with a sum of losses.

    Raises
    ------
    UsageError
        If it cannot.

    Examples
    --------
    >>> check({"Dissimilarity": 1.0}, ["vocals"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    xumx.base.errors.UsageError: `loss` Dissimilarity compares estimates of several sources, ...
    """
    if not weights:
        raise UsageError("`loss` names no loss")
    for name in weights:
        if name in LOSSES and LOSSES[name].compares and len(sources) == 1:
            raise UsageError(
                f"`loss` {name} compares estimates of several sources, and this network has one; "
                "use `arch` x-umx or joint with two `sources` or more"
            )
    several = [name for name in weights if name in SUMS]
    if len(several) > 1:
        raise UsageError(f"`loss` {' '.join(several)}: the second is a variant of the first; choose one")
    judged = [name for name in weights if name in CRITICS]
    if len(judged) > 1:
        raise UsageError(f"`loss` {' '.join(judged)}: the discriminators can have one loss only; choose one")
    if judged and len(weights) == 1:
        raise UsageError(
            f"`loss` {judged[0]} alone ties no estimate to its mixture, and leaves nothing to validate; "
            f"add a loss, as in L2freq {judged[0]}=0.01"
        )


def terms(weights: Mapping[str, float], mcoef: float) -> tuple[Term, ...]:
    """List the summands of a weighted sum of losses.

    Parameters
    ----------
    weights : mapping of str to float
        By name.
    mcoef : float
        Weight of the loss in time in those of ``SUMS``, whose two terms are called 'time' and 'frequency'.

    Examples
    --------
    >>> [(term.label, term.weight) for term in terms({"MultiDomain": 0.5, "L1freq": 2.0}, mcoef=10.0)]
    [('time', 5.0), ('frequency', 0.5), ('L1freq', 2.0)]
    """
    found = []
    for name, weight in weights.items():
        if name in SUMS:
            time, frequency = SUMS[name]
            found.append(Term("time", LOSSES[time], weight * mcoef))
            found.append(Term("frequency", LOSSES[frequency], weight))
        else:
            found.append(Term(name, LOSSES[name], weight))
    return tuple(found)


def rate(weights: Mapping[str, float]) -> float:
    """Give the learning rate of the published study for a sum of losses: the smallest of its terms.

    Examples
    --------
    >>> rate({"MSE": 1.0}), rate({"MSE": 1.0, "L2mask": 0.5})
    (0.001, 0.0001)
    """
    return min(term.loss.rate for term in terms(weights, mcoef=1.0))


def labels(terms: Sequence[Term]) -> list[str]:
    """Name what is recorded beside the sum: nothing if that is a single loss as it is.

    Examples
    --------
    >>> labels(terms({"MSE": 1.0}, 10.0)), labels(terms({"MSE": 1.0, "PSA": 1.0}, 10.0))
    ([], ['MSE', 'PSA'])
    """
    alone = len(terms) == 1 and terms[0].weight == 1
    return [] if alone else [term.label for term in terms]


def _nearest(name: str) -> str:
    known = {other.lower(): other for other in (*LOSSES, *SUMS)}
    return known[difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)[0]]
