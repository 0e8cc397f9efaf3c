"""Loading, pulling and removing models of an Ollama over its own API."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec

from broker import errand
from workers.engines import meter, tending
from workers.engines.failure import EngineFailure
from workers.engines.tending import Progress

LOAD_S = 900.0  # a large model from a slow disk
REMOVE_S = 120.0
SILENCE_S = 900.0  # of a pull: checking a large file takes minutes without a word
_MAX_LINE_BYTES = 256 * 1024
_MAX_ERROR_BYTES = 64 * 1024


class _Line(msgspec.Struct):
    status: str = ''
    digest: str = ''
    total: float = 0
    completed: float = 0
    error: msgspec.Raw = msgspec.Raw(b'""')


class _Error(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b'""')


async def tend(http: httpx.AsyncClient, order: errand.Order, *, embeds: bool) -> AsyncGenerator[Progress, None]:
    """Do it, and tell how far it is. ``embeds``: this model only makes embeddings. Raises ``EngineFailure``."""
    try:
        if order.action in ('pull', 'create', 'push'):
            async for progress in _streamed(http, order):
                yield progress
            return
        yield Progress(status={'load': 'loading', 'unload': 'unloading'}.get(order.action, order.action))
        await _whole(http, order, embeds=embeds)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        text = 'Ollama cannot be reached on that machine; start it there, then try again'
        raise EngineFailure('unreachable', text, retryable=True) from None
    except (httpx.HTTPError, OSError) as error:
        text = f'the connection to Ollama was lost: {str(error) or type(error).__name__}'
        raise EngineFailure('connection_lost', text, retryable=True) from None
    except TimeoutError:
        raise EngineFailure('timeout', 'Ollama did not answer in time; look at its log on that machine') from None


async def _streamed(http: httpx.AsyncClient, order: errand.Order) -> AsyncGenerator[Progress, None]:
    parts, done = tending.Parts(), False
    content = msgspec.json.encode(_asked(order) | {'stream': True})
    async with http.stream('POST', f'/api/{order.action}', content=content) as response:
        if response.status_code != 200:
            raise tending.trouble(await _error_of(response), response.status_code)
        lines = _lines(response)
        while True:
            async with asyncio.timeout(SILENCE_S):
                line = await anext(lines, None)
            if line is None:
                break
            try:
                said = msgspec.json.decode(line, type=_Line)
            except (msgspec.MsgspecError, ValueError):
                raise EngineFailure('engine_error', 'the engine sent something that is no progress') from None
            if text := _text(said.error):
                raise tending.trouble(text)
            done |= said.status == 'success'
            yield parts.take(said.status, said.digest, meter.count(said.completed), meter.count(said.total))
    if not done:
        raise EngineFailure('connection_lost', 'Ollama ended before it was done; try again', retryable=True)


async def _whole(http: httpx.AsyncClient, order: errand.Order, *, embeds: bool) -> None:
    path, body = _request(order, embeds=embeds)
    method = 'DELETE' if order.action == 'remove' else 'POST'
    async with asyncio.timeout(LOAD_S if order.action == 'load' else REMOVE_S):
        async with http.stream(method, path, content=msgspec.json.encode(body)) as response:
            if response.status_code != 200:
                raise tending.trouble(await _error_of(response), response.status_code)
            await response.aread()


def _request(order: errand.Order, *, embeds: bool) -> tuple[str, dict[str, Any]]:
    match order.action:
        case 'remove':
            return '/api/delete', {'model': order.model}
        case 'copy':
            return '/api/copy', _asked(order)
        case 'unload':
            return '/api/generate', {'model': order.model, 'keep_alive': 0}
    keep: dict[str, Any] = {'keep_alive': order.keep_s} if order.keep_s else {}
    if embeds:
        return '/api/embed', {'model': order.model, 'input': []} | keep
    return '/api/generate', {'model': order.model, 'stream': False} | keep


def _asked(order: errand.Order) -> dict[str, Any]:
    """The body that came with it, or the name alone."""
    try:
        given = msgspec.json.decode(order.body, type=dict[str, Any]) if order.body else {}
    except (msgspec.MsgspecError, ValueError):
        raise EngineFailure('bad_request', 'the request is no JSON object') from None
    return given if order.action == 'copy' else {'model': order.model} | given


async def _lines(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    rest = b''
    async for data in response.aiter_bytes():
        *lines, rest = (rest + data).split(b'\n')
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > _MAX_LINE_BYTES:
            raise EngineFailure('engine_error', 'the engine sent a line that is too long')
    if rest.strip():
        yield rest


async def _error_of(response: httpx.Response) -> str:
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > _MAX_ERROR_BYTES:
            break
    text = bytes(data).decode(errors='replace').strip()
    try:
        return _text(msgspec.json.decode(text, type=_Error).error) or text[:500]
    except (msgspec.MsgspecError, ValueError):
        return text[:500]


def _text(error: msgspec.Raw) -> str:
    try:
        found = msgspec.json.decode(error)
    except (msgspec.MsgspecError, ValueError):
        return ''
    return meter.error_text(found) if found else ''
