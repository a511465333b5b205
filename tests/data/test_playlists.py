"""No file that is named inside one of a data set is opened by training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.playlists import CAN_WATCH, KINDS, NAMES, Watch, content, server, siblings, targets
from xumx.base.errors import AudioError, XumxError
from xumx.data.musdb import musdb_tracks
from xumx.data.recording import Recording, recordings

pytestmark = pytest.mark.skipif(not CAN_WATCH, reason="only Linux tells which files are opened")


@pytest.mark.parametrize("kind", KINDS)
def test_a_playlist_leads_nowhere(tmp_path: Path, kind: str) -> None:
    sound = siblings(tmp_path)
    watch = Watch(tmp_path)
    with server(sound) as (address, asked):
        for target in targets(sound, address):
            for name in NAMES:
                path = tmp_path / name
                path.write_bytes(content(kind, target))
                # The second as the file of headers may still know it, from before the file was another.
                known = Recording(path, 0, 44100, 2, 44100)
                watch.opened()
                with pytest.raises(AudioError, match=name):
                    recordings(path)
                with pytest.raises(AudioError, match=name):
                    known.read(5000, 9000)
                with pytest.raises(AudioError, match=name):
                    list(known.blocks())
                assert watch.opened() <= {name}, (kind, target, name)
                path.unlink()
        assert not asked
    watch.close()


def test_a_data_set_of_playlists_holds_no_tracks(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    sound = siblings(tmp_path)
    for kind in KINDS:
        path = tmp_path / "train" / f"{kind}.stem.mp4"
        path.write_bytes(content(kind, str(sound)))
    watch = Watch(tmp_path)
    with pytest.raises(XumxError, match="none of the tracks"):
        musdb_tracks(tmp_path)
    assert sound.name not in watch.opened()
    watch.close()
