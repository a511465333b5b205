"""A filter of resonators that move, as those of the mouth do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.fft

from xumx.synth.sound import RATE

_HOP, _FRAME, _FFT = 512, 1024, 2048
_TOGETHER = 32  # frames that are filtered at once
_AIR = np.float32(0.01)  # what passes above the formants


def formants(source: np.ndarray, keys: Sequence[tuple[float, np.ndarray]]) -> np.ndarray:
    """Pass a sound through five resonators in parallel whose frequencies and gains move between keys.

    Parameters
    ----------
    source : float32 array (samples,)
    keys : sequence of (second, array (10,))
        Five frequencies in Hz and five gains in dB at some moments. Between them lies a straight line, before
        the first and after the last all stays.

    Returns
    -------
    float32 array (samples,)
    """
    order = sorted(range(len(keys)), key=lambda i: keys[i][0])
    moments = np.array([keys[i][0] for i in order])
    rows = np.stack([keys[i][1] for i in order])
    frames = len(source) // _HOP + 2
    seconds = np.arange(frames) * _HOP / RATE
    columns = np.stack([np.interp(seconds, moments, column) for column in rows.T])
    centres, responses = _resonators()
    places = np.interp(np.log(columns[:5]), np.log(centres), np.arange(len(centres)))
    rows_below = np.minimum(places.astype(int), len(centres) - 2)
    shares = (places - rows_below).astype(np.float32)
    gains = (10 ** (columns[5:] / 20) * np.array([[1], [-1], [1], [-1], [1]])).astype(np.float32)
    padded = np.zeros((frames + 1) * _HOP, np.float32)
    padded[_HOP : _HOP + len(source)] = source
    hops = padded.reshape(-1, _HOP)
    out = np.zeros((frames + _FFT // _HOP, _HOP), np.float32)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FRAME) / _FRAME)).astype(np.float32)
    for first in range(0, frames, _TOGETHER):
        part = slice(first, min(first + _TOGETHER, frames))
        if not hops[first : part.stop + 1].any():
            continue
        framed = np.concatenate([hops[part], hops[first + 1 : part.stop + 1]], axis=1) * window
        response = np.full((len(framed), responses.shape[1]), _AIR, np.complex64)
        for row, share, gain in zip(rows_below[:, part], shares[:, part], gains[:, part]):
            response += (gain * (1 - share))[:, None] * responses[row]
            response += (gain * share)[:, None] * responses[row + 1]
        sound = scipy.fft.irfft(scipy.fft.rfft(framed, _FFT) * response, _FFT)
        for k in range(_FFT // _HOP):
            out[first + k : part.stop + k] += sound[:, k * _HOP : (k + 1) * _HOP]
    return out.reshape(-1)[_HOP : _HOP + len(source)]


@lru_cache(maxsize=1)
def _resonators() -> tuple[np.ndarray, np.ndarray]:
    """Centre frequencies in Hz, (centres,), and responses of resonators there, (centres, bins)."""
    centres = np.geomspace(180, 6500, 160)
    hz = np.arange(_FFT // 2 + 1) * RATE / _FFT
    bandwidths = 60 + 0.05 * centres
    ratio = hz / centres[:, None]
    q = (centres / bandwidths)[:, None]
    responses = 1 / q / (1 - ratio**2 + 1j * ratio / q)
    return centres, responses.astype(np.complex64)
