"""Files that name others, in a folder and on a server that note what is opened."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.audio.test_reader import WAV, make, music

NAMES = (
    "list.mp4",
    "list.stem.mp4",
    "list.m4a",
    "list.wav",
    "list.flac",
    "list.mp3",
    "list.m3u8",
    "list.idx",
)

KINDS = {
    "ffconcat": "ffconcat version 1.0\nfile {}\n",
    "ffconcat, unsafe": "ffconcat version 1.0\nfile '{}'\noption safe 0\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "m3u8 of m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{}\n",
    "m3u8, key": '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n'
    "#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n#EXTINF:9,x\n{}\n",
    "pls": "[playlist]\nFile1={}\nLength1=9\nNumberOfEntries=1\nVersion=2\n",
    "asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    "asf": "[Reference]\nRef1={}\n",
    "xspf": '<?xml version="1.0"?><playlist xmlns="http://xspf.org/ns/0/" version="1"><trackList><track>'
    "<location>{}</location></track></trackList></playlist>",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="9" codecs="mp4a.40.2">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
    "<Id>urn:uuid:0eb3d1b9-b77b-4d3f-bbe5-7c69b15dca85</Id><EditRate>25 1</EditRate><!-- {} -->"
    "</CompositionPlaylist>",
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\n# {}\n"
    "id: en, index: 0\ntimestamp: 00:00:01:000, filepos: 000000000\n",
    "reference movie": "moov",
}
"""Texts with a place for a name; the last is made of bytes."""

_IN_OPEN = 0x20


def content(kind: str, name: str) -> bytes:
    if kind == "reference movie":  # QuickTime's way to name another film
        ref = (
            b"rdrf"
            + struct.pack(">I", 0)
            + b"url "
            + struct.pack(">I", len(name) + 1)
            + name.encode()
            + b"\0"
        )
        atom = struct.pack(">I", len(ref) + 4) + ref
        for outer in (b"rmda", b"rmra", b"moov"):
            atom = struct.pack(">I", len(atom) + 8) + outer + atom
        return struct.pack(">I", 20) + b"ftypqt  " + struct.pack(">I", 0) + b"qt  " + atom
    return KINDS[kind].format(name, name).encode()


@contextmanager
def server(sound: Path) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(sound.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", asked
        finally:
            http.shutdown()
            thread.join()


class Watch:
    """Names in a folder that any code of this process opens, FFmpeg's too; Linux alone can tell."""

    def __init__(self, folder: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK)
        if self._fd < 0 or self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "no inotify")

    def opened(self) -> set[str]:
        """Since the last call."""
        names = set()
        try:
            events = os.read(self._fd, 1 << 20)
        except BlockingIOError:
            return names
        while events:
            size = struct.unpack("iIII", events[:16])[3]
            names.add(os.fsdecode(events[16 : 16 + size].rstrip(b"\0")))
            events = events[16 + size :]
        return names - {""}

    def close(self) -> None:
        os.close(self._fd)


CAN_WATCH = sys.platform == "linux"


def siblings(folder: Path) -> Path:
    """What a playlist may lead to: sound under several names. One of them."""
    sound = make(folder / "song.wav", WAV, [music(1)])
    for name in ("list.sub", "._list.wav", "list.m3u", "ASSETMAP.xml", "a.key"):
        (folder / name).write_bytes(sound.read_bytes())
    return sound


def targets(sound: Path, address: str) -> list[str]:
    """Names of the sound as a playlist may write them."""
    return [sound.name, str(sound), f"file:{sound}", f"file://{sound}", f"{address}/{sound.name}", "a.key"]
