"""How busy the workers are, for whoever starts and ends them."""

from typing import NamedTuple

from broker.fleet import Worker
from broker.queue import Queue


class WorkerLoad(NamedTuple):
    """One worker. ``slots`` is 0 when it takes nothing new."""

    busy: int
    slots: int
    wanted: bool  # a job waits that could start here if there were one slot more
    saturated: bool  # its engine does not take more at once


class Load(NamedTuple):
    """All workers by name, and the sums."""

    waiting: int
    running: int
    slots: int
    workers: dict[str, WorkerLoad]


def of(queue: Queue, now: float) -> Load:
    """What is to be done and what does it. Cheap: one look at each worker and each model that somebody waits for."""
    may_start = not queue.pauses.everything and queue.gate.open_at() <= now
    workers = {worker.ready.worker: _of_worker(queue, worker, may_start, now) for worker in queue.fleet}
    return Load(
        waiting=len(queue.waiting),
        running=len(queue.runs),
        slots=sum(worker.slots for worker in workers.values()),
        workers=workers,
    )


def _of_worker(queue: Queue, worker: Worker, may_start: bool, now: float) -> WorkerLoad:
    def can_run(model: str) -> bool:
        return model in worker.models and queue.gate.model_at(model) <= now and not queue.pauses.has('model', model)

    busy, slots = len(worker.runs), worker.ready.slots
    out = worker.gone or worker.draining or (worker.free <= 0 and busy < slots)
    out = out or queue.pauses.has('worker', worker.ready.worker)
    return WorkerLoad(
        busy=busy,
        slots=0 if out else slots,
        wanted=may_start and not out and queue.waiting.best(can_run, now) is not None,
        saturated=worker.ready.saturated,
    )
