"""The options of ``python -m xumx.eval``, and what they mean together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xumx.base.cli import extension
from xumx.base.errors import UsageError
from xumx.base.options import AT_LEAST_ONE, Command, like, option
from xumx.network.config import SOURCES
from xumx.network.pretrained import resolve
from xumx.separation.options import SeparatorOptions

if TYPE_CHECKING:
    from xumx.data.track import Track

ESTIMATES = "estimates"

# By name, as nothing here may load NumPy before processes have met (xumx/parallel/job.py).
SONG_METRICS = ("sdr", "si-sdr", "fullness", "bleedless")
"""The keys of :data:`xumx.signal.metrics.SONG_METRICS`."""

_data = partial(option, group="data")
_scored = partial(option, group="what is scored, if not a network", exclusive=True)
_output = partial(option, group="output")


@dataclass(frozen=True, kw_only=True)
class _Scored(Command):
    """What is scored; a class of its own to come first in the help."""

    root: str | None = _data(None, "the folder that holds train and test", metavar="DIR")
    dataset: str = _data(
        "musdb",
        "what it holds: MUSDB18, or your own <subset>/<track>/<source>.wav",
        choices=("musdb", "trackfolder_fix"),
    )
    is_wav: bool = _data(False, "musdb of wav files (MUSDB18-HQ), not stems", of=("musdb",))
    subset: str = _data("test", "tracks to score", choices=("train", "test", "valid"))
    split: str | None = _data(None, "part of the subset train", choices=("train", "valid"), of=("musdb",))
    sources: tuple[str, ...] | None = _data(
        None,
        f"trackfolder_fix: those whose sum the mixture is (default: {' '.join(SOURCES)})",
        metavar="STEM",
        of=("trackfolder_fix",),
    )
    ext: tuple[str, ...] | None = _data(
        None,
        "trackfolder_fix: what the names of audio files end with (default: .wav)",
        type=extension,
        metavar="EXT",
        of=("trackfolder_fix",),
    )

    estimates: str | None = _scored(
        None, "estimates of any system: DIR/<subset>/<track>/<stem>.wav", metavar="DIR"
    )
    oracle: str | None = _scored(
        None,
        "from the true sources: ideal ratio mask or multichannel Wiener filter, which are ceilings; "
        "fixed gains by frequency, which a network should beat",
        choices=("irm", "mwf", "frequency"),
    )
    baseline: str | None = _scored(None, "the untouched mixture as every stem: a floor", choices=("mixture",))
    compare: tuple[str, ...] | None = _scored(
        None, "no scoring: scores of two runs or more, side by side", metavar="SCORES"
    )
    fit_weights: str | None = _scored(
        None,
        "no scoring: write to this file how much each of several networks should count (--weights), "
        "from tracks that are not those to score",
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class EvalOptions(SeparatorOptions, _Scored):
    """Options of ``python -m xumx.eval``."""

    PROG: ClassVar[str] = "python -m xumx.eval"
    ABOUT: ClassVar[str] = "Score separation with BSS Eval v4, by museval, or compare scores."

    chunk_dur: float = like(SeparatorOptions, "chunk_dur", default=0.0)  # as in the papers

    evaldir: str = _output(
        "scores", "score files, scores.csv and report; what is there is kept", metavar="DIR"
    )
    save_estimates: bool = _output(False, "keep the estimates, as musdb lays them out")
    outdir: str | None = _output(None, f"folder to keep them in (default: {ESTIMATES})", metavar="DIR")
    fast: bool = _output(
        False,
        "score in blocks and not by museval: ten times faster, in a third of the memory; SIR, ISR and SAR of "
        "a frame move by up to some 0.01 dB, SDR does not",
    )
    song_metrics: tuple[str, ...] = _output(
        (),
        "also measure songs as a whole, into songs.csv: the MDX challenge's sdr, si-sdr, fullness, bleedless",
        choices=SONG_METRICS,
        metavar="NAME",
    )
    force: bool = _output(False, "score again what has been scored")
    cores: int = _output(1, "tracks at the same time", metavar="N", range=AT_LEAST_ONE)
    quiet: bool = _output(False, "print errors only", also=("-q",))

    def validate(self, given: Collection[str]) -> None:
        """Refuse options that would do nothing, with their default value too."""
        others = ("estimates", "oracle", "baseline", "compare", "fit_weights")
        chosen = next((name for name in others if name in given), None)
        useless: set[str] = set()
        if self.compare is not None:
            if len(self.compare) < 2:
                raise UsageError("`compare` needs the scores of two runs or more")
            useless = set(given) - {"compare"}
        elif chosen == "fit_weights":
            if len(self.model) < 2:
                raise UsageError("`fit_weights` needs two networks or more in `model`")
            useless = {*self.separator(), "weights", "umx_infer", "evaldir", "save_estimates", "outdir"}
            useless |= {"fast", "force", "cores", "song_metrics"}
            useless -= {"model", "model_dir", "engine", "context", "device_id"}
        elif chosen:
            useless = {*self.separator(), "weights", "umx_infer"}
            useless |= {"save_estimates", "outdir"} if chosen == "estimates" else set()
        for name in given:
            if name in useless:
                raise UsageError(f"`{name}` does nothing with `{chosen}`: leave it out")
        if not self.compare and not self.root:
            raise UsageError(
                "`root`: give the folder of MUSDB18 or of your own data, which holds train and test"
            )
        self.check_kind(given, self.dataset)


def kept_estimates(options: EvalOptions) -> Path | None:
    """Where estimates are kept, if they are."""
    return Path(options.outdir or ESTIMATES) if options.save_estimates or options.outdir else None


def settings(options: EvalOptions) -> dict[str, Any]:
    """What makes the scores of two runs those of one: all but where and how fast."""
    names = ["subset", "split", "is_wav", "fast"]
    if options.dataset != "musdb":
        names += ["dataset", "sources", "ext"]
    shared = {name: getattr(options, name) for name in names}
    if options.estimates:
        return {"estimates": str(Path(options.estimates).resolve()), **shared}
    if options.oracle or options.baseline:
        return {"estimates": options.oracle or options.baseline, **shared}
    where = ("engine", "context", "device_id", "provider_options", "model_dir")
    separation = {name: value for name, value in options.separator().items() if name not in where}
    digests = [_digest(resolve(model, model_dir=options.model_dir)) for model in options.model]
    if len(digests) > 1:
        separation |= {"model": list(options.model), "shares": separation.pop("weights", None)}
    return {**separation, "weights": digests[0] if len(digests) == 1 else digests, **shared}


def _digest(weights: Path) -> str:
    """SHA-1 of a weights file or of a folder of them: training may have replaced it since."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    for path in sorted(weights.glob("*.h5")) if weights.is_dir() else [weights]:
        sha1.update(path.read_bytes())
    return sha1.hexdigest()


