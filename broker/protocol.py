"""The wire: every message between clients, broker and workers, and the codec. No sockets here.

Requests carry ``rid``, a number that the reply repeats. ``epoch`` is the fencing token of one run of one job;
``index`` counts the NDJSON lines of that run from 0. Payload lines are the engine's own bytes, without the newline.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from broker import facts
from broker.errand import Errand, Order
from broker.job import DEFAULT_PRIORITY, Job, State
from broker.vitals import Vitals

VERSION = 1
MAX_MESSAGE_BYTES = 8 * 1024 * 1024  # ZeroMQ drops a peer that sends more, without a word to us
MAX_BODY_BYTES = 4 * 1024 * 1024  # so a job's body is checked against this before it is sent
MAX_BATCH_BYTES = 1024 * 1024  # a sender splits longer runs of lines
MAX_PAGE_BYTES = 4 * 1024 * 1024  # of the jobs in one reply; the workers stand beside them
MAX_TOGETHER = 1_000  # messages in one letter: nobody is held up by a larger one
KINDS = ('chat', 'generate', 'embed', 'raw')
SORTS = (
    *('queued', 'started', 'ended', 'waited', 'ran', 'state', 'kind', 'model', 'user', 'priority', 'worker', 'code'),
    *('tokens', 'failures'),
)
PAUSE_SCOPES = ('all', 'model', 'priority', 'user', 'worker')

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # what every database and language can hold


class Request(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what a client sends."""

    rid: int = 0


class Submit(Request, frozen=True, kw_only=True):
    """Please queue this job. The sender makes the id (uuid7 hex), so sending it twice makes one job.

    With ``after`` the job waits until those jobs are completed; ``{{1}}`` in its texts is the answer of the first of
    them, ``{{2}}`` of the second, and so on.
    """

    job_id: str
    kind: str
    model: str
    body: bytes  # the JSON object for the engine, as the client wrote it
    path: str = ''  # only for kind 'raw': where on the engine to post the body, e.g. /v1/rerank
    priority: int = DEFAULT_PRIORITY  # AUTO_PRIORITY: by the rules of the settings
    user: str = ''
    conversation_id: str = ''
    parent: str = ''  # an open batch
    after: tuple[str, ...] = ()
    max_failures: int = 3
    retry_base_s: float = 0.0  # back-off before the first retry; 0 is as the settings say
    retry_max_s: float = 0.0
    idempotency_key: str = ''  # the same key with the same request is the same job; with another one it is refused
    attach: bool = False  # where the same request of this user is alive, and came with this too, be that job
    due_at: float = 0.0  # not before this time (unix seconds)
    deadline_at: float = 0.0  # not started by then, it is dead
    replay_of: str = ''
    schedule: str = ''


class SubmitMany(Request, frozen=True, kw_only=True):
    """Several jobs at once; they may be ``after`` each other in any order, but not in a circle."""

    jobs: tuple[Submit, ...]


class OpenBatch(Request, frozen=True, kw_only=True):
    """Begin a batch of ``total`` jobs; they are then submitted with it as ``parent``."""

    batch_id: str
    total: Count
    name: str = ''
    user: str = ''


class GetBatch(Request, frozen=True, kw_only=True):
    """How far a batch is."""

    batch_id: str


class FindBatches(Request, frozen=True, kw_only=True):
    """Batches, newest first, at most ``limit``."""

    user: str = ''
    limit: Count = 50


