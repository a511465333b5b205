"""The network run by ONNX Runtime, on the CPU or whatever else it can compute on."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from xumx.base.errors import XumxError
from xumx.engines import cuda, graphs, providers
from xumx.engines.graphs import CHECKS, Stored
from xumx.engines.providers import Provider
from xumx.network.config import ModelConfig
from xumx.network.weights import Weights

logger = logging.getLogger(__name__)


class OnnxEngine:
    """A network of any architecture in ONNX Runtime.

    Parameters
    ----------
    network : Weights or Stored
        Not kept.
    threads : int
        Threads a call may use on the CPU; 0 lets ONNX Runtime choose (one a core).
    precision : 'float32', 'float16' or 'int8'
        See :func:`xumx.engines.create`.
    provider : Provider, optional
        Where to compute; the CPU if not given.

    Attributes
    ----------
    config : ModelConfig
    provider : Provider or None
        Where it computes.

    Raises
    ------
    XumxError
        If the provider cannot be used or computes something else than the CPU.
    """

    def __init__(
        self,
        network: Weights | Stored,
        *,
        threads: int = 0,
        precision: str = "float32",
        provider: Provider | None = None,
    ) -> None:
        self.config: ModelConfig = network.config
        self.provider = provider
        if provider is not None:
            providers.check(provider)
        with graphs.graph(network, precision) as path:
            if provider is not None:
                _accept(path, network, provider, precision)
            try:
                self._session = providers.open_session(path, provider, threads=threads)
                return
            except XumxError:
                raise
            except Exception:  # ONNX Runtime's own, of many kinds
                if not isinstance(network, Stored):
                    raise
                logger.info("%s cannot be loaded and is made anew", path)
        network.forget(precision)
        with graphs.graph(network, precision) as path:
            self._session = providers.open_session(path, provider, threads=threads)

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        try:
            return providers.run(self._session, magnitude, len(self.config.sources))
        except Exception as error:
            more = cuda.asked(error)
            if more is None:
                raise
            what = f"{more} more were asked for" if more else cuda.shortened(error)
            where = self.provider or "the CPU"
            raise XumxError(f"{where} has no memory left ({what}); give a smaller `chunk_dur`") from None


def automatic(
    network: Weights | Stored,
    *,
    threads: int,
    precision: str,
    device_id: str | None,
    given: tuple[tuple[str, str], ...],
) -> OnnxEngine | None:
    """The engine on the first provider that is right and faster than the CPU; None if the CPU is the best.

    What is wrong with the others is a warning each, that one is only slower is not.
    """
    found = list(providers.automatic(device_id, given))
    if not found:
        return None
    with graphs.graph(network, precision) as path:
        for provider in found:
            verdict = providers.judged(path, provider, network.config, _memory(network, path))
            problem = providers.verdict_line(provider, verdict, precision)
            if not problem and verdict.seconds >= providers.FASTER * verdict.cpu_seconds:
                times = f"{1000 * verdict.seconds:.0f} ms to {1000 * verdict.cpu_seconds:.0f} ms"
                logger.info("%s is not faster here than the CPU (%s), which is used", provider, times)
                continue
            try:
                if not problem:
                    return OnnxEngine(network, threads=threads, precision=precision, provider=provider)
            except XumxError as error:  # it was right once, and is gone
                problem = str(error)
            logger.warning("%s; the CPU is used", problem.removesuffix("; or use `context` cpu"))
    return None


def _accept(path: Path, network: Weights | Stored, provider: Provider, precision: str) -> None:
    """See that a provider that was asked for computes the network.

    Raises
    ------
    XumxError
        If it does not, or something else.
    """
    verdict = providers.judged(path, provider, network.config, _memory(network, path))
    problem = providers.verdict_line(provider, verdict, precision)
    if problem and not verdict.left:
        raise XumxError(problem)
    if problem:  # right, but not what was asked for
        logger.warning("%s", problem)


def _memory(network: Weights | Stored, path: Path) -> Path | None:
    return path.with_name(CHECKS) if isinstance(network, Stored) else None
