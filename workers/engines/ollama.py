"""Ollama over its native API. What it sends is passed on byte for byte."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import msgspec

from broker import errand, facts, vitals
from broker.job import LOAD_OPTIONS
from workers.engines import failure, meter, ollama_models, raw, wire
from workers.engines.address import base_url
from workers.engines.answer import MAX_LINE_BYTES, Answer, Deadlines
from workers.engines.base import EngineState
from workers.engines.failure import EngineFailure
from workers.engines.tending import Progress

_PATHS = {'chat': '/api/chat', 'generate': '/api/generate', 'embed': '/api/embed'}
_DESCRIBE_S = 5.0  # for all that describe asks
_CHECK_AGAIN_S = 15.0
_CHECK_SOON_S = 2.5  # while it is away, so that it is found soon after it appears
_MAX_ERROR_BYTES = 64 * 1024
_MAX_TAGS_BYTES = 4 * 1024 * 1024
_CANARY_S = 60.0  # for one token of a model in memory; long enough to stand behind somebody who goes past our queue
_HEADERS = {'User-Agent': 'corral-worker', 'Accept-Encoding': 'identity'}
_JSON = _HEADERS | {'Content-Type': 'application/json'}
_FOR_EVER = '2100'  # what expires later stays; without keep_alive it would be minutes
_Response = httpx.Response | wire.Reply


class _Details(msgspec.Struct):
    format: str | None = None
    family: str | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None
    context_length: float | None = None


class _Tag(msgspec.Struct):
    name: str
    size: float = 0
    digest: str | None = None
    modified_at: str | None = None
    details: _Details | None = None
    capabilities: list[str] | None = None


class _Tags(msgspec.Struct):
    models: list[_Tag] | None = None


class _Loaded(msgspec.Struct):
    name: str
    context_length: float = 0
    expires_at: str = ''
    size: float = 0
    size_vram: float = 0


class _InMemory(msgspec.Struct):
    models: list[_Loaded] | None = None


class _Asked(msgspec.Struct):
    options: dict[str, msgspec.Raw] | None = None


class _Version(msgspec.Struct):
    version: str = ''


class _Error(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b'""')


class OllamaEngine:
    """One Ollama server at ``url``. It keeps connections open between jobs and reads no proxy settings."""

    name = 'ollama'

    def __init__(self, url: str, *, deadlines: Deadlines, allow_admin: bool = False) -> None:
        self._deadlines = deadlines
        self._allow_admin = allow_admin
        self._loaded: dict[str, _Loaded] = {}
        self._options: dict[str, dict[str, msgspec.Raw]] = {}  # with which a model was asked for last
        self._state = EngineState(engine=self.name, problem='unreachable')
        self._missed = 0
        address = base_url(url)
        self._http = httpx.AsyncClient(
            base_url=address,
            verify=address.startswith('https:'),  # reading all certificates takes 50 ms; we follow no redirects
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=wire.KEPT),
            # No time-outs of httpx here: the deadlines are ours and cover whole answers. Only connecting has its own.
            timeout=httpx.Timeout(None, connect=wire.CONNECT_S),
            headers=_HEADERS,
            trust_env=False,
        )
        self._wire = wire.Wire(address, _JSON) if address.startswith('http:') else None  # for what has to be quick
        self._targets = {kind: self._target(path) for kind, path in _PATHS.items()}

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        if self._wire is not None:
            await self._wire.aclose()

    def check_again_s(self) -> float:
        """Seldom while all is well, often while Ollama is away or silent."""
        return _CHECK_SOON_S if self._missed or self._state.problem == 'unreachable' else _CHECK_AGAIN_S

    async def describe(self) -> EngineState:
        """Its version, its models, and which are in memory. One slow reply is no outage, a refused connection is."""
        try:
            async with asyncio.timeout(_DESCRIBE_S):
                version = msgspec.json.decode(await self._get('/api/version'), type=_Version)
                tags = msgspec.json.decode(await self._get('/api/tags'), type=_Tags)
                self._loaded = {model.name: model for model in await self._in_memory()}
        except (httpx.ConnectError, EngineFailure, msgspec.MsgspecError, ValueError):
            self._missed = 2
        except (httpx.HTTPError, TimeoutError, OSError):
            self._missed += 1
        else:
            self._missed = 0
            models = tuple(_model_info(tag, self._loaded.get(tag.name)) for tag in tags.models or ())
            self._state = EngineState(
                engine=self.name,
                version=version.version,
                models=models,
                problem='' if models else 'no_models',
                lasting=tuple(sorted(m.name for m in self._loaded.values() if m.expires_at[:4] >= _FOR_EVER)),
                loaded=tuple(_in_memory(model) for model in self._loaded.values()),
            )
            listed = {_full(model.name) for model in models}
            self._options = {name: options for name, options in self._options.items() if name in listed}
        if self._missed >= 2:
            self._state = EngineState(engine=self.name, problem='unreachable')
        return self._state

    def run(self, kind: str, model: str, body: bytes, path: str = '') -> Answer:
        """Send ``body`` to the endpoint of ``kind``; it streams even where the body asks not to.

        Of kind 'raw' it goes to ``path`` as it is.
        """
        if kind in _PATHS:
            self._options[_full(model)] = _load_options(body)
        return Answer(self._lines(kind, body, path), kind=kind, model=model, deadlines=self._deadlines)

    def canary(self, model: str) -> Answer | None:
        """One token of a model in memory, with the options that it was loaded with, so that nothing is loaded.

        It costs what the model had kept of the last prompt, and restarts the time until the model leaves memory.
        """
        loaded = self._loaded.get(model)
        abilities = next((info.capabilities for info in self._state.models if info.name == model), ())
        if loaded is None or (abilities and not {'completion', 'embedding'} & set(abilities)):
            return None
        options: dict[str, Any] = dict(self._options.get(_full(model), {}))
        if loaded.context_length >= 1:
            options['num_ctx'] = int(loaded.context_length)
        kind = 'embed' if abilities and 'completion' not in abilities else 'generate'
        asked = {'input': '1'} if kind == 'embed' else {'prompt': '1', 'raw': True}
        more = {} if kind == 'embed' else {'num_predict': 1}
        body = msgspec.json.encode({'model': model, **asked, 'options': options | more})
        soon = min(_CANARY_S, self._deadlines.first_token_s)
        deadlines = Deadlines(first_token_s=soon, idle_s=soon, total_s=2 * soon)
        return Answer(self._lines(kind, body, ''), kind=kind, model=model, deadlines=deadlines)

    def tend(self, order: errand.Order) -> AsyncIterator[Progress]:
        """Over its own API."""
        abilities = next((m.capabilities for m in self._state.models if _full(m.name) == _full(order.model)), ())
        embeds = bool(abilities) and 'completion' not in abilities and 'embedding' in abilities
        return ollama_models.tend(self._http, order, embeds=embeds)

    async def _lines(self, kind: str, body: bytes, path: str) -> AsyncGenerator[bytes, None]:
        if kind == 'raw':
            raw.check(path, allow_admin=self._allow_admin)
        elif kind not in _PATHS:
            raise EngineFailure('bad_request', f'there is no kind of job called {kind}')
        content = streaming(body) if kind in ('chat', 'generate') else body
        sent = False
        try:
            async with self._post(self._targets.get(kind) or self._target(path), content) as response:
                sent = True
                if kind != 'raw' and response.status_code != 200:
                    raise await _refusal(response)
                async for line in _READERS[kind](response):
                    yield line
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineFailure('unreachable', f'Ollama cannot be reached: {error}', retryable=True) from None
        except (httpx.HTTPError, OSError) as error:
            what = 'in mid-answer' if sent else 'before the answer'
            text = f'the connection to Ollama was lost {what}: {str(error) or type(error).__name__}'
            raise EngineFailure('connection_lost', text, retryable=True) from None

    @contextlib.asynccontextmanager
    async def _post(self, target: bytes, content: bytes) -> AsyncGenerator[_Response, None]:
        response: _Response
        if self._wire is not None:
            response = await self._wire.post(target, content)
        else:
            url = self._http.base_url.copy_with(raw_path=target)
            request = self._http.build_request('POST', url, headers=_JSON, content=content)
            response = await self._http.send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    def _target(self, path: str) -> bytes:
        return self._http.build_request('POST', path).url.raw_path

    async def _in_memory(self) -> list[_Loaded]:
        try:
            return msgspec.json.decode(await self._get('/api/ps'), type=_InMemory).models or []
        except (EngineFailure, msgspec.MsgspecError):  # an old Ollama, or something that only speaks like one
            return []

    async def _get(self, path: str) -> bytes:
        async with self._http.stream('GET', path) as response:
            if response.status_code != 200:
                raise EngineFailure('refused', f'{path} answered {response.status_code}')
            return await _read(response, _MAX_TAGS_BYTES)


def streaming(body: bytes) -> bytes:
    """``body`` as it is, unless it says ``"stream": false``: then with true, all other values untouched."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, ValueError):
        return body  # Ollama says best what is wrong with it
    # Go takes keys in any case, so {"Stream": false} counts, too
    off = [key for key, value in fields.items() if key.lower() == 'stream' and bytes(value).strip() == b'false']
    if not off:
        return body
    return msgspec.json.encode(fields | dict.fromkeys(off, msgspec.Raw(b'true')))


