"""No file that is named inside another is opened by separation; tests/data has the same of training."""

from __future__ import annotations

import contextlib
from pathlib import Path

import av
import pytest

from tests.playlists import CAN_WATCH, KINDS, NAMES, Watch, content, server, siblings, targets
from xumx.audio import decode, probe, read
from xumx.base.errors import AudioError

pytestmark = pytest.mark.skipif(not CAN_WATCH, reason="only Linux tells which files are opened")


def test_ffmpeg_by_itself_follows_them(tmp_path: Path) -> None:
    """So the tests below would see it."""
    sound = siblings(tmp_path)
    path = tmp_path / "list.m3u8"
    watch = Watch(tmp_path)
    with server(sound) as (address, asked):
        for kind, target in (("ffconcat", sound.name), ("m3u8", f"{address}/song.ts")):
            path.write_bytes(content(kind, target))
            with contextlib.suppress(av.FFmpegError):  # what comes after the opening does not matter
                av.open(str(path), container_options={"protocol_whitelist": "file,http,tcp"}).close()
        assert sound.name in watch.opened()
        assert asked[0] == "/song.ts"
    watch.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_playlist_leads_nowhere(tmp_path: Path, kind: str) -> None:
    sound = siblings(tmp_path)
    watch = Watch(tmp_path)
    with server(sound) as (address, asked):
        for target in targets(sound, address):
            for name in NAMES:
                path = tmp_path / name
                path.write_bytes(content(kind, target))
                watch.opened()
                for use in (probe, read, lambda path: list(decode(path, start=0.1))):
                    with pytest.raises(AudioError, match=name):
                        use(path)
                assert watch.opened() <= {name}, (kind, target, name)
                path.unlink()
        assert not asked
    watch.close()