class CancelBatch(Request, frozen=True, kw_only=True):
    """Stop all jobs of a batch; it takes no more."""

    batch_id: str


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is made again and again. ``cron`` has five fields, read in ``timezone`` (an IANA name)."""

    schedule_id: str
    name: str
    cron: str
    kind: str
    model: str
    body: bytes
    timezone: str = 'UTC'
    enabled: bool = True
    missed: str = 'skip'  # 'once': when ticks were missed, make one job for them when we are back
    path: str = ''
    priority: int = DEFAULT_PRIORITY
    user: str = ''
    max_failures: int = 3
    last_tick: float = 0.0  # the newest tick that was dealt with; kept by the broker


class SetSchedule(Request, frozen=True, kw_only=True):
    """Make a schedule, or replace the one of the same id."""

    schedule: Schedule


class RemoveSchedule(Request, frozen=True, kw_only=True):
    """No more jobs by this schedule."""

    schedule_id: str


class FindSchedules(Request, frozen=True, kw_only=True):
    """Schedules by id, at most ``limit`` behind ``after_id``, each with its next ``runs`` ticks."""

    after_id: str = ''
    limit: Count = 100
    runs: Count = 3


class Cancel(Request, frozen=True, kw_only=True):
    """Stop this job, whether it waits or runs. With ``release`` only when no other caller waits for it.

    With ``waiting`` only while no worker has it; otherwise it is refused with 'not_waiting', and the run goes on.
    """

    job_id: str
    release: bool = False
    waiting: bool = False


class SetPriority(Request, frozen=True, kw_only=True):
    """Move a waiting job to another priority."""

    job_id: str
    priority: int


class Read(Request, frozen=True, kw_only=True):
    """The lines of a job's answer from ``index`` on. An epoch other than the current one reads from 0."""

    job_id: str
    epoch: Count = 0
    index: Count = 0


class GetJob(Request, frozen=True, kw_only=True):
    """One job as it stands."""

    job_id: str


class GetBody(Request, frozen=True, kw_only=True):
    """What a job asks of the engine, as it was sent."""

    job_id: str


class GetHistory(Request, frozen=True, kw_only=True):
    """All facts about one job, oldest first: every start, every failure with its reason, the end."""

    job_id: str


class FindJobs(Request, frozen=True, kw_only=True):
    """Jobs, newest first, at most ``limit`` and older than the place ``before_order`` (0: from the newest on).

    With ``oldest_first`` the other way round, those behind the place ``after_order``.
    Empty filters let everything through.
    """

    states: tuple[State, ...] = ()
    model: str = ''
    user: str = ''
    parent: str = ''
    before_order: Count = 0
    after_order: Count = 0
    oldest_first: bool = False
    limit: Count = 50


class ListJobs(Request, frozen=True, kw_only=True):
    """Rows ``offset`` … of the jobs that match, as a table that is scrolled wants them: see ``JobList``.

    ``sort`` is one of SORTS. Jobs that came after the place ``until_order`` are left out (0: as it is now; the reply
    says what that is, and the next request repeats it, so that rows keep their places). With ``text`` they come in
    order of arrival, and at most ``look`` jobs are read (0: all); the same request with a larger one goes on. With
    ``whole`` the reply waits until their number is known. Empty filters let everything through.
    """

    states: tuple[State, ...] = ()
    kinds: tuple[str, ...] = ()
    priorities: tuple[Count, ...] = ()
    model: str = ''
    user: str = ''
    parent: str = ''
    worker: str = ''
    code: str = ''
    since: float = 0.0  # queued at or after this time
    until: float = 0.0  # queued before this time; 0 is no limit
    # in what was asked or answered, the error, or a name; upper and lower case are the same
    text: Annotated[str, msgspec.Meta(max_length=500)] = ''
    conversations: Annotated[tuple[str, ...], msgspec.Meta(max_length=1_000)] = ()  # these match, too
    sort: str = 'queued'
    oldest_first: bool = False  # and other values from the smallest on
    until_order: Count = 0
    offset: Count = 0
    limit: Count = 100
    look: Count = 0
    whole: bool = False


class Replay(Request, frozen=True, kw_only=True):
    """Do a dead job again, as a new job with this id and clean counters. Sending it twice makes one job."""

    job_id: str
    new_job_id: str


class Purge(Request, frozen=True, kw_only=True):
    """Delete dead jobs with their bodies and answers: this one, or without an id all that ended before ``before``."""

    job_id: str = ''
    before: float = 0.0


class Pause(Request, frozen=True, kw_only=True):
    """Let nothing of this start any more; what runs goes on. ``scope`` is one of PAUSE_SCOPES."""

    scope: str
    name: str = ''


class Resume(Request, frozen=True, kw_only=True):
    """End a pause."""

    scope: str
    name: str = ''


class Drain(Request, frozen=True, kw_only=True):
    """Pause this; when the last run of it has ended, a fact says so."""

    scope: str
    name: str = ''


class Retire(Request, frozen=True, kw_only=True):
    """Let this worker take nothing new, end when its runs have, and hand back what is left after ``grace_s``."""

    worker: str
    grace_s: float = 300.0


