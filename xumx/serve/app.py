"""The application: the page, and the HTTP interface that it uses as others may."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import mimetypes
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from xumx import report
from xumx.base.errors import UsageError, XumxError, line_of
from xumx.network.catalogue import MODELS
from xumx.network.config import SOURCES
from xumx.report.page import asset
from xumx.serve import openapi
from xumx.serve.choices import options_of, plain
from xumx.serve.cleaner import Cleaner
from xumx.serve.downloads import attachment, suggested, zipped
from xumx.serve.entrance import Entrance
from xumx.serve.events import Hub, record
from xumx.serve.guard import Guard, cookie_header
from xumx.serve.helper import Helper
from xumx.serve.models import names_of
from xumx.serve.options import ServeOptions
from xumx.serve.perform import RESULT
from xumx.serve.queues import Queue
from xumx.serve.store import Job, Store
from xumx.serve.upload import Form, Refused, no_room, receive

logger = logging.getLogger(__name__)

_OURS = ("index.html", "serve.css", "serve.js")
_PLAYERS = ("page.css", "stretch.js", "player.js", "controls.js")
_TIDY = 30.0  # seconds from one look for old songs to the next
_MIXING = 600.0  # seconds that a mixdown may take


class App:
    """What the server knows, and its answers.

    Parameters
    ----------
    store : Store
    hub : Hub
        Looks at the same database by a connection of its own.
    options : ServeOptions
    queue : Queue
    models : dict of str to str
        Files of the server's own models, by name.
    token : str, optional
        What who asks must know.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        options: ServeOptions,
        queue: Queue,
        models: dict[str, str],
        token: str | None = None,
    ) -> None:
        self.store, self.options, self.queue = store, options, queue
        self.hub = hub
        self.cleaner = Cleaner(store, options.keep, options.max_disk, self._say)
        self._own = models
        self._stems: dict[str, list[str]] = {name: list(m.sources) for name, m in MODELS.items()}
        self._looking, self._mixing = Helper(), Helper()
        self.entrance = Entrance(store, options, queue, self._looking, models, self._stems)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._assets = _assets()
        names = (*options.allow_host, options.host)
        open_paths = ("/", "/api/enter", *(f"/assets/{name}" for name in self._assets))
        self.app = Starlette(
            routes=self._routes(),
            lifespan=self._lifespan,
            exception_handlers={
                HTTPException: self._http_error, XumxError: self._error, Exception: self._fault
            },
        )  # fmt: skip
        self.guard = Guard(self.app, names, token, open_paths, options.patience, options.root)

    def _routes(self) -> list[Route]:
        job = "/api/jobs/{id:str}"
        return [
            Route("/", self.page),
            Route("/assets/{name:str}", self.asset),
            Route("/openapi.json", self.openapi),
            Route("/api/enter", self.enter, methods=["POST"]),
            Route("/api/server", self.server),
            Route("/api/models", self.models),
            Route("/api/jobs", self.list_jobs, methods=["GET"]),
            Route("/api/jobs", self.add_jobs, methods=["POST"]),
            Route("/api/events", self.all_events),
            Route(job, self.get_job, methods=["GET"]),
            Route(job, self.remove_job, methods=["DELETE"]),
            Route(f"{job}/events", self.events),
            Route(f"{job}/stems/{{name:str}}", self.stem),
            Route(f"{job}/zip", self.zip),
            Route(f"{job}/mix", self.mix),
            Route(f"{job}/player", self.player),
            Route(f"{job}/sound/{{name:str}}", self.sound),
        ]

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        await self.hub.look()
        tasks = [asyncio.create_task(work()) for work in (self.hub.watch, self._look_at_models, self._tidy)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await self._looking.end()
            await self._mixing.end()

    async def _look_at_models(self) -> None:
        """Find out which stems the server's own networks give."""
        for name, path in list(self._own.items()):
            try:
                self._stems[name] = await self._looking.ask("sources", 60, path=path)
            except XumxError as error:
                logger.warning("%s cannot be chosen: %s", name, error)
                self._own.pop(name, None)

    async def _tidy(self) -> None:
        while True:
            await asyncio.to_thread(self.cleaner.clean)
            await asyncio.sleep(_TIDY)

    def _say(self, text: str) -> None:
        """Tell those who look at the page, and the log; from any thread."""
        logger.info("%s", text)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.hub.notice, text)

    # Errors.

    async def _http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = {404: "there is nothing of that name", 405: "that cannot be done with this address"}
        why = words.get(error.status_code, error.detail)
        return JSONResponse({"error": why}, error.status_code, error.headers)

    async def _error(self, request: Request, error: Exception) -> Response:
        if isinstance(error, Refused):
            # The connection stays, for a while: who still sends would lose the answer by its end.
            return JSONResponse({"error": str(error)}, error.status)
        status = 422 if isinstance(error, UsageError) else 500
        return JSONResponse({"error": plain(str(error), {})}, status)

    async def _fault(self, request: Request, error: Exception) -> Response:
        logger.error("%s", line_of(error, request.url.path))
        return JSONResponse({"error": "something is wrong with the server; its log says what"}, 500)

    # The page.

    async def page(self, request: Request) -> Response:
        return self._asset(request, "index.html")

    async def asset(self, request: Request) -> Response:
        return self._asset(request, request.path_params["name"])

    def _asset(self, request: Request, name: str) -> Response:
        if name not in self._assets:
            raise HTTPException(404)
        body, kind, tag = self._assets[name]
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(None, 304, headers)
        return Response(body, 200, headers, kind)

    async def enter(self, request: Request) -> Response:
        """Give who knows the token the cookie that browsers need."""
        body = b""
        async for data in request.stream():
            body += data
            if len(body) > 1000:
                raise Refused(413, "that is no token")
        token = body.decode("utf-8", "replace").strip()
        if not self.guard.is_right(token):
            await asyncio.sleep(0.5)
            raise Refused(401, "that is not the token of this server")
        secure = request.url.scheme == "https"
        return Response(None, 204, {"set-cookie": cookie_header(self.guard.cookie(), secure)})

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi.document())

    async def server(self, request: Request) -> Response:
        """What the page must know before it sends anything."""
        limits = {name: getattr(self.options, name) for name in ("max_upload", "max_duration", "max_queue")}
        choices = {one.name: one.choices for one in options_of().values() if one.choices}
        folder = self.options.music_dir is not None
        return JSONResponse({**limits, "keep": self.options.keep, "paths": folder, "choices": choices})

    async def models(self, request: Request) -> Response:
        names = names_of(self._own)
        default = self.options.model
        return JSONResponse(
            [{"name": n, "stems": self._stems.get(n, list(SOURCES)), "default": n == default} for n in names]
        )

    # Jobs.

    async def list_jobs(self, request: Request) -> Response:
        return JSONResponse([record(job) for job in await asyncio.to_thread(self.store.all)])

    async def get_job(self, request: Request) -> Response:
        return JSONResponse(record(await self._job(request)))

    async def remove_job(self, request: Request) -> Response:
        job = await self._job(request)
        await asyncio.to_thread(self.store.remove, job)
        await asyncio.to_thread(self.queue.cancel, job)
        return Response(None, 204)

    async def add_jobs(self, request: Request) -> Response:
        waiting = sum(not job.over for job in await asyncio.to_thread(self.store.all))
        if waiting >= self.options.max_queue:
            raise Refused(429, f"{waiting} songs wait already, and no more may; try again later")
        await self._make_room(int(request.headers.get("content-length") or 0))
        with Form() as form:
            kind = request.headers.get("content-type", "")
            await receive(request.stream(), kind, form, self.store.incoming, self.options.max_upload)
            for path in form.fields.pop("path", []):
                form.files.append(await asyncio.to_thread(self.entrance.from_folder, path))
            options = self.entrance.choices(form.fields)
            if not form.files:
                raise Refused(422, "send a song, in the field file")
            answers = [await self.entrance.add(upload, options) for upload in form.files]
        good = [answer for answer in answers if answer[0] < 400]
        if len(answers) == 1 and not good:
            raise Refused(answers[0][0], answers[0][1]["error"])
        status = max(status for status, _ in good or answers)
        found = [body for _, body in answers]
        return JSONResponse(found[0] if len(found) == 1 else found, status)

    async def _make_room(self, coming: int) -> None:
        if shutil.disk_usage(self.store.folder).free < coming:
            raise no_room()
        if self.options.max_disk is not None and not await asyncio.to_thread(self.cleaner.clean, coming):
            raise no_room()

    # What became of them.

    async def all_events(self, request: Request) -> Response:
        return self._stream(self.hub.stream())

    async def events(self, request: Request) -> Response:
        job = await self._job(request)
        await self.hub.look()
        return self._stream(self.hub.stream(job.id))

    def _stream(self, events: AsyncIterator[str]) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(events, 200, headers, "text/event-stream")

    async def stem(self, request: Request) -> Response:
        job = await self._job(request, done=True)
        name = request.path_params["name"]
        found = [file for file in job.stems if name in (file, file.rpartition(".")[0])]
        if not found:
            stems = ", ".join(file.rpartition(".")[0] for file in job.stems)
            raise Refused(404, f"{job.name} has no such stem; it has {stems}")
        return self._file(job, f"stems/{found[0]}", suggested(job.name, found[0]))

    async def zip(self, request: Request) -> Response:
        job = await self._job(request, done=True)
        folder = self.store.place(job) / RESULT / "stems"
        files = {suggested(job.name, file): folder / file for file in job.stems}
        name = suggested(job.name, "stems.zip")
        return StreamingResponse(zipped(files), 200, attachment(name), "application/zip")

    async def mix(self, request: Request) -> Response:
        """The sum of the stems, each at a gain, in the format of the stems."""
        job = await self._job(request, done=True)
        gains = dict.fromkeys((file.rpartition(".")[0] for file in job.stems), 1.0)
        for text in request.query_params.getlist("gain"):
            stem, _, value = text.rpartition(":")
            if stem not in gains or not re.fullmatch(r"\d(\.\d{1,6})?", value) or float(value) > 4:
                raise Refused(422, "gain is STEM:NUMBER, with a number from 0 to 4")
            gains[stem] = float(value)
        ending = job.stems[0].rpartition(".")[2]
        how: dict[str, Any] = {
            name: job.options[name] for name in ("bitrate", "subtype") if name in job.options
        }
        folder = self.store.place(job) / RESULT / "stems"
        target = Path(tempfile.mkdtemp(dir=self.store.incoming)) / f"mix.{ending}"
        away = BackgroundTask(shutil.rmtree, target.parent, True)
        try:
            stems = [str(folder / file) for file in job.stems]
            given = {"gains": list(gains.values()), "options": {"format": ending, **how}}
            await self._mixing.ask("mix", _MIXING, stems=stems, target=str(target), **given)
        except XumxError:
            await away()
            raise Refused(500, "the mixdown cannot be made") from None
        return self._send(target, suggested(job.name, f"mix.{ending}"), away)

    async def player(self, request: Request) -> Response:
        return self._file(await self._job(request, done=True), f"player/{report.PLAYER}", None)

    async def sound(self, request: Request) -> Response:
        name = request.path_params["name"]
        if not re.fullmatch(r"\d{1,3}-\d{1,5}\.mp3", name):
            raise HTTPException(404)
        return self._file(await self._job(request, done=True), f"player/{name}", None)

    async def _job(self, request: Request, done: bool = False) -> Job:
        job = await asyncio.to_thread(self.store.get, request.path_params["id"])
        if job is None:
            raise Refused(404, "there is no such song here, or not any more")
        if done and job.status != "done":
            why = f"failed: {job.error}" if job.error else "is not done yet"
            raise Refused(409, f"{job.name} {why}")
        return job

    def _file(self, job: Job, path: str, name: str | None) -> Response:
        return self._send(self.store.place(job) / RESULT / path, name)

    def _send(self, path: Path, name: str | None, after: BackgroundTask | None = None) -> Response:
        if not path.is_file():
            raise Refused(404, "there is no such file, or not any more")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        headers = {"cache-control": "private, max-age=3600", **(attachment(name) if name else {})}
        return FileResponse(path, 200, headers, kind, after)


def _assets() -> dict[str, tuple[bytes, str, str]]:
    """What the page is made of, by name: bytes, media type and a tag of them."""
    folder = files("xumx.serve") / "assets"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in _OURS}
    texts |= {name: asset(name) for name in _PLAYERS}
    found = {}
    for name, text in texts.items():
        kind = {"html": "text/html", "css": "text/css", "js": "text/javascript"}[name.rpartition(".")[2]]
        body = text.encode()
        found[name] = body, kind, f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return found
