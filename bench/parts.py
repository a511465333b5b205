"""The parts of the page of all benchmarks: each measures some processes and gives a `bench.page.Part`."""

from __future__ import annotations

import shutil
import sys
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import separate, train_step
from bench.common import CALM, ROOT, Run, median
from bench.page import Part
from bench.peers import venvs


@dataclass(frozen=True)
class Sizes:
    """How much is measured: by default what is published."""

    seconds: float = 180.0  # of the song
    repeats: int = 3
    hours: float = 2.0  # of the long file
    clips: int = 50
    looped: int = 10  # of them in the shell's loop, which takes as long for each
    batch: tuple[int, float] = train_step.FULL
    steps: int = 4
    minutes: float = 1.0  # of each track that samples are drawn from
    rounds: int = 2
    track: float = 240.0  # seconds that are scored
    live: float = 5.0  # seconds

    def __str__(self) -> str:
        files = f"A song of {self.seconds:g} s, a file of {self.hours:g} h"
        clips = f"{self.clips} clips of {separate.CLIP_SECONDS:g} s"
        return (
            f"{files}, {clips}, steps of {self.batch[0]} x {self.batch[1]:g} s, a track of {self.track:g} s."
        )


QUICK = Sizes(10, 1, 0.02, 4, 2, (2, 2.0), 2, 0.2, 1, 15, 0.5)
"""To see within minutes that all of it works."""


@dataclass
class Watch:
    """Runs processes and notes how much others disturbed them."""

    bench: separate.Bench
    sizes: Sizes
    others: float = 0.0
    disturbed: list[str] = field(default_factory=list)

    def note(self, name: str, others: float) -> None:
        self.others = max(self.others, others)
        if others > CALM:
            self.disturbed.append(name)

    def run(self, name: str, *command: str | Path) -> Run:
        """Measure one process, from the clone."""
        run = self.bench.measure(name, *command, cwd=ROOT)
        self.note(name, run.others)
        return run

    def repeated(self, name: str, *command: str | Path) -> Run:
        """Measure a process several times."""
        run = median(self.bench.measure(name, *command, cwd=ROOT) for _ in range(self.sizes.repeats))
        self.note(name, run.others)
        return run

    def song(self, name: str, song: str | Path = "song.mp3") -> tuple[str | Path, ...]:
        """The command that separates a song, or several in a folder."""
        paths = ("--inputs", self.bench.work / song, "--model", self.bench.work / "x-umx.h5")
        return (sys.executable, "-m", "xumx.test", *paths, "--outdir", self.bench.work / name)

    def part(self, values: Mapping[str, float], **more: dict[str, str]) -> Part:
        return Part(dict(values), self.others, self.disturbed, **more)


def separation(watch: Watch) -> Part:
    """A song and a clip by xumx and its peers, the network's products, and where the CPU time goes."""
    bench = watch.bench
    watch.run("ideal", sys.executable, "-m", "bench.ideal")
    found: dict[str, separate.Result] = {}
    for peer in separate.PEERS.values():
        found |= peer(bench)
    values = {
        "seconds": bench.seconds,
        "clip.seconds": separate.CLIP_SECONDS,
        "sony.measured": bench.sony_seconds,
    }
    for name, result in found.items():
        run = result.run
        values |= {f"{name}.wall": run.wall, f"{name}.cpu": run.cpu, f"{name}.peak": run.peak}
        watch.note(name, run.others)
    speed = bench.answer("ideal")
    values["products"] = speed["flops"] * bench.seconds / speed["rates"]["ONNX Runtime"]
    files = (bench.work / name for name in ("song.mp3", "x-umx.h5", "stages"))
    watch.run("stages", sys.executable, "-m", "bench.stages", *files)
    stages = bench.answer("stages")
    values |= {f"stage.{name}": cpu / stages["cpu"] for name, cpu in stages["stages"].items()}
    values["outside"] = 1 - stages["stages"]["network"] / stages["cpu"]
    packages = {"Open-Unmix": ["openunmix", "torch"], "Sony's X-UMX": ["xumx-spleeterweb", "nnabla"]}
    pythons = (venvs.openunmix(bench.cache), venvs.sony(bench.cache))
    peers = {
        name: venvs.versions(python, names)
        for python, (name, names) in zip(pythons, packages.items(), strict=True)
    }
    return watch.part(values, peers=peers)


def start(watch: Watch) -> Part:
    """A process that opens the network that comes with xumx."""
    code = 'import xumx; xumx.Separator("demo")'
    watch.bench.run("start-warm", sys.executable, "-c", code, cwd=ROOT)
    return watch.part({"start.wall": watch.repeated("start", sys.executable, "-c", code).wall})


