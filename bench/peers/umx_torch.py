"""Open-Unmix on PyTorch; runs in its own environment, without xumx.

    python umx_torch.py convert UMX_FOLDER OUT     weights: NNabla's layout to openunmix's
    python umx_torch.py separate WAV MODEL OUTDIR  what is measured

Separates as openunmix's own command does by default (the whole song at once, one iteration of the Wiener
filter); but audio comes and goes by soundfile, because torchaudio, which openunmix imports, is not there.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import soundfile
import torch

sys.modules["torchaudio"] = types.ModuleType("torchaudio")

TARGETS = ["bass", "drums", "vocals", "other"]


def convert(folder: Path, out: Path) -> None:
    """Write the model folder that ``openunmix.utils.load_separator`` reads."""
    import h5py
    from openunmix.model import OpenUnmix

    out.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        with h5py.File(folder / f"{target}.h5") as file:
            state = _state(file)
            n_hop, rate = int(file.attrs["n_hop"]), int(file.attrs["sample_rate"])
        hidden, max_bin, bins = (len(state[name]) for name in ("bn1.bias", "input_mean", "output_mean"))
        channels, n_fft = len(state["bn3.bias"]) // bins, 2 * (bins - 1)
        # openunmix ignores what is missing; here it would be an error.
        OpenUnmix(bins, channels, hidden, max_bin=max_bin).load_state_dict(state)
        torch.save(state, out / f"{target}.pth")
        sizes = {"nfft": n_fft, "nb_channels": channels, "hidden_size": hidden}
        (out / f"{target}.json").write_text(json.dumps({"args": sizes}))
    sizes = {"sample_rate": rate, "nfft": n_fft, "nhop": n_hop, "nb_channels": channels}
    (out / "separator.json").write_text(json.dumps(sizes))


def _state(file: Any) -> dict[str, torch.Tensor]:
    """Parameters of one target under openunmix's names, from an open weights file."""

    def array(name: str) -> torch.Tensor:
        return torch.from_numpy(file[name][()])

    state = {name: array(name) for name in ("input_mean", "input_scale", "output_mean", "output_scale")}
    parts = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "var"}
    for i in (1, 2, 3):
        state[f"fc{i}.weight"] = array(f"fc{i}/affine/W").T.contiguous()
        state |= {f"bn{i}.{theirs}": array(f"fc{i}/bn/{ours}").flatten() for theirs, ours in parts.items()}
        state[f"bn{i}.num_batches_tracked"] = torch.tensor(0)
    bias = array("lstm/lstm/bias")
    for layer, of_layer in enumerate([array("lstm/lstm/weight_l0"), *array("lstm/lstm/weight")]):
        for direction, weight in enumerate(of_layer):  # (gates, hidden, inputs + hidden), gates as in PyTorch
            size = weight.shape[1]
            end = f"_l{layer}" + ("_reverse" if direction else "")
            weight = weight.flatten(0, 1)
            state[f"lstm.weight_ih{end}"] = weight[:, :-size].contiguous()
            state[f"lstm.weight_hh{end}"] = weight[:, -size:].contiguous()
            state[f"lstm.bias_ih{end}"] = bias[layer, direction].flatten()
            state[f"lstm.bias_hh{end}"] = torch.zeros(4 * size)
    return state


def separate(wav: Path, model: Path, folder: Path) -> None:
    """Write a wav of 16 bits a target."""
    from openunmix import predict, utils

    separator = utils.load_separator(str(model), targets=TARGETS, niter=1, device="cpu")
    separator.freeze()
    audio, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    estimates = predict.separate(torch.from_numpy(audio.T.copy()), rate, separator=separator, device="cpu")
    folder.mkdir(parents=True, exist_ok=True)
    for target, estimate in estimates.items():
        soundfile.write(folder / f"{target}.wav", estimate[0].T.numpy(), rate)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    (convert if command == "convert" else separate)(*map(Path, paths))
