"""Everything that runs while the server does."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import uvicorn

from xumx.base import log
from xumx.base.console import say
from xumx.base.errors import UsageError, XumxError
from xumx.base.files import check_room, locked
from xumx.serve.app import App
from xumx.serve.events import Hub
from xumx.serve.guard import Protocol
from xumx.serve.models import names_of, order, own_models
from xumx.serve.options import ServeOptions
from xumx.serve.queues import Queue
from xumx.serve.store import CRASH, KILL, Store
from xumx.serve.supervisor import Supervisor

_SHORTEST = 12  # characters of a token
_CONNECTIONS = 1000
_FAREWELL = 3  # seconds that answers may take when the server ends


def serve(options: ServeOptions) -> int:
    """Serve until a signal ends it."""
    if options.quiet:
        log.only_errors()
    models = own_models(options)
    names = names_of(models)
    if options.model not in names:
        raise UsageError(f"model {options.model!r}: give one of {', '.join(names)}; models adds your own")
    if options.music_dir is not None and not Path(options.music_dir).expanduser().is_dir():
        raise UsageError(f"music_dir {options.music_dir}: there is no such folder")
    check_room("folder", options.place, 0)
    with locked(options.place, what="folder"), _listening(options) as listening:
        token = token_of(options)
        with closing(Store(options.place)) as store, closing(Store(options.place)) as watched:
            store.restart()
            with _working(store, options, models) as queue:
                app = App(store, Hub(watched), options, queue, models, token)
                _announce(options, listening, token)
                _run(app, options, listening)
    return 0


def token_of(options: ServeOptions) -> str | None:
    """The token that is asked for, if one is: given, or made and kept in the folder."""
    if options.token is not None:
        if len(options.token) < _SHORTEST:
            raise UsageError(f"a token must have {_SHORTEST} characters or more")
        return options.token
    if is_loopback(options.host):
        return None
    path = options.place / "token"
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        token = secrets.token_urlsafe(24)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(token + "\n")
        return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _listening(options: ServeOptions) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listening = socket.create_server((options.host, options.port), family=family, backlog=512)
    except OSError as error:
        where = f"{options.host}, port {options.port}"
        raise XumxError(f"{where}: cannot listen there ({error.strerror}); `port` gives another") from None
    with listening:
        yield listening


@contextmanager
def _working(store: Store, options: ServeOptions, models: dict[str, str]) -> Iterator[Queue]:
    """Workers, of this machine or others, while the block runs; and the way to them."""
    if options.broker is None:
        if not options.workers:
            raise UsageError("workers 0 leaves the work to others, to whom broker leads")
        told = order(options, models, options.max_duration)

        def died(worker: str, crashed: bool) -> None:
            store.release(worker, CRASH if crashed else KILL)

        with Supervisor("xumx.serve.local", told, options.workers, died, store.stuck):
            yield Queue()
        return
    from xumx.serve.broker import BrokerQueue

    told = {**order(options, models, options.max_duration), "broker": options.broker}
    with (
        BrokerQueue(options.broker, store) as queue,
        Supervisor("xumx.serve.remote", told, options.workers),
    ):
        yield queue


def _announce(options: ServeOptions, listening: socket.socket, token: str | None) -> None:
    port = listening.getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    if options.host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    address = f"http://{host}:{port}{options.root}/"
    link = f"{address}?token={token}" if token else address
    if not options.quiet:
        say(f"xumx listens on {link}")
        say(f"songs and stems are in {options.place}; Ctrl-C ends it")
    if not options.no_browser and _has_screen():
        webbrowser.open(link)


def _has_screen() -> bool:
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens)


class _Server(uvicorn.Server):
    """Ends the streams of events first, for which a server would wait otherwise."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.hub.close()
        await super().shutdown(sockets)


def _run(app: App, options: ServeOptions, listening: socket.socket) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # of strangers' broken requests
    config = uvicorn.Config(
        app.guard,
        http=type("Patient", (Protocol,), {"patience": options.patience}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_FAREWELL,
        h11_max_incomplete_event_size=32_000,
    )
    server = _Server(config, app)
    server.run([listening])
    if not server.started:
        raise XumxError("the server could not start")
