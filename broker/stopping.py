"""Jobs are stopped: one, or all of a batch, a portion a turn, so that others are served in between."""

import itertools
import math

from broker import facts, protocol
from broker.job import Job, Move, State
from broker.queue import Queue


def stopped(queue: Queue, job: Job, now: float) -> protocol.Reply:
    """Cancel one job; one that runs ends when its worker has confirmed."""
    if job.state is State.RUNNING:
        queue.move(job, Move.CANCEL)
        run = queue.runs[job.job_id]
        run.cancelling = True
        fact = facts.JobCancelRequested(seq=queue.next_seq(), at=now, job_id=job.job_id, epoch=job.epoch)
        queue.record(fact, job)
        queue.tell_run(run, protocol.Stop(job_id=job.job_id, epoch=job.epoch))
    elif job.state is not State.CANCELLING:
        queue.withdraw(job, Move.CANCEL, facts.JobCancelled, now)
    return protocol.Done()


def batch_stopped(queue: Queue, batch_id: str, now: float) -> protocol.Reply:
    """Cancel an open batch: ``Done`` when it is over, until then how far it is. It goes on by itself.

    A broker that is started anew meanwhile does not know of it: whoever asks again until it is done finishes it.
    """
    if queue.batches.stop(batch_id):
        go_on(queue, batch_id, now)
    if queue.batches.is_open(batch_id):
        return protocol.Batches(batches=(queue.batches.get(batch_id),))
    return protocol.Done()


def go_on(queue: Queue, batch_id: str, now: float) -> None:
    """The next portion of a batch that is being cancelled, and its end after the last.

    The last come first: whoever comes after another is cancelled before that one, and not for its sake.
    """
    if not queue.batches.is_open(batch_id):
        return
    alive = (queue.jobs[job_id] for job_id in queue.batches.last_first(batch_id))
    left = (job for job in alive if job.state is not State.CANCELLING)
    portion = list(itertools.islice(left, queue.rules.stop_at_once))
    for job in portion:
        if job.job_id in queue.jobs:
            stopped(queue, job, now)
    if len(portion) == queue.rules.stop_at_once:
        queue.timers.at(math.nextafter(now, math.inf), 'stop', batch_id)  # in the next turn, not in this one
    elif queue.batches.is_open(batch_id):
        queue.end_batch(batch_id, now)
