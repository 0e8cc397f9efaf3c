"""What goes out on PUB, to everybody who listens, and the topics it goes by."""

import msgspec

from broker import facts
from broker.errand import Errand
from broker.protocol.staff import WorkerInfo

# Fixed topics. Tokens are spread over shards by job id, never one topic per job: a SUB socket loses
# subscriptions past its high-water mark, and says nothing (libzmq #4064).
TOPIC_FACTS = b'f'
TOPIC_STANDING = b's'
TOPIC_PULSE = b'p'
TOPIC_STAFF = b'v'  # how workers are, and their errands
WELCOME = b'w'  # a lone frame that XPUB sends to each new subscription: from here on it hears everything
TOPICS_BUT_TOKENS = (WELCOME, TOPIC_FACTS, TOPIC_STANDING, TOPIC_PULSE, TOPIC_STAFF)
TOKEN_SHARDS = 64
_TOKEN_TOPICS = tuple(b't%02d' % shard for shard in range(TOKEN_SHARDS))
STANDING_LIMIT = 500


def token_topic(job_id: str) -> bytes:
    """The PUB topic that carries this job's tokens, e.g. ``b't07'``."""
    return _TOKEN_TOPICS[int(job_id[-4:], 16) % TOKEN_SHARDS]


class Published(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t'):
    """Base of what goes out on PUB."""


class FactsOut(Published, frozen=True, kw_only=True):
    """Facts, in order. A jump in ``seq`` means that some were missed: ask with FactsAfter."""

    facts: tuple[facts.AnyFact, ...]


class TokensOut(Published, frozen=True, kw_only=True):
    """New lines of a running job. A hint: whoever misses an index asks with Read."""

    job_id: str
    epoch: int
    index: int
    lines: tuple[bytes, ...]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a waiting job stands, and why it waits.

    ``reason`` is 'ahead', 'no_worker' when no live worker can run its model, 'paused', or 'limited': then it starts
    at ``not_before`` at the earliest, or, where that is 0, when a running job has ended. ``load_s`` is what loading
    its model will take before the first token. ``alternative`` is a model that would answer clearly sooner, and
    ``alternative_at`` when it would start; '' where there is none. ``hint`` says what would help where no worker can
    run the model: 'start_worker', 'start_engine' (none can be reached), 'pull_model' (none has it), 'group' (only
    others than the group's have it), or 'failing' (those that have it are out of order).
    """

    job_id: str
    ahead: int
    reason: str = 'ahead'
    not_before: float = 0.0
    earliest_at: float = 0.0  # nine of ten start between these two; 0 while nothing can be said
    latest_at: float = 0.0
    load_s: float = 0.0
    alternative: str = ''
    alternative_at: float = 0.0
    hint: str = ''


class Standing(Published, frozen=True, kw_only=True):
    """The front of the queue in dispatch order (at most STANDING_LIMIT places), after it changed."""

    places: tuple[Place, ...]
    waiting: int  # in all, delayed jobs included


class Pulse(Published, frozen=True, kw_only=True):
    """Once a second: the broker lives, and this is its newest seq."""

    boot: str
    seq: int


class WorkerOut(Published, frozen=True, kw_only=True):
    """How a worker is now, without its models, of which facts tell. Nobody keeps it: the snapshot has the newest."""

    worker: WorkerInfo


class ErrandOut(Published, frozen=True, kw_only=True):
    """How far an errand is."""

    errand: Errand


AnyBroadcast = FactsOut | TokensOut | Standing | WorkerOut | ErrandOut | Pulse


class FactOut(msgspec.Struct, frozen=True, kw_only=True):
    """One fact, as ``client.feed`` passes it on."""

    fact: facts.AnyFact


AnyPublished = FactOut | TokensOut | Standing | WorkerOut | ErrandOut | Pulse  # what ``client.feed`` yields
