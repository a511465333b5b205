"""What stands before the application: who may ask, and for how long.

Host and Origin: a page of another site can make a browser send requests here, and can give its own name the
address 127.0.0.1 (DNS rebinding). The first names its origin, the second calls this server by another name.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from xumx.serve.upload import Refused

COOKIE = "xumx-token"

SLOWEST = 2000.0
"""Bytes a second that a body must have, on average, once the server's patience is over."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class Guard:
    """Lets through what may pass, and adds the headers that each answer has.

    Parameters
    ----------
    app : ASGI application
    names : collection of str
        Names by which the server may be called, beside localhost and addresses.
    token : str, optional
        What who asks must know.
    open : collection of str
        Paths that need no token: what the page that asks for it is made of.
    patience : float
        Seconds for which a request may pause.
    root : str
        What the paths of requests may begin with, as a proxy leaves it there: ``/stems``.
    """

    def __init__(
        self,
        app: ASGIApp,
        names: Collection[str] = (),
        token: str | None = None,
        open: Collection[str] = (),
        patience: float = 30.0,
        root: str = "",
    ) -> None:
        self._app, self._token, self._open = app, token, frozenset(open)
        self._patience, self._root = patience, root
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._root and scope["path"].startswith(f"{self._root}/"):
            scope = {**scope, "path": scope["path"].removeprefix(self._root)}
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check_names(scope["method"], headers)
            entering = self._entering(scope, headers)
            if entering is not None:
                await _redirect(answer, *entering)
                return
            self._check_token(scope, headers)
            await self._app(scope, _timed(receive, self._patience), answer)
        except Refused as error:
            if not begun:
                await refuse(answer, error.status, str(error))

    def _check_names(self, method: str, headers: dict[bytes, str]) -> None:
        host = headers.get(b"host", "")
        if not self._knows(host):
            raise Refused(
                421, "this server is not called by that name; whoever runs it can allow it with --allow-host"
            )
        if method in ("GET", "HEAD"):
            return
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", "same-origin")
        if (origin is not None and urlsplit(origin).netloc != host) or site not in ("same-origin", "none"):
            raise Refused(403, "the request comes from the page of another site")

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
            return True  # no name, so that nobody can have given it another meaning
        except ValueError:
            return name in self._names

    def _entering(self, scope: Scope, headers: dict[bytes, str]) -> tuple[str, str, bool] | None:
        """Where a link with the right token leads, and the cookie that it brings."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [""])[0]
        if self._token is None or not given or scope["method"] != "GET" or not self.is_right(given):
            return None
        rest = urlencode({name: values for name, values in query.items() if name != "token"}, doseq=True)
        return f"?{rest}" if rest else "./", self.cookie(), scope["scheme"] == "https"

    def _check_token(self, scope: Scope, headers: dict[bytes, str]) -> None:
        if self._token is None or scope["path"] in self._open:
            return
        kind, _, bearer = headers.get(b"authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_right(bearer.strip()):
            return
        try:
            crumb = SimpleCookie(headers.get(b"cookie", "")).get(COOKIE)
        except CookieError:
            crumb = None
        if crumb is not None and hmac.compare_digest(crumb.value.encode(), self.cookie().encode()):
            return
        raise Refused(401, "this server asks for a token; whoever runs it knows it")

    def is_right(self, token: str) -> bool:
        """Whether that is the token; it takes as long to say no as yes."""
        return hmac.compare_digest(_digest(token), _digest(self._token or ""))

    def cookie(self) -> str:
        """What a browser keeps in place of the token."""
        return hmac.new((self._token or "").encode(), b"xumx cookie", "sha256").hexdigest()


def cookie_header(value: str, secure: bool) -> str:
    return f"{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000" + (
        "; Secure" if secure else ""
    )


async def refuse(send: Send, status: int, why: str) -> None:
    """Answer with an error: ``{"error": why}``."""
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _redirect(send: Send, to: str, cookie: str, secure: bool) -> None:
    headers = [(b"location", to.encode()), (b"set-cookie", cookie_header(cookie, secure).encode())]
    headers += [(b"content-length", b"0"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _timed(receive: Receive, patience: float) -> Receive:
    """The same, but a body that drips or pauses is refused."""
    began, got, whole = time.monotonic(), 0, False

    async def timed() -> Message:
        nonlocal got, whole
        if whole:  # what comes now is the end of the connection
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), patience)
        except asyncio.TimeoutError:
            raise Refused(408, "the request has paused for too long") from None
        got += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if not whole and got < SLOWEST * (time.monotonic() - began - patience):
            raise Refused(408, "the request comes too slowly")
        return message

    return timed


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Protocol(H11Protocol):
    """uvicorn's, which by itself waits for ever for the headers of a request, and for who takes no answer.

    Attributes
    ----------
    patience : float
        Seconds that it waits, and for the rest of a request that was refused.
    """

    patience = 30.0
    _waiting: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiting is not None and self.cycle is not None and not self.cycle.response_complete:
            self._waiting.cancel()
            self._waiting = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # else the next request was there already
            self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._waiting, self._stalled):
            if timer is not None:
                timer.cancel()

    def _wait(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self.loop.call_later(self.patience, self.transport.close)
