"""The errands that workers are on, and those that ended lately."""

from collections import OrderedDict

import msgspec

from broker import errand, protocol
from broker.actions import Publish
from broker.errand import Errand
from broker.fleet import Worker
from broker.queue import Queue

KEEP_ENDED = 50  # so that whoever comes back sees how it ended
KEEP_S = 3600.0
MOST_ALIVE = 20  # on one worker
LOST = 'worker_lost'


class Errands:
    """Who does what. It forgets with the broker; workers then tell of theirs."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._known: OrderedDict[str, Errand] = OrderedDict()
        self._orders: dict[str, errand.Order] = {}  # until the worker has begun
        self._to_stop: set[str] = set()  # cancelled, and the worker has not said so yet

    def infos(self) -> tuple[Errand, ...]:
        """All that is known, oldest first."""
        return tuple(self._known.values())

    def ask(self, request: protocol.RunErrand, now: float) -> protocol.Reply:
        """Somebody wants it done. Asked for again while it goes on, of any worker of that engine, it is the same."""
        order, worker = request.order, self._queue.fleet.named(request.worker)
        if order.errand_id in self._known:
            return protocol.ErrandState(errand=self._known[order.errand_id])
        if problem := errand.problem_with(order):
            return protocol.Refused(code='bad_request', detail=problem)
        if worker is None or worker.gone:
            return protocol.Refused(code='not_found', detail='there is no such worker at the moment')
        for other in self._sharing(worker):
            for each in self._alive(other.ready.worker):
                if (each.action, each.model) == (order.action, order.model):
                    return protocol.ErrandState(errand=each)
        if self._full(request.worker):
            return protocol.Refused(
                code='too_many', detail='this worker is busy with its models; wait until some of that has ended'
            )
        made = Errand(
            errand_id=order.errand_id, worker=request.worker, action=order.action, model=order.model, asked_at=now
        )
        self._orders[order.errand_id] = order
        self._tell(made, now)
        self._queue.send(worker.peer, protocol.DoErrand(order=order))
        return protocol.ErrandState(errand=made)

    def cancel(self, errand_id: str) -> protocol.Reply:
        """Somebody wants no more of it; one that has ended stays as it ended."""
        found = self._known.get(errand_id)
        if found is None:
            return protocol.Refused(code='not_found', detail='there is no such errand; it may have ended long ago')
        worker = self._queue.fleet.named(found.worker)
        if not found.final and worker is not None:
            self._to_stop.add(errand_id)
            self._queue.send(worker.peer, protocol.StopErrand(errand_id=errand_id))
        return protocol.Done()

    def news(self, worker: Worker, told: Errand, now: float) -> None:
        """A worker tells how far it is. After a restart this is all we know of it."""
        known = self._known.get(told.errand_id)
        if known is not None and known.worker != worker.ready.worker:
            return
        if known is not None and known.final and known.code != LOST:  # of one that is back after all, its news count
            return
        if known is None and (len(told.errand_id) > errand.MAX_STATUS or self._full(worker.ready.worker)):
            return
        self._orders.pop(told.errand_id, None)
        fresh = msgspec.structs.replace(
            _sound(told),
            worker=worker.ready.worker,
            asked_at=known.asked_at if known is not None else now,
            ended_at=now if told.final else 0.0,
        )
        if fresh != known:
            self._tell(fresh, now)
        if fresh.final:
            self._look(worker)

    def remind(self, worker: Worker) -> None:
        """What it may not have heard."""
        for each in self._known.values():
            if each.worker == worker.ready.worker and not each.final:
                if each.errand_id in self._orders:
                    self._queue.send(worker.peer, protocol.DoErrand(order=self._orders[each.errand_id]))
                if each.errand_id in self._to_stop:
                    self._queue.send(worker.peer, protocol.StopErrand(errand_id=each.errand_id))

    def gone(self, worker: Worker, now: float) -> None:
        """The worker is not there any more, and nobody else does it."""
        for each in list(self._known.values()):
            if each.worker == worker.ready.worker and not each.final:
                text = 'the worker left before it was done; ask again when it is back'
                lost = msgspec.structs.replace(each, state='failed', code=LOST, detail=text, ended_at=now)
                self._tell(lost, now)

    def _alive(self, worker: str) -> list[Errand]:
        return [each for each in self._known.values() if each.worker == worker and not each.final]

    def _sharing(self, worker: Worker) -> list[Worker]:
        """Those that drive the same engine, itself among them."""
        return [each for each in self._queue.fleet if each.backend is worker.backend]

    def _full(self, worker: str) -> bool:
        return len(self._alive(worker)) >= MOST_ALIVE

    def _look(self, worker: Worker) -> None:
        """Those who share its engine look at once what there is now; it has looked itself."""
        for other in self._sharing(worker):
            if other is not worker and not other.gone:
                self._queue.send(other.peer, protocol.Look())

    def _tell(self, made: Errand, now: float) -> None:
        self._known[made.errand_id] = made
        if made.final:
            self._known.move_to_end(made.errand_id)
            self._orders.pop(made.errand_id, None)
            self._to_stop.discard(made.errand_id)
            ended = [each for each in self._known.values() if each.final]
            for place, old in enumerate(ended):
                if place < len(ended) - KEEP_ENDED or old.ended_at < now - KEEP_S:
                    del self._known[old.errand_id]
        self._queue.do(Publish(protocol.TOPIC_STAFF, protocol.ErrandOut(errand=made)))


def _sound(told: Errand) -> Errand:
    """The same within its bounds: a worker may send anything."""
    state = told.state if told.state in errand.FINAL else 'running'
    count = {
        name: min(max(0, getattr(told, name)), 2**53) for name in ('completed', 'total', 'part_completed', 'part_total')
    }
    return msgspec.structs.replace(
        told,
        state=state,
        action=told.action[: errand.MAX_STATUS],
        model=told.model[: errand.MAX_MODEL],
        status=told.status[: errand.MAX_STATUS],
        digest=told.digest[: errand.MAX_STATUS],
        code=told.code[: errand.MAX_STATUS],
        detail=told.detail[: errand.MAX_DETAIL],
        **count,
    )
