"""The workers, what each can run and has loaded, and the runs they hold."""

import fnmatch
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from broker import facts, protocol
from broker.actions import Peer
from broker.backend import Backend, model_names
from broker.job import Job
from broker.pauses import Pauses
from broker.vitals import Vitals

BROKEN = 'breaker_open'  # the problem of a worker whose engine failed too often lately
UNREACHABLE = 'unreachable'  # the problem of one that cannot reach its engine


class Run(msgspec.Struct, kw_only=True):
    """One run of one job: its lease, and the lines it has given so far (the token log)."""

    job: Job
    epoch: int
    worker: str
    session: str  # empty after a restart of the broker, until a worker shows that it holds the run
    expires_at: float
    assigned_at: float
    charged_s: float = 0.0  # what its user was charged for it when it started
    cancelling: bool = False
    lines: list[bytes] = msgspec.field(default_factory=list)
    size: int = 0  # bytes in lines
    asked_at: float = 0.0  # when missing lines were asked for last
    asked_index: int = -1

    def is_of(self, scope: str, name: str) -> bool:
        """Whether a pause of this scope and name is about it."""
        job = self.job
        own = {'model': job.model, 'priority': str(job.priority), 'user': job.user, 'worker': self.worker}
        return scope == 'all' or own[scope] == name


class Group(NamedTuple):
    """Models that match one of ``models`` run only on workers whose name matches ``workers`` or that have a label.

    All are patterns as of a shell, like ``qwen*``.
    """

    models: tuple[str, ...]
    workers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def is_about(self, model: str) -> bool:
        """Whether it says where this model runs."""
        return any(fnmatch.fnmatchcase(model, pattern) for pattern in self.models)

    def lets(self, ready: protocol.Ready) -> bool:
        """Whether this worker belongs to it."""
        return any(fnmatch.fnmatchcase(ready.worker, pattern) for pattern in self.workers) or any(
            fnmatch.fnmatchcase(label, pattern) for pattern in self.labels for label in ready.labels
        )


class Worker(msgspec.Struct, kw_only=True):
    """A worker process that signed in."""

    peer: Peer
    ready: protocol.Ready
    joined_at: float
    expires_at: float
    gone: bool = False  # its connection broke; it may come back
    draining: bool = False
    leave: protocol.Leave | None = None  # it was told to, and has not said yet that it will
    runs: dict[str, Run] = msgspec.field(default_factory=dict)
    models: frozenset[str] = frozenset()  # the names of those it may run and that are in order
    backend: Backend = msgspec.field(default_factory=Backend)
    last_start: int = 0  # rises with every start of any worker
    last_token_at: float = 0.0
    started_at: float = 0.0
    vitals: Vitals | None = None
    doubted_at: float = 0.0  # when another machine came with its name and key
    told_token_at: float = 0.0  # the ``last_token_at`` that everybody was told

    @property
    def free(self) -> int:
        """Slots that a job could have now."""
        if self.gone or self.draining or self.ready.problem == BROKEN:
            return 0
        return self.ready.slots - len(self.runs)

    @property
    def out_of_order(self) -> bool:
        """Whether its engine failed too often lately."""
        return self.ready.problem == BROKEN

    def engine_of(self, model: str) -> str:
        """Which of its engines runs this model."""
        return next((info.engine for info in _called(model, self)), self.ready.engine)

    def info(self) -> protocol.WorkerInfo:
        """What a client may see."""
        ready = self.ready
        return protocol.WorkerInfo(
            worker=ready.worker,
            host=ready.host,
            pid=ready.pid,
            engine=ready.engine,
            engine_version=ready.engine_version,
            slots=ready.slots,
            busy=len(self.runs),
            models=ready.models,
            problem=ready.problem,
            joined_at=self.joined_at,
            labels=ready.labels,
            draining=self.draining,
            last_token_at=self.last_token_at,
            saturated=ready.saturated,
            backend=ready.backend,
            started_at=self.started_at,
            vitals=self.vitals,
        )


