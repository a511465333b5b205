"""What a run is: the options that were given, over those of a run, of weights, or the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

from xumx.base.errors import UsageError, XumxError
from xumx.base.jsonfile import JsonError, check
from xumx.data.augment import augmentations
from xumx.data.track import MIXTURE
from xumx.graph import losses
from xumx.network.config import SOURCES, ModelConfig
from xumx.train.options import FIXED, NETWORK, OF_THE_LOSS, STORED, TRACKS, Given, TrainOptions


def new_run(given: Mapping[str, Any]) -> TrainOptions:
    """Options of a run that starts afresh.

    Parameters
    ----------
    given : mapping
        Those that were given, with their values; see :meth:`TrainOptions.given`.

    Raises
    ------
    UsageError
        For an option that is wrong, missing, or would do nothing.
    """
    return _new({**TrainOptions.defaults(), **given}, given)


def from_weights(given: Mapping[str, Any], config: ModelConfig) -> TrainOptions:
    """Options of a new run with the architecture of existing weights; see :func:`new_run`.

    Raises
    ------
    UsageError
        If an option contradicts the weights.
    """
    found = {name: getattr(config, field) for name, field in NETWORK.items()}
    found["bandwidth"] = (config.max_bin - 0.5) * config.sample_rate / config.n_fft
    found["sample_rate"] = config.sample_rate
    if config.independent:
        (found["source"],), found["sources"] = config.sources, None
    options = _new({**TrainOptions.defaults(), **found, **given}, given)
    _same_network(options, config)
    return options


def resumed(given: Mapping[str, Any], stored: Mapping[str, Any]) -> TrainOptions:
    """Options of a run that goes on: its own, but for those that were given.

    What it has that cannot be changed, it has; a recipe that says otherwise is left aside in that.

    Parameters
    ----------
    given : mapping
        See :func:`new_run`; with the run, ``model``.
    stored : mapping
        The fields of the run's :class:`TrainOptions`, as its checkpoint has them.

    Raises
    ------
    UsageError
        If one was given that cannot be changed.
    """
    stored = _stored(stored, given["model"])
    layers = Given.of(given)
    own, recipe = (_spelled(layer, stored) for layer in (layers.own, layers.recipe))
    for name, value in own.items():
        if name in FIXED and value != stored[name]:
            raise UsageError(
                f"`{name}` {_text(value)}: the run in {given['model']} has {_text(stored[name])}; "
                "leave it out, or start a new run"
            )
    wanted = {**{name: value for name, value in recipe.items() if name not in FIXED}, **own}
    TrainOptions.check_kind(layers.own, stored["dataset"])
    _check_schedule(stored["lr_schedule"], layers.own)
    return _checked({**stored, **wanted})


def _spelled(given: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a checkpoint has them, of a run that may have said the same in other words."""
    found = dict(given)
    if "loss" in found:
        found["loss"] = losses.spell(losses.parse(found["loss"]))
    if found.get("lr") == OF_THE_LOSS:
        found["lr"] = losses.rate(losses.parse(stored["loss"]))
    if found.pop("umx_train", False):
        found["arch"] = "umx"
    if "source" in found:
        found["sources"] = (found.pop("source"),)
    return found


