from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from xumx.base.errors import UsageError, WeightsError
from xumx.network import catalogue, download, pretrained
from xumx.network.catalogue import MODELS, Model, RemoteFile
from xumx.network.pretrained import is_here, resolve

Captured = pytest.CaptureFixture[str]

CONTENT = bytes(range(256)) * 2000
SHA1 = hashlib.sha1(CONTENT).hexdigest()
KEPT = ["tiny", "tiny/tiny.h5", "tiny/tiny.h5.checked"]
"""A cache of the one file, and the note that it was checked."""

# Another process that resolves the name "tiny": arguments are the URL and the checksum.
CHILD = """
import sys
from xumx.network import pretrained
from xumx.network.catalogue import MODELS, Model, RemoteFile
files = (RemoteFile(sys.argv[1], sys.argv[2]),)
MODELS["tiny"] = Model(name="tiny", about="", arch="umx", licence="", page="", files=files)
{before}
print(pretrained.resolve("tiny", progress=False))
{after}
"""


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every name; the folder of the URL says how."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: list[str] = []
        self.record: dict[str, str] = {}
        self.half_sent = threading.Event()
        self.stopping = threading.Event()
        self.two_clients = threading.Barrier(2)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def url(self, how: str, name: str = "tiny.h5") -> str:
        return f"http://127.0.0.1:{self.server_port}/{how}/{name}"

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        how = self.path.split("/")[1]
        if how.isdigit():
            self.send_error(int(how))
            return
        if how == "api":
            self.answer()
            return
        if how == "silent":
            self.server.stopping.wait(timeout=5)
            return
        if how == "together":
            self.server.two_clients.wait(timeout=20)
        self.send_response(200)
        if how != "lengthless":
            self.send_header("Content-Length", "much" if how == "odd-length" else str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])
        if how == "cut":
            return
        if how == "stall-once" and len(self.server.paths) == 1:
            self.server.half_sent.set()
            self.server.stopping.wait(timeout=5)
            return
        self.wfile.write(CONTENT[len(CONTENT) // 2 :])

    def answer(self) -> None:
        """What Zenodo says of a record; without files it is one that has been withdrawn."""
        files = [
            {"key": name, "checksum": checksum, "links": {"self": self.server.url("whole", name)}}
            for name, checksum in self.server.record.items()
        ]
        body = json.dumps({"files": files} if files else {"status": 410, "message": "gone"}).encode()
        self.send_response(200 if files else 410)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, a cache named by XUMX_HOME, and no proxy between the tests and 127.0.0.1."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(Path(pretrained.__file__).parents[2]))
    monkeypatch.setenv("XUMX_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    if not server.stopping.is_set():
        server.stop()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the name "tiny" stand for files of these URLs."""

    def publish(*urls: str, checksum: str = f"sha1:{SHA1}") -> None:
        files = tuple(RemoteFile(url, checksum) for url in urls)
        model = Model(name="tiny", about="", arch="umx", licence="", page="", files=files)
        monkeypatch.setitem(MODELS, "tiny", model)

    return publish


def child(
    url: str, before: str = "", after: str = "", checksum: str = f"sha1:{SHA1}"
) -> subprocess.Popen[str]:
    code = CHILD.format(before=before, after=after)
    return subprocess.Popen(
        [sys.executable, "-c", code, url, checksum], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_fails(url: str, target: Path, *words: str) -> None:
    """The download of "tiny" fails in one line that helps, and leaves nothing that looks like weights."""
    with pytest.raises(WeightsError) as caught:
        resolve("tiny", progress=False)
    message = str(caught.value)
    assert "\n" not in message, message
    for word in (url, str(target), *words):
        assert word in message, f"{word!r} is not in {message!r}"
    assert not target.exists(), message
    if target.parent.is_dir():
        assert files_below(target.parent) == [], message


def test_the_official_file() -> None:
    (file,) = MODELS["x-umx"].files
    assert file.url == "https://nnabla.org/pretrained-models/ai-research-code/x-umx/x-umx.h5"
    assert file.checksum == "sha1:6414e08527d37bd1d08130c4b87255830af819bf"
    assert file.name == "x-umx.h5"


def test_the_checkpoints_of_open_unmix() -> None:
    """Zenodo's records and the digits as openunmix 1.3.0 has them."""
    for name, record, first in (("umxhq", 3370489, "8d85a5bd"), ("umx", 3370486, "646024d3")):
        bass = MODELS[name].files[0]
        assert bass.url == f"doi:10.5281/zenodo.{record}/bass-{first}.pth"
        assert bass.checksum.startswith(f"sha256:{first}") and bass.kept == "bass.h5"
    for name in ("umxhq", "umx", "umxl"):
        files = MODELS[name].files
        assert [file.kept for file in files] == ["bass.h5", "drums.h5", "vocals.h5", "other.h5"]
        assert all(file.name == f"{file.kept[:-3]}-{file.checksum[7:15]}.pth" for file in files)
    assert [file.kept for file in MODELS["umxse"].files] == ["speech.h5", "noise.h5"]


def test_the_catalogue_is_whole() -> None:
    words = [word for model in catalogue.models() for word in (model.name, *model.aliases)]
    assert len(set(words)) == len(words), "no name means two networks"
    for model in catalogue.models():
        assert model.licence and model.page and model.about, model.name
        assert not model.sdr or (set(model.sdr) == set(model.sources) and model.scored), model.name
        assert is_here(model) == (model.bundled is not None), model.name
    for published, name in ((6.52, "x-umxl"), (5.79, "x-umx"), (6.32, "umxl")):
        assert MODELS[name].mean_sdr == pytest.approx(published, abs=0.005)


def test_name_ends_before_the_query() -> None:
    assert (
        RemoteFile("https://example.org/files/vocals-b62c.pth?download=1", "md5:0").name == "vocals-b62c.pth"
    )


DOI = "doi:10.5281/zenodo.123/tiny.h5"


@pytest.fixture
def zenodo(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A record of Zenodo's at `server`, which answers for its API: checksums by the name of a file."""
    monkeypatch.setattr(
        "pooch.downloaders.doi_to_url", lambda doi, **_: f"https://zenodo.org/records/{doi[-3:]}"
    )
    monkeypatch.setattr("pooch.downloaders.ZenodoRepository.base_api_url", server.url("api", "records"))
    return server.record


@pytest.mark.parametrize("known", ["", f"sha1:{SHA1}"], ids=["no checksum known", "known"])
def test_a_doi_leads_to_the_file(
    known: str, server: Server, zenodo: dict[str, str], publish: Callable[..., None], home: Path
) -> None:
    zenodo["tiny.h5"] = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    publish(DOI, checksum=known)
    assert resolve("tiny", progress=False) == home / "tiny" / "tiny.h5"
    assert server.paths == ["/api/records/123", "/whole/tiny.h5"]
    pinned = ["tiny/tiny.h5.sha256"] if not known else []
    assert files_below(home) == [*KEPT, *pinned]


def test_a_file_that_is_not_as_its_record_says(
    zenodo: dict[str, str], publish: Callable[..., None], home: Path
) -> None:
    zenodo["tiny.h5"] = f"md5:{hashlib.md5(b'another').hexdigest()}"
    publish(DOI, checksum="")
    assert_fails("https://doi.org/10.5281/zenodo.123 ", home / "tiny" / "tiny.h5", "another MD5")


def test_a_record_that_changed(
    server: Server, zenodo: dict[str, str], publish: Callable[..., None], home: Path
) -> None:
    zenodo["tiny.h5"] = ""
    publish(DOI, checksum="")
    resolve("tiny", progress=False).unlink()
    for note in (home / "tiny").glob("*.checked"):
        note.unlink()
    pin = home / "tiny" / "tiny.h5.sha256"
    assert pin.read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  tiny.h5\n"
    pin.write_text(f"{64 * '0'}  tiny.h5\n")
    with pytest.raises(WeightsError, match="another SHA256"):
        resolve("tiny", progress=False)
    assert files_below(home) == ["tiny", "tiny/tiny.h5.sha256"]


@pytest.mark.parametrize("files", [["other.h5"], None], ids=["without the file", "gone"])
def test_a_record_without_the_file(
    files: list[str] | None,
    server: Server,
    zenodo: dict[str, str],
    publish: Callable[..., None],
    home: Path,
) -> None:
    zenodo.update(dict.fromkeys(files or [], "md5:0"))
    publish(DOI, checksum="")
    words = "not found in data archive" if files else "no list of files"
    assert_fails("https://doi.org/10.5281/zenodo.123 ", home / "tiny" / "tiny.h5", words)


def test_a_mirror_is_asked_in_place_of_the_publisher(
    server: Server, publish: Callable[..., None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XUMX_MIRROR", server.url("whole", "mine/"))
    publish(DOI)
    assert resolve("tiny", progress=False).read_bytes() == CONTENT
    assert server.paths == ["/whole/mine/tiny/tiny.h5"]


def test_all_files_that_lack_are_named_at_once(
    server: Server, publish: Callable[..., None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    publish(*(f"doi:10.5281/zenodo.123/{name}.h5" for name in "abc"))
    (home / "tiny").mkdir(parents=True)
    (home / "tiny" / "a.h5").write_bytes(CONTENT)
    with pytest.raises(
        WeightsError, match=r"fetch b\.h5, c\.h5 from https://doi\.org/\S+ yourself"
    ) as raised:
        resolve("tiny", progress=False)
    assert f"save them in {home / 'tiny'} " in str(raised.value) and "--model demo" in str(raised.value)


def test_a_doi_without_a_network_names_its_page(
    publish: Callable[..., None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    publish(DOI)
    assert_fails("https://doi.org/10.5281/zenodo.123 ", home / "tiny" / "tiny.h5", "connection failed")


def unknown_name(*args: object, **kwargs: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_downloads_once_and_works_offline_afterwards(
    server: Server, publish: Callable[..., None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server.url("whole"))
    path = resolve("tiny", progress=False)
    assert path == home / "tiny" / "tiny.h5"
    assert path.read_bytes() == CONTENT
    assert files_below(home) == KEPT, "the download leaves nothing else"
    assert server.paths == ["/whole/tiny.h5"]

    server.stop()
    monkeypatch.setattr(socket, "socket", None)
    assert resolve("tiny", progress=False) == path


def test_cached_start_imports_no_downloader(server: Server, publish: Callable[..., None]) -> None:
    publish(server.url("whole"))
    path = resolve("tiny", progress=False)
    run = child(server.url("whole"), after="print(sorted({'pooch', 'requests', 'tqdm'} & set(sys.modules)))")
    assert run.communicate(timeout=30) == (f"{path}\n[]\n", "")
    assert len(server.paths) == 1


def test_several_files_make_a_folder(server: Server, publish: Callable[..., None], home: Path) -> None:
    publish(server.url("whole", "a.h5"), server.url("cut", "b.h5"))
    with pytest.raises(WeightsError, match=r"b\.h5"):
        resolve("tiny", progress=False)
    publish(server.url("whole", "a.h5"), server.url("whole", "b.h5"))
    assert resolve("tiny", progress=False) == home / "tiny"
    assert files_below(home / "tiny") == ["a.h5", "a.h5.checked", "b.h5", "b.h5.checked"]
    assert server.paths == ["/whole/a.h5", "/cut/b.h5", "/whole/b.h5"], "only what lacks is fetched"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_checksum_algorithms(algorithm: str, server: Server, publish: Callable[..., None]) -> None:
    publish(server.url("whole"), checksum=f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}")
    assert resolve("tiny", progress=False).read_bytes() == CONTENT


def test_others_may_read_the_file(server: Server, publish: Callable[..., None], tmp_path: Path) -> None:
    publish(server.url("whole"))
    (tmp_path / "usual").write_bytes(b"")
    mode = resolve("tiny", progress=False).stat().st_mode
    assert mode == (tmp_path / "usual").stat().st_mode, oct(mode)


@pytest.mark.parametrize("how", ["whole", "lengthless"])
def test_progress_bar(
    how: str, server: Server, publish: Callable[..., None], tmp_path: Path, terminal: Captured
) -> None:
    publish(server.url(how))
    resolve("tiny", model_dir=tmp_path / "a")
    out, err = terminal.readouterr()
    assert out == ""
    assert err.lstrip("\r").startswith("tiny.h5:"), err
    if how == "whole":
        assert "/524k" in err, err  # the last block counts as a whole one
    resolve("tiny", model_dir=tmp_path / "b", progress=False)
    assert terminal.readouterr() == ("", "")


def test_bar_gives_its_line_to_the_error(
    server: Server, publish: Callable[..., None], terminal: Captured
) -> None:
    publish(server.url("cut"))
    with pytest.raises(WeightsError):
        resolve("tiny")
    assert terminal.readouterr().err.endswith(" \r")


def test_place_of_the_cache(
    server: Server, publish: Callable[..., None], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server.url("whole"))
    argument = tmp_path / "deep" / "argument"
    assert resolve("tiny", model_dir=str(argument), progress=False) == argument / "tiny" / "tiny.h5"
    assert resolve("tiny", progress=False) == home / "tiny" / "tiny.h5"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XUMX_HOME", "~/home")
    assert pretrained.cache_folder() == home
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("XUMX_HOME")
        else:
            monkeypatch.setenv("XUMX_HOME", unset)
        assert pretrained.cache_folder() == pooch.os_cache("xumx"), f"XUMX_HOME={unset!r}"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("404", "404 Not Found"),
        ("500", "500 Internal Server Error"),
        ("cut", ""),
        ("odd-length", ""),
        ("silent", "connection failed (ReadTimeout)"),
        ("stall-once", "connection failed (ConnectionError)"),
    ],
)
def test_failed_transfer(
    how: str,
    words: str,
    server: Server,
    publish: Callable[..., None],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (0.3, 0.3))
    publish(server.url(how))
    assert_fails(server.url(how), home / "tiny" / "tiny.h5", words)
    publish(server.url("whole"))
    assert resolve("tiny", progress=False).read_bytes() == CONTENT, "the next call starts again"


def test_the_first_digits_of_a_checksum(server: Server, publish: Callable[..., None], home: Path) -> None:
    publish(server.url("whole"), checksum=f"sha1:{SHA1[1:9]}")
    assert_fails(server.url("whole"), home / "tiny" / "tiny.h5", "SHA1")
    publish(server.url("whole"), checksum=f"sha1:{SHA1[:8]}")
    assert resolve("tiny", progress=False).read_bytes() == CONTENT


def test_wrong_checksum(server: Server, publish: Callable[..., None], home: Path) -> None:
    publish(server.url("whole"), checksum=f"sha1:{hashlib.sha1(b'another').hexdigest()}")
    assert_fails(server.url("whole"), home / "tiny" / "tiny.h5", "SHA1")


def test_refused_connection(server: Server, publish: Callable[..., None], home: Path) -> None:
    publish(server.url("whole"))
    server.stop()
    assert_fails(server.url("whole"), home / "tiny" / "tiny.h5", "connection failed")


def test_unknown_host(publish: Callable[..., None], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", unknown_name)
    publish("http://weights.invalid/tiny.h5")
    assert_fails("http://weights.invalid/tiny.h5", home / "tiny" / "tiny.h5", "connection failed")


def test_cache_below_a_file(server: Server, publish: Callable[..., None], home: Path) -> None:
    publish(server.url("whole"))
    home.write_bytes(b"not a folder")
    assert_fails(server.url("whole"), home / "tiny" / "tiny.h5", "Not a directory", "XUMX_HOME")
    assert home.read_bytes() == b"not a folder"


def test_full_disk(server: Server, home: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))"
    run = child(server.url("whole"), before=limit)
    _, err = run.communicate(timeout=30)
    last = err.splitlines()[-1]
    assert last.startswith("xumx.base.errors.WeightsError: ") and "File too large" in last, err
    assert server.url("whole") in last and str(home / "tiny" / "tiny.h5") in last, last
    assert files_below(home / "tiny") == []


def test_killed_then_retried(server: Server, home: Path) -> None:
    run = child(server.url("stall-once"))
    assert server.half_sent.wait(timeout=30)
    run.kill()
    run.communicate(timeout=30)
    assert not (home / "tiny" / "tiny.h5").exists()
    out, err = child(server.url("stall-once")).communicate(timeout=30)
    assert (out, err) == (f"{home / 'tiny' / 'tiny.h5'}\n", "")
    assert (home / "tiny" / "tiny.h5").read_bytes() == CONTENT


def test_two_processes_at_once(server: Server, home: Path) -> None:
    runs = [child(server.url("together")) for _ in range(2)]
    for run in runs:
        assert run.communicate(timeout=30) == (f"{home / 'tiny' / 'tiny.h5'}\n", "")
    assert len(server.paths) == 2, "both were downloading"
    assert files_below(home) == KEPT
    assert (home / "tiny" / "tiny.h5").read_bytes() == CONTENT


def by_hand(home: Path, content: bytes) -> Path:
    """A file that somebody has saved under the published name."""
    path = home / "tiny" / "tiny.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


FLIPPED = CONTENT[:1000] + b"!" + CONTENT[1001:]


@pytest.mark.parametrize("content", [b"other weights", CONTENT[:-1], FLIPPED, b""], ids=len)
@pytest.mark.parametrize("before", [False, True], ids=["new", "checked before"])
def test_what_is_not_the_published_file_is_said(
    content: bytes, before: bool, server: Server, publish: Callable[..., None], home: Path
) -> None:
    publish(server.url("whole"))
    if before:
        resolve("tiny", progress=False)
    path, fetched = by_hand(home, content), len(server.paths)
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"its SHA1 differs: delete it") as raised:
            resolve("tiny", progress=False)
        assert str(raised.value).startswith(f"{path}: ") and "\n" not in str(raised.value)
    assert path.read_bytes() == content and len(server.paths) == fetched, "it is the user's to delete"
    path.unlink()
    assert resolve("tiny", progress=False).read_bytes() == CONTENT


def test_a_file_is_hashed_once_a_state(
    publish: Callable[..., None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("http://weights.invalid/tiny.h5")
    path = by_hand(home, CONTENT)
    hashed: list[Path] = []
    digest = pretrained.digest_of
    monkeypatch.setattr(pretrained, "digest_of", lambda p, name: (hashed.append(p), digest(p, name))[1])
    for _ in range(3):
        assert resolve("tiny", progress=False) == path
    assert hashed == [path], "whoever put it there"
    os.utime(path, ns=(0, 12345))
    for _ in range(3):
        assert resolve("tiny", progress=False) == path
    assert hashed == [path, path]


@pytest.mark.parametrize(
    "note",
    ["", "x", "\xff", "sha1:0 sha1:0 0 0", f"sha1:{SHA1} sha1:{SHA1} 1", f"sha1:{SHA1} shake_128:0 0 0"],
)
def test_a_damaged_note_is_written_anew(note: str, publish: Callable[..., None], home: Path) -> None:
    publish("http://weights.invalid/tiny.h5")
    path = by_hand(home, CONTENT)
    beside = path.with_name("tiny.h5.checked")
    beside.write_text(note, encoding="latin-1")
    assert resolve("tiny", progress=False) == path
    assert beside.read_text().split()[:2] == [f"sha1:{SHA1}", f"sha1:{SHA1}"]
    beside.unlink()
    beside.mkdir()  # a cache that may not be written
    assert resolve("tiny", progress=False) == path
    by_hand(home, FLIPPED)
    with pytest.raises(WeightsError, match="delete it"):
        resolve("tiny", progress=False)


def test_a_note_of_another_publication_does_not_count(
    server: Server, publish: Callable[..., None], home: Path
) -> None:
    publish(server.url("whole"))
    resolve("tiny", progress=False)
    publish(server.url("whole"), checksum="sha1:" + 40 * "0")
    with pytest.raises(WeightsError, match="delete it"):
        resolve("tiny", progress=False)


def test_paths_that_exist(server: Server, publish: Callable[..., None]) -> None:
    Path("folder").mkdir()
    Path("folder/weights.h5").write_bytes(b"")
    Path("tiny").mkdir()
    for path in ("folder", "folder/weights.h5", "./tiny", Path("tiny"), Path("folder"), Path.cwd()):
        assert resolve(path) == Path(path), path
    assert server.paths == []

    publish(server.url("whole"))
    for path in ("./tiny", Path("tiny")):
        assert resolve(path) == Path("tiny"), f"{path!r} is a path"
    assert resolve("tiny", progress=False).read_bytes() == CONTENT, "the bare name is the published network's"


def test_home_folder_in_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.h5").write_bytes(b"")
    assert resolve("~/mine.h5") == tmp_path / "mine.h5"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("xumx", "x-umx"),
        ("X-UMX", "x-umx"),
        ("x-unx", "x-umx"),
        ("x_umx", "x-umx"),
        ("umxs", "umxse"),
        ("r-sawata/XUMXL_MUSDB18", "r-sawata/XUMXL_MUSDB18_music_separation"),
    ],
)
def test_misspelt_name(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"^unknown model '{name}' \(did you mean '{meant}'\?\): give"):
        resolve(name)


@pytest.mark.parametrize("name", ["demucs", ""])
def test_unknown_name(name: str) -> None:
    known = ", ".join(MODELS)
    with pytest.raises(UsageError, match=f"^unknown model '{name}': give one of {known}, or a path"):
        resolve(name)


@pytest.mark.parametrize("path", ["missing.h5", "missing/x-umx", "./x-umx", Path("x-umx"), 300 * "x" + ".h5"])
def test_missing_path(path: str | Path) -> None:
    with pytest.raises(WeightsError) as caught:
        resolve(path)
    assert str(caught.value).startswith(f"there are no weights at {str(path)!r}: "), caught.value
    assert "x-umx" in str(caught.value).split(":")[1] and "\n" not in str(caught.value), caught.value
