"""The page as it is written; test_browser.py tells what a browser makes of it."""

import os
import re
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest

from tests.networks import music
from tests.report.songs import Page, make_stems, write
from xumx import report
from xumx.audio import Writer, read
from xumx.base.errors import AudioError, UsageError, XumxError

HOSTILE = "<script>alert(\"1\")</script> & 'quoted' #1 50% ?x=y $title ${x}"


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return make_stems(tmp_path_factory.mktemp("song"), 3)


def test_a_page_has_everything_in_it(song, tmp_path):
    mix, stems = song
    steps = []
    path = report.write(tmp_path / "new" / "folder", "A song", mix, stems, progress=steps.append)
    assert path == tmp_path / "new" / "folder" / "index.html"
    assert [p.name for p in path.parent.iterdir()] == ["index.html"], "something was left behind"
    assert sum(steps) == pytest.approx(1) and min(steps) > 0
    page = Page(path)
    assert ("title", "A song – xumx") in page.texts and ("h1", "A song") in page.texts
    assert set(page.sound) == {(track, 0) for track in range(4)}, "the mix is the sum of its stems"
    assert len(page.attributes("img", "src")) == 5 and len(page.attributes("path", "id")) == 5
    assert page.attributes("a", "href") == [os.path.relpath(p, path.parent) for p in stems.values()]


def test_a_page_asks_for_nothing(song, tmp_path):
    page = Page(report.write(tmp_path, "A song", *song))
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp", page.source)
    for tag, attributes in page.tags:
        for name in ("src", "href", "data", "poster", "srcset", "action"):
            value = attributes.get(name, "data:")
            assert value.startswith(("data:", "#")) or tag == "a", (tag, value)
    assert "default-src 'none'" in page.attributes("meta", "content")[3]


def test_nothing_from_outside_becomes_markup(tmp_path):
    names = (HOSTILE.replace("/", "\\"), "ünï çødé", "a:b")
    audio = music(0.3)
    stems = {name: write(tmp_path / f"{name}.wav", audio / 3) for name in names}
    mix = write(tmp_path / "song.wav", audio)
    path = report.write(
        tmp_path, HOSTILE, mix, stems, {HOSTILE: {HOSTILE: 1.0}}, about=HOSTILE, name="page.html"
    )
    page = Page(path)
    plain = Page(
        report.write(tmp_path / "plain", "a", mix, dict(zip("abc", stems.values())), {"a": {"b": 1.0}})
    )
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert ("h1", HOSTILE) in page.texts and ("th", HOSTILE) in page.texts
    assert [attributes["download"] for tag, attributes in page.tags if tag == "a"] == [
        f"{n}.wav" for n in names
    ]
    for href, stem in zip(page.attributes("a", "href"), stems.values()):
        assert (path.parent / os.fsdecode(unquote_to_bytes(href))).samefile(stem), href
        assert not set(href) & set("\"'<>?#: "), href


def test_a_file_name_of_any_bytes(tmp_path):
    audio = music(0.3)
    stem = write(tmp_path / os.fsdecode(b"\xff.wav"), audio)
    mix = write(tmp_path / "song.wav", audio)
    page = Page(report.write(tmp_path, os.fsdecode(b"t\xfe"), mix, {"stem": stem}))
    assert page.attributes("a", "href") == ["%FF.wav"] and ("h1", "t?") in page.texts


def test_links_lead_from_the_page_to_stems_elsewhere(song, tmp_path):
    mix, stems = song
    page = Page(report.write(tmp_path, "A song", mix, stems, back=tmp_path.parent / "all #1.html"))
    back, *links = page.attributes("a", "href")
    assert back == "../all%20%231.html" and ("a", "← All songs") in page.texts
    for href, stem in zip(links, stems.values(), strict=True):
        assert href.startswith("../") and (tmp_path / href).samefile(stem)


def test_the_song_has_sound_of_its_own_where_stems_leave_something_out(song, tmp_path):
    mix, stems = song
    some = {name: stems[name] for name in ("bass", "vocals")}
    page = Page(report.write(tmp_path, "A song", mix, some))
    assert set(page.sound) == {(0, 0), (1, 0), (2, 0)}
    assert page.attributes("section", "data-own-sound") == [""]
    (tmp_path / "own.mp3").write_bytes(page.sound[2, 0])
    own, audio = read(tmp_path / "own.mp3")[0][4410:][: 3 * 44100], read(mix)[0]
    assert np.square(own - audio).sum() < 0.02 * np.square(audio).sum()