def _stored(stored: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A checkpoint's options, seen to be those of this version and of their types.

    Runs from before there was an option did what is its default now.
    """
    loss = losses.spell(losses.default(stored.get("arch", "")))
    defaults = {name: value for name, value in TrainOptions.defaults().items() if name in STORED}
    stored = {**defaults, "loss": loss, **stored}
    advice = "a new run can start from its weights, best.h5"
    hints = get_type_hints(TrainOptions)
    known = {name: hints[name] for name in STORED}
    try:
        check(stored, TypedDict("_Stored", known))  # type: ignore[operator]
    except JsonError as error:
        raise XumxError(f"{model}: the run's options cannot be used, {error.reason}; {advice}") from None
    if unknown := sorted(stored.keys() - known):
        name = unknown[0]
        raise XumxError(
            f"{model}: xumx does not know the run's option {name!r}; another version may; {advice}"
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}


def _new(values: dict[str, Any], given: Mapping[str, Any]) -> TrainOptions:
    """Make options of values some of which were given, the others to be completed."""
    given = Given.of(given).own
    if values["umx_train"]:
        if "arch" in given and values["arch"] != "umx":
            raise UsageError(f"`umx_train` means `arch` umx, but `arch` is {values['arch']}; leave one out")
        values["arch"] = "umx"
    _complete_data(values, given)
    _complete_sources(values, given)
    _complete_loss(values, given)
    _check_schedule(values["lr_schedule"], given)
    if values["hidden_size"] is None:
        values["hidden_size"] = 1024 if values["arch"] == "joint" else 512
    if values["patience"] is None:
        values["patience"] = 0 if values["arch"] == "x-umx" else 140
    if not values["output"]:
        raise UsageError("`output` is missing: the folder of the new run")
    return _checked(values)


def _complete_data(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Set what follows from the kind of data."""
    kind, single = values["dataset"], values["arch"] == "umx"
    if kind != "musdb" and not values["root"]:
        raise UsageError(f"`root` is missing: the folder of the data, which `dataset` {kind} needs")
    TrainOptions.check_kind(given, kind)
    if kind == "aligned":
        _of_aligned(values, given, single)
    elif kind == "sourcefolder":
        if "samples_per_track" in given:
            raise UsageError(
                "`samples_per_track`: `dataset` sourcefolder has no tracks; use `nb_train_samples`"
            )
        for name, default in (("nb_train_samples", 1000), ("nb_valid_samples", 100)):
            values[name] = default if values[name] is None else values[name]
        _of_target(values, given, single, "target_dir")
    elif kind in TRACKS:
        _of_target(values, given, single, "target_file")
    if kind == "trackfolder_fix" and values["target_file"]:
        if values["ext"]:
            raise UsageError("`ext` does nothing with `target_file`, which has an extension: leave it out")
    elif kind in ("sourcefolder", *TRACKS):
        values["ext"] = values["ext"] or (".wav",)


def _of_aligned(values: dict[str, Any], given: Mapping[str, Any], single: bool) -> None:
    for name in ("source", "sources"):
        if name in given:
            raise UsageError(f"`{name}`: with `dataset` aligned, `output_file` names what to separate")
    if not values["output_file"]:
        raise UsageError("`output_file` is missing: `dataset` aligned needs the name of the target's file")
    if single and len(values["output_file"]) > 1:
        raise UsageError("`output_file`: a umx separates one source, one a run")
    if "source_augmentations" in given and values["source_augmentations"]:
        raise UsageError(
            "`source_augmentations`: the mixtures of `dataset` aligned are recorded, and no source can change"
        )
    if values["redraw_silence"]:
        raise UsageError("`redraw_silence`: the mixtures of `dataset` aligned are recorded as they are")
    values["source_augmentations"] = ()
    values["input_file"] = values["input_file"] or f"{MIXTURE}.wav"
    names = tuple(Path(file).stem for file in values["output_file"])
    values.update({"source": names[0]} if single else {"sources": names})


def _of_target(values: dict[str, Any], given: Mapping[str, Any], single: bool, option: str) -> None:
    if values[option] is None:
        return
    if not single:
        raise UsageError(
            f"`{option}` is what a umx separates; for {values['arch']} use `sources`, or add `arch` umx"
        )
    if "source" in given:
        raise UsageError(f"`{option}` and `source` both say what to separate: leave one out")
    values["source"] = values[option] if option == "target_dir" else Path(values[option]).stem


def _complete_sources(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    arch = values["arch"]
    if arch != "umx" and "source" in given:
        raise UsageError(f"`source` is what a umx separates; for {arch} use `sources`, or add `arch` umx")
    if arch == "umx" and "sources" in given:
        raise UsageError("`sources` is what an x-umx or joint network separates; for a umx use `source`")
    values["sources"] = (values["source"] or "vocals",) if arch == "umx" else values["sources"] or SOURCES


def _complete_loss(values: dict[str, Any], given: Mapping[str, Any]) -> None:
    weights = losses.default(values["arch"]) if values["loss"] is None else losses.parse(values["loss"])
    several_domains = any(name in losses.SUMS for name in weights)
    if "mcoef" in given and not several_domains:
        raise UsageError(
            f"`mcoef` weighs the time-domain loss of {' and '.join(losses.SUMS)}, and the loss here is "
            f"{' '.join(losses.spell(weights))}; leave it out"
        )
    values["loss"] = losses.spell(weights)
    if values["mcoef"] is None or not several_domains:
        values["mcoef"] = 10.0 if several_domains else 0.0
    if values["lr"] == OF_THE_LOSS:
        values["lr"] = losses.rate(weights)


def _checked(values: Mapping[str, Any]) -> TrainOptions:
    """Options of a run, which go together."""
    options = TrainOptions(**{name: values[name] for name in STORED})
    if options.nhop > 0 and options.nfft % options.nhop:
        # NNabla's inverse STFT, with which a GPU trains, takes no other.
        raise UsageError(f"`nhop` must divide `nfft`, and {options.nfft} is no multiple of {options.nhop}")
    if options.nb_channels not in (1, 2):
        raise UsageError(
            f"`nb_channels` must be 1 or 2, not {options.nb_channels}: stems are written as mono or stereo"
        )
    if options.is_wav and options.root is None:
        raise UsageError("`is_wav` says how to read `root`, which is missing; the preview holds stem files")
    augmentations(options.source_augmentations)
    if options.select == "sdr" and not options.validate_sdr:
        raise UsageError("`select` sdr needs `validate_sdr`, which measures it: add it")
    if options.dataset != "musdb":
        _check_names((*options.sources, *options.interferers), options.dataset)
    _check_loss(options)
    return options


def _check_schedule(schedule: str, given: Mapping[str, Any]) -> None:
    for name in ("lr_decay_patience", "lr_decay_gamma"):
        if schedule != "plateau" and name in given:
            raise UsageError(f"`{name}` is for `lr_schedule` plateau, and this is {schedule}; leave it out")


def _check_names(names: tuple[str, ...], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is named twice: each source and interferer has a name of its own")
        if name == MIXTURE or not name or name != Path(name).name or "\\" in name:
            raise UsageError(f"{name!r} cannot be the name of a source: it must be a plain file name")
    if kind in ("sourcefolder", "trackfolder_fix") and len(names) < 2:
        more = "`interferer_dirs`" if kind == "sourcefolder" else "`interferer_files`"
        raise UsageError(
            f"a mixture of {names[0]!r} alone is nothing to separate: name more `sources`, or {more}"
        )


def _check_loss(options: TrainOptions) -> None:
    weights = losses.parse(options.loss)
    losses.check(weights, options.sources)
    terms = losses.terms(weights, options.mcoef)
    listens = any("encoders" in term.loss.extras for term in terms)
    if listens and not options.feature_model:
        raise UsageError("`loss` DeepFeatures needs `feature_model`, weights (.h5) whose encoder listens")
    if options.feature_model and not listens:
        raise UsageError("`feature_model` is for `loss` DeepFeatures, which is not there; leave it out")
    if options.through_filter and not any(term.loss.domain == "waveform" for term in terms):
        raise UsageError(
            f"`through_filter` is for losses on waveforms, and `loss` {' '.join(options.loss)} has none; "
            "leave it out, or add one such as SISDRtime"
        )
    if options.through_filter and len(options.sources) == 1:
        raise UsageError("`through_filter` needs several sources to share a mixture out to; leave it out")
    if options.unpaired and not any(term.loss.adversarial for term in terms):
        raise UsageError(
            "`unpaired` is for the discriminators of LSGAN and HingeGAN, not in `loss`; leave it out"
        )


def _same_network(options: TrainOptions, config: ModelConfig) -> None:
    for name, field in NETWORK.items():
        wanted, found = getattr(options.config, field), getattr(config, field)
        if wanted != found:
            what = "" if name != "bandwidth" else " bins"
            raise UsageError(
                f"`{name}`: {options.model} has {_text(found)}{what}, not {_text(wanted)}{what}; "
                "leave the option out, or start without these weights"
            )


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
