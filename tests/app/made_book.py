"""A ledger whose answers are given: what the pages about the past ask, without a file."""

import msgspec

from analytics import answers, misses, spread

NOTHING = answers.Summary(
    total=0, completed=0, failed=0, cancelled=0, success_rate=None, mean_response_s=None, p50_response_s=None,
    p95_response_s=None, mean_wait_s=None, per_minute_now=0.0,
)  # fmt: skip
BUSY = answers.Summary(
    total=1234, completed=1200, failed=24, cancelled=10, success_rate=1200 / 1224, mean_response_s=3.25,
    p50_response_s=2.0, p95_response_s=75.0, mean_wait_s=1.0, per_minute_now=2.4, p50_wait_s=0.5, p95_wait_s=12.0,
    mean_first_token_s=0.4, p95_first_token_s=2.0, output_tokens=1_234_567, prompt_tokens=45_678, tokens_per_s=33.3,
    per_minute=1.5, gpu_s=3700.0,
)  # fmt: skip
GROUP = answers.Group(
    name='qwen3:8b', total=10, completed=9, failed=1, cancelled=0, success_rate=0.9, mean_response_s=3.0,
    p50_response_s=3.0, p95_response_s=9.0, mean_wait_s=1.0, p95_wait_s=4.0, mean_run_s=2.0, mean_first_token_s=0.3,
    prompt_tokens=100, output_tokens=12345, tokens_per_s=44.44, retries=0, gpu_s=20.0, energy_wh=0.0,
)  # fmt: skip
USAGE = answers.Usage(
    user='ana', model='qwen3:8b', jobs=10, completed=9, prompt_tokens=100, output_tokens=12345, run_s=20.0, gpu_s=20.0,
    energy_wh=0.0,
)  # fmt: skip
FAILURE = answers.Failure(code='idle_timeout', died=3, retried=2, last_at=1.0, last_job_id='j')
WAITS = answers.Waits(
    jobs=10, wait_s=30.0, behind_s=20.0, limited_s=0.0, paused_s=0.0, no_worker_s=10.0, delayed_s=0.0, blocked_s=0.0,
    retry_s=0.0, load_s=5.0, prompt_s=5.0, decode_s=60.0, other_s=0.0,
)  # fmt: skip


class Book:
    """Answers ``answer`` for now and ``before`` for the time before it; ``asked`` counts what it was asked."""

    def __init__(self) -> None:
        self.answer = self.before = self.ever = NOTHING
        self.groups_found: list[answers.Group] = []
        self.failures_found: list[answers.Failure] = []
        self.lines: list[answers.Usage] = []
        self.hits, self.told = 0, 0
        self.first_at = 0.0  # when the first job ever ended
        self.trouble: Exception | None = None
        self.problem = ''
        self.asked: list[tuple[str, float, float]] = []
        self.filters: list[answers.Filter] = []
        self.watchers: list[object] = []

    def watch(self, callback):
        self.watchers.append(callback)
        return lambda: self.watchers.remove(callback) if callback in self.watchers else None

    def tell(self) -> None:
        for callback in list(self.watchers):
            callback()

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked]

    async def first_end(self):
        if self.trouble:
            raise self.trouble
        return self.first_at if self.ever.total else None

    async def summary(self, *, since, until, only=answers.ALL):
        if self.trouble:
            raise self.trouble
        self._note('summary', since, until, only)
        return self.ever if since == 0 else self.answer

    async def compare(self, *, since, until, only=answers.ALL):
        self._note('compare', since, until, only)
        return answers.Comparison(now=self.answer, before=self.before)

    async def per_minute(self, *, since, until, step_s, only=answers.ALL):
        self._note('per_minute', since, until, only)
        steps = round((until - since) / step_s)
        point = answers.Point(
            at=0.0, completed=self.answer.completed / steps, failed=0.0, cancelled=0.0, output_tokens=0.0,
            mean_wait_s=None, mean_first_token_s=None, mean_response_s=self.answer.mean_response_s,
        )  # fmt: skip
        return [msgspec.structs.replace(point, at=n * step_s) for n in range(steps)]

    async def spread(self, *, since, until, step_s, only=answers.ALL):
        self._note('spread', since, until, only)
        steps = round((until - since) / step_s)
        return [spread.Spread(at=n * step_s, p50_wait_s=self.answer.p50_wait_s) for n in range(steps)]

    async def groups(self, dimension, *, since, until, only=answers.ALL):
        self._note(f'groups {dimension}', since, until, only)
        return self.groups_found

    async def by_hour_of_week(self, *, since, until, zone='', only=answers.ALL):
        self._note(f'hours {zone}'.strip(), since, until, only)
        return [
            answers.Hour(weekday=day, hour=hour, total=self.answer.total if (day, hour) == (1, 14) else 0, failed=0,
                         mean_wait_s=None, mean_response_s=None)
            for day in range(7) for hour in range(24)
        ]  # fmt: skip

    async def failures(self, *, since, until, only=answers.ALL):
        self._note('failures', since, until, only)
        return self.failures_found

    async def queue_depth(self, *, since, until, step_s, models=()):
        self._note('queue_depth', since, until)
        return [answers.Depth(at=n * step_s, waiting=1.5, most=4) for n in range(round((until - since) / step_s))]

    async def saturation(self, *, since, until, step_s, workers=()):
        self._note('saturation', since, until)
        return [answers.Saturation(at=0.0, slots=2.0, busy=1.0, share=0.5)]

    async def eta(self, *, since, until, step_s=3600.0, only=answers.ALL):
        self._note('eta', since, until, only)
        rate = self.hits / self.told if self.told else None
        return answers.Eta(
            told=self.told, hits=self.hits, early=0, late=self.told - self.hits, hit_rate=rate, mean_error_s=1.0,
            mean_distance_s=2.0, points=[answers.EtaPoint(at=0.0, told=self.told, hit_rate=rate, mean_error_s=1.0)],
        )  # fmt: skip

    async def misses(self, *, since, until, only=answers.ALL):
        self._note('misses', since, until, only)
        return misses.Misses(edges_s=misses.EDGES_S, starts=[0, 0, 1, self.hits, 0, 0, 2])

    async def model_speed(self, *, since, until, step_s=3600.0, only=answers.ALL):
        self._note('model_speed', since, until, only)
        return []

    async def usage(self, *, since, until, models=False, only=answers.ALL):
        self._note('usage', since, until, only)
        return self.lines

    async def waits(self, *, since, until, only=answers.ALL):
        self._note('waits', since, until, only)
        return WAITS

    async def choices(self, *, since, until):
        self._note('choices', since, until)
        return answers.Choices(
            users=['ana'],
            models=['qwen3:8b'],
            workers=['w'],
            kinds=['chat'],
            engines=[],
            sources=[],
            priorities=[10, 5],
        )

    def _note(self, name, since, until, only=answers.ALL):
        if self.trouble:
            raise self.trouble
        self.asked.append((name, since, until))
        self.filters.append(only)
