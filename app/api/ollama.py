"""The door for Ollama's clients: what they send reaches the engine byte for byte, and so does what comes back."""

from collections.abc import Awaitable, Callable

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import bodies, caller, native, ollama_admin, ollama_listing, raw
from app.api.ollama_refusal import refusal
from app.api.reply import Reply
from app.api.trouble import Trouble
from app.api.work import Doors, Order, Work
from broker.client import new_job_id

STREAM, WHOLE = 'application/x-ndjson', 'application/json; charset=utf-8'
KINDS = {'/api/chat': 'chat', '/api/generate': 'generate', '/api/embed': 'embed', '/api/embeddings': 'embed'}
_INTO = {
    '/api/chat': 'api.ChatRequest',
    '/api/generate': 'api.GenerateRequest',
    '/api/embed': 'api.EmbedRequest',
    '/api/embeddings': 'api.EmbeddingRequest',
}
_BARE_404 = ('/api/generate', '/api/embed')  # these look for a model called '' where none is named

Handler = Callable[[Request], Awaitable[Response]]


def router(doors: Doors, *, allow_admin: bool = False) -> APIRouter:
    """All of Ollama's paths."""
    routes = APIRouter(tags=['Ollama'])
    for path, summary in (
        ('/api/chat', 'The next message of a chat'),
        ('/api/generate', 'What follows a prompt'),
        ('/api/embed', 'Embeddings of one or many texts'),
        ('/api/embeddings', 'The embedding of one text (the older form)'),
    ):
        routes.add_api_route(path, _door(doors, path), methods=['POST'], summary=summary, name=path)
    ollama_listing.add(routes, doors)
    ollama_admin.add(routes, doors, allowed=allow_admin)
    return routes


def _door(doors: Doors, path: str) -> Handler:
    async def call(request: Request) -> Response:
        try:
            body = await bodies.read(request)
            if path == '/api/embeddings' and (passed_on := _as_it_is(doors, path, request, body)) is not None:
                return passed_on
            return _reply(doors, path, request, body)
        except Trouble as failure:
            reply = refusal(failure)
            reply.headers['X-Request-Id'] = caller.request_id_of(request, new_job_id())
            return reply

    return call


def _reply(doors: Doors, path: str, request: Request, body: bytes) -> Reply:
    found = bodies.fields(body, _INTO[path])
    asked = model_of(found, path)
    kind = KINDS[path]
    order = Order(
        kind=kind,
        model=_announced(doors, asked, kind),
        body=_as_embed(found) if path == '/api/embeddings' else body,
        priority=caller.priority_of(request),
        user=caller.user_of(request),
        idempotency_key=caller.key_of(request),
    )
    work = Work(doors, [order])
    form = OneEmbedding(kind, asked) if path == '/api/embeddings' else NativeForm(kind, asked)
    return Reply(
        work,
        form,
        stream=kind != 'embed' and bytes(found.get('stream', b'')).strip() != b'false',
        request_id=caller.request_id_of(request, work.jobs[0]),
    )


def _as_it_is(doors: Doors, path: str, request: Request, body: bytes) -> Reply | None:
    """The older embeddings of Ollama itself, which are not normalised as the newer ones are; None for other engines."""
    model = doors.board.model(_announced(doors, model_of(bodies.fields(body, _INTO[path]), path), 'embed'))
    return raw.queued(doors, request, body, model.name) if model is not None and model.engine == 'ollama' else None


def model_of(found: native.Fields, path: str) -> str:
    """The model that a body names. Raises ``Trouble`` as Ollama does."""
    asked = bodies.text(found, 'model', _INTO.get(path, 'api.Request'))
    if not asked:
        if path in _BARE_404:
            raise Trouble('model_not_found', "model '' not found")
        raise Trouble('bad_request', 'model is required')
    if len(asked) > 300 or not asked.isprintable() or asked != asked.strip():
        raise Trouble('bad_request', 'invalid model name')
    return asked


class NativeForm:
    """Lines as they are; failures as Ollama says them."""

    def __init__(self, kind: str, model: str) -> None:
        self._kind = kind
        self._model = model

    def head(self, lines: list[bytes]) -> tuple[int, dict[str, str]]:
        """One JSON object in each line."""
        return 200, {'Content-Type': STREAM}

    def part(self, place: int, lines: list[bytes]) -> bytes:
        """The lines, each with its end."""
        return b'\n'.join(lines) + b'\n'

    def is_whole(self, lines: list[bytes]) -> bool:
        """Loading and unloading are answered in one piece whatever was asked for."""
        return len(lines) == 1 and native.only_loads(lines[0])

    def beat(self, work: Work) -> bytes:
        """A chunk with an empty text: a blank line would break clients."""
        return native.beat(self._kind, self._model) + b'\n'

    def end(self) -> bytes:
        """The last line was the engine's."""
        return b''

    def broken(self, failure: Trouble) -> bytes:
        """One line with the error, and none after it."""
        return msgspec.json.encode({'error': failure.detail}) + b'\n'

    def whole_head(self) -> dict[str, str]:
        """One JSON object."""
        return {'Content-Type': WHOLE}

    def whole(self, answers: list[list[bytes]]) -> bytes:
        """What ``"stream": false`` gives."""
        return answers[0][0] if self._kind == 'embed' else native.whole(answers[0], self._kind)

    def refusal(self, failure: Trouble) -> Response:
        """The status and the error."""
        return refusal(failure)


class OneEmbedding(NativeForm):
    """The older form, with one vector."""

    def whole(self, answers: list[list[bytes]]) -> bytes:
        """The first vector of the newer form."""
        found = msgspec.json.decode(answers[0][0], type=_Embeddings).embeddings
        return msgspec.json.encode({'embedding': found[0] if found else []})


class _Embeddings(msgspec.Struct):
    embeddings: list[msgspec.Raw]


def _announced(doors: Doors, asked: str, kind: str) -> str:
    try:
        return doors.model(asked)
    except Trouble as failure:
        if failure.code == 'model_not_found' and kind == 'embed':
            raise Trouble('model_not_found', f'model "{asked}" not found, try pulling it first') from None
        raise


def _as_embed(found: native.Fields) -> bytes:
    """The body of ``/api/embed`` that means the same."""
    kept = {name: found[name] for name in ('model', 'keep_alive', 'options') if name in found}
    prompt = bodies.text(found, 'prompt', 'api.EmbeddingRequest')
    return msgspec.json.encode({**kept, 'input': prompt})
