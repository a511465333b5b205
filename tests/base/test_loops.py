"""Loops against NumPy, for vectors of any length and rows that end within one."""

from __future__ import annotations

import numpy as np
import pytest

from xumx.base import loops
from xumx.base.loops import Complex, compiled


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_computes_what_numpy_does(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "_lanes", lambda: lanes)

    def write(code, x, scale, y, sums, frames, bins, low, width):
        total = code.row(sums, (0, width))
        with code.loop(frames) as t:
            row = code.row(x, (t, frames), (1, 2), (low, bins))
            found = code.row(y, (t, frames), (low, bins))

            def body():
                z = row.complex()
                norm = z.energy().sqrt()
                turned = Complex(z.im.if_positive(z.im, -1.0), z.re).times_conj(z) * z - z
                found.write(turned * code.number(scale) + z)
                total.write(total.number() + (norm + 1.0).inverse() - 0.5)

            code.across(width, body)

    kinds = ["complex64", "float", "complex64", "float64", "int", "int", "int", "int"]
    loop = compiled(kinds, write)
    rng = np.random.default_rng(lanes)
    for width in (0, 1, 7, 8, 19):
        parts = rng.standard_normal((2, 5, 2, 25)).astype(np.float32)
        x, y, sums = parts[0] + 1j * parts[1], np.zeros((5, 25), np.complex64), np.zeros(width)
        loop(x, 0.3, y, sums, 5, 25, 3, width)
        z = x[:, 1, 3 : 3 + width].astype(np.complex128)
        turned = (np.where(z.imag > 0, z.imag, -1) + 1j * z.real) * z.conj() * z - z
        expected = np.zeros((5, 25), np.complex128)
        expected[:, 3 : 3 + width] = turned * 0.3 + z
        np.testing.assert_allclose(y, expected, rtol=1e-6, err_msg=f"width {width}")
        np.testing.assert_allclose(sums, (1 / (np.abs(z) + 1) - 0.5).sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros(8, np.float32)[::2]], ids=["double", "strided"])
def test_takes_no_other_array(array: np.ndarray) -> None:
    def write(code, x, size):
        code.across(size, lambda: code.row(x, (0, size)).write(code.number(1.0)))

    with pytest.raises(TypeError, match="float32 in C order"):
        compiled(["float32", "int"], write)(array, 4)
