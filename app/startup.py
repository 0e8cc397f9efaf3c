"""How the desk comes up and goes down: one event loop with the server, the feed, and what the pages work with."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from analytics import ledger
from app import connections, guard, health, zones
from app.api import openai_files
from app.api.entrance import Entrance
from app.api.own import description
from app.board import Board
from app.chats import chat
from app.feed import Feed
from app.parts import Parts
from app.settings import AppSettings
from app.shelf import shelf_import, shelf_routes
from app.shelf.shelf import Shelf
from app.shelf.shelf_search import Search
from broker import child, facts
from broker.client import BrokerClient

log = logging.getLogger(__name__)


def run(settings: AppSettings) -> bool:
    """Serve until asked to stop; False when it could not even begin. Raises ``OSError`` for a port it cannot have."""
    logging.getLogger('uvicorn.error').setLevel(logging.WARNING)  # it logs client ids, which open a page's socket
    with _bind(settings.host, settings.port) as listening:
        port = listening.getsockname()[1]
        _, guarded = create(settings, Board(), port=port, report=child.report, stop=lambda: _stop(server))
        config = uvicorn.Config(
            guarded,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            ws_per_message_deflate=False,
            ws_max_size=1024 * 1024,
            lifespan='on',
            backlog=connections.AT_ONCE,
            http=connections.bounded(max(64, child.open_files() - connections.FILES_OF_OURS)),
        )
        server = _Server(config)
        child.on_stop(lambda: _stop(server))
        child.run(server.serve(sockets=[listening]))
        return server.started


def create(
    settings: AppSettings,
    board: Board,
    *,
    port: int = 0,
    report: Callable[..., object] = lambda **_: None,
    stop: Callable[[], object] = lambda: None,
) -> tuple[FastAPI, guard.Guard]:
    """Our FastAPI app, with the pages where they are wanted, and the guard around both, which is what the server gets.

    ``report`` hears what the start waits for and when it is ready; ``stop`` is called when the desk cannot go on.
    """
    state = health.Health(board, settings.version)
    entrance = Entrance(
        board,
        heartbeat_s=settings.heartbeat_s,
        default_model=settings.default_model,
        model_aliases=settings.model_aliases,
        version=settings.version,
        data_dir=settings.data_dir,
        max_file_bytes=settings.max_file_bytes,
        max_uploads_bytes=settings.max_uploads_bytes,
        allow_admin=settings.allow_admin,
    )

    @contextlib.asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        async with (
            _working(settings, board, stop, entrance.own.hear) as parts,
            entrance.open_to(parts.broker, parts.chat.desk, parts.analytics),
            entrance.own.open(settings, parts.analytics),
        ):
            api.state.parts = parts
            reporting = asyncio.create_task(_report(state, report, port), name='report')
            try:
                yield
            finally:
                await _end(reporting)

    api = FastAPI(title='Corral', version=settings.version, docs_url=None, redoc_url=None, lifespan=lifespan)
    api.include_router(health.router(state))
    entrance.add(api)
    description.describe(api)
    if settings.pages:
        from app.pages import mount

        api.include_router(shelf_routes.router(lambda: api.state.parts))
        mount.mount(api, lambda: api.state.parts)
    else:
        api.add_api_route('/chat', _no_pages, include_in_schema=False)  # where browsers are sent
    guarded = guard.Guard(
        api,
        hosts=settings.allowed_hosts,
        address=settings.host,
        origins=settings.allowed_origins,
        uploads={
            openai_files.PATH: settings.max_file_bytes + openai_files.FORM_BYTES,
            shelf_routes.IMPORT: shelf_import.MOST_BYTES,
        },
    )
    guarded.port = port
    return api, guarded


def _no_pages() -> PlainTextResponse:
    return PlainTextResponse('Here are only the APIs of Corral. Started with "python3 run.py" it has pages, too.')


@contextlib.asynccontextmanager
async def _working(
    settings: AppSettings, board: Board, stop: Callable[[], object], hear: Callable[[facts.AnyFact], object]
) -> AsyncIterator[Parts]:
    """The broker's client, the recorder, the chats and the feed, up and running."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.pages:
            asyncio.get_running_loop().run_in_executor(None, zones.names)  # for those who open a page that has them
        broker = await stack.enter_async_context(BrokerClient(settings.endpoints))
        book = await ledger.Ledger.open(
            settings.data_dir / 'analytics.duckdb',
            broker.facts_after,
            watts=settings.watts,
            keep_s=settings.keep_statistics_days * 86_400.0,
        )
        stack.push_async_callback(book.close)
        chats = await chat.ChatService.open(settings, broker, board)
        stack.push_async_callback(chats.close)
        shelf = await Shelf.open(chats)
        stack.callback(shelf.close)
        search = Search(chats, settings.data_dir / 'desk.db')
        stack.callback(search.close)

        def on_fact(fact: facts.AnyFact) -> None:
            book.push(fact)
            hear(fact)

        feed = asyncio.create_task(Feed(broker, board, on_fact).run(), name='feed')
        feed.add_done_callback(lambda task: _feed_ended(task, stop))
        stack.push_async_callback(_end, feed)
        yield Parts(
            settings=settings, board=board, broker=broker, chat=chats, shelf=shelf, search=search, analytics=book
        )


def _feed_ended(task: 'asyncio.Task[None]', stop: Callable[[], object]) -> None:
    if not task.cancelled():
        log.critical('the feed ended, so the desk ends too', exc_info=task.exception(), extra={'action': 'feed'})
        stop()  # a desk that shows yesterday's queue is worse than one that is started again


async def _report(state: health.Health, report: Callable[..., object], port: int) -> None:
    """Tell the parent what we wait for, and, once, that a chat would work."""
    told = ''
    news = asyncio.Event()
    unsubscribe = state.board.on_workers(news.set)
    try:
        while missing := state.waiting_for():
            if missing != told:
                told = missing
                report(waiting_for=missing)
            await news.wait()
            news.clear()
    finally:
        unsubscribe()
    state.started = True
    report(ready=True, port=port)


async def _end(task: 'asyncio.Task[Any]') -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _stop(server: uvicorn.Server) -> None:
    server.should_exit = True


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip('[]'), port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    if os.name == 'posix':
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(address)
    listening.listen(connections.WAITING)
    return listening


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin; more may wait than are taken in at once."""
        await super().startup(sockets=sockets)
        for each in sockets or ():
            each.listen(connections.WAITING)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: ``child.on_stop`` has them, and uvicorn would raise the caught one again."""
        yield
