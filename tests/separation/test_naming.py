import errno
import os
from pathlib import Path

import numpy as np
import pytest

from xumx.audio import FORMATS, Writer
from xumx.base.errors import UsageError
from xumx.separation.naming import MAKER, Output, find


def test_find_takes_files_folders_and_globs(tmp_path):
    for name in ("a.mp3", "b.FLAC", "sub/c.wav", "sub/notes.txt", "odd.xyz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()

    def names(*inputs):
        found = find(str(tmp_path / i) for i in inputs)
        return [str(song.file.relative_to(tmp_path)) for song in found.songs], found.problems

    assert names("") == (["a.mp3", "b.FLAC", "sub/c.wav"], [])
    assert names("odd.xyz", "a.mp3", "*.mp3") == (["odd.xyz", "a.mp3"], [])
    assert names("**/*.wav") == (["sub/c.wav"], [])
    songs, problems = names("a.mp3", "missing.mp3", "empty", "*.aiff")
    assert songs == ["a.mp3"] and len(problems) == 3
    for problem, word in zip(problems, ("missing.mp3", "empty", "aiff"), strict=True):
        assert word in problem and "\n" not in problem


def test_paths():
    songs = [Path("x/one.mp3"), Path("two.mp3"), Path("y/one.flac")]
    one, two, again = Output("out").paths(songs, ["vocals", "drums"], "x-umx")
    assert one == {"vocals": Path("out/x/one/vocals.wav"), "drums": Path("out/x/one/drums.wav")}
    assert two["drums"] == Path("out/two/drums.wav")
    assert again["drums"] == Path("out/y/one/drums.wav")
    same = Output("out").paths([Path("one.mp3"), Path("one.flac")], ["vocals"], "m")
    assert [plan["vocals"] for plan in same] == [Path("out/one/vocals.wav"), Path("out/one_2/vocals.wav")]
    assert Output("out").paths(songs[:1], ["vocals"], "m") == [{"vocals": Path("out/vocals.wav")}]
    several = Output(format="mp3").paths(songs, ["vocals"], "m")
    assert several[1] == {"vocals": Path("separated/m/two/vocals.mp3")}
    flat = Output("out", "{song} - {stem} ({model}).{ext}").paths(songs, ["vocals"], "m")
    assert flat[1]["vocals"] == Path("out/two - vocals (m).wav")
    with_mix = Output("out", gains={"vocals": 0.5}, remux=True).paths([Path("a.MP4")], ["vocals"], "m")
    assert with_mix == [
        {"vocals": Path("out/vocals.wav"), "mix": Path("out/mix.wav"), "film": Path("out/a.MP4")}
    ]
    (film,) = Output("out", remux=True).paths([Path("a.avi")], ["vocals"], "m")
    assert film["film"] == Path("out/a.mkv")
    stems = Output(format="stem.mp4").paths([Path("a.mp3"), Path("b.mp3")], ["b", "d", "v", "o"], "m")
    assert stems[1] == {"stems": Path("separated/m/b/b.stem.mp4")}


def test_a_folder_keeps_its_tree(tmp_path):
    for name in ("one/track.mp3", "two/live/track.mp3", "three/track.mp3"):
        (tmp_path / "music" / name).parent.mkdir(parents=True)
        (tmp_path / "music" / name).touch()

    def places(*inputs):
        songs = find([str(tmp_path / i) for i in inputs]).songs
        plans = Output("o").paths(songs, ["v"], "m", several=True)
        return [plan["v"].as_posix() for plan in plans]

    tree = ["one/track/v.wav", "three/track/v.wav", "two/live/track/v.wav"]
    assert places("music") == [f"o/{path}" for path in tree]
    assert places("music", "music/one/track.mp3") == [f"o/music/{path}" for path in tree]
    assert places("music/one", "music/three") == ["o/one/track/v.wav", "o/three/track/v.wav"]
    assert places("music/**/*.mp3") == [f"o/{path}" for path in tree]
    files = [f"music/{path}" for path in ("one/track.mp3", "two/live/track.mp3", "three/track.mp3")]
    assert places(*files) == ["o/one/track/v.wav", "o/live/track/v.wav", "o/three/track/v.wav"]


@pytest.mark.parametrize(
    "output, songs, several, pages, entrance",
    [
        (Output("out"), ["one.mp3"], False, ["out/index.html"], "out/index.html"),
        (Output("out"), ["one.mp3"], True, ["out/one/index.html"], "out/one/index.html"),
        (Output(), ["one.mp3"], False, ["one_m/index.html"], "one_m/index.html"),
        (
            Output("out"),
            ["one.mp3", "two.mp3"],
            True,
            ["out/one/index.html", "out/two/index.html"],
            "out/index.html",
        ),
        (
            Output(),
            ["one.mp3", "two.mp3"],
            True,
            ["separated/m/one/index.html", "separated/m/two/index.html"],
            "separated/m/index.html",
        ),
        (
            Output("out", "{song} - {stem}.{ext}"),
            ["index.mp3", "two.mp3", "two.flac"],
            True,
            ["out/index_page.html", "out/two_page.html", "out/two_2_page.html"],
            "out/index.html",
        ),
        (Output("out", "{stem}/{song}.{ext}"), ["one.mp3"], False, ["out/index.html"], "out/index.html"),
        (Output("out", "{song}/x/{stem}/a.{ext}"), ["one.mp3"], False, ["out/one/x/index.html"], None),
    ],
)
def test_pages(output, songs, several, pages, entrance):
    songs = [Path(song) for song in songs]
    plans = output.paths(songs, ["vocals", "drums"], "m", several=several)
    found = output.pages(songs, plans)
    assert found == ([Path(p) for p in pages], Path(entrance or pages[0]))
    assert len(set(found[0])) == len(songs)


@pytest.mark.parametrize(
    "template, songs",
    [
        ("stem.wav", ["a.mp3"]),
        ("{stem}.{ext}", ["a.mp3", "b.mp3"]),
        ("{song}.{ext}", ["a.mp3"]),
        ("{track}.{ext}", ["a.mp3"]),
        ("{stem", ["a.mp3"]),
        ("{stem.x}", ["a.mp3"]),
        ("{}{stem}", ["a.mp3"]),
        ("{stem!r}.wav", ["a.mp3"]),
        ("{stem:>9}.wav", ["a.mp3"]),
        ("{stem:{song}}.wav", ["a.mp3"]),
        ("{stem}.mp3", ["a.mp3"]),
        ("{stem}/", ["a.mp3"]),
    ],
)
def test_templates_that_cannot_be(template, songs):
    with pytest.raises(UsageError, match="`filename`"):
        Output("out", template).paths([Path(s) for s in songs], ["vocals", "drums"], "m")


def test_a_song_is_never_overwritten(tmp_path):
    with pytest.raises(UsageError, match="is a song"):
        Output(str(tmp_path)).paths([tmp_path / "vocals.wav"], ["vocals"], "m")


def write(path, maker=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(path, 44100, maker=maker) as writer:
        writer.write(np.zeros((4410, 2), np.float32))


def test_stems_in_folders_are_known_by_what_they_hold(tmp_path):
    for name in ("a.mp3", "Queen_x-umx/vocals.wav", "moved/back.m4a"):
        write(tmp_path / name)
    for suffix in FORMATS:
        write(tmp_path / "anywhere" / f"bass.{suffix}", MAKER)
    write(tmp_path / "Queen_x-umx" / "drums.wav", MAKER)
    found = find([str(tmp_path)])
    assert [str(song.name.relative_to(tmp_path)) for song in found.songs] == [
        "a.mp3",
        "Queen_x-umx/vocals.wav",
        "moved/back.m4a",
    ]
    assert len(found.stems) == len(FORMATS) + 1 and not found.problems
    named = find([str(tmp_path / "anywhere" / "bass.wav"), str(tmp_path / "Queen_x-umx" / "*")])
    assert len(named.songs) == 3, "files that are named are meant"
    (problem,) = find([str(tmp_path / "anywhere")]).problems
    assert f"only {len(FORMATS)} stems that xumx made" in problem


def test_a_folder_is_walked_as_users_expect(tmp_path):
    names = ["a/1.aifc", "a/2.M4B", "a/3.ts", "a/4.caf", "b/5.w64", "b/6.au", "b/7.dsf", "b/8.3gp"]
    for name in [*names, "a/._1.aifc", "a/cover.jpg", ".xumx-0123abcd/bass.wav", "elsewhere/9.wav"]:
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "music" / name).touch()
    (tmp_path / "music" / "elsewhere").rename(tmp_path / "elsewhere")
    (tmp_path / "music" / "c").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "a" / "up").symlink_to("..")
    (tmp_path / "music" / "d.wav").symlink_to("nothing")
    found = find([str(tmp_path / "music")])
    assert [str(s.name.relative_to(tmp_path / "music")) for s in found.songs] == [*names, "c/9.wav"]
    (problem,) = found.problems
    assert problem == f"{tmp_path}/music/d.wav: leads nowhere"


