"""What jobs are called that have no title: the first words of what they ask, looked up when somebody looks at them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable

from app.listeners import Callback, Listeners, Unsubscribe
from broker import errors
from broker.client import BrokerClient

REMEMBER = 20_000
AT_ONCE = 100  # jobs; more are not asked for together
TELL_EVERY_S = 0.25  # where many are looked up


class Openings:
    """The desk's memory of them. What is asked for and not known yet is fetched, and then everybody is told."""

    def __init__(self, broker: BrokerClient) -> None:
        self._broker = broker
        self._known: OrderedDict[str, str] = OrderedDict()
        self._wanted: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._on_news = Listeners()
        self._told_at = 0.0
        self.version = 0  # rises when more is known

    def of(self, job_id: str) -> str:
        """The first words of this job; '' where it has none or where they are not known yet: see ``on_news``."""
        words = self._known.get(job_id)
        if words is None:
            self.want((job_id,))
        return words or ''

    def looked_up(self, job_id: str) -> bool:
        """Whether it is known, be it that there are none."""
        return job_id in self._known

    def known(self, job_id: str) -> str:
        """The same, and nothing is looked up."""
        return self._known.get(job_id, '')

    def want(self, job_ids: Iterable[str]) -> None:
        """Have those of them looked up that are not known."""
        self._wanted |= {job_id: None for job_id in job_ids if job_id not in self._known}
        if self._wanted and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._fetch(), name='first words')

    def on_news(self, callback: Callback) -> Unsubscribe:
        """Call back after more became known."""
        return self._on_news.add(callback)

    async def _fetch(self) -> None:
        try:
            while self._wanted:
                ids = list(self._wanted)[:AT_ONCE]
                found = await self._broker.excerpts(ids)
                self._known |= zip(ids, found, strict=True)
                self.version += 1
                for job_id in ids:
                    self._wanted.pop(job_id, None)
                while len(self._known) > REMEMBER:
                    self._known.popitem(last=False)
                if not self._wanted or time.monotonic() > self._told_at + TELL_EVERY_S:
                    self._told_at = time.monotonic()
                    self._on_news.call()
        except errors.BrokerError:
            self._wanted.clear()  # whoever looks again asks again
