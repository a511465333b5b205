"""Streams that are separated as they come: how late, from how much, and to the same as a whole song."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.networks import identity_weights, music, random_weights, small_config
from xumx import Separator
from xumx.audio import read
from xumx.base.errors import AudioError, UsageError
from xumx.engines.graphs import GRAPH
from xumx.network import weights as weights_file
from xumx.network.weights import Weights
from xumx.separation.live import Live
from xumx.signal.stft import stft
from xumx.test import main

CONFIG = small_config(unidirectional=True)  # a window of 256 and a hop of 64
AUDIO = music(0.3)


def causal(**changes: Any) -> Weights:
    return random_weights(small_config(unidirectional=True, **changes))


def separated(live: Live, audio: np.ndarray, block: int) -> np.ndarray:
    """All stems, (stems, samples, channels), of a stream in blocks."""
    blocks = [audio[start : start + block] for start in range(0, len(audio), block)]
    pieces = [list(piece.values()) for piece in live.stream(blocks)]
    return np.concatenate(pieces, axis=1)


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "net.h5"
    weights_file.save(path, random_weights(CONFIG))
    return path


@pytest.mark.parametrize(
    "changes",
    [{}, {"arch": "umx", "n_hop": 128}, {"arch": "joint", "nb_channels": 1, "n_fft": 200, "n_hop": 60}],
    ids=str,
)
def test_a_stream_gives_what_the_whole_song_gives(changes: dict[str, Any]) -> None:
    """Without the filter, whose causal form has tests of its own."""
    model = causal(**changes)
    separator = Separator(model, chunk_dur=0, niter=0, level="as-is", context="cpu")
    for samples in (1, 127, 128, 129, 300, len(AUDIO)):
        audio = AUDIO[:samples, : model.config.nb_channels]
        whole = np.stack(list(separator(audio).values()))
        for block in (1, 64, 1000) if samples <= 300 else (63, 128, samples):
            assert distance(separated(separator.live(), audio, block), whole) < 1e-5, (samples, block)


@pytest.mark.parametrize(
    "options",
    [{}, {"niter": 2, "residual_model": True}, {"precision": "int8", "two_stems": "vocals"}],
    ids=str,
)
def test_blocks_of_any_size_equal_the_whole_at_once(options: dict[str, Any]) -> None:
    separator = Separator(random_weights(CONFIG), context="cpu", **options)
    whole = separated(separator.live(), AUDIO, len(AUDIO))
    for block in (50, 64, 999):
        assert distance(separated(separator.live(), AUDIO, block), whole) < 1e-5, block
    assert distance(whole.sum(axis=0), AUDIO) < 1e-3, "nothing of the mixture is lost"
    assert np.ptp(whole, axis=0).max() > 0.1


def test_an_impulse_comes_out_in_its_place_and_in_time() -> None:
    separator = Separator(identity_weights(CONFIG), niter=0, targets=["drums"], context="cpu")
    assert separator.live().latency == 256 + 64
    for at in (0, 400, 447, 448):
        audio = np.zeros((1000, 2), np.float32)
        audio[at] = 1
        # How much must have come for it to come out: the window alone if each sample is pushed at once.
        for block, most in ((1, 256), (64, 256 + 64), (50, 256 + 50)):
            live, out, heard = separator.live(), np.zeros((0, 2), np.float32), None
            for start in range(0, len(audio), block):
                out = np.concatenate([out, live.push(audio[start : start + block])["drums"]])
                if heard is None and len(out) > at:
                    heard = start + block
            assert np.abs(out - audio[: len(out)]).max() < 1e-5, (at, block)
            assert heard is not None and heard - at <= most, (at, block)


def test_a_changed_future_does_not_change_the_past() -> None:
    """Neither what has come out, nor what is a window before the change."""
    separator = Separator(random_weights(CONFIG), context="cpu", residual_model=True)
    other = AUDIO.copy()
    other[7000:] = 3 * music(0.3, seed=5)[7000:]
    first, second = separator.live(), separator.live()
    before = [list(live.push(AUDIO[:7000]).values()) for live in (first, second)]
    after = [list(live.push(x[7000:]).values()) for live, x in ((first, AUDIO), (second, other))]
    found = [np.concatenate(pieces, axis=1) for pieces in zip(before, after)]
    same = 7000 - CONFIG.n_fft + 1
    assert np.array_equal(found[0][:, :same], found[1][:, :same])
    assert np.abs(found[0] - found[1])[:, same : same + 3 * CONFIG.n_fft].max() > 1e-3, "it did change"


def test_the_state_is_carried_on() -> None:
    """What was heard long ago, beyond any window, counts in the network."""
    separator = Separator(random_weights(CONFIG), niter=0, context="cpu")
    found = separated(separator.live(), np.concatenate([music(0.1, seed=7), AUDIO]), 500)[:, -len(AUDIO) :]
    assert distance(found[:, 300:600], separated(separator.live(), AUDIO, 500)[:, 300:600]) > 1e-4


def test_quiet_streams_are_separated_as_if_they_were_not() -> None:
    """From what has come alone: the level of a stream is measured as that of songs is."""
    audio = np.random.default_rng(0).normal(0, 0.1, (9000, 2)).astype(np.float32)
    model = random_weights(CONFIG)
    mean = np.abs(stft(audio, CONFIG.n_fft, CONFIG.n_hop))[:, :, : CONFIG.max_bin].mean(axis=(0, 1))
    for parameters in model.parameters.values():
        parameters["input_mean"][:] = -mean
    auto, plain = (Separator(model, level=level, niter=0, context="cpu") for level in ("auto", "as-is"))
    assert np.array_equal(*(separated(one.live(), audio, 500) for one in (auto, plain))), "loud enough"

    def brought_up(one: Separator, drop: int, block: int) -> np.ndarray:
        gain = np.float32(10 ** (-drop / 20))
        return separated(one.live(), gain * audio, block) / gain

    quiet = brought_up(auto, 20, 500)  # from there on, all levels are the same to the network
    assert (
        distance(brought_up(auto, 32, 64), quiet) < 5e-3 < 0.05 < distance(brought_up(plain, 32, 64), quiet)
    )
    assert distance(brought_up(auto, 20, 63), quiet) < 1e-5


def test_a_damaged_graph_is_made_anew(network: Path, tmp_path: Path) -> None:
    separator = Separator(network, model_dir=tmp_path, context="cpu")
    whole = separated(separator.live(), AUDIO, 4000)
    (kept,) = tmp_path.glob(f"graphs/*+stream*/{GRAPH}")
    kept.write_bytes(b"no graph")
    again = Separator(network, model_dir=tmp_path, context="cpu")
    assert distance(separated(again.live(), AUDIO, 4000), whole) == 0


def test_what_cannot_run_live(network: Path) -> None:
    for model, options, said in (
        (random_weights(small_config()), {}, "network 1 hears the future too: `live` needs"),
        ([causal(), causal(arch="umx")], {}, "`live` runs one network, not 2"),
        (causal(), {"context": "cpu", "precision": "float32", "engine": "onnx", "niter": 0}, ""),
    ):
        separator = Separator(model, **options)
        if said:
            with pytest.raises(UsageError, match=said):
                separator.live()
    live = separator.live()
    live.push(AUDIO[:441])
    with pytest.raises(AudioError, match=r"not finite, first at 0\.010 s"):
        live.push(np.float32([[0, np.nan]]))
    with pytest.raises(UsageError, match="audio must"):
        live.push(np.zeros((3, 5), np.float32))
    assert [len(live.flush()["bass"]) for _ in range(2)] == [441 - 192, 0]  # 192 are out already
    with pytest.raises(AudioError, match="was ended"):
        live.push(AUDIO)


@pytest.mark.parametrize(
    "options, code, said",
    [
        (["--quiet"], 2, "error: --live needs a --model that was trained with --unidirectional"),
        (["-n", "demo"], 2, "error: demo hears the future too: --live needs a network that was trained with"),
        (["-n", "NET", "song.mp3"], 2, "error: --live reads stdin alone: leave song.mp3 out"),
        (["-n", "NET", "demo", "-"], 2, "error: --live runs one network, not 2"),
        (["-n", "NET", "--chunk-dur", "3"], 2, "error: --chunk-dur is for whole songs: leave it out with"),
        (["-n", "NET", "--format", "flac"], 2, "error: --format is for files: add --outdir with --live"),
        (["-n", "NET", "--outdir", "o", "--format", "stem.mp4"], 2, "error: --format stem.mp4 is for whole"),
        (["-n", "NET", "--precision", "float16"], 2, "error: --precision float16: --live computes in"),
        (["-n", "NET", "--pcm-channels", "3"], 2, "error: --pcm-channels must be 1 or 2, not 3"),
        (["-n", "NET", "--quiet"], 1, "error: stdin: no samples came"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line(
    options: list[str], code: int, said: str, network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    null, kept = os.open(os.devnull, os.O_RDONLY), os.dup(0)
    os.dup2(null, 0)
    try:
        argv = ["--live", *(str(network) if word == "NET" else word for word in options)]
        assert main(argv) == code
    finally:
        os.dup2(kept, 0)
    out, err = capfd.readouterr()
    assert out == "" and err.startswith(said) and err.count("\n") == 1
    if "NET" in options and code == 2:
        assert main(["song.mp3", "--pcm", "s16le"]) == 2
        assert capfd.readouterr().err == "error: --pcm is for --live: leave it out, or add that\n"


def test_the_command_answers_before_its_input_ends(network: Path) -> None:
    """Mono of 16 bits in, and the channels of two stems out, as soon as they are final."""
    pcm = np.rint(20000 * AUDIO[:, :1]).astype("<i2")
    command = [sys.executable, "-m", "xumx", "separate", "--live", "--model", str(network)]
    options = ["--pcm", "s16le", "--pcm-channels", "1", "--two-stems", "drums"]
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(pcm[:5000].tobytes())
        process.stdin.flush()
        first = process.stdout.read((5000 - 256) * 4 * 2)  # and stdin stays open
        process.stdin.write(pcm[5000:].tobytes() + b"\0")
        process.stdin.close()
        out, said = first + process.stdout.read(), process.stderr.read().decode()
    assert process.returncode == 0
    live = Separator(network, two_stems="drums", context="cpu").live()
    expected = np.concatenate(list(separated(live, pcm / np.float32(32768), 64)), axis=1)
    found = np.frombuffer(out, "<i2").reshape(-1, 4)
    assert np.abs(found - np.clip(32768 * expected, -32768, 32767)).max() <= 1
    delay, warned, took = said.splitlines()
    assert delay.startswith("latency: 7.3 ms at most, a window of 256 and a hop of 64 samples at 44100 Hz")
    assert delay.endswith("stdout: s16le, 4 channels: drums, no_drums (2 each)")
    assert warned.startswith("warning: stdin ends within a sample") and "real-time factor" in took


def test_a_signal_ends_a_stream_and_its_files_are_whole(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "xumx", "separate", "--live", "--model", str(network)]
    with subprocess.Popen(
        [*command, "--outdir", str(out), "--subtype", "float32", "--targets", "bass"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stderr
        said = process.stderr.readline().decode()
        process.stdin.write(AUDIO[:6000].astype("<f4").tobytes())
        process.stdin.flush()
        while struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, b"1234"))[0]:
            time.sleep(0.01)  # until all is read
        process.send_signal(signal.SIGINT)
        process.wait()
    assert process.returncode == 130 and said.rstrip().endswith(f"stems: {out / 'bass.wav'}")
    live = Separator(network, targets=["bass"], context="cpu").live()
    found, _ = read(out / "bass.wav")
    assert 6000 - 64 <= len(found) <= 6000, "what is read in this very moment may be lost"
    assert distance(found, separated(live, AUDIO[: len(found)], 64)[0]) < 1e-5
