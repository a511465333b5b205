"""PyTorch networks to compare with, with the statistics of trained ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from openunmix.model import OpenUnmix
from torch import nn

from xumx.engines.onnx import OnnxEngine
from xumx.network.weights import Weights

SMALL = {"nb_bins": 129, "nb_channels": 2, "hidden_size": 8, "nb_layers": 3, "max_bin": 60}


def trained(net: nn.Module, seed: int = 0) -> nn.Module:
    """``net`` with parameters that training could have given it, for inference."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if "num_batches" in name or "window" in name:
                continue
            if "scale" in name or "running_var" in name:
                tensor.uniform_(0.5, 1.5)
            elif "lstm" in name:
                tensor.uniform_(-1, 1).mul_((4 / tensor.shape[0]) ** 0.5)  # beyond this it would be chaotic
            elif tensor.ndim == 1:
                tensor.normal_(0.3, 0.2)
            else:
                tensor.normal_(0, tensor.shape[1] ** -0.5)
    return net.eval()


def open_unmix(seed: int = 0, **changes: Any) -> OpenUnmix:
    """A small Open-Unmix network, changed as asked."""
    return trained(OpenUnmix(**{**SMALL, **changes}), seed)


class XUMX(nn.Module):
    """X-UMX with the parameters of asteroid's, under its keys, from magnitude to magnitudes."""

    def __init__(self, sources: list[str], bins: int, hidden: int, channels: int, layers: int, max_bin: int):
        super().__init__()
        self.sources, self.max_bin, self.channels, self.bins = sources, max_bin, channels, bins

        def block(*parts: nn.Module) -> nn.Sequential:
            return nn.Sequential(*parts)

        def named(name: str, part: nn.Module) -> nn.Module:
            outer = nn.Module()
            outer.add_module(name, part)
            return outer

        def enc() -> nn.Module:
            return named("enc", block(nn.Linear(max_bin * channels, hidden, False), nn.BatchNorm1d(hidden)))

        def dec() -> nn.Module:
            out = bins * channels
            first = nn.Linear(2 * hidden, hidden, False), nn.BatchNorm1d(hidden), nn.ReLU()
            return named("dec", block(*first, nn.Linear(hidden, out, False), nn.BatchNorm1d(out)))

        self.layer_enc = nn.ModuleDict({s: enc() for s in sources})
        self.layer_lstm = nn.ModuleDict(
            {s: nn.LSTM(hidden, hidden // 2, layers, bidirectional=True) for s in sources}
        )
        self.layer_dec = nn.ModuleDict({s: dec() for s in sources})
        sizes = {"input_mean": max_bin, "input_scale": max_bin, "output_mean": bins, "output_scale": bins}
        self.mean_scale = nn.ParameterDict(
            {f"{name}_{s}": nn.Parameter(torch.ones(size)) for s in sources for name, size in sizes.items()}
        )
        window = nn.Parameter(torch.hann_window(2 * (bins - 1)), requires_grad=False)
        self.encoder = nn.Sequential(nn.Module(), nn.Module())
        self.encoder[0].register_parameter("window", window)
        self.decoder = nn.Module()
        self.decoder.register_parameter("window", window)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(frames, batch, channels, bins) to (sources, frames, batch, channels, bins)."""
        frames, batch = x.shape[:2]
        scale = self.mean_scale
        encoded = []
        for s in self.sources:
            low = (x[..., : self.max_bin] + scale[f"input_mean_{s}"]) * scale[f"input_scale_{s}"]
            code = self.layer_enc[s].enc(low.reshape(frames * batch, -1))
            encoded.append(torch.tanh(code).reshape(frames, batch, -1))
        mean = torch.stack(encoded).mean(0)
        both = [torch.cat([e, self.layer_lstm[s](mean)[0]], -1) for e, s in zip(encoded, self.sources)]
        crossed = torch.stack(both).mean(0).reshape(frames * batch, -1)
        estimates = []
        for s in self.sources:
            out = self.layer_dec[s].dec(crossed).reshape(frames, batch, self.channels, self.bins)
            estimates.append(torch.relu(out * scale[f"output_scale_{s}"] + scale[f"output_mean_{s}"]) * x)
        return torch.stack(estimates)


def asteroid_checkpoint(seed: int = 0, sources: tuple[str, ...] = ("drums", "voice")) -> dict[str, Any]:
    """A network and the dictionary that asteroid's training writes of it, NumPy's numbers included."""
    net = trained(XUMX(list(sources), bins=129, hidden=8, channels=2, layers=3, max_bin=60), seed)
    return {
        "net": net,
        "model_name": "XUMX",
        "state_dict": net.state_dict(),
        "model_args": {
            "window_length": 256,
            "in_chan": 256,
            "n_hop": 32,
            "sample_rate": 48000.0,
            "sources": list(sources),
            "hidden_size": 8,
            "nb_channels": 2,
            "input_mean": None,
            "input_scale": None,
            "max_bin": np.int64(60),
            "nb_layers": 3,
            "bidirectional": True,
            "spec_power": 1,
            "return_time_signals": False,
        },
        "infos": {"software_versions": {"torch_version": torch.__version__}},
    }


def magnitude(bins: int, channels: int, frames: int = 11, batch: int = 2) -> np.ndarray:
    """(frames, batch, channels, bins), as uneven as a spectrogram."""
    rng = np.random.default_rng(0)
    return rng.exponential(3, (frames, batch, channels, bins)).astype(np.float32)


def difference(weights: Weights, x: np.ndarray, expected: torch.Tensor) -> float:
    """Largest deviation of xumx's network from ``expected`` (sources, frames, …), of the peak."""
    reference = expected.detach().numpy()
    assert reference.max() > 1, "the masks are all closed"
    return float(np.abs(OnnxEngine(weights)(x) - reference).max() / reference.max())


def estimate(net: OpenUnmix, x: np.ndarray) -> torch.Tensor:
    """Open-Unmix's estimate in xumx's axes."""
    with torch.no_grad():
        return net(torch.from_numpy(x.transpose(1, 2, 3, 0).copy())).permute(3, 0, 1, 2)
