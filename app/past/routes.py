"""Where the table of the past gets its rows, and the browser its files: too much for the page's socket."""

import datetime
import time
from collections.abc import AsyncIterator, Callable

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from analytics.errors import AnalyticsError
from app.jobs import sheets
from app.parts import Parts
from app.past import book, files, rows
from app.past.query import LOOK, Query
from broker import errors, protocol

ROWS, FILE = '/desk/jobs/rows', '/desk/jobs/file'
MOST_ROWS = 500
_PRIVATE = {'Cache-Control': 'no-store'}


def router(parts: Callable[[], Parts]) -> APIRouter:
    """``GET /desk/jobs/rows`` and ``GET /desk/jobs/file``; both take what ``Query`` reads."""
    made = APIRouter(include_in_schema=False)

    @made.get(ROWS)
    async def some(request: Request) -> Response:
        asked = _asked(parts(), request)
        try:
            found = await book.part(parts(), asked)
        except errors.BrokerError as error:
            return JSONResponse({'error': _code(error)}, 503, _PRIVATE)
        return Response(msgspec.json.encode(rows.page(parts(), asked, found)), 200, _PRIVATE, 'application/json')

    @made.get(FILE)
    async def file(request: Request) -> Response:
        asked, form = _asked(parts(), request), request.query_params.get('format', 'csv')
        name = f'corral-jobs-{datetime.datetime.now():%Y%m%d-%H%M}.{form}'
        headers = {**_PRIVATE, 'Content-Disposition': f'attachment; filename="{name}"'}
        try:
            if form == 'parquet':
                path, remove = await files.parquet(parts(), asked)
                return FileResponse(
                    path, headers=headers, media_type=files.MEDIA[form], background=BackgroundTask(remove)
                )
            if form not in tuple(sheets.Kind):
                return PlainTextResponse('The format is csv, json, ndjson or parquet.', 400)
            pieces = files.lines(parts(), asked, sheets.Kind(form))
            first = await anext(pieces)  # what goes wrong at once can still be said
        except errors.BrokerError:
            return PlainTextResponse('The queue does not answer. It is being restarted; try again in a moment.', 503)
        except AnalyticsError as error:
            return PlainTextResponse(f'{error}.', 503)
        return StreamingResponse(_after(first, pieces), headers=headers, media_type=files.MEDIA[form])

    return made


async def _after(first: str, pieces: AsyncIterator[str]) -> AsyncIterator[bytes]:
    yield first.encode()
    async for piece in pieces:
        yield piece.encode()


def _asked(parts: Parts, request: Request) -> protocol.ListJobs:
    """What the queue is asked for; ``now`` and ``at`` are of the list that is being scrolled."""
    given = request.query_params
    asked = book.wanted(parts, Query.read(given), _number(given.get('now')) or time.time())
    return msgspec.structs.replace(
        asked,
        offset=int(_number(given.get('offset'))),
        limit=min(MOST_ROWS, int(_number(given.get('limit'), 100))),
        until_order=int(_number(given.get('at'))),
        look=int(_number(given.get('look'), LOOK)),
        whole=given.get('whole') == '1',
    )


def _number(text: str | None, otherwise: float = 0.0) -> float:
    try:
        found = float(text) if text else otherwise
    except ValueError:
        return otherwise
    return found if 0 <= found < 2**53 else otherwise


def _code(error: errors.BrokerError) -> str:
    return error.code if isinstance(error, errors.Refused) else 'unreachable'
