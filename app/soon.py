"""Something that is done again and again while much happens, but not too often; what happened last always counts."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from nicegui import background_tasks, ui


class Soon:
    """Call it when something happened: ``do`` runs at once or, after the last time, ``every_s`` seconds later."""

    def __init__(self, place: ui.element, do: Callable[[], Awaitable[object]], every_s: float) -> None:
        self._place = place
        self._do = do
        self._every_s = every_s
        self._began_at = time.monotonic()
        self._waits = False

    def __call__(self) -> None:
        """It happens, once for all calls until then; not where the page was left meanwhile."""
        if not self._waits:
            self._waits = True
            background_tasks.create(self._later(), name='soon', context=self._place)

    async def _later(self) -> None:
        await asyncio.sleep(max(0.0, self._began_at + self._every_s - time.monotonic()))
        self._waits = False  # what happens from here on is not in what is read now
        self._began_at = time.monotonic()
        if not self._place.is_deleted:
            await self._do()
