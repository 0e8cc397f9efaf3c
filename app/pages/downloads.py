"""Where the browser gets tables of the statistics as files: ``GET /desk/statistics/<table>.<form>?range=7d``."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from analytics import errors
from app.charts.question import Question, Window
from app.parts import Parts

PATH = '/desk/statistics'
AT_ONCE = 2  # exports; each reads on while the pages ask, too
KINDS = {
    'parquet': 'application/vnd.apache.parquet',
    'csv': 'text/csv; charset=utf-8',
    'json': 'application/json',
    'ndjson': 'application/x-ndjson',
}


def router(parts: Callable[[], Parts]) -> APIRouter:
    """The route. The time is asked for as in the address of the analytics page; at most 400 days."""
    routes = APIRouter(include_in_schema=False)
    room = asyncio.Semaphore(AT_ONCE)

    @routes.get(PATH + '/{name}')
    async def get(name: str, request: Request) -> Response:
        table, _, form = name.rpartition('.')
        book = parts().analytics
        tables = [each.name for each in book.schema()]
        if form not in KINDS or table not in tables:
            there = f'The tables are: {", ".join(tables)}. The forms are: {", ".join(KINDS)}.'
            return PlainTextResponse(f'There is no such table or form. {there}\n', 404)
        if room.locked():
            busy = 'Two exports are under way already. Try again when one is done.\n'
            return PlainTextResponse(busy, 429, headers={'Retry-After': '10'})
        window = Question.read(dict(request.query_params)).window(time.time())
        pieces = _pieces(room, book, table, form, window)
        try:
            first = await anext(pieces, b'')  # what is wrong with the file shows here, while a status can still say so
        except errors.AnalyticsError:
            return PlainTextResponse('The statistics cannot be read at the moment. Try again soon.\n', 503)
        headers = {'Content-Disposition': f'attachment; filename="corral-{table}.{form}"', 'Cache-Control': 'no-store'}
        return StreamingResponse(_whole(first, pieces), media_type=KINDS[form], headers=headers)

    return routes


async def _pieces(room: asyncio.Semaphore, book: Any, table: str, form: str, window: Window) -> AsyncIterator[bytes]:
    async with room:
        async for piece in book.export(table, form, since=window.since, until=window.until):
            yield piece


async def _whole(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
