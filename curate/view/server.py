"""The local server behind `curate view`: routes, files of the page, and errors as answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from typing_extensions import override

from curate.errors import CurateError, LockedError, MediaError
from curate.render import printable

from .access import REFUSED, Access, Guarded
from .media import FRAMES, PLAYED, Media, picture, spectrogram, wav, waveform
from .session import Gone, Page

STATIC = ("view.js", "charts.js", "sample.js", "marks.js", "dom.js", "style.css")
LARGEST_BODY = 1 << 20
MISSING = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120"><rect width="160" height="120" fill="#30363c"/>'
    '<text x="80" y="64" fill="#e6e8ea" font-size="14" font-family="sans-serif" text-anchor="middle">not there</text>'
    "<title>{}</title></svg>"
)


class Json(JSONResponse):
    """An answer in JSON; what is no JSON value is written as text."""

    @override
    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=str, separators=(",", ":")).encode()


def application(page: Page, access: Access) -> Starlette:
    """The routes of a page."""

    async def opened(request: Request) -> Response:
        if not (access.redeem(request.query_params.get("token", "")) or access.is_session(request)):
            return Response(REFUSED, 403, media_type="text/html")
        answer = Response(_file("page.html"), media_type="text/html", headers={"Cache-Control": "no-store"})
        answer.set_cookie(access.cookie, access.session, httponly=True, samesite="strict", path="/")
        return answer

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "plotly.js":
            import plotly

            path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
            kept = {"Cache-Control": "private, max-age=86400"}
            return Response(path.read_bytes(), media_type="text/javascript", headers=kept)
        if name not in STATIC:
            return Response(status_code=404)
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(_file(name), media_type=kind, headers={"Cache-Control": "no-cache"})

    def answering(work: Callable[[Request], Any]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                found = work(request)
            except Exception as error:
                return _failed(error)
            return found if isinstance(found, Response) else Json(found)

        return answer

    def posted(work: Callable[[Mapping[str, Any]], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                raw = await request.body()
                body = _parsed(raw)
                return Json(await run_in_threadpool(work, body))
            except Exception as error:
                return _failed(error)

        return answer

    routes = [
        Route("/", opened),
        Route("/static/{name}", static),
        Route("/api/about", answering(lambda _: page.about())),
        Route("/api/summary", answering(lambda r: _summary(page, r))),
        Route("/api/page", answering(lambda r: _rows(page, r))),
        Route("/api/sample", answering(lambda r: page.sample(r.query_params.get("id", "")))),
        Route("/api/alike", answering(lambda r: page.alike(r.query_params.get("id", "")))),
        Route("/api/review", answering(lambda _: {"queue": page.review.queue(), **page.review.report()})),
        Route("/media/{what}", answering(lambda r: _drawn(page.media, r))),
        *(
            Route(f"/api/{name}", posted(work), methods=["POST"])
            for name, work in (("mark", page.decide), ("withdraw", page.take_back), ("select", page.select))
        ),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guarded, access=access)])


def _parsed(raw: bytes) -> Mapping[str, Any]:
    """The JSON object of a request.

    Raises:
        CurateError: it is none, or too large.
    """
    try:
        body = json.loads(raw) if len(raw) <= LARGEST_BODY else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, Mapping):
        raise CurateError("expected one JSON object of less than 1 MB", "reload the page")
    return body


def _file(name: str) -> str:
    return resources.files("curate.view").joinpath(f"page/{name}").read_text(encoding="utf-8")


def _summary(page: Page, request: Request) -> dict[str, Any]:
    page.refresh()
    found = page.answers.summary(page.question(request.query_params.multi_items()))
    return found | {"warning": "" if page.store.path.exists() else f"{page.store.path} is not there any more"}


def _rows(page: Page, request: Request) -> dict[str, Any]:
    given = request.query_params
    try:
        start, rows = int(given.get("start", 0)), int(given.get("rows", 24))
    except ValueError:
        raise CurateError("start and rows are whole numbers", "e.g. start=0&rows=24") from None
    question = page.question(given.multi_items())
    return page.answers.page(question, min(start, page.snapshot.total), rows, given.get("after", ""))


def _drawn(media: Media, request: Request) -> Response:
    """A medium, or where a picture is wanted and there is none, a picture of the reason."""
    try:
        return _medium(media, request)
    except (CurateError, MediaError, OSError, ValueError) as error:
        if request.headers.get("sec-fetch-dest") != "image":
            raise
        reason = error.reason if isinstance(error, MediaError) else str(error)
        return Response(MISSING.format(escape(printable(reason[:200]))), media_type="image/svg+xml")


def _medium(media: Media, request: Request) -> Response:
    """A medium of a sample: the file itself, by ranges, or a sound or picture made of it."""
    sample_id, modality = request.query_params.get("id", ""), request.query_params.get("modality", "")
    what = request.path_params["what"]
    kept = {"Cache-Control": "private, max-age=600"}
    if what == "file":
        path, _ = media.file(sample_id, modality)
        kind = PLAYED.get(path.suffix.lower())
        if kind is None:
            raise CurateError(f"browsers do not play {path.suffix or 'files without suffix'}", "it is decoded instead")
        return FileResponse(path, media_type=kind, headers=kept)
    if what in ("picture", "frames"):
        shown = media.frames(sample_id, modality, FRAMES if what == "frames" else 1)
        return Response(picture(shown), headers=kept, media_type="image/png")
    samples, rate = media.wave(sample_id, modality)
    if what == "sound":
        return _part(wav(samples, rate), request.headers.get("range", ""), kept)
    if what == "waveform":
        return Response(waveform(samples), media_type="image/svg+xml", headers=kept)
    return Response(spectrogram(samples, rate), media_type="image/png", headers=kept)


def _part(content: bytes, wanted: str, headers: Mapping[str, str]) -> Response:
    """A sound made here, or the range of it that a player asks for: without ranges it could not seek."""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
    headers = {**headers, "Accept-Ranges": "bytes"}
    if found is None or int(found[1]) >= len(content):
        return Response(content, media_type="audio/wav", headers=headers)
    first, last = int(found[1]), min(int(found[2] or len(content)), len(content) - 1)
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(content[first : last + 1], 206, media_type="audio/wav", headers=headers)


def _failed(error: Exception) -> Response:
    """An error as JSON: what happened, and what to do."""
    status = 400
    if isinstance(error, LockedError):
        status = 423
    elif isinstance(error, Gone):
        status = 410
    elif isinstance(error, MediaError):
        return Json({"message": error.reason, "hint": error.status}, 404)
    elif not isinstance(error, CurateError):
        if not isinstance(error, ValueError | OSError):
            raise error
        return Json({"message": str(error), "hint": "see the terminal of `curate view`"}, 500)
    return Json({"message": error.message, "hint": error.hint}, status)
