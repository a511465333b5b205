"""``python umx_torch_step.py BATCH SECONDS HIDDEN STEPS``: steps of training Open-Unmix on PyTorch.

Runs in its own environment, without xumx. One model is trained on noise, as openunmix's train.py does on
music. Prints JSON: ``wall`` and ``cpu``, the median seconds of four steps (one for each of four targets)
after the first.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import types

import torch

sys.modules["torchaudio"] = types.ModuleType("torchaudio")  # it needs the name only

N_FFT, N_HOP, BINS, MAX_BIN, RATE, TARGETS = 4096, 1024, 2049, 1487, 44100, 4


def main(batch: int, seconds: float, hidden: int, steps: int) -> dict[str, float]:
    """Take ``steps`` steps and time all but the first."""
    from openunmix.model import OpenUnmix
    from openunmix.transforms import ComplexNorm, make_filterbanks

    stft, _ = make_filterbanks(n_fft=N_FFT, n_hop=N_HOP, sample_rate=RATE)
    encoder = torch.nn.Sequential(stft, ComplexNorm(mono=False))
    model = OpenUnmix(nb_bins=BINS, nb_channels=2, hidden_size=hidden, max_bin=MAX_BIN)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    mixture, target = torch.randn(2, batch, 2, round(seconds * RATE)) / 10

    walls, cpus = [], []
    for _ in range(steps):
        began, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(encoder(mixture)), encoder(target))
        loss.backward()
        optimizer.step()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
    return {"wall": TARGETS * statistics.median(walls[1:]), "cpu": TARGETS * statistics.median(cpus[1:])}


if __name__ == "__main__":
    batch, seconds, hidden, steps = sys.argv[1:]
    print(json.dumps(main(int(batch), float(seconds), int(hidden), int(steps))))
