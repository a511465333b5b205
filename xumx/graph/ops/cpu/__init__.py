"""The heavy functions of training on a CPU, on BLAS, FFT and compiled loops, with exact gradients.

NNabla's own CPU functions are 5 to 50 times slower, and its LSTM and ISTFT keep many times the memory.
``xumx.graph.ops.stock`` has the same functions by NNabla's own, for ``cudnn`` and for comparison: a graph
takes either module as its ``ops``.
"""

from xumx.graph.ops.cpu.adam import adam_step
from xumx.graph.ops.cpu.affine import affine, normalized_affine
from xumx.graph.ops.cpu.filter import filtered_synthesis
from xumx.graph.ops.cpu.fourier import synthesis
from xumx.graph.ops.cpu.gradients import approach, gradient_norm, scale_gradients
from xumx.graph.ops.cpu.gram import error_gram, gram
from xumx.graph.ops.cpu.lstm import lstm
from xumx.graph.ops.cpu.norm import batch_norm, mask
from xumx.graph.ops.cpu.spectral import spectral_distance

__all__ = [
    "adam_step",
    "affine",
    "approach",
    "batch_norm",
    "error_gram",
    "filtered_synthesis",
    "gradient_norm",
    "gram",
    "lstm",
    "mask",
    "normalized_affine",
    "scale_gradients",
    "spectral_distance",
    "synthesis",
]
