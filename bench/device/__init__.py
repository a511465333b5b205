"""The checks of `bench/gpu.py`."""
