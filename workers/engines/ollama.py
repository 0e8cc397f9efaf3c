"""Ollama over its native API. What it sends is passed on byte for byte."""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import msgspec

from broker import facts
from workers.engines import failure, meter
from workers.engines.address import base_url
from workers.engines.answer import MAX_LINE_BYTES, Answer, Deadlines
from workers.engines.base import EngineState
from workers.engines.failure import EngineFailure

_PATHS = {'chat': '/api/chat', 'generate': '/api/generate', 'embed': '/api/embed'}
_DESCRIBE_S = 5.0  # for version and tags together
_CHECK_AGAIN_S = 15.0
_CHECK_SOON_S = 2.5  # while it is away, so that it is found soon after it appears
_MAX_ERROR_BYTES = 64 * 1024
_MAX_TAGS_BYTES = 4 * 1024 * 1024


class _Details(msgspec.Struct):
    parameter_size: str | None = None
    quantization_level: str | None = None


class _Tag(msgspec.Struct):
    name: str
    size: float = 0
    details: _Details | None = None
    capabilities: list[str] | None = None


class _Tags(msgspec.Struct):
    models: list[_Tag] | None = None


class _Version(msgspec.Struct):
    version: str = ''


class _Error(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw(b'""')


class OllamaEngine:
    """One Ollama server at ``url``. It keeps connections open between jobs and reads no proxy settings."""

    name = 'ollama'

    def __init__(self, url: str, *, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._state = EngineState(engine=self.name, problem='unreachable')
        self._missed = 0
        # No time-outs of httpx here: the deadlines are ours and cover whole answers. Only connecting has its own.
        address = base_url(url)
        self._http = httpx.AsyncClient(
            base_url=address,
            verify=address.startswith('https:'),  # reading all certificates takes 50 ms; we follow no redirects
            timeout=httpx.Timeout(None, connect=5.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            headers={'User-Agent': 'corral-worker', 'Accept-Encoding': 'identity'},
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def check_again_s(self) -> float:
        """Seldom while all is well, often while Ollama is away or silent."""
        return _CHECK_SOON_S if self._missed or self._state.problem == 'unreachable' else _CHECK_AGAIN_S

    async def describe(self) -> EngineState:
        """Its version and models. One slow reply is no outage, a refused connection is."""
        try:
            async with asyncio.timeout(_DESCRIBE_S):
                version = msgspec.json.decode(await self._get('/api/version'), type=_Version)
                tags = msgspec.json.decode(await self._get('/api/tags'), type=_Tags)
        except (httpx.ConnectError, EngineFailure, msgspec.MsgspecError, ValueError):
            self._missed = 2
        except (httpx.HTTPError, TimeoutError, OSError):
            self._missed += 1
        else:
            self._missed = 0
            models = tuple(_model_info(tag) for tag in tags.models or ())
            problem = '' if models else 'no_models'
            self._state = EngineState(engine=self.name, version=version.version, models=models, problem=problem)
        if self._missed >= 2:
            self._state = EngineState(engine=self.name, problem='unreachable')
        return self._state

    def run(self, kind: str, model: str, body: bytes) -> Answer:
        """Send ``body`` to the endpoint of ``kind``; it streams even where the body asks not to."""
        return Answer(self._lines(kind, body), kind=kind, model=model, deadlines=self._deadlines)

    async def _lines(self, kind: str, body: bytes) -> AsyncGenerator[bytes, None]:
        if kind not in _PATHS:
            raise EngineFailure('bad_request', f'there is no kind of job called {kind}')
        content = body if kind == 'embed' else streaming(body)
        headers = {'Content-Type': 'application/json'}
        sent = False
        try:
            async with self._http.stream('POST', _PATHS[kind], content=content, headers=headers) as response:
                sent = True
                if response.status_code != 200:
                    raise await _refusal(response)
                async for line in _whole(response) if kind == 'embed' else _split(response):
                    yield line
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise EngineFailure('unreachable', f'Ollama cannot be reached: {error}', retryable=True) from None
        except (httpx.HTTPError, OSError) as error:
            what = 'in mid-answer' if sent else 'before the answer'
            text = f'the connection to Ollama was lost {what}: {str(error) or type(error).__name__}'
            raise EngineFailure('connection_lost', text, retryable=True) from None

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


async def _split(response: httpx.Response) -> AsyncGenerator[bytes, None]:
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


async def _whole(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """One JSON object that is the whole reply, as one line. Line breaks in JSON are only ever between its parts."""
    data = await _read(response, MAX_LINE_BYTES)
    yield data.strip().replace(b'\r', b' ').replace(b'\n', b' ')


async def _read(response: httpx.Response, limit: int) -> bytes:
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > limit:
            raise _too_long()
    return bytes(data)


async def _refusal(response: httpx.Response) -> EngineFailure:
    text = (await _start(response, _MAX_ERROR_BYTES)).decode(errors='replace').strip()
    try:
        error = msgspec.json.decode(msgspec.json.decode(text, type=_Error).error)
    except (msgspec.MsgspecError, ValueError):
        error = ''
    detail = meter.error_text(error) if error else text[:500]
    return failure.from_error(detail or f'HTTP {response.status_code}', response.status_code)


async def _start(response: httpx.Response, limit: int) -> bytes:
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > limit:
            break
    return bytes(data[:limit])


def _too_long() -> EngineFailure:
    return EngineFailure('line_too_long', f'the engine sent a line of more than {MAX_LINE_BYTES} bytes')


def _model_info(tag: _Tag) -> facts.ModelInfo:
    details = tag.details or _Details()
    return facts.ModelInfo(
        name=tag.name,
        engine='ollama',
        size_bytes=meter.count(tag.size),
        parameter_size=details.parameter_size or '',
        quantization=details.quantization_level or '',
        capabilities=tuple(tag.capabilities or ()),
    )
