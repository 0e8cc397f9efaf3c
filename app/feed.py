"""One loop from the broker to the board: what is published goes in, what is missing is read, who listens is told."""

import asyncio
import logging
from collections.abc import Callable

from app.board import Board, Need
from broker import errors, facts, protocol
from broker.client import BrokerClient

FLUSH_EVERY_S = 0.05
TICK_EVERY_S = 0.5
TURN = 200  # items after which the pages get a turn
LINES_AN_ITEM = 20  # so many lines of an answer are as much work as another item

log = logging.getLogger(__name__)


class Feed:
    """Keeps ``board`` up to date. ``on_fact`` gets every fact that passes; it must not block and not raise."""

    def __init__(self, broker: BrokerClient, board: Board, on_fact: Callable[[facts.AnyFact], object]) -> None:
        self._broker = broker
        self._board = board
        self._on_fact = on_fact
        self._reads: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self.restored = asyncio.Event()

    async def run(self) -> None:
        """For ever; cancel it to end it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name='feed-listen')
            group.create_task(self._tell(), name='feed-tell')
            group.create_task(self._watch_silence(), name='feed-silence')

    async def _listen(self) -> None:
        while True:
            try:
                await self._follow()
            except errors.BrokerError as error:
                log.warning('the feed starts anew: %s', error, extra={'action': 'feed'})
            except Exception:
                log.exception('the feed failed and starts anew', extra={'action': 'feed'})
            await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        board = self._board
        await self._restore()
        count = 0
        async for item in self._broker.feed(board.seq):
            if isinstance(item, protocol.Pulse) and item.boot != board.boot:
                log.info('the broker was restarted', extra={'action': 'feed'})
                if item.seq < board.seq:
                    return
                await self._restore()
            board.apply(item)
            if isinstance(item, protocol.FactOut):
                self._on_fact(item.fact)
            self._after()
            count += 1 + (len(item.lines) // LINES_AN_ITEM if isinstance(item, protocol.TokensOut) else 0)
            if count >= TURN:
                count = 0
                await asyncio.sleep(0)

    async def _restore(self) -> None:
        """Take over the broker's view without skipping a fact: first what happened until then, then the view."""
        board = self._board
        pong = await self._broker.ping()
        snapshot = await self._broker.snapshot()
        while 0 < board.seq < snapshot.seq:
            page = await self._broker.facts_after(board.seq)
            if not page.facts:
                break
            for fact in page.facts:
                if fact.seq <= snapshot.seq:
                    board.apply(protocol.FactOut(fact=fact))
            await asyncio.sleep(0)
        board.restore(snapshot)  # an older seq means another database: then nothing that was known holds
        board.boot = pong.boot
        self._after()
        self.restored.set()

    def _after(self) -> None:
        for need in self._board.take_needs():
            if need.job_id not in self._reads:
                self._reads[need.job_id] = asyncio.create_task(self._read(need), name=f'read {need.job_id}')
        if self._board.restless:
            self._changed.set()

    async def _read(self, need: Need) -> None:
        try:
            lines = await self._broker.read_all(need.job_id, need.epoch, need.index)
        except errors.Refused:
            self._board.cannot_fill(need.job_id)
        except errors.BrokerError:
            return  # the board asks again after a while
        else:
            self._board.fill(lines)
        finally:
            del self._reads[need.job_id]
        self._after()

    async def _tell(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._board.flush()
            await asyncio.sleep(FLUSH_EVERY_S)
            if self._board.restless:
                self._changed.set()

    async def _watch_silence(self) -> None:
        while True:
            await asyncio.sleep(TICK_EVERY_S)
            self._board.tick()
            self._after()
