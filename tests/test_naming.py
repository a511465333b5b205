from pathlib import Path

import pytest

from xumx.errors import UsageError
from xumx.naming import Output, find


def test_find_takes_files_folders_and_globs(tmp_path):
    for name in ("a.mp3", "b.FLAC", "sub/c.wav", "sub/notes.txt", "odd.xyz"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()

    def names(*inputs):
        songs, problems = find(str(tmp_path / i) for i in inputs)
        return [str(s.relative_to(tmp_path)) for s in songs], problems

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
    assert one == {"vocals": Path("out/one/vocals.wav"), "drums": Path("out/one/drums.wav")}
    assert two["drums"] == Path("out/two/drums.wav")
    assert again["drums"] == Path("out/one_2/drums.wav")
    assert Output("out").paths(songs[:1], ["vocals"], "m") == [{"vocals": Path("out/vocals.wav")}]
    assert Output(format="mp3").paths(songs, ["vocals"], "m")[1] == {"vocals": Path("two_m/vocals.mp3")}
    flat = Output("out", "{song} - {stem} ({model}).{ext}").paths(songs, ["vocals"], "m")
    assert flat[0]["vocals"] == Path("out/one - vocals (m).wav")


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
        (Output(), ["one.mp3", "two.mp3"], True, ["one_m/index.html", "two_m/index.html"], "index.html"),
        (
            Output("out", "{song} - {stem}.{ext}"),
            ["index.mp3", "two.mp3", "x/two.mp3"],
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
    with pytest.raises(UsageError, match="--filename"):
        Output("out", template).paths([Path(s) for s in songs], ["vocals", "drums"], "m")


def test_a_song_is_never_overwritten(tmp_path):
    with pytest.raises(UsageError, match="is a song"):
        Output(str(tmp_path)).paths([tmp_path / "vocals.wav"], ["vocals"], "m")


def test_stems_of_an_earlier_run_are_no_songs(tmp_path):
    for name in ("a.mp3", "a_m/bass.wav", "a_x/bass.wav", "out/a/bass.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(output):
        songs, _ = find([str(tmp_path)], lambda file, folder: output.holds(file, folder, "m"))
        return [str(song.relative_to(tmp_path)) for song in songs]

    assert found(Output()) == ["a.mp3", "a_x/bass.wav", "out/a/bass.wav"]
    assert found(Output(str(tmp_path / "out"))) == ["a.mp3", "a_m/bass.wav", "a_x/bass.wav"]
    assert len(found(Output(str(tmp_path)))) == 4


def test_a_folder_a_song_where_several_may_come():
    (one,) = Output("out").paths([Path("a.mp3")], ["vocals"], "m", several=True)
    assert one == {"vocals": Path("out/a/vocals.wav")}


def test_a_song_of_dots_stays_in_the_folder():
    (one,) = Output("out", "{song}/{stem}.{ext}").paths([Path("...wav")], ["vocals"], "m")
    assert one == {"vocals": Path("out/song/vocals.wav")}
