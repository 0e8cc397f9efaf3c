"""All doors in one place: which paths there are, in which order, and what is said to those that there are not."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Match

from analytics.ledger import Ledger
from app.api import bodies, ollama, ollama_refusal, openai, openai_calls, openai_refusal, raw
from app.api.openai_papers import Papers
from app.api.own import rooms
from app.api.own.room import Room
from app.api.seeds.calls import Seeds
from app.api.seeds.mounts import Mounts
from app.api.shortcut import Handler, Shortcut
from app.api.trouble import Trouble
from app.api.work import Doors
from app.board import Board
from app.desk import Desk
from broker.client import BrokerClient

METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
HEALTHY = 'Ollama is running'  # what Ollama's clients look for


class Entrance:
    """The HTTP APIs. ``add`` them to the application before the pages, and keep them ``open_to`` a broker."""

    def __init__(
        self,
        board: Board,
        *,
        heartbeat_s: float,
        default_model: str = '',
        model_aliases: Mapping[str, str] | None = None,
        version: str = '',
        data_dir: Path = Path(),
        max_file_bytes: int = 200_000_000,
        max_uploads_bytes: int = 10_000_000_000,
        allow_admin: bool = False,
    ) -> None:
        self._allow_admin = allow_admin
        self._doors = Doors(board, heartbeat_s=heartbeat_s)
        self._papers = Papers(self._doors, data_dir, max_file_bytes=max_file_bytes, max_uploads_bytes=max_uploads_bytes)
        self._seeds = Mounts(Seeds(self._doors, default_model=default_model, aliases=model_aliases), version)
        self.own = Room(self._doors)

    def add(self, api: FastAPI) -> None:
        """All paths of all contracts."""
        routers = (
            ollama.router(self._doors, allow_admin=self._allow_admin),
            openai.router(self._doors),
            *self._papers.routers(),
        )
        seeds = self._seeds.routers()
        quick = _quick(routers)
        api.add_middleware(Shortcut, doors=quick | self._seeds.shared(quick))
        for routes in (*seeds, *routers, *rooms.routers(self.own)):
            api.include_router(routes)
        self._seeds.mount(api)
        api.include_router(_rest(self._doors, (*routers, *seeds)))

        @api.api_route('/', methods=['GET', 'HEAD'], include_in_schema=False)
        async def home(request: Request) -> Response:
            vary = {'Vary': 'Accept'}
            if request.method == 'GET' and 'text/html' in request.headers.get('accept', ''):
                return RedirectResponse('/chat', headers=vary)
            return PlainTextResponse(HEALTHY, headers=vary)

    @contextlib.asynccontextmanager
    async def open_to(
        self, broker: BrokerClient, desk: Desk | None = None, analytics: Ledger | None = None
    ) -> AsyncIterator[None]:
        """Calls are queued at ``broker`` meanwhile; what programs keep is in ``desk``."""
        self._doors.open(broker)
        self._seeds.open(desk, analytics)
        try:
            async with self._papers.open_to(desk):
                yield
        finally:
            self._seeds.close()
            await self._doors.close()


def _quick(routers: Iterable[APIRouter]) -> dict[str, Handler]:
    """What answers the calls that wait for a model, by path."""
    paths = {*ollama.KINDS, *openai_calls.CALLS}
    every = (route for routes in routers for route in routes.routes if isinstance(route, APIRoute))
    return {route.path: route.endpoint for route in every if route.path in paths and 'POST' in route.methods}


def _rest(doors: Doors, routers: tuple[APIRouter, ...]) -> APIRouter:
    """What no door has: passed on where it names a model; else a no in the shape of its corner, never a page."""
    rest = APIRouter(include_in_schema=False)

    def known(request: Request) -> bool:
        return any(route.matches(request.scope)[0] is Match.PARTIAL for routes in routers for route in routes.routes)

    async def passed_on(request: Request) -> Response | None:
        if request.method != 'POST':
            return None
        body = await bodies.read(request)
        try:
            found = bodies.fields(body)
        except Trouble:
            return None  # what is no JSON object names no model
        if not found.get('model'):
            return None
        return raw.queued(doors, request, body, doors.model(ollama.model_of(found, request.url.path)))

    @rest.api_route('/api/{path:path}', methods=METHODS)
    async def of_ollama(request: Request, path: str) -> Response:
        if known(request):
            return ollama_refusal.wrong_method()
        try:
            reply = None if path.startswith('v1/') else await passed_on(request)
        except Trouble as failure:
            return ollama_refusal.refusal(failure)
        return reply or ollama_refusal.unknown_path()

    @rest.api_route('/v1/{path:path}', methods=METHODS)
    async def of_openai(request: Request) -> Response:
        method, where = request.method, request.url.path[:200]
        try:
            if known(request):
                raise Trouble('wrong_method', f'{where} does not take {method}.')
            if (reply := await passed_on(request)) is not None:
                return reply
            raise Trouble('unknown_url', f'Unknown request URL: {method} {where}.')
        except Trouble as failure:
            return openai_refusal.refusal(failure)

    return rest
