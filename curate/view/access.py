"""Who may ask the server: the browser that brought the one-time token, and no page of another origin."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer. The charting library sets styles of its elements, which `unsafe-inline` allows."""
REFUSED = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>curate view</title><body><main><h1>Not yours to see</h1>"
    "<p>This page belongs to the browser that first opened the address that <code>curate view</code> printed, token "
    "included. Each address opens once.</p><p>If that was this browser, <a href='/'>open the page again</a>. "
    "Otherwise stop <code>curate view</code> and start it again: it prints a new one.</p></main></body></html>"
)


@dataclass
class Access:
    """The secrets of one server.

    Attributes:
        port: of the server, which is part of its name and of the cookie's.
        token: opens the page once.
        session: the cookie's value.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def cookie(self) -> str:
        """The name of the cookie: browsers share cookies among the ports of a host."""
        return f"curate-{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names under which the server is asked for; any other is a name that someone pointed here."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def address(self) -> str:
        """What to open in a browser, once."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def redeem(self, token: str) -> bool:
        """Whether it is the token, which is then used up."""
        if not self.token or not compare_digest(token.encode(), self.token.encode()):
            return False
        self.token = ""
        return True

    def is_session(self, request: Request) -> bool:
        """Whether a request has the cookie."""
        return compare_digest(request.cookies.get(self.cookie, "").encode(), self.session.encode())

    def refusal(self, request: Request) -> tuple[int, str] | None:
        """Status and text of the answer to a request that may not be answered; None if it may."""
        if request.headers.get("host", "") not in self.hosts:
            return 421, f"this server is {self.hosts[0]}"
        if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and request.url.path != "/":
            return 403, "a page of another origin asks"
        if request.method not in ("GET", "HEAD"):
            if request.headers.get("origin", "") not in [f"http://{host}" for host in self.hosts]:
                return 403, "a page of another origin asks"
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return 415, "expected application/json"
        if not self.is_session(request) and request.url.path != "/":
            return 403, "the page was not opened in this browser"
        return None


class Guarded:
    """Middleware: refuses what `Access` does not allow, and adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        refused = self.access.refusal(Request(scope))
        if refused is None:
            await self.app(scope, receive, with_headers)
            return
        text = {"message": refused[1], "hint": "open the address that `curate view` printed"}
        answer = JSONResponse(text, refused[0])
        await answer(scope, receive, with_headers)
