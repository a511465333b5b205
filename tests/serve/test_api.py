"""The HTTP interface, and who is kept out: a real server, asked as others would ask it."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import stat
import wave
import zipfile

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.networks import music
from tests.serve.running import Running, form, song, tiny_model, until
from xumx.audio import Writer, read
from xumx.serve.client import ServerError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def server(place):
    """A server with a tiny network, and limits that tests reach."""
    folder = place / "music"
    song(folder, name="album/song.wav", seed=5)
    (place / "secret.wav").write_bytes((folder / "album" / "song.wav").read_bytes())
    (folder / "out.wav").symlink_to(place / "secret.wav")
    limits = ("--max-upload", "2M", "--max-duration", "20", "--patience", "1")
    network = ("--models", str(tiny_model(place)), "--model", "tiny")
    running = Running(place / "data", *network, "--music-dir", str(folder), *limits)
    yield running
    assert running.end() in (0, 143)


@pytest.fixture(scope="module")
def guarded(place):
    """One for other machines, which asks for a token, and has room for little."""
    limits = ("--max-disk", "1M", "--host", "0.0.0.0", "--allow-host", "stems.example", "--max-queue", "1")
    network = ("--models", str(tiny_model(place)), "--model", "tiny")
    running = Running(place / "guarded", *network, "--root-path", "stems/", *limits)
    yield running
    running.end()


@pytest.fixture(scope="module")
def done(server, place):
    """A song that is separated."""
    return server.client.separate(
        song(place), name='My "song" <b>é.wav', targets=["vocals", "drums"], format="flac"
    )


def wav(seconds: float, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 1, rate, 0, "NONE", ""))
        writer.writeframes(bytes(round(seconds * rate)))
    return file.getvalue()


def send(server: Running, *parts, **headers: str):
    body, kind = form(*parts)
    return server.ask("POST", "/api/jobs", body, **{**kind, **headers})


def test_a_song_becomes_stems(server, place, done, tmp_path):
    assert done["stems"] == ["vocals", "drums"] and done["status"] == "done" and done["progress"] == 1
    assert done["name"] == 'My "song" <b>é.wav' and done["seconds"] == pytest.approx(1)
    files = server.client.save(done, tmp_path)
    assert [file.name for file in files] == ["vocals.flac", "drums.flac"]
    vocals, drums = (read(file)[0] for file in files)
    assert vocals.shape == drums.shape == read(place / "song.wav")[0].shape and vocals.any()

    path = f"/api/jobs/{done['id']}"
    whole = server.ask("GET", f"{path}/stems/vocals.flac")
    assert whole.body == files[0].read_bytes()
    assert whole.headers["content-disposition"].endswith("My%20_song_%20_b_%C3%A9%20-%20vocals.flac")
    part = server.ask("GET", f"{path}/stems/vocals", range="bytes=4-9")
    assert (part.status, part.body) == (206, whole.body[4:10])
    with zipfile.ZipFile(io.BytesIO(server.ask("GET", f"{path}/zip").body)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"My _song_ _b_é - {stem}.flac" for stem in ("vocals", "drums")]
        assert archive.read(archive.namelist()[0]) == whole.body
    mix = tmp_path / "mix.flac"
    mix.write_bytes(server.ask("GET", f"{path}/mix?gain=vocals:0.5&gain=drums:0").body)
    assert np.abs(read(mix)[0] - vocals / 2).max() < 2**-14
    player = server.ask("GET", f"{path}/player").body.decode()
    assert f'href="{path[1:]}/stems/drums.flac"' in player and "<script" not in player
    assert server.ask("GET", f"{path}/sound/1-0.mp3").headers["content-type"] == "audio/mpeg"
    events = server.ask("GET", f"{path}/events").body.decode()
    assert json.loads(re.search("event: job\ndata: (.*)", events)[1]) == server.client.job(done["id"])


def test_the_description_is_right(server, done):
    """It is OpenAPI, it names what is there, and answers are as it says."""
    document = server.ask("GET", "/openapi.json").json
    validate(document)
    parts = {"components": document["components"]}
    jobs = server.ask("GET", f"/api/jobs/{done['id']}/nothing")
    answers = {
        ("/api/jobs", "get", "200"): server.ask("GET", "/api/jobs"),
        ("/api/jobs/{id}", "get", "200"): server.ask("GET", f"/api/jobs/{done['id']}"),
        ("/api/jobs/{id}", "get", "404"): jobs,
        ("/api/models", "get", "200"): server.ask("GET", "/api/models"),
        ("/api/server", "get", "200"): server.ask("GET", "/api/server"),
        ("/api/jobs", "post", "415"): send(server, ("file", ("a.wav", b""))),
    }
    for (path, method, status), answer in answers.items():
        assert answer.status == int(status), (path, answer)
        schema = document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        Draft202012Validator({**schema, **parts}).validate(answer.json)
    for path, methods in document["paths"].items():
        real = path.format(id=done["id"], name="x") if "{" in path else path
        for method in {"get", "post", "delete"} - set(methods):
            assert server.ask(method.upper(), real).status == 405, (method, path)


@pytest.mark.parametrize(
    ("parts", "status", "words"),
    [
        ([("file", ("a.wav", b""))], 415, "a.wav: is empty"),
        ([("file", ("a.mp3", b"no sound " * 100))], 415, "a.mp3: is no audio file"),
        ([("file", ("a.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"))], 415, "a.m3u8: is no audio file"),
        ([("file", ("long.wav", wav(21)))], 413, "long.wav: lasts 0:21, and this server separates 0:20"),
        ([("file", ("big.wav", bytes(2_000_001)))], 413, "big.wav: is larger than the 2.0 MB"),
        ([("file", ("a.wav", wav(1))), ("model", "x-unx")], 422, "unknown model 'x-unx'"),
        ([("file", ("a.wav", wav(1))), ("model", "/etc/passwd")], 422, "unknown model"),
        ([("file", ("a.wav", wav(1))), ("targets", "banjo")], 422, "no 'banjo'; it has bass, drums"),
        ([("file", ("a.wav", wav(1))), ("targets", "bass"), ("two_stems", "bass")], 422, "give one of them"),
        ([("file", ("a.wav", wav(1))), ("aggregate", "{")], 422, "aggregate: "),
        ([("file", ("a.wav", wav(1))), ("format", "stem.mp4")], 422, "format must be one of wav, flac"),
        ([("file", ("a.wav", wav(1))), ("bitrate", "320k")], 422, "bitrate has no meaning for wav"),
        ([("file", ("a.wav", wav(1))), ("niter", "1e9")], 422, "niter must be a whole number, not '1e9'"),
        ([("file", ("a.wav", wav(1))), ("chunk_dur", "0")], 422, "chunk_dur must be 1 to 60 here, not 0"),
        ([("file", ("a.wav", wav(1))), ("overlap", "nan")], 422, "overlap must be 0 to 0.9 here"),
        ([("file", ("a.wav", wav(1))), ("start", "2")], 422, "start 2 lies beyond its end at 1.00 s"),
        ([("file", ("a.wav", wav(1))), ("outdir", "/tmp")], 422, "outdir: there is no such field"),
        ([("file", ("a.wav", wav(1))), ("model_dir", "/tmp")], 422, "model_dir: there is no such field"),
        ([("model", "tiny")], 422, "send a song, in the field file"),
        ([("song", ("a.wav", wav(1)))], 400, "files come in fields called file"),
        ([("file", ("a.wav", b""))] * 51, 413, "a request may bring 50 files"),
        ([("model", "x" * 10_001)], 413, "a field may have 10000 characters"),
        ([("path", "../secret.wav")], 422, "there is no song '../secret.wav' in the music folder"),
        ([("path", "/etc/passwd")], 422, "there is no song"),
        ([("path", "out.wav")], 422, "there is no song 'out.wav'"),
        ([("path", "album")], 422, "there is no song 'album'"),
        ([("path", "a\0b")], 422, "there is no song"),
    ],
)  # fmt: skip
def test_bad_input(server, parts, status, words):
    before = server.client.jobs()
    answer = send(server, *parts)
    assert answer.status == status, answer
    assert words in answer.json["error"] and "\n" not in answer.json["error"]
    assert "Traceback" not in answer.json["error"] and str(server.folder) not in answer.json["error"]
    assert server.client.jobs() == before
    assert not list((server.folder / "incoming").iterdir()), "what was refused is not kept"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/cron.d/x.wav", "x.wav"),
        ("..\\..\\windows\\x.wav", "x.wav"),
        ("%22quoted%22%0D%0Aname.wav", '"quoted"name.wav'),
        ("<img src=x onerror=alert(1)>.wav", "<img src=x onerror=alert(1)>.wav"),
        ("🎵 – ὕμνος.wav", "🎵 – ὕμνος.wav"),
        ("\u202egnp.wav", "gnp.wav"),
        ("..", "song"),
        ("x" * 500 + ".wav", "x" * 196 + ".wav"),
    ],
)  # fmt: skip
def test_names_are_for_eyes_only(server, name, shown):
    answer = send(server, ("file", (name, wav(0.1))), ("start", "0.01"), ("alpha", "1"))
    assert answer.status in (200, 201) and (answer.status == 200 or answer.json["name"] == shown)
    if answer.status == 201:
        folder = server.folder / "jobs" / answer.json["id"]
        assert [path.name for path in folder.iterdir() if path.is_file()] in (["song.wav"], ["song"])
        server.client.remove(answer.json["id"])
        assert not folder.exists()


def test_the_same_song_twice_is_one(server, done, place):
    again = server.client.add(place / "song.wav", targets=["vocals", "drums"], format="flac")
    assert again["id"] == done["id"] and again["again"]
    other = server.client.add(place / "song.wav", targets=["drums", "vocals"], format="flac")
    assert other["id"] != done["id"]
    server.client.remove(other["id"])


def test_several_songs_and_songs_of_the_server(server):
    answer = send(server, ("file", ("a.wav", wav(0.2))), ("file", ("b.wav", b"")), ("path", "album/song.wav"))
    assert answer.status == 201
    first, bad, third = answer.json
    assert bad == {"name": "b.wav", "error": "b.wav: is empty"}
    assert [first["name"], third["name"]] == ["a.wav", "song.wav"]
    for job in (first, third):
        assert server.client.wait(job)["stems"] == ["bass", "drums", "vocals", "other"]
        server.client.remove(job["id"])
        with pytest.raises(ServerError, match="not any more") as gone:
            server.client.job(job["id"])
        assert gone.value.status == 404


def test_a_song_that_is_longer_than_it_says(server, place):
    """The worker counts what it decodes."""
    path = place / "liar.mp3"
    with Writer(path, 44100, 1, format="mp3", bitrate=64_000) as writer:
        writer.write(music(23, channels=1))
    data = bytearray(path.read_bytes())
    at = max(data.find(b"Xing"), data.find(b"Info")) + 8
    data[at : at + 4] = (40).to_bytes(4, "big")  # frames: one second
    job = send(server, ("file", ("liar.mp3", bytes(data))), ("niter", "0"), ("chunk_dur", "2")).json
    assert job["seconds"] < 2
    with pytest.raises(ServerError, match=r"^liar\.mp3: goes on, and this server separates 0:20 at most"):
        server.client.wait(job)
    server.client.remove(job["id"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/jobs/none", 404),
        ("/api/jobs/none/stems/vocals", 404),
        ("/api/jobs/../../etc/passwd", 404),
        ("/api/jobs/%2e%2e/zip", 404),
        ("/api/jobs/{id}/stems/..%2f..%2fsong.wav", 404),
        ("/api/jobs/{id}/stems/bass", 404),
        ("/api/jobs/{id}/sound/..%2fplayer.html", 404),
        ("/api/jobs/{id}/sound/9-9.mp3", 404),
        ("/api/jobs/{id}/mix?gain=vocals:1e9", 422),
        ("/api/jobs/{id}/mix?gain=banjo:1", 422),
        ("/assets/..%2fapp.py", 404),
        ("/token", 404),
    ],
)
def test_paths_lead_nowhere_else(server, done, path, status):
    answer = server.ask("GET", path.replace("{id}", done["id"]))
    assert answer.status == status and set(answer.json) == {"error"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:80@localhost"}, 200),  # its name is localhost
        ({"host": "localhost.evil.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "[::1"}, 421),
        ({"host": "localhost:1"}, 200),
        ({"host": "192.168.1.2"}, 200),
    ],
)
def test_names_of_the_server(server, headers, status):
    """DNS rebinding gives another name the address 127.0.0.1; the request then names it."""
    assert server.ask("GET", "/api/jobs", **headers).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "same-origin"}, 404),
        ({}, 404),
    ],
)
def test_forms_of_other_sites(server, headers, status):
    assert server.ask("DELETE", "/api/jobs/none", **headers).status == status
    assert send(server, ("model", "tiny"), **headers).status == (403 if status == 403 else 422)


def test_headers_of_the_page(server):
    answer = server.ask("GET", "/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(rb'(src|href)="(https?:)?//', answer.body) and b"style=" not in answer.body
    again = server.ask("GET", "/", if_none_match=answer.headers["etag"])
    assert again.status == 304 and not again.body


def test_the_token(guarded):
    """It is made, and kept; bearer and cookie bring it. The page that asks for it is open."""
    token, kept = guarded.token, guarded.folder / "token"
    assert kept.read_text().strip() == token and len(token) >= 32
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"cookie": "xumx-token=wrong"},
        {"cookie": 'a="\\'},
    ):
        for method, path in (("GET", "/api/jobs"), ("GET", "/openapi.json"), ("POST", "/api/jobs")):
            answer = guarded.ask(method, path, **headers)
            assert answer.status == 401 and "token" in answer.json["error"], (headers, path)
    assert guarded.ask("GET", "/").status == guarded.ask("GET", "/assets/serve.js").status == 200
    assert guarded.ask("GET", "/api/jobs", authorization=f"Bearer {token}").json == []
    assert guarded.address.endswith("/stems/") and guarded.client.jobs() == []  # as behind a proxy
    assert guarded.ask("GET", "/stems/api/jobs").status == 401
    assert guarded.ask("POST", "/api/enter", "wrong").status == 401
    entered = guarded.ask("POST", "/api/enter", token)
    linked = guarded.ask("GET", f"/?token={token}")
    assert (entered.status, linked.status, linked.headers["location"]) == (204, 303, "./")
    for answer in (entered, linked):
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and token not in cookie
        assert guarded.ask("GET", "/api/jobs", cookie=cookie.partition(";")[0]).json == []
    assert (
        guarded.ask("GET", "/api/jobs", host="stems.example", authorization=f"Bearer {token}").status == 200
    )


def test_a_full_disk(guarded):
    """More than the server may hold is refused before it comes; what is done makes room, the oldest first."""
    client, bearer = guarded.client, {"authorization": f"Bearer {guarded.token}"}
    little = ("niter", "0"), ("duration", "0.1")
    answer = send(guarded, ("file", ("a.wav", wav(200))), **bearer)
    assert answer.status == 507 and "disk is full" in answer.json["error"]
    body, kind = form(("file", ("old.wav", wav(60))), *little)
    old = guarded.ask("POST", "/api/jobs", body, **kind, **bearer).json
    full = send(guarded, ("file", ("b.wav", wav(1))), **bearer)
    assert full.status == 429 and "wait already" in full.json["error"]
    client.wait(old)
    new = send(guarded, ("file", ("new.wav", wav(70))), *little, **bearer).json
    assert new["name"] == "new.wav" and [job["name"] for job in client.jobs()] == ["new.wav"]
    assert not (guarded.folder / "jobs" / old["id"]).exists()


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"", b""),  # a connection that says nothing
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b""),  # headers that never end
        (b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
         b"Content-Length: 1000\r\n\r\n--b\r\n", b"408"),  # a body that pauses
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + bytes(40_000), b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
    ],
    ids=["nothing", "headers", "body", "large", "noise"],
)  # fmt: skip
def test_requests_that_never_end(server, sent, answered):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(sent)
        got = b""
        while data := connection.recv(1 << 16):
            got += data
    assert answered in got.partition(b"\r\n")[0] and (answered or not got)


def test_an_upload_that_breaks_off(server):
    body, kind = form(("file", ("a.wav", wav(100))))
    head = f"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind['content_type']}\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:500_000])
        until(lambda: list((server.folder / "incoming").iterdir()))
    until(lambda: not list((server.folder / "incoming").iterdir()))
    short = server.ask("POST", "/api/jobs", body[:-30], **kind)
    assert short.status == 400 and "breaks off" in short.json["error"]


def test_wrong_usage(server, place, capfd):
    from xumx.serve.__main__ import main

    for argv, words in (
        (["--folder", str(server.folder), "--model", "demo", "--no-browser"], "is in use by process"),
        (["--model", "nothing"], "model 'nothing': give one of x-umx"),
        (["--token", "short", "--folder", str(place / "x"), "--port", "0"], "12 characters or more"),
        (["--workers", "0", "--folder", str(place / "x"), "--port", "0"], "leaves the work to others"),
    ):
        assert main(argv) == 2
        assert words in capfd.readouterr().err
    busy = ["--port", str(server.port), "--folder", str(place / "x"), "--model", "demo"]
    assert main(busy) == 1
    assert "cannot listen there" in capfd.readouterr().err