class RunErrand(Request, frozen=True, kw_only=True):
    """Have this worker do something with a model of its engine. Sending it twice is doing it once.

    While the same goes on already, the reply tells of that one.
    """

    worker: str
    order: Order


class CancelErrand(Request, frozen=True, kw_only=True):
    """Stop an errand. What of a pull has come stays with the engine, and the next pull goes on from there."""

    errand_id: str


class GetSettings(Request, frozen=True, kw_only=True):
    """How the broker is set."""


class SetSettings(Request, frozen=True, kw_only=True):
    """Change settings from now on, all or none; those in ``reset`` are as configured again.

    ``values`` is a JSON object by the names of ``BrokerSettings``. What cannot be is refused with 'invalid'.
    """

    values: bytes = b'{}'
    reset: tuple[str, ...] = ()


class AddMachine(Request, frozen=True, kw_only=True):
    """Let the workers of one machine more of the network join."""

    name: str


class RemoveMachine(Request, frozen=True, kw_only=True):
    """Let them join no more. What is connected stays so until it ends: retire its workers, too."""

    name: str


class FindMachines(Request, frozen=True, kw_only=True):
    """The machines whose workers may join."""


class FactsAfter(Request, frozen=True, kw_only=True):
    """The facts after ``seq``, oldest first, at most ``limit``."""

    seq: Count
    limit: Count = 1000


class GetSnapshot(Request, frozen=True, kw_only=True):
    """A page of the jobs that are not final, those behind ``after_order`` in order of arrival, and all workers."""

    after_order: Count = 0


class Ping(Request, frozen=True, kw_only=True):
    """Are you there?"""


AnyRequest = (
    Submit
    | SubmitMany
    | OpenBatch
    | GetBatch
    | FindBatches
    | CancelBatch
    | SetSchedule
    | RemoveSchedule
    | FindSchedules
    | Cancel
    | SetPriority
    | Read
    | GetJob
    | GetBody
    | GetHistory
    | FindJobs
    | ListJobs
    | Replay
    | Purge
    | Pause
    | Resume
    | Drain
    | Retire
    | RunErrand
    | CancelErrand
    | AddMachine
    | RemoveMachine
    | FindMachines
    | GetSettings
    | SetSettings
    | FactsAfter
    | GetSnapshot
    | Ping
)


