"""Correlations of the true sources' channels among each other and with those of the estimates.

Both functions return

- ``ahead``, ``behind``: float64 arrays (inputs, inputs, delays), filled for a <= b: Σ_n r_b[n + k] r_a[n] at
  delay k, and Σ_n r_b[n] r_a[n + k];
- ``across``: float64 array (inputs, delays, outputs): Σ_n e_c[n + k] r_a[n] of input a and output c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement

import numpy as np
import scipy.fft

DELAYS = 512
_BLOCK = 1 << 14

Correlations = tuple[np.ndarray, np.ndarray, np.ndarray]
Correlate = Callable[[np.ndarray, np.ndarray, int], Correlations]


def exact(references: np.ndarray, estimates: np.ndarray, threads: int) -> Correlations:
    """To the last bit those of museval: a complex FFT as long as the track for each pair.

    Parameters
    ----------
    references, estimates : float array (inputs, samples), (outputs, samples)
    threads : int
    """
    inputs, samples = references.shape
    n_fft = 1 << int(np.ceil(np.log2(samples + DELAYS - 1)))
    ahead, behind = np.empty((2, inputs, inputs, DELAYS))
    across = np.empty((inputs, DELAYS, len(estimates)))
    true = [scipy.fft.rfft(row.astype(np.float64), n_fft) for row in references]
    pairs = list(combinations_with_replacement(range(inputs), 2))
    for (a, b), lags in zip(pairs, _lags([(true[b], true[a]) for a, b in pairs], n_fft, threads)):
        ahead[a, b], behind[a, b] = lags
    for c, row in enumerate(estimates):  # one by one, for the memory's sake
        own = scipy.fft.rfft(row.astype(np.float64), n_fft)
        for a, lags in enumerate(_lags([(first, own) for first in true], n_fft, threads)):
            across[a, :, c] = lags[1]
    return ahead, behind, across


def _lags(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], n_fft: int, threads: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """From pairs of spectra: correlations at lags 0, 1, ... and at lags 0, -1, ..."""

    def run(part: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
        # Whole spectra, one by one: FFTs of halves, and in later versions of SciPy of many, round otherwise.
        # In place, in memory that is used again: new pages cost half as much as the FFT.
        whole = np.empty(n_fft, np.complex128)
        half = n_fft // 2 + 1
        results = []
        for first, second in part:
            np.conj(second, out=whole[:half])
            whole[:half] *= first  # np.multiply(first, ..., out=...) rounds otherwise
            np.conj(whole[half - 2 : 0 : -1], out=whole[half:])
            lags = scipy.fft.ifft(whole, overwrite_x=True).real
            results.append((lags[:DELAYS].copy(), np.concatenate([lags[:1], lags[:-DELAYS:-1]])))
        return results

    together: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0))] * len(pairs)
    with ThreadPoolExecutor(threads) as pool:
        for start, results in enumerate(pool.map(run, [pairs[start::threads] for start in range(threads)])):
            together[start::threads] = results
    return together


def blockwise(references: np.ndarray, estimates: np.ndarray, threads: int) -> Correlations:
    """The same sums in blocks, overlap-save: a tenth of the time, and memory of a block.

    Parameters are those of :func:`exact`; the result differs in the last bits.
    """
    inputs, samples = references.shape
    step = _BLOCK - DELAYS + 1
    cross = np.zeros((_BLOCK // 2 + 1, inputs + len(estimates), inputs), np.complex128)
    for start in range(0, samples, step):
        late = slice(start, start + step)
        signals = np.concatenate([references[:, late], estimates[:, late]]).astype(np.float64)
        first = max(start - DELAYS + 1, 0)
        before = references[:, first : start + step].astype(np.float64)
        before = np.pad(before, ((0, 0), (first - start + DELAYS - 1, 0)))
        spectra = scipy.fft.rfft(signals, _BLOCK, workers=threads).T
        cross += spectra[:, :, None] * scipy.fft.rfft(before, _BLOCK, workers=threads).conj().T[:, None]
    # ``before`` begins DELAYS - 1 samples earlier, so that delay k is found at lag k - (DELAYS - 1).
    lags = scipy.fft.irfft(cross, _BLOCK, axis=0)[np.arange(DELAYS) - DELAYS + 1].transpose(1, 2, 0)
    among, across = lags[:inputs], lags[inputs:]
    return among.transpose(1, 0, 2), among, across.transpose(1, 2, 0)
