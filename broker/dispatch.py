"""Which job goes to which worker, now."""

from broker.job import Job
from broker.queue import Queue


class Dispatch:
    """Starts jobs while there is one that may start and a slot for it."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def run(self, now: float) -> None:
        """Start what can start."""
        while (job := self._next(now)) is not None:
            worker = self._queue.fleet.choose(job.model, self._queue.pauses)
            self._queue.start(job, worker, now)

    def _next(self, now: float) -> Job | None:
        """The job that may start now; when only a limit stands in its way, look again when the limit is over."""
        queue = self._queue
        if queue.pauses.everything or not queue.waiting or not queue.fleet.has_room():
            return None
        if (open_at := queue.gate.open_at()) > now:
            queue.timers.at(open_at, 'wake', '')
            return None
        limited = [at for model in queue.waiting.models() if (at := queue.gate.model_at(model)) > now]
        if limited:
            queue.timers.at(min(limited), 'wake', '')
        job_id = queue.waiting.best(lambda model: self._may_start(model, now), now)
        return queue.jobs[job_id] if job_id is not None else None

    def _may_start(self, model: str, now: float) -> bool:
        queue = self._queue
        return (
            queue.gate.model_at(model) <= now
            and not queue.pauses.has('model', model)
            and queue.fleet.can_start(model, queue.pauses)
        )
