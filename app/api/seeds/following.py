"""A job that somebody watches: what it is now, its lines as they come, and when something is new."""

import asyncio

from app.api import trouble
from app.api.seeds import calls
from app.api.seeds.calls import Seeds, Seen
from broker import errors, facts

PACE_S = 0.1  # nobody reads a page faster than this


class Following:
    """Use it as ``async with Following(seeds, name) as job``; that raises ``Trouble`` where there is no such job."""

    def __init__(self, seeds: Seeds, name: str) -> None:
        self._seeds = seeds
        self._name = name
        self._news = asyncio.Event()

    async def __aenter__(self) -> 'Following':
        seeds, board = self._seeds, self._seeds.doors.board
        self._first = await seeds.seen(self._name)
        job_id = self._first.job_id
        self.tap = board.tap(job_id, self._news.set)
        try:
            broker = seeds.doors.broker
            part = await broker.read_all(job_id)
            self.tap.give(part.epoch, part.index, list(part.lines))
            view = board.job(job_id)
            if view is None or view.complete:  # no news of it may be on the way
                ends = [fact for fact in await broker.history(job_id) if isinstance(fact, facts.JobEnded)]
                if ends:
                    self._first = await seeds.seen(self._name)
                    self.tap.end(ends[-1])
        except errors.BrokerError as error:
            self.tap.close()
            raise trouble.of_broker(error) from None
        except BaseException:
            self.tap.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.tap.close()

    @property
    def seen(self) -> Seen:
        """The job now."""
        view = self._seeds.doors.board.job(self._first.job_id)
        return self._first if view is None else calls.seen_on_board(view, self._first.name)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.tap.ended is not None or self.tap.lost

    async def changed(self, patience_s: float) -> bool:
        """Wait for news, which come at a readable pace; whether there were any within that time."""
        try:
            async with asyncio.timeout(patience_s):
                await self._news.wait()
        except TimeoutError:
            return False
        if not self.over:
            await asyncio.sleep(PACE_S)
        self._news.clear()
        return True