def test_one_gain_for_all_stems_is_no_loss(song, tmp_path):
    """As --clip-mode rescale writes them."""
    mix, stems = song
    scaled = {name: write(tmp_path / f"{name}.wav", 0.3 * read(stem)[0]) for name, stem in stems.items()}
    assert len(Page(report.write(tmp_path, "A song", mix, scaled)).sound) == 4


def test_stems_of_a_part_and_of_another_rate(tmp_path):
    audio = music(4, noise=0)
    mix = write(tmp_path / "song.wav", audio)
    with Writer(tmp_path / "stem.opus", 44100) as writer:
        writer.write(audio[44100:][:88200])
    stems = {"stem": tmp_path / "stem.opus"}
    page = Page(report.write(tmp_path, "A song", mix, stems, start=1.0, duration=2.0))
    assert float(page.attributes("main", "data-seconds")[0]) == pytest.approx(2, abs=1e-3)
    assert len(page.sound) == 1
    assert len(Page(report.write(tmp_path, "A song", mix, stems, start=1.5)).sound) == 2


def test_scores(song, tmp_path):
    scores = {"vocals": {"SDR": 6.249, "SIR": float("nan")}, "bass": {"SDR": -1.5, "ISR": 3.0}}
    page = Page(report.write(tmp_path, "A song", *song, scores))
    cells = [text for tag, text in page.texts if tag in ("th", "td") and text]
    assert cells == ["SDR", "SIR", "ISR", "vocals", "6.25", "–", "–", "bass", "−1.50", "–", "3.00"]
    assert [text for tag, text in page.texts if tag == "small" and text] == ["SDR −1.50 dB", "SDR 6.25 dB"]
    assert "<table" not in Page(report.write(tmp_path, "A song", *song)).source


def test_an_old_page_is_replaced_and_another_file_is_not(song, tmp_path):
    mix, stems = song
    for title in ("First", "Second"):
        page = report.write(tmp_path, title, mix, stems)
    assert "<h1>Second</h1>" in page.read_text(encoding="utf-8")
    before = page.read_bytes()
    with pytest.raises(AudioError, match=r"missing\.wav"):
        report.write(tmp_path, "Third", mix, {**stems, "none": tmp_path / "missing.wav"})
    assert page.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["index.html"]
    page.write_text("<h1>My home page</h1>")
    with pytest.raises(XumxError, match=r"index\.html is no page of xumx's; .*`outdir`"):
        report.write(tmp_path, "Third", mix, stems)
    assert page.read_text() == "<h1>My home page</h1>"


def test_errors_are_one_line_and_leave_nothing(song, tmp_path):
    mix, stems = song
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "index.html").mkdir(parents=True)
    for folder, named in (("file/sub", "file"), ("folder", r"index\.html")):
        with pytest.raises(XumxError, match=named) as error:
            report.write(tmp_path / folder, "A song", mix, stems)
        assert len(str(error.value).splitlines()) == 1
    with pytest.raises(UsageError, match="stem"):
        report.write(tmp_path, "A song", mix, {})
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder", "index.html"]


def test_overview(tmp_path):
    pages = {
        tmp_path / "a#1" / "index.html": report.Listed(HOSTILE, HOSTILE, 61),
        tmp_path / "b" / "index.html": report.Listed("B"),
    }
    path = report.overview(tmp_path / "index.html", pages)
    page = Page(path)
    assert page.attributes("a", "href") == ["a%231/index.html", "b/index.html"]
    assert [text for tag, text in page.texts if tag == "a" and text] == [HOSTILE, "B"]
    assert [text for tag, text in page.texts if tag == "span" and text] == [f"{HOSTILE} · 1:01"]
    path.write_text("mine")
    with pytest.raises(XumxError, match="no page of xumx's"):
        report.overview(path, pages)


def test_titles(tmp_path):
    for tags, title in (
        ({}, "song"),
        ({"artist": "Somebody"}, "song"),
        ({"title": "Größe"}, "Größe"),
        ({"title": "Größe", "artist": "Somebody"}, "Somebody – Größe"),
    ):
        with Writer(tmp_path / "song.mp3", 44100, tags=tags) as writer:
            writer.write(music(0.2))
        assert report.title_of(tmp_path / "song.mp3") == title