async def _split(response: _Response) -> AsyncGenerator[bytes, None]:
    rest = bytearray()
    async for data in response.aiter_bytes():
        rest += data
        if b'\n' in data:
            *lines, tail = bytes(rest).split(b'\n')
            rest = bytearray(tail)
            for line in lines:
                if line.strip():
                    yield line
        if len(rest) > MAX_LINE_BYTES:
            raise _too_long()
    if rest.strip():
        yield bytes(rest)


async def _whole(response: _Response) -> AsyncGenerator[bytes, None]:
    """One JSON object that is the whole reply, as one line. Line breaks in JSON are only ever between its parts."""
    data = await _read(response, MAX_LINE_BYTES)
    yield data.strip().replace(b'\r', b' ').replace(b'\n', b' ')


async def _as_it_is(response: _Response) -> AsyncGenerator[bytes, None]:
    """Any answer as lines of ours; raises for one that is worth another try."""
    status = response.status_code
    if status in (502, 503, 504):
        raise await _refusal(response)
    parts, begun = response.aiter_raw(), b''
    if status == 500:  # it may be a crash
        async for part in parts:
            begun += part
            if len(begun) > _MAX_ERROR_BYTES:
                break
        crash = failure.from_error(_error_in(begun), status)
        if crash.retryable:
            raise crash
    yield raw.head(status, response.headers)
    for line in raw.lines(begun):
        yield line
    async for part in parts:
        for line in raw.lines(part):
            yield line


