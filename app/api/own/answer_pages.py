"""Pages of long answers that have ended, read once for all who follow the same job at the same time."""

import asyncio
from collections import OrderedDict

from broker import protocol
from broker.client import BrokerClient
from broker.job import Job

KEPT = 4  # pages of ``protocol.MAX_BATCH_BYTES``

_Key = tuple[int, int, int]


class AnswerPages:
    """Only what cannot change any more is shared: a page of an ended job that others follow."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, protocol.Lines] = OrderedDict()
        self._asked: dict[_Key, asyncio.Event] = {}

    async def read(self, broker: BrokerClient, job: Job, epoch: int, index: int) -> protocol.Lines:
        """As ``BrokerClient.read``."""
        key = (job.order, epoch, index)
        if key in self._asked:
            await self._asked[key].wait()
        if key in self._kept:
            return self._kept[key]
        mine = self._asked.setdefault(key, asyncio.Event())
        try:
            part = await broker.read(job.job_id, epoch, index)
        finally:
            mine.set()
            self._asked.pop(key, None)
        if part.ended and part.index + len(part.lines) < part.total:
            self._kept[key] = part
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return part
