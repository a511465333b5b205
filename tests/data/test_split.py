from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import CodedTracks
from tests.folder_sets import write_tracks
from xumx.base.errors import UsageError, XumxError
from xumx.data.folders import Found, sourcefolder, trackfolder_var
from xumx.data.split import long_enough, position, split

FINDERS = [partial(trackfolder_var, targets={"vocals": ["vocals.wav"]}, extensions=[".wav"])]


def empty_tracks(folder: Path, names: list[str]) -> Path:
    """Folders with a file that nobody opens."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "vocals.wav").touch()
    return folder


def names(parts: tuple[Found, Found]) -> tuple[set[str], set[str]]:
    return set(parts[0]), set(parts[1])


def test_a_folder_valid_is_what_is_validated_on(tmp_path: Path) -> None:
    empty_tracks(tmp_path / "train", ["a", "b", "c"])
    empty_tracks(tmp_path / "valid", ["a", "x"])
    assert names(split(tmp_path, FINDERS)) == ({"a", "b", "c"}, {"a", "x"})
    with pytest.raises(UsageError, match=r"`valid_share`: .*valid sets apart"):
        split(tmp_path, FINDERS, 0.2)


@pytest.mark.parametrize("part", ["train", "."])
def test_tracks_are_set_apart_by_their_names(tmp_path: Path, part: str) -> None:
    """And stay where they are when others come or go."""
    first = [f"track {n}" for n in range(200)]
    empty_tracks(tmp_path / part, first)
    train, valid = names(split(tmp_path, FINDERS))
    assert train | valid == set(first) and not train & valid
    assert 8 <= len(valid) <= 35, "a tenth, but for chance"
    empty_tracks(tmp_path / part, [f"more {n}" for n in range(50)])
    again = names(split(tmp_path, FINDERS))
    assert train < again[0] and valid <= again[1]
    larger = names(split(tmp_path, FINDERS, 0.4))
    assert again[1] < larger[1] and 70 <= len(larger[1]) <= 130


def test_places_do_not_change_between_versions() -> None:
    """A change would mix what a run has learned from with what it is judged by."""
    places = {name: round(position(name), 6) for name in ("Song", "Ärger", "")}
    assert places == {"Song": 0.994701, "Ärger": 0.139785, "": 0.889416}
    assert position("A\u0308rger") == position("Ärger"), "as another file system spells it"
    drawn = [position(f"{n}") for n in range(2000)]
    counts = np.histogram(drawn, 10, (0, 1))[0]
    assert counts.min() > 140 and counts.max() < 260, counts


def test_files_of_one_song_stay_on_one_side(tmp_path: Path) -> None:
    for source, suffix in (("vocals", ".wav"), ("drums", ".flac")):
        for number in range(60):
            path = tmp_path / source / "set" / f"song {number}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    finders = [partial(sourcefolder, source=s, extensions=[".wav", ".flac"]) for s in ("vocals", "drums")]
    train, valid = names(split(tmp_path, finders, 0.3))
    songs = {
        source: {Path(name).stem for name in valid if name.startswith(source)}
        for source in ("vocals", "drums")
    }
    assert songs["vocals"] == songs["drums"] != set() and len(train) + len(valid) == 120


def test_a_share_that_divides_nothing_is_refused_with_one_that_does(tmp_path: Path) -> None:
    empty_tracks(tmp_path, ["a", "b", "c"])
    for share, what in ((1e-9, "none of the 3 tracks"), (1 - 1e-9, "all 3 tracks")):
        with pytest.raises(UsageError, match=what) as caught:
            split(tmp_path, FINDERS, share)
        advice = re.search(r"one such as (0\.\d+)", str(caught.value))
        assert advice
        train, valid = split(tmp_path, FINDERS, float(advice[1]))
        assert sorted(map(len, (train, valid))) == [1, 2]


def test_folders_that_are_no_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        split(tmp_path / "nowhere", FINDERS)
    with pytest.raises(UsageError, match=r"no tracks in .*; it must hold a folder for each"):
        split(tmp_path, FINDERS)
    empty_tracks(tmp_path, ["one"])
    with pytest.raises(UsageError, match=r"too few tracks \(one\)"):
        split(tmp_path, FINDERS)
    write_tracks(tmp_path, {"valid": 1}, ["vocals.wav"], 0.01)
    with pytest.raises(UsageError, match="a folder 'valid', but no folder 'train'"):
        split(tmp_path, FINDERS)


def test_short_tracks_are_left_out_in_one_line(
    coded_tracks: CodedTracks, caplog: pytest.LogCaptureFixture
) -> None:
    tracks = coded_tracks([4410, 4409, 9000, 20])
    assert [track.name for track in long_enough(tracks, 0.1)] == ["track0", "track2"]
    assert caplog.messages == ["shorter than `min_chunk_duration` 0.1, left out: track1, track3"]
    caplog.clear()
    assert long_enough(tracks, 1e-4) == tracks and not caplog.messages
    with pytest.raises(XumxError, match="all tracks are shorter: track0, track1, track2, track3"):
        long_enough(tracks, 1)