def int8(watch: Watch) -> Part:
    """The song, by a network in 8 bits."""
    command = (*watch.song("int8"), "--precision", "int8")
    watch.bench.run("int8-warm", *command, cwd=ROOT)  # which may keep what it makes
    return watch.part({"int8.wall": watch.repeated("int8", *command).wall})


def page(watch: Watch) -> Part:
    """The song without and with its page."""
    runs: dict[str, list[Run]] = {"plain": [], "page": []}
    watch.bench.run("plain", *watch.song("plain"), cwd=ROOT)
    for _ in range(watch.sizes.repeats):
        runs["plain"].append(watch.bench.measure("plain", *watch.song("plain"), cwd=ROOT))
        runs["page"].append(watch.bench.measure("page", *watch.song("page"), "--report", cwd=ROOT))
    for name, several in runs.items():
        watch.note(name, median(several).others)
    return watch.part({f"{name}.cpu": median(several).cpu for name, several in runs.items()})


def long(watch: Watch) -> Part:
    """A file of hours: the song again and again, as wav."""
    file = watch.bench.work / "long.wav"
    seconds = 3600 * watch.sizes.hours
    with wave.open(str(watch.bench.work / "song.wav")) as song, wave.open(str(file), "wb") as out:
        out.setparams(song.getparams())
        data, left = song.readframes(song.getnframes()), round(seconds * song.getframerate())
        frame = song.getsampwidth() * song.getnchannels()
        while left > 0:
            out.writeframesraw(data[: left * frame])
            left -= len(data) // frame
    try:
        run = watch.run("long", *watch.song("long", "long.wav"))
    finally:
        file.unlink()
        shutil.rmtree(watch.bench.work / "long", ignore_errors=True)
    return watch.part({"long.wall": run.wall, "long.peak": run.peak, "long.seconds": seconds})


def many(watch: Watch) -> Part:
    """A folder of clips: one process, two under mpirun, and a process each."""
    folder, sizes = watch.bench.work / "clips", watch.sizes
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in range(sizes.clips):
        shutil.copyfile(watch.bench.work / "clip.mp3", folder / f"{number:03}.mp3")
    loop = 'n=$1; shift; for k in $(seq "$n"); do "$@"; done'
    mpirun = Path(sys.executable).with_name("mpirun")
    one = watch.run("many", *watch.song("many", "clips"))
    two = watch.run("many-mpi", mpirun, "-n", "2", *watch.song("many-mpi", "clips"))
    each = watch.run(
        "many-loop", "sh", "-c", loop, "sh", str(sizes.looped), *watch.song("many-loop", "clip.mp3")
    )
    rates = {"many.rate": sizes.clips / one.wall, "many.mpi": sizes.clips / two.wall}
    return watch.part({**rates, "many.loop": sizes.looped / each.wall})


def train(watch: Watch) -> Part:
    """Steps of training, and of four of Open-Unmix."""
    python = venvs.openunmix(watch.bench.cache)
    bench, sizes = train_step.Bench(watch.bench.cache, watch.bench.patience), watch.sizes
    ours, peer = train_step.alternate(
        min(sizes.repeats, 2),
        lambda: bench.ours("cpu", sizes.batch, sizes.steps),
        lambda: bench.openunmix(python, sizes.batch, sizes.steps),
    )
    for name, step in (("train", ours), ("train-openunmix", peer)):
        watch.note(name, step.others)
    return watch.part({"step.wall": ours.wall, "step.peak": ours.peak, "step.peer": peer.wall})


def data(watch: Watch) -> Part:
    """Samples drawn, by xumx and by musdb."""
    sizes = ("--rounds", str(watch.sizes.rounds), "--minutes", str(watch.sizes.minutes))
    watch.run("data", sys.executable, "bench/data.py", *sizes)
    return watch.part({f"data.{name}": ratio for name, ratio in watch.bench.answer("data").items()})


def evaluation(watch: Watch) -> Part:
    """A track scored by museval and by --fast, whose CPU times are compared."""
    watch.run("eval", sys.executable, "bench/eval.py", "--seconds", str(watch.sizes.track))
    return watch.part(watch.bench.answer("eval"))


def live(watch: Watch) -> Part:
    """Blocks of a stream, on one core."""
    watch.run("live", sys.executable, "-m", "bench.live", "--seconds", str(watch.sizes.live))
    return watch.part({f"live.{name}": ratio for name, ratio in watch.bench.answer("live").items()})


PARTS: dict[str, Callable[[Watch], Part]] = {
    "separate": separation,
    "start": start,
    "int8": int8,
    "page": page,
    "long": long,
    "many": many,
    "train": train,
    "data": data,
    "eval": evaluation,
    "live": live,
}
