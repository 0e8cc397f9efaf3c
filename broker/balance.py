"""Which of several workers that could start a job gets it."""

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from broker.fleet import Worker
from broker.job import Job

Policy = Literal['least_loaded', 'round_robin', 'weighted_random']
REMEMBER = 10_000  # conversations


class Balance:
    """A conversation stays where it was, so that its prompt is still in that engine's cache; then the policy says."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._where: OrderedDict[str, str] = OrderedDict()  # the last worker of a conversation
        self._starts = 0

    def choose(self, job: Job, workers: Sequence[Worker]) -> Worker:
        """One of ``workers``, of which there is at least one."""
        worker = self._last_of(job, workers) or self._by_policy(job, workers)
        self._starts += 1
        worker.last_start = self._starts
        if job.conversation_id:
            self._where[job.conversation_id] = worker.ready.worker
            self._where.move_to_end(job.conversation_id)
            if len(self._where) > REMEMBER:
                self._where.popitem(last=False)
        return worker

    def _last_of(self, job: Job, workers: Sequence[Worker]) -> Worker | None:
        name = self._where.get(job.conversation_id)
        return next((worker for worker in workers if worker.ready.worker == name), None) if name else None

    def _by_policy(self, job: Job, workers: Sequence[Worker]) -> Worker:
        match self._policy:
            case 'round_robin':
                return min(workers, key=lambda worker: (worker.last_start, worker.ready.worker))
            case 'weighted_random':
                return _drawn(f'{job.job_id}:{job.epoch}', workers)
            case 'least_loaded':
                return max(workers, key=_room)


def _room(worker: Worker) -> tuple[float, int, str]:
    return worker.free / worker.ready.slots, worker.free, worker.ready.worker


def _drawn(name: str, workers: Sequence[Worker]) -> Worker:
    """By chance, in proportion to the slots; the chance lies in the job's id, which is random."""
    in_order = sorted(workers, key=lambda worker: worker.ready.worker)
    ticket = zlib.crc32(name.encode()) % sum(worker.ready.slots for worker in in_order)
    for worker in in_order:
        ticket -= worker.ready.slots
        if ticket < 0:
            return worker
    return in_order[-1]
