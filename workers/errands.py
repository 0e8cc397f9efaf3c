"""What the worker does with its engine's models besides jobs: it loads, unloads, pulls and removes them."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec

from broker import errand, protocol
from broker.errand import Errand
from workers.engines.base import Engine
from workers.engines.failure import EngineFailure

logger = logging.getLogger(__name__)

NEWS_EVERY_S = 0.25  # a pull tells ten times as often how far it is
KEEP_ENDED = 20  # to be told again to a broker that was away


class Errands:
    """Does what it is asked, several at a time. ``send`` passes news on; ``look`` looks what models there are now."""

    def __init__(
        self,
        worker: str,
        engine: Engine,
        *,
        send: Callable[[protocol.FromWorker], bool],
        look: Callable[[], Awaitable[None]],
    ) -> None:
        self._worker = worker
        self._engine = engine
        self._send = send
        self._look = look
        self._known: dict[str, Errand] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._heard: set[str] = set()  # those whose end has left
        self._closing = False

    def do(self, order: errand.Order) -> None:
        """Begin it; one that is known already is told of again."""
        if order.errand_id in self._known:
            self._tell(self._known[order.errand_id])
            return
        made = Errand(
            errand_id=order.errand_id, worker=self._worker, action=order.action, model=order.model, state='running'
        )
        self._tell(made)
        task = asyncio.create_task(self._run(made, order), name=f'errand {order.action}')
        self._tasks[order.errand_id] = task
        task.add_done_callback(lambda _: self._never_began(made))

    def stop(self, errand_id: str) -> None:
        """End it."""
        if (task := self._tasks.get(errand_id)) is not None:
            task.cancel()
        elif errand_id in self._known:
            self._tell(self._known[errand_id])

    def repeat(self) -> None:
        """Tell again what goes on, and ends that did not get out: the broker was away, or has begun anew."""
        for errand_id, known in list(self._known.items()):
            if errand_id not in self._heard:
                self._tell(known)

    async def aclose(self) -> None:
        """End all that goes on, and say so."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, made: Errand, order: errand.Order) -> None:
        clock = asyncio.get_running_loop().time
        told_at, newest = clock(), made
        state, code, detail = 'done', '', ''
        try:
            async for progress in self._engine.tend(order):
                newest = msgspec.structs.replace(made, **msgspec.structs.asdict(progress))
                if clock() - told_at >= NEWS_EVERY_S or (progress.status != self._known[made.errand_id].status):
                    told_at = clock()
                    self._tell(newest)
        except asyncio.CancelledError:
            state = 'cancelled'
        except EngineFailure as failure:
            state, code, detail = 'failed', failure.code, failure.detail
        except Exception as error:
            logger.exception('the errand broke', extra={'action': 'errand'})
            state, code = 'failed', 'worker_error'
            detail = f'{type(error).__name__}; see the log of worker {self._worker}'
        del self._tasks[made.errand_id]
        logger.info('%s %s: %s %s', order.action, order.model, state, detail, extra={'action': 'errand'})
        if not self._closing:  # told before the end: who hears that can use the model
            with contextlib.suppress(asyncio.CancelledError):
                await self._look()
        self._tell(msgspec.structs.replace(newest, state=state, code=code, detail=detail))
        self._forget()

    def _never_began(self, made: Errand) -> None:
        """Stopped in the moment it was asked for: its task ended before its first step."""
        if self._tasks.pop(made.errand_id, None) is not None:
            self._tell(msgspec.structs.replace(made, state='cancelled'))
            self._forget()

    def _tell(self, made: Errand) -> None:
        self._known[made.errand_id] = made
        if self._send(protocol.ErrandNews(errand=made)) and made.final:
            self._heard.add(made.errand_id)

    def _forget(self) -> None:
        ended = [errand_id for errand_id, known in self._known.items() if known.final]
        for errand_id in ended[: max(0, len(ended) - KEEP_ENDED)]:
            del self._known[errand_id]
            self._heard.discard(errand_id)
