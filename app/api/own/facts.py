"""The facts: all that happens, in pages, as server-sent events, or over a WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.api.own.bulletin import Entry, entry
from app.api.own.events import ALIVE
from app.api.own.jobs import SSE, Events
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.own.told import FACTS, AnyFact
from app.api.trouble import Trouble
from broker import errors

AT_ONCE = 500
After = Annotated[int, Query(ge=0, le=2**53, description='The newest seq that you have.')]
Names = Annotated[list[str] | None, Query(alias='fact', description='Only these; repeat it for several.')]


class Facts(BaseModel):
    """Facts in order."""

    facts: list[AnyFact]
    head: int = Field(description='The newest seq there is.')


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/facts``."""
    made = router('Facts')

    @made.get('/api/facts', response_model=Facts, summary='A page of facts', responses=documented())
    async def page(after: After = 0, limit: Annotated[int, Query(ge=1, le=5000)] = 500) -> Response:
        """Oldest first. Facts carry ids and measures, never questions or answers."""
        found = await room.broker.facts_after(after, limit)
        body = b'{"facts":[%b],"head":%d}' % (b','.join(entry(fact).data for fact in found.facts), found.head)
        return Response(body, media_type='application/json')

    @made.get(
        '/api/facts/stream',
        response_class=Response,
        summary='Facts as they happen',
        responses={200: {'content': Events, 'description': 'An event for each fact, its seq as id.'}, **documented()},
    )
    async def stream(
        after: Annotated[int | None, Query(ge=0, le=2**53, description='Left out: from now on.')] = None,
        fact: Names = None,
        last_event_id: Annotated[str, Header(alias='Last-Event-ID', max_length=20)] = '',
    ) -> Response:
        """Server-sent events; a client that comes back with `Last-Event-ID` misses nothing and gets nothing twice."""
        names = _names(fact)
        seq = await _begin(room, after, last_event_id)
        return StreamingResponse(_events(room, seq, names), media_type='text/event-stream', headers=SSE)

    @made.websocket('/api/facts/ws')
    async def socket(websocket: WebSocket) -> None:
        """Each fact is a text message; `?after=` and `?fact=` as above. What the client says is not read."""
        asked = websocket.query_params
        try:
            names = _names(asked.getlist('fact') or None)
            after = _seq(asked['after'], 'after') if 'after' in asked else None
            seq = await _begin(room, after, '')
        except (Trouble, errors.BrokerError) as failure:
            await websocket.close(1008, str(failure)[:120])
            return
        await websocket.accept()
        telling = asyncio.create_task(_tell(websocket, room, seq, names), name='facts')
        leaving = asyncio.create_task(_left(websocket), name='client')
        await asyncio.wait((telling, leaving), return_when=asyncio.FIRST_COMPLETED)
        for task in (telling, leaving):
            task.cancel()
        await asyncio.gather(telling, leaving, return_exceptions=True)

    return made


async def _tell(websocket: WebSocket, room: Room, seq: int, names: frozenset[str]) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        try:
            async for entries in _entries(room, seq, names):
                for each in entries:
                    await websocket.send_text(each.data.decode())
        except (errors.BrokerError, Trouble):
            await websocket.close(1013, 'the queue does not answer; come again with the last seq')


async def _left(websocket: WebSocket) -> None:
    """Return when the client is gone; what it says is not read."""
    while (await websocket.receive())['type'] != 'websocket.disconnect':
        pass


async def _events(room: Room, seq: int, names: frozenset[str]) -> AsyncGenerator[bytes, None]:
    try:
        async for entries in _entries(room, seq, names):
            said = [b'id: %d\nevent: %b\ndata: %b\n\n' % (each.seq, each.name.encode(), each.data) for each in entries]
            yield b''.join(said) or ALIVE
    except (errors.BrokerError, Trouble):
        return  # the client comes back with the last id


async def _entries(room: Room, seq: int, names: frozenset[str]) -> AsyncGenerator[list[Entry], None]:
    """What happens after ``seq``, for ever; now and then nothing, as a sign of life."""
    while True:
        found = room.bulletin.after(seq, AT_ONCE)
        if found is None and (room.bulletin.head == 0 or seq < room.bulletin.head):
            found = [entry(fact) for fact in (await room.broker.facts_after(seq, AT_ONCE)).facts]
        if found:
            seq = found[-1].seq
            if wanted := [each for each in found if not names or each.name in names]:
                yield wanted
        elif not await room.bulletin.news(room.doors.heartbeat_s):
            yield []


async def _begin(room: Room, after: int | None, last_event_id: str) -> int:
    """After which fact a reader begins; one from another history begins now."""
    head = (await room.broker.ping()).seq
    seq = _seq(last_event_id, 'Last-Event-ID') if last_event_id else after
    return head if seq is None or seq > head else seq


def _seq(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 17):
        raise Trouble('invalid', f'{where} must be the seq of a fact', param=where)
    return int(text)


def _names(asked: list[str] | None) -> frozenset[str]:
    unknown: list[Any] = [name for name in asked or () if name not in FACTS]
    if unknown:
        raise Trouble('invalid', f'{unknown[0][:60]} is no fact; there are {", ".join(FACTS)}', param='fact')
    return frozenset(asked or ())
