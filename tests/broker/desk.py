"""A core with the names, ids and shorthand that tests of the queue need. No sockets, no clock."""

from broker import facts, lookup, protocol
from broker.actions import Action, FromStore, Peer, Persist, Publish, Send, SendJob
from broker.core import BrokerCore
from broker.memory_store import MemoryStore
from broker.retry import RetryPolicy
from broker.rules import Rules

CLIENT = Peer('client', b'c')
RULES = Rules(retry=RetryPolicy(base_s=2.0, max_s=60.0))


def job_id(number: int) -> str:
    """The id of test job ``number``."""
    return f'{number:032x}'


class Desk:
    """Feeds a core and keeps what it did: facts in order, the store, the last actions."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.store = MemoryStore()
        self.now = 1_000.0
        self.wall_ahead_s = 0.0
        self.facts: list[facts.AnyFact] = []
        self.last: list[Action] = []
        self.core = self._new_core()

    def _new_core(self) -> BrokerCore:
        core = BrokerCore(self.rules, boot='b', last_seq=self.store.last_seq(), last_order=self.store.last_order())
        core.wall_is_ahead(self.wall_ahead_s)
        core.restore(
            self.store.alive(),
            self.now,
            self.store.work_since(0.0),
            self.store.starts_since(self.now - core.remember_starts_s),
            self.store.pauses(),
            batches=self.store.open_batches(),
            schedules=self.store.schedules(),
            retired=self.store.retired(),
        )
        return core

    def restart(self) -> None:
        """The broker dies and a new one opens the same store."""
        self.core = self._new_core()
        self.core.check()

    def did(self, actions: list[Action]) -> list[Action]:
        """Perform the durable part of ``actions``."""
        self.store.commit([action for action in actions if isinstance(action, Persist)])
        self.facts += [action.fact for action in actions if isinstance(action, Persist)]
        self.last = actions
        self.core.check()
        return actions

    def submit(self, number: int, **fields: object) -> protocol.Reply:
        """Queue job ``number``; the reply."""
        values = {'job_id': job_id(number), 'kind': 'chat', 'model': 'm', 'body': b'{}', **fields}
        return self.ask(protocol.Submit(**values))  # type: ignore[arg-type]

    def ask(self, request: protocol.AnyRequest) -> protocol.Reply:
        """What a client hears at once; as in the shell, the store knows the jobs that ended long ago."""
        past = lookup.past_of(request, self.store, self.core.knows, False)
        actions = self.did(self.core.receive(CLIENT, request, self.now, past))
        return next(a.message for a in actions if isinstance(a, Send) and a.peer == CLIENT)  # type: ignore[return-value]

    def join(
        self,
        name: str,
        slots: int = 1,
        *,
        session: str = 's',
        models: tuple[str | facts.ModelInfo, ...] = ('m',),
        peer: bytes = b'',
        runs: tuple[protocol.Run, ...] = (),
        **fields: object,
    ) -> Peer:
        """A worker signs in."""
        at = Peer('worker', peer or f'{name}/{session}'.encode())
        ready = protocol.Ready(
            worker=name,
            session=session,
            host='h',
            pid=1,
            engine='demo',
            engine_version='1',
            slots=slots,
            models=tuple(
                facts.ModelInfo(name=model, engine='demo') if isinstance(model, str) else model for model in models
            ),
            runs=runs,
            **fields,  # type: ignore[arg-type]
        )
        self.tell(at, ready)
        return at

    def tell(self, peer: Peer, message: protocol.AnyFromWorker) -> list[Action]:
        """A worker says something."""
        return self.did(self.core.receive(peer, message, self.now))

    def gone(self, peer: Peer, undelivered: protocol.ToWorker | None = None) -> list[Action]:
        """A worker's connection is found broken."""
        return self.did(self.core.peer_gone(peer, self.now, undelivered))

    def standing(self) -> tuple[protocol.Place, ...]:
        """The places that the last step told, the newest of them."""
        return self.published(protocol.Standing)[-1].places  # type: ignore[attr-defined]

    def wait(self, seconds: float) -> list[Action]:
        """Time passes, and every deadline on the way is kept."""
        end, actions = self.now + seconds, []
        while (deadline := self.core.next_deadline()) <= end:
            self.now = max(self.now, deadline)
            past = lookup.past_of_ids(self.core.due_ids(self.now), self.store, False)
            actions += self.did(self.core.tick(self.now, past))
        self.now = end
        self.last = actions
        return actions

    def body(self, number: int) -> bytes:
        """What the engine is asked in job ``number`` when it is sent to a worker now."""
        job = self.store.job(job_id(number))
        return lookup.body_of(job_id(number), job.terms.after, self.store)

    def run(self, peer: Peer, number: int, *lines: bytes) -> None:
        """The worker that has job ``number`` gives these lines and is done."""
        epoch = self.store.job(job_id(number)).epoch
        self.tell(peer, tokens(number, epoch, 0, *lines))
        self.tell(peer, finished(number, epoch, len(lines)))

    def state(self, number: int) -> str:
        """Where job ``number`` stands."""
        return str(self.store.job(job_id(number)).state)

    def told(self, peer: Peer) -> list[protocol.ToWorker | protocol.Reply]:
        """What the last step sent to ``peer``, beats left out."""
        sent = [a.message for a in self.last if isinstance(a, Send | SendJob) and a.peer == peer]
        return [message for message in sent if not isinstance(message, protocol.Beat)]

    def assigned(self) -> list[tuple[bytes, str, int]]:
        """Who got which job in the last step: (routing id, job id, epoch)."""
        sent = (a for a in self.last if isinstance(a, SendJob))
        return [(a.peer.routing_id, a.message.job_id, a.message.epoch) for a in sent]

    def published(self, kind: type[protocol.Published]) -> list[protocol.Published]:
        """What the last step published of this kind."""
        return [a.message for a in self.last if isinstance(a, Publish) and isinstance(a.message, kind)]

    def history(self, number: int) -> list[str]:
        """The names of the facts about job ``number`` so far."""
        return [type(f).__name__ for f in self.facts if isinstance(f, facts.JobFact) and f.job_id == job_id(number)]

    def from_store(self) -> bool:
        """Whether the last step sent somebody to the store."""
        return any(isinstance(action, FromStore) for action in self.last)


def tokens(number: int, epoch: int, index: int, *lines: bytes) -> protocol.Tokens:
    """Lines of job ``number``."""
    return protocol.Tokens(job_id=job_id(number), epoch=epoch, index=index, lines=lines)


def finished(number: int, epoch: int, lines: int) -> protocol.Finished:
    """Job ``number`` ended well."""
    return protocol.Finished(job_id=job_id(number), epoch=epoch, lines=lines, usage=facts.Usage(output_tokens=lines))


def failed(number: int, epoch: int, *, retryable: bool = True, code: str = 'unreachable') -> protocol.Failed:
    """Job ``number`` failed."""
    return protocol.Failed(job_id=job_id(number), epoch=epoch, code=code, detail='because', retryable=retryable)
