"""Weights: ``.h5`` files in the official layout to arrays with a :class:`ModelConfig`, and back.

An X-UMX network is one file whose first path component carries the source (``fc1_bass/affine/W``);
a UMX network is a folder of one file a source (``bass.h5``) without that suffix. A joint network is one
file of both: its trunk as in UMX, its heads as in X-UMX (``fc3_bass/affine/W``). In memory all are the
same: ``parameters[source][name]`` with the plain name (``fc1/affine/W``).
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xumx.base.errors import UsageError, WeightsError
from xumx.network.config import SOURCES, ModelConfig, from_shapes

if TYPE_CHECKING:
    import h5py  # who separates with a graph that is kept never needs it: see where files are read

BN_EPS = 1e-5
"""Added to a batch-norm variance, as in NNabla's default."""

_SUFFIXED = re.compile(r"((?:input|output)_(?:mean|scale)|fc[123]|lstm)_([^/]+)")
"""The first part of the name of a source's own parameter in a file of all sources."""

_HEAD = "fc3"
"""The layer that a source of a joint network has to itself."""

_FIXED = ("/bn/mean", "/bn/var")  # moving statistics, which no gradient trains


@dataclass(frozen=True)
class Weights:
    """A whole network: its configuration and float32 ``parameters[source][name]``.

    What the sources of a joint network share is the same array in each.
    """

    config: ModelConfig
    parameters: dict[str, dict[str, np.ndarray]]

    @property
    def level(self) -> float:
        """Mean magnitude of a frame that the network has learnt from, summed over the bins that it sees.

        It stands in the weights: their first parameter takes the mean of each bin off. 0 if nothing is.
        """
        means = [np.maximum(-p["input_mean"].astype(float), 0).sum() for p in self.parameters.values()]
        return float(np.mean(means))


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the plain name and shape of every parameter of one source, in the official order of creation.

    Examples
    --------
    >>> shapes = parameter_shapes(ModelConfig())
    >>> shapes["input_mean"], shapes["fc1/affine/W"], shapes["lstm/lstm/weight_l0"]
    ((1487,), (2974, 512), (2, 4, 256, 768))
    """
    c, k, b = config.nb_channels, config.max_bin, config.bins
    hidden, h, d, layers = config.hidden_size, config.lstm_size, config.directions, config.nb_layers
    shapes: dict[str, tuple[int, ...]] = {
        "input_mean": (k,),
        "input_scale": (k,),
        "output_scale": (b,),
        "output_mean": (b,),
    }

    def dense(name: str, rows: int, columns: int) -> None:
        shapes[f"{name}/affine/W"] = (rows, columns)
        for part in ("beta", "gamma", "mean", "var"):
            shapes[f"{name}/bn/{part}"] = (1, 1, columns)

    dense("fc1", c * k, hidden)
    shapes["lstm/lstm/weight_l0"] = (d, 4, h, hidden + h)
    if layers > 1:
        shapes["lstm/lstm/weight"] = (layers - 1, d, 4, h, d * h + h)
    shapes["lstm/lstm/bias"] = (layers, d, 4, h)
    dense("fc2", 2 * hidden, hidden)
    dense("fc3", hidden, c * b)
    return shapes


def stored_name(arch: str, source: str, name: str) -> str:
    """Return the name in the file of a source's parameter; what sources share has one name for them all.

    Examples
    --------
    >>> stored_name("x-umx", "bass", "fc1/affine/W"), stored_name("umx", "bass", "fc1/affine/W")
    ('fc1_bass/affine/W', 'fc1/affine/W')
    >>> stored_name("joint", "bass", "fc1/affine/W"), stored_name("joint", "bass", "fc3/affine/W")
    ('fc1/affine/W', 'fc3_bass/affine/W')
    """
    head, slash, tail = name.partition("/")
    own = arch == "x-umx" or (arch == "joint" and head == _HEAD)
    return f"{head}_{source}{slash}{tail}" if own else name


def load(path: str | os.PathLike[str]) -> Weights:
    """Read a network.

    Parameters
    ----------
    path : path
        An X-UMX, joint or single-source UMX ``.h5`` file, or a folder of ``<source>.h5`` UMX files.

    Returns
    -------
    Weights
        float32 arrays. The configuration comes from the file's attributes where xumx wrote them, and
        is inferred from the shapes otherwise (hop n_fft/4 and 44100 Hz, which no shape tells).

    Raises
    ------
    WeightsError
        If the file is no HDF5 file (see :func:`xumx.base.hdf5.reading`), or lacks a parameter, or one has a
        wrong shape or a value that is not finite, or if a size or a source's name is none that
        :class:`ModelConfig` takes. The message names the file and the parameter. Values are read when all
        else is known to be right.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path)
    from xumx.base.hdf5 import reading

    with reading(path) as (file, datasets):
        stored, attributes = _in_order(path, datasets), _attributes(path, file)
        arch, sources = _layout(path, stored, attributes)
        config = _infer(path, arch, sources, stored, attributes)
        _check_shapes(path, config, stored)
        arrays = {name: dataset.astype(np.float32)[()] for name, dataset in stored.items()}
    _check_values(path, arrays)
    return Weights(
        config,
        {s: {name: arrays[stored_name(arch, s, name)] for name in parameter_shapes(config)} for s in sources},
    )