class Fleet:
    """All workers, found by name or by connection."""

    def __init__(self, groups: tuple[Group, ...] = ()) -> None:
        self._groups = groups
        self._by_name: dict[str, Worker] = {}
        self._by_peer: dict[Peer, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> Worker | None:
        """The worker of this name."""
        return self._by_name.get(name)

    def at(self, peer: Peer) -> Worker | None:
        """The worker at the other end of this connection."""
        return self._by_peer.get(peer)

    def put(self, worker: Worker, peer: Peer, ready: protocol.Ready) -> None:
        """Take in what a worker says of itself, new or not, and follow it to its connection."""
        self._by_peer = {at: other for at, other in self._by_peer.items() if other is not worker}
        worker.peer, worker.ready, worker.gone = peer, ready, False
        worker.models = model_names(model for model in ready.models if not model.problem and self.allows(model, ready))
        others = (other for other in self._by_name.values() if other is not worker)
        worker.backend = next(
            (other.backend for other in others if ready.backend and other.ready.backend == ready.backend),
            worker.backend,
        )
        self._by_name[ready.worker] = worker
        self._by_peer[peer] = worker
        worker.backend.tells(ready.models, self.busy(worker.backend))

    def remove(self, worker: Worker) -> None:
        """Forget a worker."""
        del self._by_name[worker.ready.worker]
        self._by_peer.pop(worker.peer, None)

    def allows(self, model: facts.ModelInfo, ready: protocol.Ready) -> bool:
        """Whether the groups let this worker run this model."""
        group = next((group for group in self._groups if group.is_about(model.name)), None)
        return group is None or group.lets(ready)

    def busy(self, backend: Backend) -> Iterator[str]:
        """The models of what runs on this backend, some more than once."""
        sharing = (worker for worker in self._by_name.values() if worker.backend is backend)
        return (run.job.model for worker in sharing for run in worker.runs.values())

    def has_room(self) -> bool:
        """Whether anybody has a free slot."""
        return any(worker.free > 0 for worker in self._by_name.values())

    def spelt(self, model: str) -> str:
        """The model as those who have it spell it, for Ollama does not mind capitals; as it is where nobody has it."""
        if any(model in worker.models for worker in self._by_name.values()):
            return model
        small = model.lower()
        known = (name for worker in self._by_name.values() for name in model_names(worker.ready.models))
        return next((name for name in known if name.lower() == small), model)

    def serves(self, model: str) -> bool:
        """Whether somebody can run this model, busy or not."""
        return any(
            model in worker.models and not worker.draining and not worker.out_of_order
            for worker in self._by_name.values()
        )

    def paused(self, model: str, pauses: Pauses) -> bool:
        """Whether all who could run this model are paused."""
        able = [
            name
            for name, worker in self._by_name.items()
            if model in worker.models and not worker.draining and not worker.out_of_order
        ]
        return bool(able) and all(pauses.has('worker', name) for name in able)

    def hint(self, model: str) -> str:
        """What would help a job that nobody can run; see ``protocol.Place``."""
        staff = [worker for worker in self._by_name.values() if not worker.draining]
        having = [worker for worker in staff if model in model_names(worker.ready.models)]
        if not staff:
            return 'start_worker'
        if not having:
            away = all(worker.ready.problem == UNREACHABLE for worker in staff)
            return 'start_engine' if away else 'pull_model'
        let = [worker for worker in having if any(self.allows(info, worker.ready) for info in _called(model, worker))]
        return 'failing' if let else 'group'

    def can_start(self, model: str, paused: Pauses) -> bool:
        """Whether somebody who is not paused has this model and a free slot."""
        return bool(self.able(model, paused))

    def able(self, model: str, paused: Pauses) -> list[Worker]:
        """Those who are not paused and have this model and a free slot."""
        return [
            worker
            for name, worker in self._by_name.items()
            if model in worker.models and worker.free > 0 and not paused.has('worker', name)
        ]


def _called(model: str, worker: Worker) -> list[facts.ModelInfo]:
    return [info for info in worker.ready.models if model in (info.name, info.name.removesuffix(':latest'))]
