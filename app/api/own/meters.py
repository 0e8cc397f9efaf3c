"""What Prometheus reads: counters and histograms fed by facts, gauges read from the board when it asks.

Labels are few and bounded: kinds, outcomes, known codes, and the models that workers announce; never users or jobs.
"""

import math
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from app.board import Board
from broker import facts, protocol

OTHER = 'other'
MAX_MODELS = 200  # model names as labels; later ones are counted together
CODES = frozenset(
    {
        'bad_request', 'body_too_large', 'breaker_open', 'canary_failed', 'connection_lost', 'deadline', 'engine_error',
        'first_token_timeout', 'idle_timeout', 'model_not_found', 'poison', 'predecessor', 'refused', 'total_timeout',
        'unreachable', 'worker_lost',
    }
)  # fmt: skip
_OUTCOMES = {facts.JobCompleted: 'completed', facts.JobDied: 'dead', facts.JobCancelled: 'cancelled'}
_WAIT_S = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_RUN_S = (0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
_FIRST_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each that hardly anybody reads


class Meters:
    """The figures of this process. ``recorded`` tells up to which fact the statistics are on disk."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._models: set[str] = set()
        self.version = ''
        self.recorded: Callable[[], int] | None = None
        self._registry = registry = CollectorRegistry(auto_describe=True)
        self._queued = Counter('corral_jobs_queued', 'Jobs that were accepted.', ['kind'], registry=registry)
        self._ended = Counter(
            'corral_jobs', 'Jobs that ended, by outcome.', ['outcome', 'kind', 'model'], registry=registry
        )
        self._failed = Counter('corral_attempts_failed', 'Runs that failed.', ['code', 'retried'], registry=registry)
        self._lost = Counter('corral_workers_lost', 'Workers that fell silent.', registry=registry)
        self._tokens = Counter('corral_tokens', 'Tokens, in and out.', ['direction', 'model'], registry=registry)
        self._wait = _histogram('corral_job_wait_seconds', 'From queued to the last start.', _WAIT_S, registry)
        self._run = _histogram('corral_job_run_seconds', 'The last run of jobs that completed.', _RUN_S, registry)
        self._response = _histogram('corral_job_response_seconds', 'From queued to completed.', _WAIT_S, registry)
        self._first = _histogram('corral_first_token_seconds', 'From request to first token.', _FIRST_S, registry)
        self._told = Counter(
            'corral_wait_predictions', 'Starts whose wait was predicted.', ['outcome'], registry=registry
        )
        for outcome in ('held', 'early', 'late'):
            self._told.labels(outcome)  # there from the first moment, so that rates have a beginning
        self.deliveries = Counter(
            'corral_webhook_deliveries', 'Deliveries to webhooks, tries included.', ['outcome'], registry=registry
        )
        for outcome in ('delivered', 'retried', 'failed'):
            self.deliveries.labels(outcome)
        registry.register(_Gauges(self._gauges))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def learn(self, fact: facts.AnyFact) -> None:
        """Count a fact."""
        match fact:
            case facts.JobQueued():
                self._queued.labels(fact.kind).inc()
            case facts.JobStarted(predicted_until=until) if until > 0:
                self._told.labels(_kept(fact.at, fact.predicted_from, until)).inc()
            case facts.JobRequeued(reason='retry'):
                self._failed.labels(_code(fact.code), 'yes').inc()
            case facts.WorkerLeft(reason='lost'):
                self._lost.inc()
            case facts.JobEnded():
                self._end(fact)

    def text(self, accept: str) -> tuple[str, bytes]:
        """The media type and the page, in the format that ``accept`` wants."""
        encode, media_type = choose_encoder(accept)
        return media_type, encode(self._registry)

    def _end(self, fact: facts.JobEnded) -> None:
        model = self._model(fact.model)
        self._ended.labels(_OUTCOMES[type(fact)], fact.kind, model).inc()
        if isinstance(fact, facts.JobDied):
            self._failed.labels(_code(fact.code), 'no').inc()
        if fact.started_at:
            self._wait.labels(fact.kind).observe(max(0.0, fact.waited_s))
        if fact.usage.prompt_tokens > 0:
            self._tokens.labels('prompt', model).inc(fact.usage.prompt_tokens)
        if fact.usage.output_tokens > 0:
            self._tokens.labels('output', model).inc(fact.usage.output_tokens)
        if isinstance(fact, facts.JobCompleted):
            self._run.labels(fact.kind).observe(max(0.0, fact.ran_s))
            self._response.labels(fact.kind).observe(max(0.0, fact.at - fact.queued_at))
            if fact.usage.first_token_s > 0 and math.isfinite(fact.usage.first_token_s):
                self._first.labels(fact.kind).observe(fact.usage.first_token_s)

    def _model(self, name: str) -> str:
        """The model as a label: one that some worker has had, so that nobody can make labels up."""
        if name not in self._models and len(self._models) < MAX_MODELS and self._board.model(name) is not None:
            self._models.add(name)
        return name if name in self._models else OTHER

    def _gauges(self) -> Iterator[Metric]:
        board, counts = self._board, self._board.counts()
        yield _gauge('corral_broker_up', 'Whether the broker gives signs of life.', board.broker_alive)
        yield _gauge('corral_jobs_waiting', 'Jobs that wait, delayed and blocked ones included.', counts.waiting)
        yield _gauge('corral_jobs_running', 'Jobs that a worker holds.', counts.running)
        yield _gauge('corral_workers', 'Workers that are there.', counts.workers)
        yield _gauge('corral_slots', 'Jobs that could run at once.', counts.slots)
        yield _gauge('corral_output_tokens_per_second', 'Tokens per second of all that runs.', counts.tokens_per_s)
        yield _gauge('corral_facts_seq', 'The newest fact that the desk knows.', board.seq)
        if self.recorded is not None:
            yield _gauge('corral_facts_lag', 'Facts not yet in the statistics.', max(0, board.seq - self.recorded()))
        priorities = GaugeMetricFamily(
            'corral_queue_jobs', 'Jobs at the front of the queue (500 at most), by priority.', labels=['priority']
        )
        for priority, count in sorted(_by_priority(board).items()):
            priorities.add_metric([str(priority)], count)
        yield priorities
        info = InfoMetricFamily('corral', 'The version of Corral.')
        info.add_metric([], {'version': self.version})
        yield info


class _Gauges:
    """What is read when somebody asks."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        return ()


def _histogram(name: str, text: str, buckets: tuple[float, ...], registry: CollectorRegistry) -> Histogram:
    return Histogram(name, text, ['kind'], buckets=buckets, registry=registry)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def _by_priority(board: Board) -> dict[int, int]:
    found: dict[int, int] = {}
    for job in board.waiting(protocol.STANDING_LIMIT):
        found[job.priority] = found.get(job.priority, 0) + 1
    return found


def _kept(at: float, since: float, until: float) -> str:
    return 'early' if at < since else 'late' if at > until else 'held'


def _code(code: str) -> str:
    return code if code in CODES else OTHER