def save(path: str | os.PathLike[str], weights: Weights, *, dtype: Any = np.float32) -> None:
    """Write a network in the official layout, its configuration as attributes of the file.

    A network becomes one file; UMX of several sources, being a network a source, becomes a folder of
    them. ``nnabla.load_parameters`` reads what this writes. Files appear under their names only when they
    are whole.

    Parameters
    ----------
    path : path
        File (or folder) to write; parent folders are made.
    weights : Weights
    dtype : dtype
        float16 halves the file; everything is float32 again when loaded.

    Raises
    ------
    WeightsError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> config = ModelConfig("umx", ("vocals",), n_fft=64, n_hop=16, hidden_size=8, max_bin=20)
    >>> zeros = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes(config).items()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/vocals.h5", Weights(config, {"vocals": zeros}))
    ...     again = load(f"{folder}/vocals.h5")
    >>> again.config == config, sorted(again.parameters)
    (True, ['vocals'])
    """
    path, config = Path(path), weights.config
    if config.independent and len(config.sources) > 1:
        for source in config.sources:
            one = dataclasses.replace(config, sources=(source,))
            save(path / f"{source}.h5", Weights(one, {source: weights.parameters[source]}), dtype=dtype)
        return
    named = {
        stored_name(config.arch, s, name): weights.parameters[s][name]
        for name in parameter_shapes(config)
        for s in config.sources
    }
    _write(path, config, named, dtype)


def _load_folder(folder: Path) -> Weights:
    # Hidden ones are another system's notes, or what a process that was killed has left.
    files = {f.stem: f for f in sorted(folder.glob("*.h5")) if f.is_file() and not f.name.startswith(".")}
    if not files:
        raise WeightsError(
            f"{folder}: holds no .h5 file; give a weights file or a folder of <source>.h5 files"
        )
    return join(files, load)


def join(files: Mapping[str, Path], read: Callable[[Path], Weights]) -> Weights:
    """Join files of one source each to one UMX network, the published sources first.

    Parameters
    ----------
    files : mapping of str to Path
        By source.
    read : callable
        What makes weights of a file: :func:`load`, or that of another format.

    Raises
    ------
    WeightsError
        If a file is of all sources, or has sizes of its own, or is called as no source can be.
    """
    names = [s for s in SOURCES if s in files] + [s for s in files if s not in SOURCES]
    parts = [read(files[name]) for name in names]
    try:
        configs = [dataclasses.replace(part.config, sources=tuple(names)) for part in parts]
    except UsageError as error:
        raise WeightsError(f"{files[names[0]].parent}: its files make no network: {error}") from None
    for name, config in zip(names, configs, strict=True):
        if not config.independent:
            raise WeightsError(
                f"{files[name]}: {config.arch} is one file for all sources; name it instead of its folder"
            )
        if config != configs[0]:
            raise WeightsError(f"{files[name]}: its sizes differ from those of {files[names[0]].name}")
    return Weights(
        configs[0], {n: next(iter(p.parameters.values())) for n, p in zip(names, parts, strict=True)}
    )


def _in_order(path: Path, datasets: Mapping[str, h5py.Dataset]) -> dict[str, h5py.Dataset]:
    """The parameters in the order in which they were made, as far as the file says it."""
    order: dict[str, int] = {}
    for name, dataset in datasets.items():
        if dataset.dtype.kind not in "fiu":
            raise WeightsError(f"{path}: {name} holds no numbers; not a weights file")
        index = _whole(path, dataset, "index")
        order[name] = len(order) if index is None else index
    if not order:
        raise WeightsError(f"{path}: holds no parameter; not a weights file")
    return {name: datasets[name] for name in sorted(order, key=order.__getitem__)}


