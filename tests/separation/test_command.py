"""``python -m xumx.test`` as a user meets it."""

import contextlib
import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading

import numpy as np
import pytest

from tests.networks import DATA, music
from xumx.audio import Writer, probe, read
from xumx.parallel.communicator import Communicator
from xumx.separation.options import SongOptions
from xumx.test import main

MODEL = ["--model", str(DATA / "x-umx.h5"), "--chunk-dur", "0.5"]
STEMS = ["bass", "drums", "other", "vocals"]
COMMAND = [sys.executable, "-m", "xumx.test"]


def arguments(inputs, out, *more):
    """To separate a song, or a list of them, into a folder; what comes last wins."""
    inputs = inputs if isinstance(inputs, list) else [inputs]
    return ["--inputs", *map(str, inputs), *MODEL, "--outdir", str(out), *map(str, more)]


def separate(inputs, out, *more):
    """The exit code of the command in this process."""
    return main(arguments(inputs, out, *more))


def separate_apart(inputs, out, *more, **how):
    """The command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments(inputs, out, *more)], **{"capture_output": True, "text": True, **how}
    )


@pytest.fixture()
def song(tmp_path):
    path = tmp_path / "song.mp3"
    with Writer(path, 44100, tags={"title": "Test"}) as writer:
        writer.write(music(1.2))
    return path


def stems_in(folder):
    return sorted(p.stem for p in folder.iterdir())


def test_a_song_in_a_fresh_process(song, tmp_path):
    """What it says holds lines, and no bars where there is no terminal."""
    done = separate_apart(song, tmp_path / "out", "--report")
    assert (done.returncode, done.stderr) == (0, "")
    assert stems_in(tmp_path / "out") == sorted([*STEMS, "index"])
    said, page = done.stdout.splitlines()
    assert "song.mp3" in said and "times real time" in said and "index.html" in page


def test_default_folder_and_quiet(song, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["--inputs", "song.mp3", *MODEL, "--quiet"]) == 0
    assert stems_in(tmp_path / "song_x-umx") == STEMS
    assert capfd.readouterr() == ("", "")


def test_options_of_the_output(song, tmp_path):
    where = ["--out-dir", str(tmp_path / "o"), "--filename", "{song}/{stem}.{ext}"]
    sound = ["--format", "flac", "--subtype", "int24", "--sample-rate", "22050"]
    assert main(["--inputs", str(song), *MODEL, "--targets", "vocals", *where, *sound]) == 0
    info = probe(tmp_path / "o" / "song" / "vocals.flac")
    assert info.sample_rate == 22050 and info.tags["title"] == "Test"
    assert info.duration == pytest.approx(1.2, abs=1e-3)


def test_bitrate_acts(song, tmp_path):
    for rate in ("64k", "256000"):
        assert separate(song, tmp_path / rate, "--format", "mp3", "--bitrate", rate) == 0
    low, high = ((tmp_path / rate / "bass.mp3").stat().st_size for rate in ("64k", "256000"))
    assert 2 * low < high


def test_start_and_duration_each_act_alone(song, tmp_path):
    whole = len(read(song)[0])
    for name, part, length in (
        ("start", ["--start", "0.5"], whole - 22050),
        ("duration", ["--duration", "0.5"], 22050),
        ("both", ["--start", "0.25", "--duration", "0.5"], 22050),
    ):
        assert separate(song, tmp_path / name, *part) == 0
        assert len(read(tmp_path / name / "bass.wav")[0]) == length, name


def test_stems_by_name_and_sum(song, tmp_path):
    def run(name, *more):
        assert separate(song, tmp_path / name, *more) == 0
        return {p.stem: read(p)[0] for p in (tmp_path / name).iterdir()}

    every = run("all", "--subtype", "float32")
    two = run("two", "--two-stems", "drums", "--subtype", "float32")
    assert set(two) == {"drums", "no_drums"}
    np.testing.assert_array_equal(two["drums"], every["drums"])
    sums = run("sums", "--aggregate", '{"rest": ["drums", "bass", "other"]}', "--subtype", "float32")
    np.testing.assert_allclose(sums["rest"], every["drums"] + every["bass"] + every["other"], atol=1e-6)
    assert set(run("residual", "--residual-model")) == {*STEMS, "residual"}
    soft = run("soft", "--softmask", "--alpha", "2", "--niter", "0", "--subtype", "float32")
    assert np.abs(soft["drums"] - every["drums"]).max() > 1e-3


def test_options_from_a_file(song, tmp_path):
    (tmp_path / "options.txt").write_text("# stems\n--targets vocals drums  # two\n--niter 0\n")
    assert separate(song, tmp_path / "o", f"@{tmp_path / 'options.txt'}") == 0
    assert stems_in(tmp_path / "o") == ["drums", "vocals"]


def test_one_bad_song_does_not_stop_the_others(song, tmp_path, capfd):
    (tmp_path / "text.mp3").write_text("no music")
    whole = song.read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 2])
    inputs = [tmp_path / n for n in ("text.mp3", "cut.mp3", "missing.mp3", "song.mp3")]
    assert separate(inputs, tmp_path / "o") == 1
    out, err = capfd.readouterr()
    assert stems_in(tmp_path / "o" / "song") == STEMS
    assert stems_in(tmp_path / "o" / "cut") == STEMS
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["cut", "song"]
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: 2 of 4 failed") and "missing.mp3" in last and "text.mp3" in last
    assert "Traceback" not in err
    assert len(out.splitlines()) == 2


def test_report_is_a_page_beside_the_stems(song, tmp_path, capfd):
    out = tmp_path / "out"
    for _ in range(2):  # the second replaces the first
        assert separate(song, out, "--report") == 0
        assert sorted(p.name for p in out.iterdir()) == sorted(["index.html", *(f"{s}.wav" for s in STEMS)])
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[1].endswith(str(out / "index.html"))
    page = (out / "index.html").read_text()
    assert "<h1>Test</h1>" in page and "separated by xumx with x-umx" in page
    assert separate(song, out, "--report", "--quiet") == 0
    assert capfd.readouterr() == ("", "")


def test_reports_of_several_songs(song, tmp_path, capfd):
    (tmp_path / "text.mp3").write_text("no music")
    second = song.with_name("second #2.mp3")
    second.write_bytes(song.read_bytes())
    out = tmp_path / "out"
    part = ["--targets", "vocals", "bass", "--start", "0.5", "--duration", "0.5"]
    assert separate([song, tmp_path / "text.mp3", second], out, "--report", *part) == 1
    assert (out / "song" / "index.html").is_file()
    entrance = (out / "index.html").read_text()
    assert entrance.count("<li>") == 2 and 'href="second%20%232/index.html"' in entrance
    assert re.search(r"<span>second #2\.\w+ · 0:0\d</span>", entrance)
    assert str(out / "index.html") in capfd.readouterr().out
    page = (out / "second #2" / "index.html").read_text()
    assert 'data-seconds="0.500000"' in page and "data-own-sound" in page
    assert 'href="../index.html">← All songs</a>' in page
    flat = ["--filename", "{song} - {stem}.{ext}", "--report", "-q"]
    assert separate([song, second], tmp_path / "flat", *flat) == 0
    page = (tmp_path / "flat" / "second #2_page.html").read_text()
    assert 'href="second%20%232%20-%20bass.wav"' in page


def test_a_page_that_is_not_ours_is_not_replaced(song, tmp_path, capfd):
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("mine")
    assert separate(song, out, "--report") == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert "index.html" in line and "--outdir" in line
    assert [p.name for p in out.iterdir()] == ["index.html"]
    assert (out / "index.html").read_text() == "mine"


@pytest.mark.parametrize(
    "options, code, named",
    [
        (["--inputs", "SONG", "--target", "vocals"], 2, "--target"),
        (["--inputs", "SONG", "--chunk", "3"], 2, "--chunk"),
        ([], 2, "FILE"),
        (["--inputs", "SONG", "--targets", "vocal"], 2, "vocal"),
        (["--inputs", "SONG", "--chunk-dur", "-1"], 2, "--chunk-dur"),
        (["--inputs", "SONG", "--overlap", "1.0"], 2, "--overlap"),
        (["--inputs", "SONG", "--niter", "-1"], 2, "--niter"),
        (["--inputs", "SONG", "--aggregate", "{"], 2, "--aggregate"),
        (["--inputs", "SONG", "--aggregate", '["a"]'], 2, "--aggregate"),
        (["--inputs", "SONG", "--bitrate", "high", "--format", "mp3"], 2, "--bitrate"),
        (["--inputs", "SONG", "--bitrate", "128k"], 2, "--bitrate"),
        (["--inputs", "SONG", "--format", "mp3", "--subtype", "int24"], 2, "--subtype"),
        (["--inputs", "SONG", "--format", "mp3", "--sample-rate", "44101"], 2, "--sample-rate"),
        (["--inputs", "SONG", "--sample-rate", "0"], 2, "--sample-rate"),
        (["--inputs", "SONG", "--filename", "x.wav"], 2, "--filename"),
        (["--inputs", "SONG", "--start", "-1"], 2, "--start"),
        (["--inputs", "SONG", "--duration", "0"], 2, "--duration"),
        (["--inputs", "SONG", "--umx-infer"], 2, "--umx-infer"),
        (["--inputs", "SONG", "--context", "gpu"], 2, "--context"),
        (["--inputs", "SONG", "--engine", "onnx", "--context", "cudnn"], 2, "--engine"),
        (["--inputs", "SONG", "--model", "x-umxx"], 2, "x-umx"),
        (["--inputs", "SONG", "--model", "no/such.h5"], 1, "no/such.h5"),
        (["--inputs", "SONG", "--model", "SONG"], 1, "song.mp3"),
        (["--inputs", "nothing.mp3"], 1, "nothing.mp3"),
        (["--inputs", "SONG", "--start", "99"], 1, "--start"),
        (["@nothing.txt"], 2, "nothing.txt"),
        (["@QUOTE", "--inputs", "SONG"], 2, "quot"),
        (["--inputs", "SONG", "--aggregate", '{"a": [["bass"]]}'], 2, "--aggregate"),
        (["--inputs", "SONG", "--aggregate", '{"../a": ["bass"]}'], 2, "'../a'"),
        (["--inputs", "SONG", "--sample-rate", "4000000000"], 2, "--sample-rate"),
        (["--inputs", "SONG", "--format", "mp3", "--subtype", "int16"], 2, "--subtype"),
        (["--inputs", "SONG", "--chunk-dur", "0", "--overlap", "0.5"], 2, "--overlap"),
        (["--inputs", "SONG", "--device-id", "1"], 2, "--device-id"),
    ],
)
def test_bad_usage_is_one_line_and_a_code(song, tmp_path, monkeypatch, capfd, options, code, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quote.txt").write_text('--niter "0')
    options = [
        str(song) if o == "SONG" else f"@{tmp_path / 'quote.txt'}" if o == "@QUOTE" else o for o in options
    ]
    model = [] if "--model" in options else MODEL[:2]
    try:
        found = main([*options, *model, "--outdir", "out", "--quiet"])
    except SystemExit as stop:  # argparse's own way
        found = stop.code
    err = capfd.readouterr().err
    assert found == code, err
    (line,) = err.strip().splitlines()
    assert named in line and line.startswith("error: ")
    assert not list(tmp_path.rglob("*.wav"))


def test_an_interrupt_leaves_nothing(song, tmp_path, monkeypatch, capfd):
    from xumx.audio import Writer

    def stop(self, block):
        raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "write", stop)
    assert separate(song, tmp_path / "out") == 130
    assert not (tmp_path / "out").exists()
    assert "Traceback" not in capfd.readouterr().err


def test_a_song_that_a_format_cannot_hold_does_not_stop_the_others(song, tmp_path, capfd):
    with Writer(tmp_path / "192k.wav", 192000) as writer:
        writer.write(music(0.5))
    assert separate([tmp_path / "192k.wav", song], tmp_path / "o", "--format", "mp3") == 1
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["song"]
    assert "192000" in capfd.readouterr().err


def test_the_layout_does_not_depend_on_what_fails(song, tmp_path):
    assert separate([song, "missing.mp3"], tmp_path / "o", "-q") == 1
    assert stems_in(tmp_path / "o" / "song") == STEMS


def test_a_second_run_on_a_folder(song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["--inputs", ".", *MODEL, "--quiet"]) == 0
        assert sorted(p.name for p in tmp_path.iterdir()) == ["separated", "song.mp3"]


def test_quiet_says_nothing_of_warnings(tmp_path, capfd):
    whole = tmp_path / "whole.mp3"
    with Writer(whole, 44100) as writer:
        writer.write(music(1))
    (tmp_path / "cut.mp3").write_bytes(whole.read_bytes()[:20000])
    for quiet in (True, False):
        assert separate(tmp_path / "cut.mp3", tmp_path / "o", *["--quiet"] * quiet) == 0
        assert ("warning: " in capfd.readouterr().err) == (not quiet)


def streamed(path):
    """A FLAC that does not tell how long it is, as one from a pipe."""
    with Writer(path, 44100) as writer:
        writer.write(music(0.7))
    header = bytearray(path.read_bytes())
    header[21:26] = bytes([header[21] & 0xF0, 0, 0, 0, 0])
    path.write_bytes(header)
    assert probe(path).duration is None
    return path


def test_on_a_terminal_songs_of_unknown_length_are_no_less_songs(song, tmp_path):
    (tmp_path / "text.mp3").write_text("no music")
    inputs = [streamed(tmp_path / "streamed.flac"), tmp_path / "text.mp3", song]
    for number, songs in enumerate((inputs, inputs[:1], inputs[1:2])):
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 200, 0, 0))
        out = tmp_path / f"out{number}"
        more = ["--report"] if number == 1 else []
        command = [*COMMAND, *arguments([*songs, "missing"], out, *more)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs) as process:
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # how a terminal ends
                while data := os.read(ours, 4096):
                    shown += data
            os.close(ours)
        assert process.returncode == 1
        assert b"Traceback" not in shown and b"Warning" not in shown
        assert (b"streamed.flac" in shown) == (number < 2)
        assert (b"streamed.flac, page 100%:" in shown) == bool(more)
        assert (b"text.mp3: is no audio" in shown) == (number != 1)
        done = sorted(p.name for p in out.iterdir()) if out.exists() else []
        assert done == (["song", "streamed"], ["streamed"], [])[number]


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("of\ntwo lines"), MemoryError(), OSError(28, "No space left")]
)
def test_whatever_happens_to_a_song_the_others_are_done(song, tmp_path, monkeypatch, capfd, error):
    import xumx.separation.work

    real = xumx.separation.work.separate_song

    def broken(separator, file, *args, **options):
        if file.name == "bad.mp3":
            raise error
        return real(separator, file, *args, **options)

    monkeypatch.setattr(xumx.separation.work, "separate_song", broken)
    bad = song.with_name("bad.mp3")
    bad.write_bytes(song.read_bytes())
    assert separate([bad, song], tmp_path / "o") == 1
    first, last = capfd.readouterr().err.splitlines()
    assert first.startswith(f"error: {bad}: ") and last == f"error: 1 of 2 failed: {bad}"
    assert "No space" in first if isinstance(error, OSError) else type(error).__name__ in first
    assert stems_in(tmp_path / "o" / "song") == STEMS


def test_the_next_song_is_decoded_while_one_is_separated(song, tmp_path, monkeypatch):
    from xumx.separation import work

    begun = {name: threading.Event() for name in ("1.mp3", "2.mp3", "3.mp3")}
    songs = [shutil.copyfile(song, tmp_path / name) for name in begun]
    decoded, separated = work.decoded, work.separate_song

    def watched(separator, file, **part):
        for block in decoded(separator, file, **part):
            begun[file.name].set()
            yield block

    def patient(separator, file, *args, **options):
        following = {"1.mp3": "2.mp3", "2.mp3": "3.mp3"}.get(file.name)
        assert not following or begun[following].wait(30)
        return separated(separator, file, *args, **options)

    monkeypatch.setattr(work, "decoded", watched)
    monkeypatch.setattr(work, "separate_song", patient)
    assert separate([*songs], tmp_path / "o") == 0
    assert separate([song], tmp_path / "alone") == 0
    for stem in STEMS:  # with the sound that was there already
        alone, _ = read(tmp_path / "alone" / f"{stem}.wav")
        for number in "123":
            np.testing.assert_array_equal(read(tmp_path / "o" / number / f"{stem}.wav")[0], alone)


def test_the_bar_counts_songs_of_other_processes_once(song, tmp_path, monkeypatch):
    from xumx.separation import work

    bars = []

    class Watched(work.Bar):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            bars.append(self)

    class First(Communicator):
        """The first of two processes: while it is at the first song, the other is done with the second."""

        def share(self, items, passed):
            self.meanwhile = lambda: passed(items[1])
            yield items[0]

    def separate(*args, **options):
        ranks.meanwhile()
        return real(*args, **options)

    ranks, real = First(), work.separate_song
    monkeypatch.setattr(work, "Bar", Watched)
    monkeypatch.setattr(work, "separate_song", separate)
    shutil.copy(song, tmp_path / "second.mp3")
    inputs = ["--inputs", str(song), str(tmp_path / "second.mp3")]
    assert (
        work.separate_songs(SongOptions.parse([*inputs, *MODEL, "--outdir", str(tmp_path / "o")]), ranks) == 0
    )
    assert bars[0].done == pytest.approx(2.4, abs=0.1) and bars[0].total == pytest.approx(bars[0].done)


@pytest.mark.parametrize("how", ["-", "/dev/stdin", "fifo", "<( )"])
def test_songs_from_pipes(song, tmp_path, how):
    name = {"-": "stdin", "/dev/stdin": "stdin", "fifo": "live", "<( )": "pipe"}[how]
    os.mkfifo(tmp_path / "live.fifo")
    script = {
        "fifo": 'cat "$0" > live.fifo & "$@" --inputs live.fifo',
        "<( )": '"$@" --inputs <(cat "$0")',
    }.get(how, f'cat "$0" | "$@" --inputs {how}')
    done = subprocess.run(
        ["bash", "-c", script, str(song), *COMMAND, *MODEL, "--report"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / f"{name}_x-umx").iterdir()) == sorted(
        ["index.html", *(f"{stem}.wav" for stem in STEMS)]
    )
    assert len(read(tmp_path / f"{name}_x-umx" / "bass.wav")[0]) == len(read(song)[0])
    assert not list(tmp_path.glob(".xumx-*"))


def test_what_is_wrong_with_a_pipe_is_said_in_its_name(song, tmp_path):
    def separated(**stdin):
        return separate_apart("-", tmp_path / "o", text=False, **stdin)

    done = separated(input=b"no music")
    assert (done.returncode, done.stderr) == (1, b"error: stdin: is no audio file\n")
    with open("/dev/zero") as endless:
        done = separated(stdin=endless)
    assert (done.returncode, done.stderr) == (1, b"error: -: is a device, not a file\n")
    done = separated(input=song.read_bytes()[:12000])
    assert done.returncode == 0 and done.stderr.startswith(b"warning: stdin: damaged or cut short")


def test_a_pipe_that_cannot_be_kept_stops_no_other_song(song, tmp_path, monkeypatch, capfd):
    from xumx.separation import song as songs

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(songs.shutil, "copyfileobj", full)
    read, write = os.pipe()
    os.close(write)
    assert separate([f"/dev/fd/{read}", song], tmp_path / "o", "--report") == 1
    os.close(read)
    first, last = capfd.readouterr().err.splitlines()
    assert (
        first.startswith("error: pipe: cannot be kept in ") and "No space left" in first and "TMPDIR" in first
    )
    assert last == "error: 1 of 2 failed: pipe"
    assert len(stems_in(tmp_path / "o" / "song")) == 5


def test_names_steer_no_terminal(song, tmp_path, capfd):
    os.rename(song, tmp_path / "a\x1b[31m.mp3")
    (tmp_path / "b\n.mp3").write_text("no music")
    assert separate(tmp_path, tmp_path / "o") == 1
    out, err = capfd.readouterr()
    assert "a\\x1b[31m.mp3: " in out and "b\\n.mp3: is no audio file" in err
    assert "\x1b" not in out + err and len(err.splitlines()) == 2


def test_stems_that_are_left_out_are_said(song, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Queen_x-umx").mkdir()
    (tmp_path / "Queen_x-umx" / "q.mp3").write_bytes(song.read_bytes())
    for options in ([], ["--format", "m4a", "--quiet"], []):
        assert main(["--inputs", ".", *MODEL, *options]) == 0
        out, err = capfd.readouterr()
        assert err == "" and ("4 stems" in out or "8 stems" in out or "16 stems" in out) == (
            out.count("\n") == 3
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Queen_x-umx", "separated", "song.mp3"]


def test_names_that_are_too_long_are_one_line_each(song, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    long = "y" * 300
    for options, code in (
        (["--inputs", f"{long}.wav", "song.mp3"], 1),
        (["--inputs", "song.mp3", "--outdir", long], 1),
        (["--inputs", "song.mp3", "--outdir", "o", "--filename", f"{long}{{stem}}.{{ext}}"], 1),
        (["--inputs", "song.mp3", "--outdir", long, "--report"], 1),
        (["--inputs", "song.mp3", "--model", f"{long}.h5"], 1),
        (["--inputs", "song.mp3", "--model", "x-umx", "--model-dir", long], 1),
    ):
        model = [] if "--model" in options else MODEL
        assert main([*options, *model, "--quiet"]) == code
        lines = capfd.readouterr().err.splitlines()
        assert lines[0].startswith("error: ") and long[:200] in lines[0]
        assert len(lines) == (2 if options[-1] == "song.mp3" else 1)
    assert stems_in(tmp_path / "separated" / "x-umx" / "song") == STEMS


def test_nnabla_does_not_greet(song, tmp_path):
    pytest.importorskip("nnabla")
    done = separate_apart(song, tmp_path / "o", "--quiet", "--engine", "nnabla")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_name_of_any_bytes(song, tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff\xfe.mp3"
    os.rename(song, odd)
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = separate_apart(os.fsdecode(odd), tmp_path / "out", env=environment)
    assert done.returncode == 0, done.stderr
    assert stems_in(tmp_path / "out") == STEMS


def test_termination_leaves_nothing(song, tmp_path):
    """SIGTERM while stems are half-written."""
    code = (
        "import os, signal, sys\n"
        "from xumx.audio import Writer\n"
        "from xumx.test import main\n"
        "Writer.write = lambda self, block: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"main({arguments(song, tmp_path / 'out')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    assert not (tmp_path / "out").exists()
