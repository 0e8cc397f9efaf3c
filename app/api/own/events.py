"""One job's life as server-sent events, which go on where a client left off: no gap, nothing twice.

``id`` is ``epoch-index``: the run, and how many of its lines were sent. A client that comes back with the last id it
saw gets the lines from there on; when the job began anew meanwhile it is told so (``reset``) and gets the new answer
from its first line. What there is already is read a page at a time, and everybody has a turn after each piece: so the
readers of a very long answer cost little memory, and nobody else waits for them.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from app.api.own import told
from app.api.own.event_lines import MOST_LINES
from app.api.own.room import Room
from app.api.trouble import Trouble
from broker import errors, protocol
from broker.job import Job

_PLACE = re.compile(r'(\d{1,15})-(\d{1,15})(-end)?', re.ASCII)
ALIVE = b': still here\n\n'
PIECE_BYTES = 64 * 1024  # said in one go, and then it is others' turn


class Place(NamedTuple):
    """Up to where a client has the answer."""

    epoch: int = 0
    line: int = 0  # the next one
    over: bool = False  # it has seen the end


def place_of(text: str) -> Place:
    """The place that an id names. Raises ``Trouble``."""
    if not text:
        return Place()
    found = _PLACE.fullmatch(text.strip())
    if found is None:
        detail = 'Last-Event-ID must be an id that this stream gave, like 1-42; leave it out to begin at the beginning'
        raise Trouble('invalid', detail, param='Last-Event-ID')
    return Place(int(found[1]), int(found[2]), bool(found[3]))


class Telling:
    """The events of one job to one client, from a place on."""

    def __init__(self, room: Room, job: Job, place: Place) -> None:
        self._room = room
        self._job = job
        self._epoch, self._index = place.epoch, place.line
        self._news = asyncio.Event()
        self._state: dict[str, Any] = {}
        self._behind = True  # the queue has lines that this client was not given
        self._over = False  # the queue says that no more will come

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Until the job has ended and its end is told."""
        heartbeat_s = self._room.doors.heartbeat_s
        self._open()
        try:
            while True:
                self._news.clear()
                tap = self._tap
                over = self._over or tap.ended is not None or tap.lost
                restarted = tap.restarted
                if said := self._new_state() + self._new_lines():
                    yield said
                if tap.waits:
                    await asyncio.sleep(0)
                elif restarted:
                    tap.close()
                    said = self._reset(restarted)
                    self._open()
                    yield said
                elif self._behind:
                    if said := await self._read():
                        yield said
                elif over:
                    yield await self._end()
                    return
                elif not await self._news_in(heartbeat_s):
                    yield ALIVE
        except (errors.BrokerError, Trouble) as error:
            yield _event('error', {'code': getattr(error, 'code', 'broker_away'), 'message': str(error)})
        finally:
            self._tap.close()

    def _open(self) -> None:
        self._tap = self._room.board.tap(self._job.job_id, self._news.set)
        self._tap.start_at(self._epoch, self._index)
        self._behind = True

    async def _read(self) -> bytes:
        """Take the next page of what there is already; what says that the client's place does not exist any more."""
        part = await self._room.pages.read(self._room.broker, self._job, self._epoch, self._index)
        if part.epoch < self._epoch or (part.epoch == self._epoch and part.total < self._index):
            self._tap.close()
            said = self._reset('begun_again')
            self._open()
            return said
        self._tap.give(part.epoch, part.index, part.lines)
        self._over = part.ended
        self._behind = bool(part.lines) and part.index + len(part.lines) < part.total
        return b''

    def _reset(self, why: str) -> bytes:
        """The client has to forget what it has, if it has anything."""
        had, self._epoch, self._index = self._index, 0, 0
        return _event('reset', {'reason': why}, '0-0') if had else b''

    def _new_lines(self) -> bytes:
        tap = self._tap
        if not tap.waits:
            return b''
        parts = [self._reset('begun_again') if tap.epoch != self._epoch else b'']
        self._epoch = tap.epoch
        size = 0
        while tap.waits and size < PIECE_BYTES:
            portion = tap.take_portion(MOST_LINES)
            parts.append(self._room.event_lines.of(self._job.job_id, self._epoch, portion))
            self._index = portion.first + len(portion.lines)
            size += len(parts[-1])
        return b''.join(parts)

    def _new_state(self) -> bytes:
        view = self._room.board.job(self._job.job_id)
        if view is None or view.final:
            return b''
        state = {
            'state': view.state.value,
            'priority': view.priority,
            'starts': view.starts,
            'failures': view.failures,
            'worker': view.worker,
            'wait': told.wait(view) if view.waits else None,
        }
        if state == self._state:
            return b''
        self._state = state
        return _event('state', state)

    async def _end(self) -> bytes:
        job = (await self._room.broker.get(self._job.job_id)).job
        end = {
            'state': job.state.value,
            'error': told.failure(job),
            'lines': job.lines,
            'usage': told.job(job)['usage'],
        }
        return _event('end', end, f'{self._epoch}-{self._index}-end')

    async def _news_in(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


def _event(name: str, data: dict[str, Any], place: str = '') -> bytes:
    head = f'id: {place}\n' if place else ''
    return f'{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n'.encode()


def lines_of(part: protocol.Lines) -> bytes:
    """The lines as they are, each with its end."""
    return b''.join(line + b'\n' for line in part.lines)