def find_tracks(options: EvalOptions) -> Callable[[], list[Track]]:
    """The function that lists the tracks to score."""
    from xumx.data.musdb import musdb_tracks

    root = options.root or ""
    if options.dataset == "musdb":
        return partial(musdb_tracks, root, options.subset, options.split, is_wav=options.is_wav)
    return partial(_own_tracks, Path(root).expanduser(), options)


def _own_tracks(root: Path, options: EvalOptions) -> list[Track]:
    from xumx.data import folders

    folder = root / options.subset
    if not folder.is_dir():
        raise UsageError(f"`root` {root} has no folder {options.subset!r}; `subset` names another")
    extensions = options.ext or [".wav"]
    names = {source: [source + ext for ext in extensions] for source in options.sources or SOURCES}
    found = folders.trackfolder_fix(folder, names, extensions)
    return folders.tracks_of(
        found, root, [root, Path(options.evaldir)], workers=4, progress=not options.quiet
    )


def make_estimator(options: EvalOptions) -> partial[Any]:
    """The :data:`xumx.eval.work.MakeEstimator` that the options ask for."""
    from xumx.eval import estimators

    if options.estimates:
        return partial(estimators.folder, Path(options.estimates) / options.subset)
    if options.oracle:
        return partial(estimators.oracle, options.oracle)
    if options.baseline:
        return partial(estimators.mixture)
    return partial(estimators.network, options.separator())


def run_name(options: EvalOptions) -> str:
    """What tables call the run."""
    if options.oracle:
        return f"oracle {options.oracle}"
    if options.baseline or options.estimates:
        return options.baseline or Path(options.estimates or "").name
    return "+".join(Path(model).name for model in options.model)
