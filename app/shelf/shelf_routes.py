"""Downloads and uploads of the chat page, by plain HTTP: they are too large for its socket."""

import asyncio
import logging
import mmap
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect

from app import i18n
from app.desk import DeskError
from app.messages import Conversation
from app.parts import Parts
from app.shelf import shelf
from app.shelf.shelf_export import Exporter, file_name
from app.shelf.shelf_import import Importer, ImportRefused

IMPORT = '/shelf/import'
GONE = 'This conversation was deleted.'
_NAME = re.compile('[0-9a-f]{32}')  # that a page gives its import, to ask how far it is

log = logging.getLogger(__name__)


def router(parts: Callable[[], Parts]) -> APIRouter:
    """The routes below ``/shelf``; ``parts`` is asked for each request."""
    routes = APIRouter(prefix='/shelf', include_in_schema=False)
    turn = asyncio.Lock()  # of imports: each takes memory for a part of a file
    under_way: dict[str, tuple[str, float]] = {}  # imports by name: what is done, and what share of it

    @routes.get('/conversations.{form}')
    async def several(request: Request, form: Literal['json', 'zip'], folder: str = '') -> Response:
        here = parts()
        chosen, exporter = _chosen(here, folder), Exporter(here.chat, here.shelf)
        written = exporter.json(chosen) if form == 'json' else exporter.markdown_zip(chosen, _language(request))
        return _file(written, _called(here, folder), form)

    @routes.get('/{conversation_id}.{form}')
    async def one(request: Request, conversation_id: str, form: Literal['json', 'md']) -> Response:
        here = parts()
        header: Conversation | None = here.chat.conversation(conversation_id)
        if header is None:
            return PlainTextResponse(i18n.tr(_language(request), GONE) + '\n', 404)
        exporter = Exporter(here.chat, here.shelf)
        written = exporter.json([header]) if form == 'json' else exporter.markdown(header, _language(request))
        return _file(written, header.title, form)

    @routes.post('/import')
    async def take(request: Request, name: str = '') -> Response:
        here = parts()

        def tell(what: str, share: float) -> None:
            if _NAME.fullmatch(name):
                under_way[name] = (what, share)

        try:
            body = await _kept(request, here.settings.data_dir, lambda share: tell('uploading', share))
            async with turn:
                tell('storing', 0)
                told = await Importer(here.chat, here.shelf).take(body, lambda share: tell('storing', share))
        except ImportRefused as refused:
            return JSONResponse({'code': refused.code}, 507 if refused.code == 'room' else 400)
        except ClientDisconnect:
            return JSONResponse({'code': 'failed'}, 400)  # nobody will read this
        except (DeskError, OSError):
            log.exception('an import failed', extra={'action': 'import'})
            return JSONResponse({'code': 'failed'}, 507)
        finally:
            under_way.pop(name, None)
        return JSONResponse({'done': told.done, 'known': told.known, 'broken': told.broken})

    @routes.get('/import/{name}')
    async def how_far(name: str) -> Response:
        what, share = under_way.get(name, ('', 0.0))
        return JSONResponse({'what': what, 'share': share}, headers={'cache-control': 'no-store'})

    return routes


async def _kept(request: Request, folder: Path, tell: Callable[[float], None]) -> memoryview:
    """The body, on the disk and not in memory, for as long as somebody looks at it. Raises ``ImportRefused``."""
    with tempfile.TemporaryFile(dir=folder) as file:
        size, came = int(request.headers.get('content-length') or 0), 0
        async for piece in request.stream():
            await asyncio.to_thread(file.write, piece)
            came += len(piece)
            tell(min(1.0, came / size) if size else 0.0)
        file.flush()
        if not file.tell():
            raise ImportRefused('broken')
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


TYPES = {'json': 'application/json', 'md': 'text/markdown; charset=utf-8', 'zip': 'application/zip'}


def _file(parts: AsyncIterator[bytes], title: str, kind: str) -> Response:
    name = f'{file_name(title)}.{kind}'
    plain = name.encode('ascii', 'replace').decode().replace('?', '_')
    told = f'attachment; filename="{plain}"; filename*=UTF-8\'\'{quote(name, safe="")}'
    return StreamingResponse(
        parts, media_type=TYPES[kind], headers={'content-disposition': told, 'cache-control': 'no-store'}
    )


def _chosen(parts: Parts, folder: str) -> list[Conversation]:
    """Those of a folder, or all, newest first."""
    place = parts.shelf.place_of
    return [each for each in parts.chat.conversations() if not folder or place(each.id).folder == folder]


def _called(parts: Parts, folder: str) -> str:
    known: shelf.Folder | None = parts.shelf.folder(folder)
    return known.name if known is not None else 'conversations'


def _language(request: Request) -> str:
    return i18n.choose(request.cookies.get(i18n.COOKIE, ''), request.headers.get('accept-language', ''))
