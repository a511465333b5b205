"""``python -m xumx.train``: a training run."""
