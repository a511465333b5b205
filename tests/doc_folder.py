"""The folder in which the commands of the pages run: short and small, in place of what users have."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests import musdb_set, pth
from tests.folder_sets import write_track, write_tracks
from tests.networks import music, random_weights, small_config
from tests.separation.test_outputs import film
from xumx.audio import Writer
from xumx.network import pretrained, weights
from xumx.network.catalogue import models
from xumx.network.config import SOURCES

SECONDS = 0.6
"""Of each song."""

BAND = ("vocals", "guitar", "drums", "keys", "choir")


def fill(folder: Path) -> None:
    """Make all that the pages name."""
    for index, name in enumerate(("song.mp3", "album/one.mp3", "album/live/one.flac", "live/two.flac")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with Writer(path, 44100) as writer:
            writer.write(music(SECONDS, index))
    film(folder / "talk.mp4", music(SECONDS))
    (folder / "options.txt").write_text("song.mp3 -o from-options  # a comment\n--niter 0\n")
    networks(folder)
    checkpoints(folder)


def networks(folder: Path) -> None:
    """Weights of one's own, and a cache that holds all published networks: small ones under their names."""
    joint = weights_of("x-umx", SOURCES)
    for name in ("weights/x-umx.h5", "runs/x-umx/best.h5", "runs/band/best.h5"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        weights.save(folder / name, weights_of("x-umx", BAND) if "band" in name else joint)
    for model in models():
        for file in model.files:
            path = folder / "cache" / model.name / file.kept
            path.parent.mkdir(parents=True, exist_ok=True)
            sources = model.sources if model.arch == "x-umx" else (path.stem,)
            weights.save(path, weights_of(model.arch, sources))
            digest = "sha256:" if file.for_pytorch else file.checksum
            # As a download that was right: the note says so, and files are not read again.
            pretrained._remember(file, path, digest, path.stat())


def weights_of(arch: str, sources: tuple[str, ...]) -> weights.Weights:
    return random_weights(small_config(arch=arch, sources=sources, n_hop=128))


def checkpoints(folder: Path) -> None:
    """PyTorch's: a folder of Open-Unmix's, and a file of one network."""
    network = weights_of("umx", ("vocals",))
    (folder / "my-umx").mkdir()
    for target in SOURCES:
        pth.save(folder / "my-umx" / f"{target}.pth", pth.state_of(network, "vocals"))
    pth.save(folder / "best_model.pth", pth.state_of(network, "vocals"))


def data_sets(folder: Path) -> None:
    """Data to train on and to score: MUSDB18's layout, songs of a band, and recordings of single sources."""
    root = folder / "data/musdb18"
    musdb_set.make_musdb(root, 1, 1.1, stems=False, valid=1, test=1, compose=musdb_set.mono)
    files = [f"{name}.wav" for name in BAND]
    write_tracks(folder / "data/band", {"train": 1, "valid": 1, "test": 1}, files, 1.1, channels=1)
    for source in SOURCES:
        write_track(folder / "recordings" / source, ["take.wav"], 0.5)


def audio() -> np.ndarray:
    """What the examples in Python separate."""
    return music(SECONDS)