class Reply(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what the broker answers a client."""

    rid: int = 0


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """The tightest limit that counts for a job: ``limit`` at once, so many of them left, what waits counted as if it
    had started; ``reset_s`` seconds without another one until all are left again.

    Where a queue is full it is the bound on what may wait, and ``reset_s`` is when to look again.
    """

    limit: int
    remaining: int
    reset_s: float


class Accepted(Reply, frozen=True, kw_only=True):
    """The job is on disk. ``duplicate`` when it was there before. ``quota`` is None where nothing is limited."""

    job_id: str
    duplicate: bool = False
    quota: Quota | None = None


class Refused(Reply, frozen=True, kw_only=True):
    """No, and why. ``code`` is for programs, ``detail`` for people."""

    code: str
    detail: str
    retry_after_s: float = 0.0
    quota: Quota | None = None  # the bound that was reached, where it is one on the number of jobs


class Done(Reply, frozen=True, kw_only=True):
    """It was done as asked. ``note`` is what the sender may not have meant, in words for people."""

    note: str = ''


class Submitted(Reply, frozen=True, kw_only=True):
    """What became of each job of a ``SubmitMany``, in its order."""

    results: tuple[Accepted | Refused, ...]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and how far it is. Jobs that are neither are alive or still to come."""

    batch_id: str
    total: int
    name: str = ''
    user: str = ''
    opened_at: float = 0.0
    ended_at: float = 0.0  # 0 while it goes on
    submitted: int = 0
    running: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0


class Batches(Reply, frozen=True, kw_only=True):
    """Batches that were found."""

    batches: tuple[Batch, ...]


class ScheduleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule and when it makes its next jobs (unix seconds)."""

    schedule: Schedule
    next_runs: tuple[float, ...] = ()


class Schedules(Reply, frozen=True, kw_only=True):
    """Schedules that were found; ``more`` when others follow."""

    schedules: tuple[ScheduleInfo, ...]
    more: bool = False


class Lines(Reply, frozen=True, kw_only=True):
    """Part of an answer. ``total`` is how many lines the broker has of this epoch; ``ended`` when no more will come.

    A long answer comes in several replies: ask again from ``index + len(lines)``.
    """

    job_id: str
    epoch: int
    index: int
    lines: tuple[bytes, ...]
    total: int
    ended: bool


class JobState(Reply, frozen=True, kw_only=True):
    """One job. ``ahead`` counts the jobs that go first while it waits, -1 when it does not wait."""

    job: Job
    ahead: int = -1


class Body(Reply, frozen=True, kw_only=True):
    """What a job asks of the engine; empty once the queue has let go of it."""

    body: bytes


class Facts(Reply, frozen=True, kw_only=True):
    """Facts in order; ``head`` is the newest seq there is."""

    facts: tuple[facts.AnyFact, ...]
    head: int


class Jobs(Reply, frozen=True, kw_only=True):
    """Jobs that were found; ``more`` when older ones may match, too."""

    jobs: tuple[Job, ...]
    more: bool


class JobList(Reply, frozen=True, kw_only=True):
    """Part of a list. While it is not ``complete``, ``total`` counts those found so far: ask again to go on.

    ``looked`` counts the jobs whose texts were read; ``excerpts`` are the beginnings of what the jobs ask. With ``cut``
    only the newest were put in order: older ones match, too.
    """

    jobs: tuple[Job, ...]
    excerpts: tuple[str, ...]
    total: int
    complete: bool
    looked: int
    until_order: int
    cut: bool = False


class Settings(Reply, frozen=True, kw_only=True):
    """The settings in force and those that were configured, as JSON, and which may be changed and which were."""

    values: bytes
    configured: bytes
    changeable: tuple[str, ...]
    changed: tuple[str, ...]
    schema: int = 0  # of queue.db


class Purged(Reply, frozen=True, kw_only=True):
    """So many jobs are gone; ``more`` of those meant are still there, for only so many go at once."""

    count: int
    more: bool = False


class PauseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A pause in force. ``name`` is empty for 'all', a number in words for 'priority'."""

    scope: str
    name: str = ''
    draining: bool = False  # something of it still runs, and somebody asked to be told when that has ended


class WorkerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as the broker sees it now."""

    worker: str
    host: str
    pid: int
    engine: str
    engine_version: str
    slots: int
    busy: int
    models: tuple[facts.ModelInfo, ...]
    problem: str = ''
    joined_at: float = 0.0
    labels: tuple[str, ...] = ()
    draining: bool = False
    last_token_at: float = 0.0  # when its engine last gave a good token, 0 for never
    saturated: bool = False
    backend: str = ''  # host and address of its engine: workers with the same one share it
    started_at: float = 0.0  # of the worker process, 0 unknown
    vitals: Vitals | None = None  # of its machine, once it told


class MachineToken(Reply, frozen=True, kw_only=True):
    """With this a worker of that machine joins. Nobody can show it again. ``listen`` is where: host:port as set."""

    token: str
    listen: str = ''


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine whose workers may join, and since when."""

    name: str
    added_at: float


class MachineList(Reply, frozen=True, kw_only=True):
    """The machines by name."""

    machines: tuple[Machine, ...]


class ErrandState(Reply, frozen=True, kw_only=True):
    """An errand as it stands."""

    errand: Errand


class Snapshot(Reply, frozen=True, kw_only=True):
    """What is alive at ``seq``; ``more`` when another page of jobs follows. Later facts may be applied on top."""

    seq: int
    jobs: tuple[Job, ...]
    workers: tuple[WorkerInfo, ...]
    pauses: tuple[PauseInfo, ...] = ()
    more: bool = False
    errands: tuple[Errand, ...] = ()  # those that go on, and those that ended lately


class Pong(Reply, frozen=True, kw_only=True):
    """Yes."""

    version: int = VERSION
    boot: str = ''  # changes with every start of the broker
    seq: int = 0


AnyReply = (
    Accepted
    | Refused
    | Submitted
    | Batches
    | Schedules
    | Done
    | Lines
    | JobState
    | Body
    | Jobs
    | JobList
    | Settings
    | Purged
    | Facts
    | ErrandState
    | MachineToken
    | MachineList
    | Snapshot
    | Pong
)


class FromWorker(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what a worker sends."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run the worker holds: still going, or finished and not yet settled by the broker."""

    job_id: str
    epoch: Count
    index: Count  # lines produced so far


class Ready(FromWorker, frozen=True, kw_only=True):
    """Here I am. Sent on connecting, on reconnecting, when asked, and whenever any of this changes."""

    worker: str  # stable name of the place, e.g. host:1
    session: str  # new with every process
    host: str
    pid: int
    engine: str
    engine_version: str
    slots: int
    models: tuple[facts.ModelInfo, ...]
    problem: str = ''
    runs: tuple[Run, ...] = ()
    version: int = VERSION
    labels: tuple[str, ...] = ()
    saturated: bool = False  # the engine does not take more at once: more workers for it would not help
    backend: str = ''  # the engine's host and address: workers with the same one share what is loaded there


class Heartbeat(FromWorker, frozen=True, kw_only=True):
    """Still here, holding these runs. ``quiet_s``: since the engine last gave a good token, -1 for never."""

    runs: tuple[Run, ...] = ()
    quiet_s: float = -1.0
    vitals: Vitals | None = None  # when it has changed so much that it is worth telling


class ErrandNews(FromWorker, frozen=True, kw_only=True):
    """How far an errand is, or how it ended; the last one is sent again with each Ready."""

    errand: Errand


class Tokens(FromWorker, frozen=True, kw_only=True):
    """Lines ``index`` … of a run."""

    job_id: str
    epoch: Count
    index: Count
    lines: tuple[bytes, ...]


class Finished(FromWorker, frozen=True, kw_only=True):
    """The run ended well after ``lines`` lines; sent again until settled."""

    job_id: str
    epoch: Count
    lines: Count
    usage: facts.Usage


class Failed(FromWorker, frozen=True, kw_only=True):
    """The run failed; sent again until settled."""

    job_id: str
    epoch: int
    code: str
    detail: str
    retryable: bool
    usage: facts.Usage = facts.Usage()
    trace: str = ''  # the worker's own stack, where its code broke


class Stopped(FromWorker, frozen=True, kw_only=True):
    """The run was stopped because the broker said so; the slot is free. Sent again until settled."""

    job_id: str
    epoch: int
    usage: facts.Usage = facts.Usage()


class HandBack(FromWorker, frozen=True, kw_only=True):
    """The worker drains: the run was ended unfinished and costs the job nothing. Sent again until settled."""

    job_id: str
    epoch: int


class Bye(FromWorker, frozen=True, kw_only=True):
    """The worker leaves and holds nothing. ``draining`` announces it: no new jobs, please, the runs go on."""

    draining: bool = False


AnyFromWorker = Ready | Heartbeat | Tokens | Finished | Failed | Stopped | HandBack | ErrandNews | Bye


class ToWorker(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field='t', omit_defaults=True):
    """Base of what the broker tells a worker."""


class Welcome(ToWorker, frozen=True, kw_only=True):
    """You are known. Send a heartbeat this often; a lease lives this long without one."""

    boot: str
    heartbeat_s: float
    lease_ttl_s: float


class Identify(ToWorker, frozen=True, kw_only=True):
    """I do not know you (I may have restarted): send Ready."""


class Assign(ToWorker, frozen=True, kw_only=True):
    """Run this. The same (job_id, epoch) may come twice; it means the same run."""

    job_id: str
    epoch: int
    kind: str
    model: str
    body: bytes = b''
    path: str = ''


class Stop(ToWorker, frozen=True, kw_only=True):
    """End this run: cancelled, or no longer yours. Answer Stopped; ``stale`` runs just vanish."""

    job_id: str
    epoch: int
    stale: bool = False


class Resend(ToWorker, frozen=True, kw_only=True):
    """I have the lines before ``index``; send the rest, and the outcome if there is one."""

    job_id: str
    epoch: int
    index: int


class Settled(ToWorker, frozen=True, kw_only=True):
    """The outcome of this run is on disk (or stale): forget it."""

    job_id: str
    epoch: int


class Leave(ToWorker, frozen=True, kw_only=True):
    """Take nothing new; end when the runs have, or after ``grace_s`` and hand back what is left."""

    grace_s: float


class Beat(ToWorker, frozen=True, kw_only=True):
    """Nothing to say; a worker that is gone is noticed by sending this."""


class DoErrand(ToWorker, frozen=True, kw_only=True):
    """Do this with a model. The same may come twice; it means the same errand."""

    order: Order


class StopErrand(ToWorker, frozen=True, kw_only=True):
    """End this errand, if you are on it, and say so."""

    errand_id: str


class Look(ToWorker, frozen=True, kw_only=True):
    """Somebody has changed the models of your engine: look what there is now."""


AnyToWorker = Welcome | Identify | Assign | Stop | Resend | Settled | Leave | DoErrand | StopErrand | Look | Beat


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
    run the model: 'start_worker', 'pull_model' (none has it), 'group' (only others than the group's have it), or
    'failing' (those that have it are out of order).
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
SNAPSHOT_PAGE = 2_000


def token_topic(job_id: str) -> bytes:
    """The PUB topic that carries this job's tokens, e.g. ``b't07'``."""
    return _TOKEN_TOPICS[int(job_id[-4:], 16) % TOKEN_SHARDS]


_encoder = msgspec.msgpack.Encoder()
_some = msgspec.Meta(min_length=1, max_length=MAX_TOGETHER)
_requests_decoder: msgspec.msgpack.Decoder[AnyRequest | list[AnyRequest]]
_replies_decoder: msgspec.msgpack.Decoder[AnyReply | list[AnyReply]]
_from_worker_decoder: msgspec.msgpack.Decoder[AnyFromWorker | list[AnyFromWorker]]
_to_worker_decoder: msgspec.msgpack.Decoder[AnyToWorker | list[AnyToWorker]]
_published_decoder: msgspec.msgpack.Decoder[AnyBroadcast | list[AnyBroadcast]]
_requests_decoder = msgspec.msgpack.Decoder(AnyRequest | Annotated[list[AnyRequest], _some])
_replies_decoder = msgspec.msgpack.Decoder(AnyReply | Annotated[list[AnyReply], _some])
_from_worker_decoder = msgspec.msgpack.Decoder(AnyFromWorker | Annotated[list[AnyFromWorker], _some])
_to_worker_decoder = msgspec.msgpack.Decoder(AnyToWorker | Annotated[list[AnyToWorker], _some])
_published_decoder = msgspec.msgpack.Decoder(AnyBroadcast | Annotated[list[AnyBroadcast], _some])

Malformed = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)  # what the decoders may raise


def encode(message: Request | Reply | FromWorker | ToWorker | Published) -> bytes:
    """Any message as msgpack."""
    return _encoder.encode(message)


def letters(encoded: Iterable[bytes]) -> Iterator[bytes]:
    """Messages for one receiver, put together: a letter is one message, or a msgpack array of several.

    A letter has at most MAX_TOGETHER messages, and MAX_BATCH_BYTES unless a single message has more.
    """
    parts: list[bytes] = []
    size = 0
    for part in encoded:
        if parts and (size + len(part) > MAX_BATCH_BYTES or len(parts) == MAX_TOGETHER):
            yield _letter(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
    if parts:
        yield _letter(parts)


def _letter(parts: list[bytes]) -> bytes:
    if len(parts) == 1:
        return parts[0]
    return b'\xdd%b%b' % (len(parts).to_bytes(4, 'big'), b''.join(parts))  # msgpack's "array 32"


def requests_in(letter: bytes) -> list[AnyRequest]:
    """What a client sent. Like all decoders here it raises ``Malformed`` for anything else."""
    found = _requests_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def replies_in(letter: bytes) -> list[AnyReply]:
    """What the broker answered a client."""
    found = _replies_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def from_worker_in(letter: bytes) -> list[AnyFromWorker]:
    """What a worker sent."""
    found = _from_worker_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def to_worker_in(letter: bytes) -> list[AnyToWorker]:
    """What the broker told a worker."""
    found = _to_worker_decoder.decode(letter)
    return found if isinstance(found, list) else [found]


def published_in(letter: bytes) -> list[AnyBroadcast]:
    """What came on PUB."""
    found = _published_decoder.decode(letter)
    return found if isinstance(found, list) else [found]
