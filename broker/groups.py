"""Opening a batch; ``stopping`` cancels one."""

from broker import batches, facts, protocol
from broker.admission import Past
from broker.queue import Queue


def opened(queue: Queue, request: protocol.OpenBatch, past: Past, now: float) -> protocol.Reply:
    """Begin a batch; asked again for the same one, it is done already."""
    if problem := batches.problem_with(request):
        return protocol.Refused(code='bad_request', detail=problem)
    known = queue.batches.find(request.batch_id) or past.batches.get(request.batch_id)
    if known is not None:
        if (known.total, known.name, known.user) == (request.total, request.name, request.user):
            return protocol.Done()
        return protocol.Refused(code='conflict', detail='there is another batch of this id; take a new one')
    batch = protocol.Batch(
        batch_id=request.batch_id, total=request.total, name=request.name, user=request.user, opened_at=now
    )
    queue.batches.open(batch, now)
    queue.watch_batch(request.batch_id)
    fact = facts.BatchOpened(
        seq=queue.next_seq(),
        at=now,
        batch_id=request.batch_id,
        name=request.name,
        user=request.user,
        total=request.total,
    )
    queue.record(fact)
    return protocol.Done()
