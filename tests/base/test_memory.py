import numpy as np

from xumx.base.memory import aligned


def test_memory_starts_at_a_cache_line():
    for shape in ((3,), (2, 5), (0,), (4, 1, 7)):
        array = aligned(*shape)
        assert array.shape == shape and array.dtype == np.float32
        assert array.ctypes.data % 64 == 0 or not array.size
