"""Which job goes to which worker, now."""

import math

from broker import intake
from broker.balance import Balance
from broker.fleet import Worker
from broker.order import Lane, Turn
from broker.queue import Queue


class Dispatch:
    """Starts jobs while there is one that may start and a slot for it.

    A job goes where what it needs is loaded. Where that is nowhere, jobs for which something is loaded on the free
    workers may go first, for a while (``order.prefers``): so models are not swapped to and fro.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._balance = Balance(queue.rules.balance)

    def run(self, now: float) -> None:
        """Start what can start."""
        queue, expired = self._queue, 0
        while (turn := self._next(now)) is not None:
            workers = self._able(turn)
            warm = self._warm(turn, workers)
            if not warm and (other := self._instead(turn, workers, now)) is not None:
                turn = other
                workers = warm = self._warm(turn, self._able(turn))
            job = queue.jobs[turn.job_id]
            if 0.0 < job.deadline_at <= now:  # its timer is about to go off
                queue.expire(job, now)
                expired += 1
                if expired == queue.rules.due_at_once:
                    queue.timers.at(math.nextafter(now, math.inf), 'wake', '')  # others are served before the rest
                    return
                continue
            worker = self._balance.choose(job, warm or self._unneeded(workers))
            queue.start(job, worker, now, resident=bool(warm), overdue=not turn.regular)

    def _next(self, now: float) -> Turn | None:
        """Whose turn it is; when only a limit stands in everybody's way, look again when the limit is over."""
        queue = self._queue
        if queue.pauses.everything or not queue.waiting or not queue.fleet.has_room():
            return None
        if (open_at := queue.gate.open_at()) > now:
            queue.timers.at(open_at, 'wake', '')
            return None
        if queue.gate.limits_models:
            limited = [at for model in queue.waiting.models() if (at := queue.gate.model_at(model)) > now]
            if limited:
                queue.timers.at(min(limited), 'wake', '')
        return queue.waiting.best(lambda model: self._may_start(model, now), now)

    def _may_start(self, model: str, now: float) -> bool:
        queue = self._queue
        return (
            queue.gate.model_at(model) <= now
            and not queue.pauses.has('model', model)
            and queue.fleet.can_start(model, queue.pauses)
        )

    def _able(self, turn: Turn) -> list[Worker]:
        return self._queue.fleet.able(self._queue.waiting.lanes[turn.lane].model, self._queue.pauses)

    def _warm(self, turn: Turn, workers: list[Worker]) -> list[Worker]:
        """Those that have loaded what the job needs."""
        job = self._queue.jobs[turn.job_id]
        options = intake.options_of(job)
        return [worker for worker in workers if worker.backend.has(job.model, options)]

    def _instead(self, turn: Turn, workers: list[Worker], now: float) -> Turn | None:
        """A job of the same level that one of these workers could start without loading, if it may go first."""
        queue = self._queue
        if len(queue.waiting.lanes) == 1:
            return None
        lanes = [
            lane
            for lane in queue.waiting.lanes.values()
            if any(_is_warm(lane, worker) for worker in workers) and self._may_start(lane.model, now)
        ]
        return queue.waiting.instead(turn, lanes, now)

    def _unneeded(self, workers: list[Worker]) -> list[Worker]:
        """Those on which nothing is loaded that somebody waits for, where there are such."""
        if len(workers) == 1:
            return workers
        lanes = self._queue.waiting.lanes.values()
        return [worker for worker in workers if not any(_is_warm(lane, worker) for lane in lanes)] or workers


def _is_warm(lane: Lane, worker: Worker) -> bool:
    return lane.model in worker.models and worker.backend.has(lane.model, lane.options)
