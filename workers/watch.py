"""Looks after the engine while the worker works: what there is, what is in memory, and whether it still answers."""

import asyncio
import logging
import math
from collections.abc import Callable

import msgspec

from workers.backend import Backend
from workers.engines.base import Engine, EngineState
from workers.engines.failure import EngineFailure

logger = logging.getLogger(__name__)

_FIRST_LOOK_S = 2.0
_LOOK_AFTER_S = 0.2  # after something that may have changed what is in memory


class Watch:
    """Keeps ``backend`` up to date. ``on_change`` is called when there may be news for the broker.

    ``idle`` tells whether no job runs: only then a model is asked for a token.
    """

    def __init__(
        self, engine: Engine, backend: Backend, *, on_change: Callable[[], None], idle: Callable[[], bool]
    ) -> None:
        self._engine = engine
        self._backend = backend
        self._on_change = on_change
        self._idle = idle
        self._look = asyncio.Event()
        self._news = asyncio.Event()
        self._looked_at = -math.inf
        self._look_timer: asyncio.TimerHandle | None = None
        self._canary: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    async def first_look(self) -> None:
        """What the engine can do, for the first Ready; one that does not say so soon is looked at again later."""
        try:
            async with asyncio.timeout(_FIRST_LOOK_S):
                self._described(await self._engine.describe())
        except TimeoutError:
            self._look.set()

    async def run(self) -> None:
        """Look and try until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_looking())
            group.create_task(self._keep_trying())

    def look(self) -> None:
        """The engine may have changed: look at once."""
        self._look.set()

    def look_soon(self, apart_s: float) -> None:
        """Something may have gone in or out of memory: look, but not twice within ``apart_s``."""
        if self._look_timer is None:
            loop = asyncio.get_running_loop()
            at = max(loop.time() + _LOOK_AFTER_S, self._looked_at + apart_s)
            self._look_timer = loop.call_at(at, self._look.set)

    def run_ended(self) -> None:
        """There may be time to try something now."""
        self._news.set()

    def stand_aside(self) -> bool:
        """A job is about to be sent: let go of the engine at once; whether it was being tried."""
        if self._canary is None or self._canary.done():
            return False
        self._canary.cancel()
        return True

    async def _keep_looking(self) -> None:
        while True:
            await happens(self._look, self._engine.check_again_s())
            await self._look_once()

    async def look_now(self) -> None:
        """Look, and come back when what there is was told."""
        await self._look_once()

    async def _look_once(self) -> None:
        async with self._looking:  # two at once would count one slow reply twice
            self._described(await self._engine.describe())
        self._on_change()

    def _described(self, state: EngineState) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        before = self._backend.state
        now = self._looked_at = asyncio.get_running_loop().time()
        self._backend.described(state, now)
        self._news.set()
        if msgspec.structs.replace(state, loaded=()) != msgspec.structs.replace(before, loaded=()):
            in_memory = sum(model.resident for model in state.models)
            logger.info(
                'engine %s, %s models, %s in memory%s', state.engine, len(state.models), in_memory,
                state.problem and f', {state.problem}', extra={'action': 'engine'},
            )  # fmt: skip

    async def _keep_trying(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            in_s = self._backend.probe_at() - clock()
            if in_s > 0 or not self._idle():
                await happens(self._news, in_s if 0 < in_s < math.inf else None)
                continue
            await self._look_once()  # what has left memory by now is not to be loaded
            if self._backend.probe_at() > clock() or not self._idle():
                continue
            if model := self._backend.candidate(clock()):
                await self._try(model)
            elif self._backend.breaker.open:
                self._backend.nobody_to_ask(clock())
                self._on_change()

    async def _try(self, model: str) -> None:
        self._canary = asyncio.create_task(self._one_token(model), name='canary')
        try:
            await asyncio.wait((self._canary,))
        finally:
            self._canary.cancel()
        if not self._canary.cancelled():
            self._canary.result()
            self._on_change()

    async def _one_token(self, model: str) -> None:
        clock = asyncio.get_running_loop().time
        code = detail = ''
        try:
            if (canary := self._engine.canary(model)) is None:
                code = 'refused'
            else:
                async with canary as answer:
                    async for _ in answer:
                        pass
        except EngineFailure as failure:
            code, detail = failure.code, failure.detail
        except Exception:
            logger.exception('the canary broke', extra={'action': 'canary'})
            code = 'worker_error'
        if not code:
            self._backend.canary_passed(model, clock())
            return
        if detail:
            logger.warning('%s gave no token: %s: %s', model, code, detail, extra={'action': 'canary'})
        self._backend.canary_failed(model, code, clock())


async def happens(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for it that long at most, and clear it."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
