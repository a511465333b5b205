"""The LSTM frame by frame: the recurrent products and the gates, forward and back.

Frame t of one direction, with the gates i, f, z, o of the sums a (z is the candidate for the cell)::

    a_t = W_x x_t + W_h h_{t-1} + b
    i = σ(a_i),  f = σ(a_f),  z = tanh(a_z),  o = σ(a_o)
    c_t = f · c_{t-1} + i · z
    h_t = o · tanh(c_t)

Backward, h_t and c_t have a gradient by the frame after, and h_t one by the output too. By the chain rule, as
σ' = σ (1 − σ) and tanh' = 1 − tanh²::

    dh  =  dy_t + W_hᵀ da_{t+1}
    dc  =  f_{t+1} · dc_{t+1}  +  dh · o · (1 − tanh² c_t)
    da_i = dc · z · i (1 − i),       da_f = dc · c_{t-1} · f (1 − f)
    da_z = dc · i · (1 − z²),        da_o = dh · tanh(c_t) · o (1 − o)
"""

from __future__ import annotations

import numpy as np

from xumx.base.memory import aligned
from xumx.graph.ops.cpu.base import Array, kernel, tanh

TILE = 256
"""Columns of the recurrent weights that a product works on together; less of them is all overhead."""


@kernel
def walk(
    direction: int, lo: int, hi: int, gates: Array, cells: Array, out: Array, w_h: Array, bias: Array
) -> None:
    """Walk one direction of a layer through all frames, for the batch's members lo to hi.

    Parameters
    ----------
    direction, lo, hi : int
        1 walks back in time.
    gates : float32 array (directions, frames, batch, 4 hidden)
        Holds X W_xᵀ, and is left holding the activated gates.
    cells : float32 array (directions, frames, batch, hidden)
        Is filled with c.
    out : float32 array (frames, batch, directions · hidden)
        Is filled with h.
    w_h : float32 array
        :func:`tiles` of W_hᵀ (directions, hidden, 4 hidden).
    bias : float32 array (directions, 4 hidden)
    """
    frames, hidden = cells.shape[1], cells.shape[3]
    # sigmoid(a) = (1 + tanh(a / 2)) / 2: with the factor 1/2, or 1 for z, one formula does for all gates.
    half = np.full(4 * hidden, np.float32(0.5))
    half[2 * hidden : 3 * hidden] = 1
    h = np.zeros((hi - lo, w_h.shape[2] // TILE), np.float32)
    before = np.zeros((hi - lo, hidden), np.float32)
    sums = np.empty((hi - lo) * TILE, np.float32)
    for step in range(frames):
        t = frames - 1 - step if direction else step
        # h is still that of the frame before: a = W_x x_t + W_h h, the bias being added in _activate.
        _add_product(h, w_h[direction], sums, gates[direction, t, lo:hi])
        for n in range(hi - lo):
            g, c = gates[direction, t, lo + n], cells[direction, t, lo + n]
            _activate(g, bias[direction], half)
            i, f, z, o = g[:hidden], g[hidden : 2 * hidden], g[2 * hidden : 3 * hidden], g[3 * hidden :]
            _cell(i, f, z, before[n], c)
            _output(o, c, h[n, :hidden])
            out[t, lo + n, direction * hidden : (direction + 1) * hidden] = h[n, :hidden]
        before = cells[direction, t, lo:hi]


@kernel
def walk_back(
    direction: int, lo: int, hi: int, gates: Array, cells: Array, dy: Array, w_h: Array, dgates: Array
) -> None:
    """Fill dgates, the gradient da before the activations, walking against the direction's sense of time.

    Parameters
    ----------
    direction, lo, hi, gates, cells
        As :func:`walk` took and left them.
    dy : float32 array (frames, batch, directions · hidden)
        Gradient of h by the output.
    w_h : float32 array
        :func:`tiles` of W_h (directions, 4 hidden, hidden).
    dgates : float32 array (directions, frames, batch, 4 hidden)
        Is filled.
    """
    frames, hidden = cells.shape[1], cells.shape[3]
    dh, dc = np.zeros((hi - lo, hidden), np.float32), np.zeros((hi - lo, hidden), np.float32)
    # start is c before the first frame, tc tanh(c_t).
    start, tc = np.zeros((hi - lo, hidden), np.float32), np.empty(hidden, np.float32)
    da = np.zeros((hi - lo, w_h.shape[2] // TILE), np.float32)
    sums = np.empty((hi - lo) * TILE, np.float32)
    for step in range(frames):
        t = step if direction else frames - 1 - step
        before = cells[direction, t + 1 if direction else t - 1, lo:hi] if step < frames - 1 else start
        for n in range(hi - lo):
            g, dg = gates[direction, t, lo + n], da[n, : 4 * hidden]
            i, f, z, o = g[:hidden], g[hidden : 2 * hidden], g[2 * hidden : 3 * hidden], g[3 * hidden :]
            # dh holds W_hᵀ da_{t+1}, and dc holds f_{t+1} · dc_{t+1}.
            _add(dh[n], dy[t, lo + n, direction * hidden : (direction + 1) * hidden])
            _tanh(cells[direction, t, lo + n], tc)
            _d_cell(dc[n], dh[n], o, tc)
            _d_sigmoid(dc[n], z, i, dg[:hidden])
            _d_sigmoid(dc[n], before[n], f, dg[hidden : 2 * hidden])
            _d_tanh(dc[n], i, z, dg[2 * hidden : 3 * hidden])
            _d_sigmoid(dh[n], tc, o, dg[3 * hidden :])
            _scale(dc[n], f)
            dgates[direction, t, lo + n] = dg
        # For the next frame, which is the one before in time.
        dh[:] = 0
        _add_product(da, w_h[direction], sums, dh)


def tiles(weights: Array) -> Array:
    """Copy matrices w (directions, K, J) so that a walk reads each in one go, for products ``a @ w``.

    Returns
    -------
    float32 array (directions, tiles, rows · TILE), at a cache line
        The columns in tiles, each as rows one after the other; K is filled up to a multiple of eight with
        zeros, and J to one of TILE.

    Examples
    --------
    >>> tiles(np.ones((2, 6, 260), np.float32)).shape
    (2, 2, 2048)
    """
    directions, k, j = weights.shape
    whole = np.zeros((directions, -k % 8 + k, -j % TILE + j), np.float32)
    whole[:, :k, :j] = weights
    packed = aligned(directions, whole.shape[2] // TILE, whole.shape[1] * TILE)
    packed.reshape(directions, -1, whole.shape[1], TILE)[...] = whole.reshape(
        directions, whole.shape[1], -1, TILE
    ).swapaxes(1, 2)
    return packed


@kernel
def _add_product(a: Array, w: Array, sums: Array, out: Array) -> None:
    """out += a @ w for few rows, w being one direction's of :func:`tiles`; sums (rows · TILE,) is scratch.

    Sums of a tile stay in the first-level cache while w passes by once. With 16 rows of 256 it runs at nine
    tenths of the rate of large products; OpenBLAS, which packs w for each product, at half of it.
    """
    nb_rows, depth = a.shape[0], w.shape[1] // TILE
    for tile in range(w.shape[0]):
        sums[:] = 0
        for k in range(0, depth, 4):
            w_k = w[tile, k * TILE : (k + 4) * TILE]
            for n in range(0, nb_rows - 3, 4):
                _add_rows(a[n : n + 4, k : k + 4], w_k, sums[n * TILE : (n + 4) * TILE])
        for k in range(0, depth, 8):
            w_k = w[tile, k * TILE : (k + 8) * TILE]
            for n in range(nb_rows - nb_rows % 4, nb_rows):
                _add_row(a[n, k : k + 8], w_k, sums[n * TILE : (n + 1) * TILE])
        start, stop = tile * TILE, min((tile + 1) * TILE, out.shape[1])
        for n in range(nb_rows):
            _add(out[n, start:stop], sums[n * TILE : n * TILE + stop - start])


# The fixed distance of the rows of w, and of those of the sums, lets LLVM prove that what is written is not
# what is read: four rows of each meet in registers.
@kernel
def _add_rows(a: Array, w: Array, out: Array) -> None:
    a00, a01, a02, a03 = a[0, 0], a[0, 1], a[0, 2], a[0, 3]
    a10, a11, a12, a13 = a[1, 0], a[1, 1], a[1, 2], a[1, 3]
    a20, a21, a22, a23 = a[2, 0], a[2, 1], a[2, 2], a[2, 3]
    a30, a31, a32, a33 = a[3, 0], a[3, 1], a[3, 2], a[3, 3]
    for j in range(TILE):
        w0, w1, w2, w3 = w[j], w[TILE + j], w[2 * TILE + j], w[3 * TILE + j]
        out[j] += a00 * w0 + a01 * w1 + a02 * w2 + a03 * w3
        out[TILE + j] += a10 * w0 + a11 * w1 + a12 * w2 + a13 * w3
        out[2 * TILE + j] += a20 * w0 + a21 * w1 + a22 * w2 + a23 * w3
        out[3 * TILE + j] += a30 * w0 + a31 * w1 + a32 * w2 + a33 * w3


@kernel
def _add_row(a: Array, w: Array, out: Array) -> None:
    a0, a1, a2, a3, a4, a5, a6, a7 = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
    for j in range(TILE):
        low = a0 * w[j] + a1 * w[TILE + j] + a2 * w[2 * TILE + j] + a3 * w[3 * TILE + j]
        high = a4 * w[4 * TILE + j] + a5 * w[5 * TILE + j] + a6 * w[6 * TILE + j] + a7 * w[7 * TILE + j]
        out[j] += low + high


# One array written in each loop: with more, LLVM gives up proving that none overlaps another.
@kernel
def _activate(g: Array, bias: Array, half: Array) -> None:
    for j in range(g.size):
        g[j] = half[j] * tanh(half[j] * (g[j] + bias[j])) + (np.float32(1) - half[j])


@kernel
def _cell(i: Array, f: Array, z: Array, before: Array, c: Array) -> None:
    for j in range(c.size):
        c[j] = f[j] * before[j] + i[j] * z[j]


@kernel
def _output(o: Array, c: Array, h: Array) -> None:
    for j in range(c.size):
        h[j] = o[j] * tanh(c[j])


@kernel
def _add(a: Array, b: Array) -> None:
    for j in range(a.size):
        a[j] += b[j]


@kernel
def _scale(a: Array, b: Array) -> None:
    for j in range(a.size):
        a[j] *= b[j]


@kernel
def _tanh(a: Array, b: Array) -> None:
    for j in range(a.size):
        b[j] = tanh(a[j])


@kernel
def _d_cell(dc: Array, dh: Array, o: Array, tc: Array) -> None:
    for j in range(dc.size):
        dc[j] += dh[j] * o[j] * (np.float32(1) - tc[j] * tc[j])


@kernel
def _d_sigmoid(upstream: Array, partner: Array, gate: Array, out: Array) -> None:
    for j in range(out.size):
        out[j] = upstream[j] * partner[j] * gate[j] * (np.float32(1) - gate[j])


@kernel
def _d_tanh(upstream: Array, partner: Array, gate: Array, out: Array) -> None:
    for j in range(out.size):
        out[j] = upstream[j] * partner[j] * (np.float32(1) - gate[j] * gate[j])
