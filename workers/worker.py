"""A worker: it signs in at the broker, runs what it is given on its engine, and streams the lines back."""

import asyncio
import logging
import math
import os
import socket
from collections.abc import Callable

from broker import protocol, vitals
from workers.backend import Backend, Said
from workers.engines import address
from workers.engines.base import Engine, EngineState
from workers.engines.failure import EngineFailure
from workers.errands import Errands
from workers.link import Link
from workers.machine import Machine
from workers.runs import Outcome, Run, trace_of
from workers.settings import WorkerSettings
from workers.watch import Watch, happens

logger = logging.getLogger(__name__)

CLOSE_S = 1.0  # how long an engine may take to let go of a run; then the run is over without its consent
_SETTLE_S = 1.0  # when leaving, how long the broker may take to settle what is left
_MIN_HEARTBEAT_S = 0.05
_MIN_FEEL_S = 2.0  # between looks at the machine
_TELL_AGAIN_S = 60.0  # how the machine is, also when it has not changed
_RETRY_S = 0.05  # when the broker does not keep up, how soon to try again
_LONGEST_GRACE_S = 86_400.0
_LOADED_APART_S, _ENDED_APART_S = 1.0, 5.0  # between looks at what is in memory
_WORTH_A_LOOK = frozenset({'unreachable', 'connection_lost', 'model_not_found'})  # the engine may have changed