_READERS = {'chat': _split, 'generate': _split, 'embed': _whole, 'raw': _as_it_is}


async def _read(response: _Response, limit: int) -> bytes:
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > limit:
            raise _too_long()
    return bytes(data)


async def _refusal(response: _Response) -> EngineFailure:
    detail = _error_in(await _start(response, _MAX_ERROR_BYTES))
    return failure.from_error(detail or f'HTTP {response.status_code}', response.status_code)


def _error_in(reply: bytes) -> str:
    text = reply.decode(errors='replace').strip()
    try:
        error = msgspec.json.decode(msgspec.json.decode(text, type=_Error).error)
    except (msgspec.MsgspecError, ValueError):
        error = ''
    return meter.error_text(error) if error else text[:500]


async def _start(response: _Response, limit: int) -> bytes:
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > limit:
            break
    return bytes(data[:limit])


def _too_long() -> EngineFailure:
    return EngineFailure('line_too_long', f'the engine sent a line of more than {MAX_LINE_BYTES} bytes')


def _full(name: str) -> str:
    return (name if ':' in name.rpartition('/')[2] else f'{name}:latest').lower()


def _in_memory(model: _Loaded) -> vitals.Loaded:
    return vitals.Loaded(
        name=model.name,
        size_bytes=meter.count(model.size),
        vram_bytes=meter.count(model.size_vram),
        expires_at=_moment(model.expires_at),
        context_length=meter.count(model.context_length),
    )


def _moment(text: str) -> float:
    """A time of Go's as unix seconds; 0 for one that cannot be read, -1 for one that is as good as never."""
    if text[:4] >= _FOR_EVER:
        return errand.FOR_EVER
    try:
        return max(0.0, datetime.fromisoformat(re.sub(r'(\.\d{6})\d+', r'\1', text)).timestamp())
    except (ValueError, OverflowError):
        return 0.0


def _load_options(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        options = msgspec.json.decode(body, type=_Asked).options or {}
    except (msgspec.MsgspecError, ValueError):
        return {}  # Ollama says best what is wrong with it
    # copies, since a Raw keeps the whole body alive
    return {name: options[name].copy() for name in LOAD_OPTIONS if name in options}


def _model_info(tag: _Tag, loaded: _Loaded | None = None) -> facts.ModelInfo:
    details = tag.details or _Details()
    return facts.ModelInfo(
        name=tag.name,
        engine='ollama',
        size_bytes=meter.count(tag.size),
        parameter_size=details.parameter_size or '',
        quantization=details.quantization_level or '',
        capabilities=tuple(tag.capabilities or ()),
        resident=loaded is not None,
        digest=tag.digest or '',
        modified_at=tag.modified_at or '',
        format=details.format or '',
        family=details.family or '',
        context_length=meter.count(details.context_length) or meter.count(loaded.context_length if loaded else 0),
    )
