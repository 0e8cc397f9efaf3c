"""The files of ``static`` as the browser gets them: all style sheets in one, packed once, each to be kept for ever.

An address changes with the content of what it leads to.
"""

import functools
import gzip
import hashlib
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.staticfiles import StaticFiles
from nicegui import ui
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

FOLDER = Path(__file__).parents[1] / 'static'
FIRST = ('tokens', 'base', 'icons', 'frame')  # the others may set aside what these say
FOR_EVER = 'public, max-age=31536000, immutable'


def mount(api: FastAPI) -> None:
    """Serve the files below ``/static``, and name the style and the early script in the head of every page."""
    api.add_route('/static/all.css', _styled)
    api.mount('/static', GZipMiddleware(_Kept(directory=FOLDER), minimum_size=1024))
    ui.add_head_html(
        f'<meta name="theme-color" content="#f6f6f4"><script src="{url("desk.js")}"></script>'
        f'<link rel="stylesheet" href="/static/all.css?v={_digest(style())}">',
        shared=True,
    )


def url(name: str) -> str:
    """Where the browser gets a file of ``static``."""
    return f'/static/{name}?v={_digest((FOLDER / name).read_bytes())}'


@functools.cache
def style() -> bytes:
    """All style sheets, one after the other."""
    rest = sorted(path.stem for path in FOLDER.glob('*.css') if path.stem not in FIRST)
    return b'\n'.join((FOLDER / f'{name}.css').read_bytes() for name in (*FIRST, *rest))


@functools.cache
def _packed() -> bytes:
    return gzip.compress(style(), 9)


async def _styled(request: Request) -> Response:
    headers = {'Cache-Control': FOR_EVER, 'Vary': 'Accept-Encoding'}
    if 'gzip' not in request.headers.get('accept-encoding', ''):
        return Response(style(), media_type='text/css', headers=headers)
    return Response(_packed(), media_type='text/css', headers={**headers, 'Content-Encoding': 'gzip'})


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=5).hexdigest()


class _Kept(StaticFiles):
    """Files that are asked for with the digest of their content need not be asked for again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def cached(message: Message) -> None:
            if message['type'] == 'http.response.start' and b'v=' in scope.get('query_string', b''):
                message['headers'].append((b'cache-control', FOR_EVER.encode()))
            await send(message)

        await super().__call__(scope, receive, cached)