def test_globs_below_a_folder_that_looks_like_one(tmp_path):
    for name in ("br [1] */a.wav", "br [1] */b/c.wav", "br 1 x/d.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(pattern):
        return sorted(song.name.stem for song in find([str(tmp_path / pattern)]).songs)

    assert found("br [1] */*.wav") == ["a", "d"]
    assert found("br [1] */**/*.wav") == ["a", "c", "d"]
    assert found("br*") == ["a", "c", "d"], "folders too"


def test_what_cannot_be_looked_at_is_said(tmp_path, monkeypatch):
    for name in ("good/a.wav", "locked/b.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find([str(tmp_path / "locked")]).problems == [f"{tmp_path}/locked: Permission denied"]
    found = find(
        [str(tmp_path), "y" * 300 + ".wav", "zero\0byte", str(tmp_path / "good" / "a.wav" / "x"), "/dev/null"]
    )
    assert [song.name.name for song in found.songs] == ["a.wav"]
    for problem, words in zip(
        found.problems,
        ("locked: Permission denied", "wav: File name too long", "null", "Not a directory", "is a device"),
        strict=True,
    ):
        assert words in problem and "\n" not in problem


def test_a_folder_a_song_where_several_may_come():
    (one,) = Output("out").paths([Path("a.mp3")], ["vocals"], "m", several=True)
    assert one == {"vocals": Path("out/a/vocals.wav")}


def test_a_song_of_dots_stays_in_the_folder():
    (one,) = Output("out", "{song}/{stem}.{ext}").paths([Path("...wav")], ["vocals"], "m")
    assert one == {"vocals": Path("out/song/vocals.wav")}
    _, two = Output("out").paths([Path("...wav"), Path("...mp3")], ["vocals"], "m")
    assert two == {"vocals": Path("out/song_2/vocals.wav")}