def _layout(
    path: Path, stored: Mapping[str, h5py.Dataset], attributes: Mapping[str, Any]
) -> tuple[str, tuple[str, ...]]:
    """Architecture and sources, as the names tell them; in the order of the attributes or else the file."""
    named = attributes.get("sources")
    own = [match for match in map(_SUFFIXED.match, stored) if match]
    if own:
        arch = "joint" if all(match[1] == _HEAD for match in own) else "x-umx"
        sources = tuple(dict.fromkeys(match[2] for match in own))
    else:
        arch, sources = "umx", (named or (path.stem,))[:1]
    if named is not None and set(named) != set(sources):
        raise WeightsError(f"{path}: its attributes name the sources {list(named)}, its parameters others")
    return arch, named or sources


def _attributes(path: Path, file: h5py.File) -> dict[str, Any]:
    """What shapes do not tell, as far as the file says it."""
    known: dict[str, Any] = {name: _whole(path, file, name) for name in ("n_hop", "sample_rate")}
    from xumx.base.hdf5 import attribute

    sources = attribute(file, "sources")
    if sources is not None:
        if np.ndim(sources) != 1 or not all(isinstance(s, (str, bytes)) for s in sources):
            raise WeightsError(f"{path}: its attribute sources is no list of names")
        known["sources"] = tuple(s.decode() if isinstance(s, bytes) else str(s) for s in sources)
    return {name: value for name, value in known.items() if value is not None}


def _whole(path: Path, node: h5py.HLObject, name: str) -> int | None:
    """An attribute that is a whole number; None where there is none."""
    from xumx.base.hdf5 import attribute

    value = attribute(node, name)
    if value is not None and not isinstance(value, (int, np.integer)):
        raise WeightsError(f"{path}: the attribute {name} of {node.name} is no whole number")
    return None if value is None else int(value)


def _infer(
    path: Path,
    arch: str,
    sources: tuple[str, ...],
    stored: Mapping[str, h5py.Dataset],
    attributes: Mapping[str, Any],
) -> ModelConfig:
    def shape(name: str, rank: int) -> tuple[int, ...]:
        name = stored_name(arch, sources[0], name)
        if name not in stored:
            raise WeightsError(f"{path}: lacks {name}")
        if stored[name].ndim != rank:
            raise WeightsError(f"{path}: {name} has {stored[name].ndim} axes, not {rank}")
        return tuple(stored[name].shape)

    (max_bin,) = shape("input_mean", 1)
    (bins,) = shape("output_mean", 1)
    rows, hidden = shape("fc1/affine/W", 2)
    directions = shape("lstm/lstm/weight_l0", 4)[0]
    layers = shape("lstm/lstm/bias", 4)[0]
    return from_shapes(
        path,
        arch=arch,
        sources=sources,
        max_bin=max_bin,
        bins=bins,
        rows=rows,
        hidden_size=hidden,
        nb_layers=layers,
        unidirectional=directions == 1,
        n_hop=attributes.get("n_hop"),
        sample_rate=attributes.get("sample_rate"),
    )


def _check_shapes(path: Path, config: ModelConfig, stored: Mapping[str, h5py.Dataset]) -> None:
    expected = {
        stored_name(config.arch, source, name): shape
        for source in config.sources
        for name, shape in parameter_shapes(config).items()
    }
    for name, shape in expected.items():
        if name not in stored:
            raise WeightsError(f"{path}: lacks {name}")
        if stored[name].shape != shape:
            raise WeightsError(f"{path}: {name} has shape {stored[name].shape}, not {shape}")
    unknown = sorted(set(stored) - set(expected))
    if unknown:
        raise WeightsError(f"{path}: unknown parameter {unknown[0]}, which no {config.arch} network has")


def _check_values(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{path}: {name} holds values that are not finite")
        if name.endswith("/bn/var") and array.min() < 0:
            raise WeightsError(f"{path}: {name} holds a negative variance")


def _write(path: Path, config: ModelConfig, named: dict[str, np.ndarray], dtype: Any) -> None:
    from xumx.base.hdf5 import writing

    with writing(path) as file:
        for index, (name, array) in enumerate(named.items()):
            dataset = file.create_dataset(name, data=array.astype(dtype))
            dataset.attrs["index"] = index
            dataset.attrs["need_grad"] = not name.endswith(_FIXED)
        for field in dataclasses.fields(config):
            file.attrs[field.name] = getattr(config, field.name)
