"""Facts, lines and other news of a broker, made by hand with just what a test is about."""

import json
from typing import Any

from app.board import Board
from broker import facts, protocol
from broker.job import Job

T0 = 1_795_000_000.0


def feed(board: Board, *items: protocol.AnyPublished, now: float = T0) -> None:
    """Have the board hear these, one after the other."""
    for item in items:
        board.apply(item, now)


class News:
    """Makes published items with a running ``seq``, one second apart."""

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self.now = T0

    def queued(self, job_id: str, **fields: Any) -> protocol.FactOut:
        return self._fact(facts.JobQueued, job_id=job_id, **{'kind': 'chat', 'model': 'm', 'priority': 5, **fields})

    def started(self, job_id: str, epoch: int = 1, **fields: Any) -> protocol.FactOut:
        more = {'worker': 'w:1', 'starts': epoch, 'waited_s': 1.0, **fields}
        return self._fact(facts.JobStarted, job_id=job_id, epoch=epoch, **more)

    def requeued(self, job_id: str, reason: str, epoch: int = 1, **fields: Any) -> protocol.FactOut:
        more = {'due_at': 0.0, 'failures': 0, 'losses': 0, **fields}
        return self._fact(facts.JobRequeued, job_id=job_id, epoch=epoch, reason=reason, **more)

    def due(self, job_id: str) -> protocol.FactOut:
        return self._fact(facts.JobDue, job_id=job_id)

    def unblocked(self, job_id: str) -> protocol.FactOut:
        return self._fact(facts.JobUnblocked, job_id=job_id)

    def shared(self, job_id: str, claims: int) -> protocol.FactOut:
        return self._fact(facts.JobShared, job_id=job_id, claims=claims)

    def of_no_job(self) -> list[protocol.FactOut]:
        return [
            self._fact(facts.Drained, scope='model', name='m'),
            self._fact(facts.BatchOpened, batch_id='b', name='', user='', total=1),
            self._fact(facts.BatchEnded, batch_id='b', completed=1, dead=0, cancelled=0),
            self._fact(facts.ScheduleRemoved, schedule_id='s'),
        ]

    def moved(self, job_id: str, priority: int, was: int = 5) -> protocol.FactOut:
        return self._fact(facts.JobPriorityChanged, job_id=job_id, priority=priority, was=was)

    def stopping(self, job_id: str, epoch: int = 1) -> protocol.FactOut:
        return self._fact(facts.JobCancelRequested, job_id=job_id, epoch=epoch)

    def completed(self, job_id: str, lines: int, epoch: int = 1, **fields: Any) -> protocol.FactOut:
        return self._end(facts.JobCompleted, job_id, lines, epoch, **fields)

    def cancelled(self, job_id: str, lines: int = 0, epoch: int = 1, **fields: Any) -> protocol.FactOut:
        return self._end(facts.JobCancelled, job_id, lines, epoch, **fields)

    def died(self, job_id: str, lines: int = 0, epoch: int = 1, **fields: Any) -> protocol.FactOut:
        return self._end(facts.JobDied, job_id, lines, epoch, **{'code': 'engine_error', 'detail': 'why', **fields})

    def joined(self, worker: str = 'w:1', **fields: Any) -> protocol.FactOut:
        more = {
            'session': 's',
            'host': 'h',
            'pid': 1,
            'engine': 'ollama',
            'engine_version': '0.33',
            'slots': 2,
            'models': (model('m'),),
            **fields,
        }
        return self._fact(facts.WorkerJoined, worker=worker, **more)

    def changed(self, worker: str = 'w:1', **fields: Any) -> protocol.FactOut:
        more = {'engine': 'ollama', 'engine_version': '0.33', 'slots': 2, 'models': (model('m'),), **fields}
        return self._fact(facts.WorkerChanged, worker=worker, **more)

    def left(self, worker: str = 'w:1', reason: str = 'lost') -> protocol.FactOut:
        return self._fact(facts.WorkerLeft, worker=worker, reason=reason)

    def paused(self, scope: str, name: str = '', *, over: bool = False) -> protocol.FactOut:
        return self._fact(facts.Resumed if over else facts.Paused, scope=scope, name=name)

    def draining(self, scope: str, name: str = '', *, over: bool = False) -> protocol.FactOut:
        if over:
            return self._fact(facts.Drained, scope=scope, name=name)
        return self._fact(facts.Paused, scope=scope, name=name, draining=True)

    def pulse(self, boot: str = 'b1') -> protocol.Pulse:
        return protocol.Pulse(boot=boot, seq=self.seq)

    def _end(self, made: type, job_id: str, lines: int, epoch: int, /, **fields: Any) -> protocol.FactOut:
        more = {
            'kind': 'chat',
            'model': 'm',
            'priority': 5,
            'user': '',
            'conversation_id': '',
            'queued_at': T0,
            'started_at': T0 + 1,
            'waited_s': 1.0,
            'ran_s': 2.0,
            'starts': epoch,
            'failures': 0,
            'losses': 0,
            'worker': 'w:1',
            'engine': 'ollama',
            'usage': facts.Usage(),
            **fields,
        }
        return self._fact(made, job_id=job_id, lines=lines, epoch=epoch, **more)

    def _fact(self, made: type, /, **fields: Any) -> protocol.FactOut:
        self.seq += 1
        self.now += 1
        return protocol.FactOut(fact=made(seq=self.seq, at=self.now, **fields))


def model(name: str, engine: str = 'ollama') -> facts.ModelInfo:
    return facts.ModelInfo(name=name, engine=engine)


def chat_lines(*texts: str) -> tuple[bytes, ...]:
    """Ollama's own chat lines, one per text."""
    return tuple(json.dumps({'message': {'content': text}, 'done': False}).encode() for text in texts)


def tokens(job_id: str, index: int, *texts: str, epoch: int = 1) -> protocol.TokensOut:
    return protocol.TokensOut(job_id=job_id, epoch=epoch, index=index, lines=chat_lines(*texts))


def lines(job_id: str, index: int, *texts: str, epoch: int = 1, ended: bool = False) -> protocol.Lines:
    found = chat_lines(*texts)
    return protocol.Lines(job_id=job_id, epoch=epoch, index=index, lines=found, total=index + len(found), ended=ended)


def standing(*places: tuple[str, int, str] | tuple[str, int], waiting: int | None = None) -> protocol.Standing:
    made = tuple(
        protocol.Place(job_id=place[0], ahead=place[1], reason=place[2] if len(place) == 3 else 'ahead')
        for place in places
    )
    return protocol.Standing(places=made, waiting=len(made) if waiting is None else waiting)


def snapshot(seq: int, *jobs: Job, workers: tuple[protocol.WorkerInfo, ...] = ()) -> protocol.Snapshot:
    return protocol.Snapshot(seq=seq, jobs=jobs, workers=workers)


def job(job_id: str, **fields: Any) -> Job:
    return Job(job_id=job_id, **{'order': 1, 'kind': 'chat', 'model': 'm', 'priority': 5, 'queued_at': T0, **fields})


def worker(name: str = 'w:1', **fields: Any) -> protocol.WorkerInfo:
    more = {
        'host': 'h',
        'pid': 1,
        'engine': 'ollama',
        'engine_version': '0.33',
        'slots': 2,
        'busy': 0,
        'models': (model('m'),),
        **fields,
    }
    return protocol.WorkerInfo(worker=name, **more)
