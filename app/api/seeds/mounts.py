"""All doors of the four at their own paths, and each again below a name of its own, where nothing is shared."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from analytics.ledger import Ledger
from app.api import bodies, ollama_refusal, openai_refusal
from app.api.seeds import (
    ai_task,
    calls,
    demo6,
    llm_mq,
    llm_mq_conversations,
    llm_mq_form,
    llm_mq_queues,
    ollama_queue,
    routes,
    told,
)
from app.api.seeds.calls import Seeds
from app.api.seeds.routes import Refusal
from app.api.seeds.talks import Talks
from app.api.shortcut import Handler
from app.api.trouble import Trouble
from app.desk import Desk

METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
MOUNTS = ('/demo6', '/ollama-queue', '/llm-mq', '/ai-task')

Taker = Callable[[Request, bytes], Awaitable[Response | None]]


class Mounts:
    """The doors of the four."""

    def __init__(self, seeds: Seeds, version: str) -> None:
        self._talks = Talks(seeds)
        self._seeds = seeds
        self._demo6 = demo6.Door(seeds)
        self._tasks = ollama_queue.Door(seeds)
        self._ai_task = ai_task.Door(seeds, self._talks)
        self._messages = llm_mq.Messages(seeds, self._talks)
        self._conversations = llm_mq_conversations.Conversations(seeds, self._talks)
        self._queues = llm_mq_queues.Queues(seeds, self._talks, version)

    def open(self, desk: Desk | None, analytics: Ledger | None) -> None:
        """From now on there is a desk; what is answered is stored there."""
        self._seeds.open(desk, analytics)
        if desk is not None:
            self._talks.open()

    def close(self) -> None:
        """There is none any more."""
        self._talks.close()
        self._seeds.open(None, None)

    def routers(self) -> tuple[APIRouter, ...]:
        """Those at their own paths."""
        made = (
            demo6.router(self._demo6, own=False),
            ollama_queue.router(self._tasks, own=False),
            self._llm_mq(),
            ai_task.router(self._ai_task, own=False),
        )
        for paths in made:
            told.describe(paths.routes)
        return made

    def mount(self, api: FastAPI) -> None:
        """Each below its name; what is not there is refused in its own words."""
        for prefix, paths, refusal in (
            ('/demo6', demo6.router(self._demo6, own=True), demo6.refusal),
            ('/ollama-queue', ollama_queue.router(self._tasks, own=True), ollama_queue.refusal),
            ('/llm-mq', self._llm_mq(), llm_mq_form.refusal),
            ('/ai-task', ai_task.router(self._ai_task, own=True), ai_task.refusal),
        ):
            below = routes.router('', refusal)
            below.include_router(paths, prefix=prefix)
            _rest_below(below, f'{prefix}/{{path:path}}', paths)
            api.include_router(below, include_in_schema=False)

    def shared(self, owners: Mapping[str, Handler]) -> dict[str, Handler]:
        """The two paths that belong to others: what a body says decides whose call it is."""
        return {
            path: _by_body(take, owners[path], refusal)
            for path, take, refusal in (
                ('/api/chat', self._take_chat, ollama_refusal.refusal),
                ('/v1/chat/completions', self._take_prompt, openai_refusal.refusal),
            )
        }

    async def _take_chat(self, request: Request, body: bytes) -> Response | None:
        if b'userId' not in body and b'prompt' not in body:  # as nearly always: not even looked at
            return None
        asked = calls.fields_of(body)
        if not asked or not demo6.is_ours(asked):
            return None
        return await routes.answered(lambda: self._demo6.submit(request, asked), demo6.refusal)

    async def _take_prompt(self, request: Request, body: bytes) -> Response | None:
        if b'prompt' not in body:
            return None
        if not ai_task.is_ours(calls.fields_of(body)):
            return None
        return await routes.answered(lambda: self._ai_task.submit(request, body), ai_task.refusal)

    def _llm_mq(self) -> APIRouter:
        paths = routes.router('llm-message-queue', llm_mq_form.refusal)
        llm_mq_conversations.add(paths, self._conversations)
        llm_mq.add(paths, self._messages)
        llm_mq_queues.add(paths, self._queues)
        _rest_below(paths, '/api/v1/{path:path}', paths)
        return paths


def _by_body(take: Taker, owner: Handler, refusal: Refusal) -> Handler:
    """Ours where ``take`` takes it, else the owner's, whose words are also used for a body that cannot be read."""

    async def call(request: Request) -> Response:
        try:
            body = await bodies.read(request)
        except Trouble as failure:
            return refusal(failure)
        return await take(request, body) or await owner(request)

    return call


def _rest_below(rest: APIRouter, path: str, paths: APIRouter) -> None:
    """What is not among ``paths``, in the words of ``rest``."""

    async def nothing(request: Request) -> Response:
        where = str(request.scope['path'])
        prefix = next((mount for mount in MOUNTS if where.startswith(f'{mount}/')), '')
        scope = {**request.scope, 'path': where.removeprefix(prefix)}
        if any(route.matches(scope)[0] is Match.PARTIAL for route in paths.routes):
            raise Trouble('wrong_method', f'{request.method} is not for this path')
        raise Trouble('unknown_url', 'Not found')

    rest.add_api_route(path, nothing, methods=METHODS, include_in_schema=False)
