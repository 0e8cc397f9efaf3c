"""What the core wants done, in this order: everything ``Persist`` of a batch in one transaction, then the rest."""

from typing import NamedTuple

from broker import facts, protocol
from broker.job import Job


class Peer(NamedTuple):
    """Somebody at the other end of a ROUTER socket."""

    side: str  # 'client' or 'worker'
    routing_id: bytes
    machine: str = ''  # of the network, whose key it has; '' for a process of ours


class Persist(NamedTuple):
    """Put a fact, and with it the job's new state, on disk; then tell it. Every change is exactly one of these."""

    fact: facts.AnyFact
    job: Job | None = None  # a copy: it does not change any more
    body: bytes | None = None  # given once, when the job is new
    answer: tuple[bytes, ...] | None = None  # given once, when the job ends
    schedule: protocol.Schedule | None = None  # given when it is new, changed, or one tick further


class Send(NamedTuple):
    """Send a message; when it cannot be delivered the core hears of it through ``peer_gone``."""

    peer: Peer
    message: protocol.Reply | protocol.ToWorker


class SendJob(NamedTuple):
    """Send an assignment, with the job's body put in from the store, and in that the answers of those before it."""

    peer: Peer
    message: protocol.Assign
    after: tuple[str, ...] = ()


class FromStore(NamedTuple):
    """Answer this request from the store: it is about the past, or about a job that is not alive."""

    peer: Peer
    request: protocol.AnyRequest


class Publish(NamedTuple):
    """Tell everybody who listens."""

    topic: bytes
    message: protocol.Published


Action = Persist | Send | SendJob | FromStore | Publish