class Worker:
    """One worker process. ``run`` serves until ``stop``, or until the broker says to leave, and then drains.

    ``on_refused`` hears why the broker does not want it, '' where its key is unknown.

    Every run is held, with all its lines, until the broker says that its outcome is settled. So whatever gets lost
    on the way or in a restart of the broker is sent again.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        engine: Engine,
        *,
        on_ready: Callable[[str], None] = lambda _: None,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._on_ready = on_ready
        self._on_refused = on_refused
        self.left = False  # because the broker said so
        self._backend = Backend(
            EngineState(engine='ollama' if settings.engine == 'auto' else settings.engine, problem='unreachable'),
            slots=settings.slots,
            canary_every_s=settings.canary_every_s,
            breaker_failures=settings.breaker_failures,
        )
        self._watch = Watch(engine, self._backend, on_change=self._tell_news, idle=self._idle)
        self._said: Said | None = None
        self._session = os.urandom(8).hex()
        self._runs: dict[str, Run] = {}
        self._link = Link(settings.endpoints, on_message=self._receive, on_up=self._greet, on_refused=on_refused)
        self._errands = Errands(settings.worker, engine, send=self._link.send, look=self._look_now)
        self._machine = Machine()
        self._felt: vitals.Vitals | None = None  # of the machine, lately
        self._told: vitals.Vitals | None = None  # what the broker was told of it, and …
        self._told_at = -math.inf  # … when
        self._heartbeat_s = 5.0
        self._announced = False
        self._welcome = False
        self._draining = False
        self._retry: asyncio.TimerHandle | None = None
        self._must_greet = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._new_rhythm = asyncio.Event()
        self._change = asyncio.Event()  # a run ended or was settled, or there is less time to leave
        self._stop = asyncio.Event()
        self._leave_by = math.inf

    def stop(self) -> None:
        """Drain, then let ``run`` return. To be called in the event loop."""
        self._leave_within(self._settings.drain_s)

    async def run(self) -> None:
        """Serve the broker; returns once drained, less than ``drain_s`` + 3 seconds after ``stop``."""
        await self._watch.first_look()
        serving = asyncio.create_task(self._serve(), name='serve')
        stopping = asyncio.create_task(self._stop.wait(), name='stop')
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()  # only a programming error ends it
            await self._drain()
        finally:
            await self._errands.aclose()
            left = (serving, stopping, *self._tasks)
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CLOSE_S)
            self._link.close()
            await self._engine.aclose()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._link.run())
            group.create_task(self._beat())
            group.create_task(self._feel())
            group.create_task(self._watch.run())

    # what the broker says

    def _receive(self, message: protocol.AnyToWorker) -> None:
        match message:
            case protocol.Welcome():
                self._welcomed(message)
            case protocol.Identify():
                self._greet()
            case protocol.Assign():
                self._assigned(message)
            case protocol.Stop():
                self._told_to_stop(message)
            case protocol.Resend():
                if (run := self._held(message.job_id, message.epoch)) is not None:
                    run.rewind(message.index)
                    self._flush(run)
            case protocol.Settled():
                if (run := self._held(message.job_id, message.epoch)) is not None and run.outcome is not None:
                    self._forget(run)
            case protocol.DoErrand() | protocol.StopErrand() | protocol.Look():
                self._about_models(message)
            case protocol.Leave():
                self.left = True
                self._leave_within(message.grace_s)
            case protocol.TurnedAway():
                self._turned_away(message.detail)

    def _welcomed(self, welcome: protocol.Welcome) -> None:
        if not self._welcome:
            self._welcome = True
            self._on_ready(self._backend.said.engine)
        rhythm_s = max(_MIN_HEARTBEAT_S, welcome.heartbeat_s)
        if rhythm_s != self._heartbeat_s:
            self._heartbeat_s = rhythm_s
            self._new_rhythm.set()
        self._say_first_beat()

    def _turned_away(self, why: str) -> None:
        """Whatever it holds is somebody else's already."""
        logger.error('%s', why, extra={'action': 'turned_away'})
        for run in list(self._runs.values()):
            self._drop(run)
        self._leave_within(0)
        self._on_refused(why)

    def _about_models(self, message: protocol.DoErrand | protocol.StopErrand | protocol.Look) -> None:
        match message:
            case protocol.DoErrand():
                self._errands.do(message.order)
            case protocol.StopErrand():
                self._errands.stop(message.errand_id)
            case protocol.Look():
                self._watch.look()

    def _held(self, job_id: str, epoch: int) -> Run | None:
        run = self._runs.get(job_id)
        return run if run is not None and run.assign.epoch == epoch else None

    def _assigned(self, assign: protocol.Assign) -> None:
        known = self._runs.get(assign.job_id)
        if known is not None and known.assign.epoch >= assign.epoch:
            if known.assign.epoch == assign.epoch and known.outcome is not None:
                known.repeat_outcome()
                self._flush(known)
            return
        if known is not None:  # the broker gave up that run and starts the job anew
            self._drop(known)
        run = self._runs[assign.job_id] = Run(assign)
        busy = len(self._running())
        if self._draining or not self._backend.takes(busy):
            self._end(run, run.ended(protocol.HandBack))
            return
        run.sent = self._backend.sent(busy, _now(), alone=not self._watch.stand_aside())
        run.task = asyncio.create_task(self._answer(run), name=f'run-{assign.job_id}')
        self._tasks.add(run.task)
        run.task.add_done_callback(lambda task: self._closed(run, task))
        asyncio.get_running_loop().call_soon(_log_start, assign)  # behind the task, so that the engine is asked first

    def _told_to_stop(self, stop: protocol.Stop) -> None:
        run = self._held(stop.job_id, stop.epoch)
        if run is not None and stop.stale:
            self._drop(run)
        elif run is not None and run.outcome is not None:
            run.repeat_outcome()
            self._flush(run)
        elif run is not None:
            self._cut(run, protocol.Stopped)
        elif not stop.stale:
            self._link.send(protocol.Stopped(job_id=stop.job_id, epoch=stop.epoch))

    # runs

    async def _answer(self, run: Run) -> None:
        """Run it, and turn whatever happens into an outcome."""
        assign = run.assign
        try:
            async with self._engine.run(assign.kind, assign.model, assign.body, assign.path) as run.answer:
                async for line in run.answer:
                    run.add(line)
                    self._flush_when_due(run)
                    if run.answer.good:
                        self._gave(run)
                if run.answer.good:
                    self._gave(run)
            outcome: Outcome = run.finished()
        except EngineFailure as failure:
            outcome = run.failed(failure)
            if failure.code in _WORTH_A_LOOK:
                self._watch.look()
        except Exception as error:
            logger.exception('the engine broke', extra={'action': 'run', 'job_id': assign.job_id})
            text = f'{type(error).__name__}; see the log of worker {self._settings.worker}'
            outcome = run.failed(EngineFailure('worker_error', text, retryable=True), trace=trace_of(error))
        self._end(run, outcome)

    def _gave(self, run: Run) -> None:
        """A good line came."""
        now, model = _now(), run.assign.model
        self._backend.token(now)
        if not run.gave:
            run.gave = True
            self._backend.used(model, now)
            if self._backend.lacks(model):  # it was loaded for this
                self._watch.look_soon(_LOADED_APART_S)

    def _cut(self, run: Run, why: type[protocol.Stopped] | type[protocol.HandBack]) -> None:
        """Close upstream and end the run, within ``CLOSE_S`` whatever the engine does."""
        if run.cut_as is None and run.task is not None:
            run.cut_as = why
            self._backend.cut(_now())
            run.task.cancel()
            asyncio.get_running_loop().call_later(CLOSE_S, self._end, run, run.ended(why))

    def _closed(self, run: Run, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if run.cut_as is not None:
            self._end(run, run.ended(run.cut_as))

    def _end(self, run: Run, outcome: Outcome) -> None:
        if run.outcome is not None or self._runs.get(run.assign.job_id) is not run:
            return
        if run.cut_as is not None:  # however the engine took it: we ended it
            outcome = run.ended(run.cut_as)
        run.outcome = outcome
        self._learn(run, outcome)
        what = f'{outcome.code}: {outcome.detail}' if isinstance(outcome, protocol.Failed) else ''
        logger.info('%s %s', type(outcome).__name__.lower(), what, extra={'action': 'end', 'job_id': run.assign.job_id})
        self._tell_news()  # before the outcome: it frees a slot that may be no more
        self._flush(run)
        self._change.set()

    def _learn(self, run: Run, outcome: Outcome) -> None:
        """What the end of a run says about the engine."""
        if run.sent is None:
            return
        now, kind = _now(), run.assign.kind
        if isinstance(outcome, protocol.Finished | protocol.Failed):
            code = outcome.code if isinstance(outcome, protocol.Failed) else ''
            self._backend.ended(run.sent, now, kind=kind, usage=outcome.usage, code=code)
        if run.gave:
            self._backend.used(run.assign.model, now)
        if run.gave or kind == 'raw':
            self._watch.look_soon(_ENDED_APART_S)
        self._watch.run_ended()

    def _drop(self, run: Run) -> None:
        """Close upstream and forget the run; nobody wants to hear of it again."""
        self._forget(run)
        if run.task is not None and not run.task.done():
            self._backend.cut(_now())
            run.task.cancel()

    def _forget(self, run: Run) -> None:
        del self._runs[run.assign.job_id]
        if run.timer is not None:
            run.timer.cancel()
        self._change.set()

    # sending

    def _greet(self, *, anew: bool = True) -> None:
        """Say who we are and what we hold, then what the broker may not have heard, ``anew`` or again."""
        said = self._said = self._backend.said
        ready = protocol.Ready(
            worker=self._settings.worker,
            session=self._session,
            host=socket.gethostname(),
            backend=address.place(self._settings.ollama_url) if said.engine == 'ollama' else '',
            pid=os.getpid(),
            engine=said.engine,
            engine_version=said.engine_version,
            slots=said.slots,
            models=said.models,
            problem=said.problem,
            runs=self._shown(),
            labels=self._settings.labels,
            saturated=said.saturated,
        )
        self._must_greet = not self._link.send(ready)
        if self._must_greet:
            self._try_again()
            return
        if self._draining:
            self._link.send(protocol.Bye(draining=True))
        if anew:
            self._told = None
            self._errands.repeat()
        for run in list(self._runs.values()):
            run.repeat_outcome()
            self._flush(run)
        self._announced = True

    def _tell_news(self) -> None:
        """Where the broker's picture of the engine is no longer right, say so."""
        before, said = self._said, self._backend.said
        if not self._link.up or said == before:
            return
        self._greet(anew=False)
        if before is not None and (before.slots, before.problem) != (said.slots, said.problem):
            logger.info('%s slots%s', said.slots, said.problem and f', {said.problem}', extra={'action': 'slots'})

    def _flush_when_due(self, run: Run) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        due_at = run.batcher.due_at(now)
        if due_at is None or due_at <= now:
            self._flush(run)
        elif run.timer is None:
            run.timer = loop.call_at(due_at, self._flush, run)

    def _flush(self, run: Run) -> None:
        if run.timer is not None:
            run.timer.cancel()
            run.timer = None
        if self._link.up and not run.flush(self._link.send, _now()):
            self._try_again()

    def _try_again(self) -> None:
        if self._link.up and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._send_rest)

    def _send_rest(self) -> None:
        self._retry = None
        if self._must_greet:
            self._greet()
        for run in list(self._runs.values()):
            self._flush(run)

    def _shown(self) -> tuple[protocol.Run, ...]:
        return tuple(run.shown for run in self._runs.values())

    async def _beat(self) -> None:
        while True:
            if await happens(self._new_rhythm, self._heartbeat_s):
                continue
            if self._link.up:
                self._say_beat()
                for run in list(self._runs.values()):
                    run.repeat_outcome()
                    self._flush(run)

    def _say_beat(self) -> None:
        """A heartbeat, with how the machine is where that has changed or was not told for long."""
        now, news = _now(), None
        if self._felt is not None:
            felt = self._backend.feel(self._felt, now)
            if vitals.differs(felt, self._told) or now - self._told_at >= _TELL_AGAIN_S:
                news = felt
        beat = protocol.Heartbeat(runs=self._shown(), quiet_s=self._backend.quiet_s(now), vitals=news)
        if self._link.send(beat) and news is not None:
            self._told, self._told_at = news, now

    def _say_first_beat(self) -> None:
        """A broker that does not know yet how the machine is, need not wait for it."""
        if self._announced and self._felt is not None and self._told is None and self._link.up:
            self._say_beat()

    async def _feel(self) -> None:
        """Keep an eye on the machine; what takes long there holds up no heartbeat."""
        while True:
            self._felt = await self._machine.look()
            self._say_first_beat()
            await asyncio.sleep(max(_MIN_FEEL_S, self._heartbeat_s))

    async def _look_now(self) -> None:
        """Somebody had the models changed: what there is now is told at once."""
        await self._watch.look_now()
        if self._link.up:
            self._say_beat()

    # leaving

    def _leave_within(self, grace_s: float) -> None:
        """Begin to drain; said again, it can only become sooner."""
        grace_s = min(grace_s, _LONGEST_GRACE_S) if grace_s > 0 else 0.0
        self._leave_by = min(self._leave_by, _now() + grace_s)
        self._stop.set()
        self._change.set()

    async def _drain(self) -> None:
        """Take nothing new, let runs go on for a while, hand back the rest, say goodbye."""
        logger.info('draining', extra={'action': 'drain'})
        self._draining = True
        self._link.send(protocol.Bye(draining=True))
        while self._running() and _now() < self._leave_by:
            await happens(self._change, self._leave_by - _now())
        for run in self._running():
            self._cut(run, protocol.HandBack)
        await self._until(lambda: not self._running(), CLOSE_S + 0.1)
        if self._link.up:
            await self._until(lambda: not self._runs, _SETTLE_S)
        self._link.send(protocol.Bye())

    def _running(self) -> list[Run]:
        return [run for run in self._runs.values() if run.outcome is None]

    def _idle(self) -> bool:
        return not self._draining and not self._running()

    async def _until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._change.clear()
                    await self._change.wait()
        except TimeoutError:
            pass


def _log_start(assign: protocol.Assign) -> None:
    logger.info('started on %s', assign.model, extra={'action': 'start', 'job_id': assign.job_id})


def _now() -> float:
    return asyncio.get_running_loop().time()
