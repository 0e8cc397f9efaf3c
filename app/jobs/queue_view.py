"""What one open queue page shows: its filter, the rows its window is over, and what is told about each. Pure."""

import itertools
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from app.jobs.lineup import LANES, PRIORITIES, Match
from app.parts import Parts
from app.views import JobView
from broker import protocol
from broker.job import State

Row = dict[str, Any]
STATES = ('running', 'waiting', 'delayed', 'blocked', 'ended')
SHOWN_ENDED, SHOWN_ENDED_ALONE = 8, 200
CHOICES = 100  # models and users to pick from, the most frequent first
AT_ONCE = 400  # rows of one lane that a browser may ask for
MANY = 5_000  # from here on a filter is not tried anew for each change
WORDS_OF = 2_000  # jobs that wait whose first words are looked up when somebody looks for a text
REST = 20  # times what trying it took


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs; empty fields let everything through."""

    state: str = ''  # one of STATES
    model: str = ''
    user: str = ''
    text: str = ''  # in its id, title or first words, model, user or schedule

    @classmethod
    def of(cls, address: str) -> 'Filter':
        """The filter in an address like ``/queue?state=waiting&model=qwen3``."""
        found = parse_qs(urlsplit(address).query)
        fields = {name: found[name][0][:300] for name in cls.__struct_fields__ if name in found}
        if fields.get('state') not in STATES:
            fields.pop('state', None)
        return cls(**fields)

    @property
    def address(self) -> str:
        """Where this is."""
        query = urlencode({name: value for name, value in msgspec.structs.asdict(self).items() if value})
        return f'/queue?{query}' if query else '/queue'


class QueueView:
    """The state of one page; ``window`` says which rows of a lane are on the screen."""

    def __init__(self, parts: Parts, chosen: Filter) -> None:
        self._parts = parts
        self._found_for: tuple[object, ...] = ()
        self._try_again_at = 0.0
        self.choose(chosen)

    def choose(self, chosen: Filter) -> None:
        """Show other jobs, from the first on."""
        self.filter = chosen
        self._windows = dict.fromkeys(LANES, (0, 40))
        self._found: dict[str, list[str]] = {}
        if chosen.text:  # the words of what goes first are found, too; the history finds those of all
            line = self._parts.board.lineup
            first = itertools.chain.from_iterable(map(line.jobs, LANES))
            self._parts.openings.want(job.job_id for job in itertools.islice(first, WORDS_OF))

    def look(self, windows: dict[str, Any]) -> None:
        """The browser shows these rows: lane → first and behind the last."""
        for lane in LANES:
            start, stop = windows.get(lane) or (0, 0)
            start = max(0, int(start))
            self._windows[lane] = (start, max(start, min(int(stop), start + AT_ONCE)))

    def state(self) -> Row:
        """All that ``QueueBoard`` shows."""
        board, line = self._parts.board, self._parts.board.lineup
        order = board.front()
        shown: dict[str, Row] = {}
        lanes, windows = [], {}
        for lane in LANES:
            total, start, jobs = self._lane(lane, order)
            lanes.append({'lane': lane, 'total': total, 'all': line.total(lane), 'paused': self._paused(lane)})
            windows[lane] = {'start': start, 'ids': [job.job_id for job in jobs]}
            shown |= {job.job_id: self.row(job) for job in jobs}
        self._who_is_ahead(shown, order)
        running, ended = self._running(), self._ended()
        shown |= {job.job_id: self.row(job) for job in (*running, *ended)}
        counts = board.counts()
        return {
            'ready': board.seq > 0 or board.broker_alive,
            'now': time.time(),
            'limit': protocol.STANDING_LIMIT,
            'filter': msgspec.structs.asdict(self.filter),
            'counts': {
                'running': counts.running,
                'waiting': line.states[State.WAITING],
                'delayed': line.states[State.DELAYED],
                'blocked': line.states[State.BLOCKED],
                'slots': counts.slots,
                'workers': counts.workers,
            },
            'rate': round(counts.tokens_per_s),
            'lanes': lanes,
            'windows': windows,
            'running': [job.job_id for job in running],
            'ended': [job.job_id for job in ended],
            'pauses': self._pauses(),
            'models': self._models(),
            'users': [[name, count] for name, count in line.users.most_common(CHOICES) if name],
            'staff': [worker.worker for worker in board.workers()],
            'rows': shown,
        }

    def named(self, state: Row) -> Row:
        """The same state, with the first words of its jobs as far as they are known by now."""
        known = self._parts.openings.known
        rows = {
            job_id: row | {'says': '' if row['title'] else row['says'] or known(job_id)}
            for job_id, row in state['rows'].items()
        }
        follows = {job_id: row for job_id, row in rows.items() if row.get('behind')}
        self._who_is_ahead(follows, self._parts.board.front())
        return state | {'rows': rows}

    def ids(self) -> list[str]:
        """The ids of all jobs that wait and that the filter lets through."""
        match, line = self._match(), self._parts.board.lineup
        return [job_id for lane in LANES for job_id in line.matching(lane, (), match)] if self._shows_waiting() else []

    def row(self, job: JobView) -> Row:
        """What is told about one job."""
        return row_of(self._parts, job)

    def _lane(self, lane: str, order: list[str]) -> tuple[int, int, list[JobView]]:
        """How many there are, where the window begins, and the jobs in it."""
        line = self._parts.board.lineup
        if not self._shows_waiting():
            return 0, 0, []
        start, stop = self._windows[lane]
        front = line.front(lane, order)
        if self.filter == Filter():
            total = line.total(lane)
            start = min(start, total)
            return total, start, line.part(lane, front, start, min(stop, total))
        found = self._matching(order)[lane]
        start = min(start, len(found))
        return len(found), start, [job for job_id in found[start:stop] if (job := line.job(job_id)) is not None]

    def _matching(self, order: list[str]) -> dict[str, list[str]]:
        """The ids that match, by lane; where there are many, not tried anew all the time."""
        line, began = self._parts.board.lineup, time.perf_counter()
        asked = (self.filter, line.version, tuple(order[:50]), self._parts.openings.version if self.filter.text else 0)
        if asked == self._found_for or (self._found and began < self._try_again_at):
            return {lane: [job_id for job_id in ids if job_id in line] for lane, ids in self._found.items()}
        match = self._match()
        self._found = {lane: line.matching(lane, line.front(lane, order), match) for lane in LANES}
        self._found_for, ended = asked, time.perf_counter()
        self._try_again_at = ended + (REST * (ended - began) if len(line) > MANY else 0.0)
        return self._found

    def _match(self) -> Match:
        """Whether the filter lets a job through."""
        wanted, text = self.filter, self.filter.text.lower()
        state = State(wanted.state) if wanted.state in ('waiting', 'delayed', 'blocked') else None

        def match(job: JobView) -> bool:
            return (
                (state is None or job.state is state)
                and (not wanted.model or job.model == wanted.model)
                and (not wanted.user or job.user == wanted.user)
                and (not text or self._has(job, text))
            )

        return match

    def _has(self, job: JobView, text: str) -> bool:
        name = self._parts.title_of(job.conversation_id) or self._parts.openings.known(job.job_id)
        said = (job.job_id, job.model, job.user, job.schedule, name)
        return any(text in each.lower() for each in said)

    def _name(self, job: JobView) -> str:
        return self._parts.name_of(job.job_id, job.conversation_id)

    def _shows_waiting(self) -> bool:
        return self.filter.state in ('', 'waiting', 'delayed', 'blocked')

    def _running(self) -> list[JobView]:
        match = self._match()
        return (
            [job for job in self._parts.board.running() if match(job)] if self.filter.state in ('', 'running') else []
        )

    def _ended(self) -> list[JobView]:
        if self.filter.state not in ('', 'ended'):
            return []
        match = self._match()
        found = [job for job in self._parts.board.finished() if match(job)]
        return found[: SHOWN_ENDED_ALONE if self.filter.state else SHOWN_ENDED]

    def _who_is_ahead(self, shown: dict[str, Row], order: list[str]) -> None:
        """Each of the first few hundred is told who goes right before it."""
        line = self._parts.board.lineup
        before: dict[str, str] = dict(zip(order[1:], order, strict=False))
        for job_id, row in shown.items():
            job = line.job(before[job_id]) if job_id in before and row['ahead'] else None
            row['behind'] = None if job is None else [self._name(job), job.kind, job.user]

    def _paused(self, lane: str) -> str:
        """'' for no, 'all', or 'part' where that is so for some of its priorities."""
        held = sum(('priority', str(value)) in self._parts.board.pauses for value in PRIORITIES[lane])
        return '' if not held else 'all' if held == len(PRIORITIES[lane]) else 'part'

    def _pauses(self) -> list[Row]:
        """What is paused; the priorities of a lane as one where all of them are."""
        board = self._parts.board
        lanes = [lane for lane in LANES if self._paused(lane) == 'all']
        covered = {('priority', str(value)) for lane in lanes for value in PRIORITIES[lane]}
        rest = board.pauses - covered
        order = [('all', '')] if ('all', '') in rest else []
        order += [('lane', lane) for lane in lanes] + sorted(rest - {('all', '')})
        drains = board.drains | {('lane', lane) for lane in lanes if self._drains(lane)}
        return [{'scope': s, 'name': name, 'draining': (s, name) in drains} for s, name in order]

    def _drains(self, lane: str) -> bool:
        return any(('priority', str(value)) in self._parts.board.drains for value in PRIORITIES[lane])

    def _models(self) -> list[list[Any]]:
        """Every model that is asked for or that could be, with how many jobs wait for it."""
        waiting = self._parts.board.lineup.models.most_common(CHOICES)
        known = {name for name, _ in waiting}
        return [[name, count] for name, count in waiting] + [
            [model.name, 0] for model in self._parts.board.models() if model.name not in known
        ]


def row_of(parts: Parts, job: JobView) -> Row:
    """What is told about any job."""
    rate = job.tokens_per_s if job.held or job.final else 0.0
    return {
        'kind': job.kind,
        'state': str(job.state),
        'priority': job.priority,
        'model': job.model,
        'title': (title := parts.title_of(job.conversation_id)),
        'says': '' if title else parts.openings.of(job.job_id),
        'conversation': job.conversation_id,
        'user': job.user,
        'queued': job.queued_at,
        'started': job.started_at,
        'ended': job.ended_at,
        'due': job.due_at or job.not_before,
        'from': job.earliest_at,
        'until': job.latest_at,
        'load': round(job.load_s),
        'other': job.alternative,
        'waited': job.waited_s,
        'ran': job.ran_s,
        'ahead': job.ahead,
        'reason': job.reason,
        'hint': job.hint,
        'after': job.after,
        'batch': job.parent,
        'schedule': job.schedule,
        'claims': job.claims,
        'requeue': job.requeue_reason,
        'starts': job.starts,
        'worker': job.worker,
        'resident': job.resident,
        'began': job.answer.began_at if job.held else 0.0,
        'code': job.code,
        'detail': job.detail[:300],
        'tokens': job.tokens if job.held or job.final else 0,
        'rate': round(rate, 1) if rate < 10 else round(rate),
    }
