"""What can be set about the broker."""

import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from broker import guess, limits, network, protocol, retention
from broker.balance import Policy
from broker.endpoints import Endpoints
from broker.fleet import Group
from broker.job import MAX_PRIORITY, MIN_PRIORITY
from broker.order import Fairness
from broker.retry import RetryPolicy
from broker.rules import Rules


def _readable(text: str) -> str:
    if text:
        limits.parse(text)
    return text


def _period(text: str) -> str:
    retention.parse(text)
    return text


RateText = Annotated[str, AfterValidator(_readable)]
PeriodText = Annotated[str, AfterValidator(_period)]
Patterns = Annotated[tuple[str, ...], Field(max_length=100)]


class ModelGroup(BaseModel):
    """Models whose name matches one of ``models`` run only on workers that match; patterns as of a shell, ``qwen*``."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    models: Patterns = Field(min_length=1)
    workers: Patterns = ()  # by name
    labels: Patterns = ()

    @model_validator(mode='after')
    def _says_where(self) -> Self:
        if not self.workers and not self.labels:
            raise ValueError('a group needs workers or labels, or its models could run nowhere')
        return self


def _admits(count: int) -> int:
    if 0 < count < protocol.MAX_BODY_BYTES:
        raise ValueError(f'a job may have {protocol.MAX_BODY_BYTES} bytes and must find room; write more, or 0')
    return count


WaitingBytes = Annotated[int, Field(ge=0), AfterValidator(_admits)]
Word = Annotated[str, Field(min_length=1, max_length=100)]


class PriorityRule(BaseModel):
    """It fits a text that has one of ``words`` (where it names some) and a length within its bounds."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    name: str = Field(min_length=1, max_length=100, description='Shown with the jobs for which it spoke.')
    priority: int = Field(ge=MIN_PRIORITY, le=MAX_PRIORITY, description='What such a job gets.')
    words: tuple[Word, ...] = Field(default=(), max_length=200, description='Any of these, in either case.')
    min_chars: int = Field(default=0, ge=0, description='Shortest text, characters.')
    max_chars: int = Field(default=0, ge=0, description='Longest text, characters; 0 is no limit.')


class BrokerSettings(BaseModel):
    """Settings of the broker process."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    data_dir: Path = Field(description='Folder that holds queue.db and the logs.')
    endpoints: Endpoints = Field(description='Where the sockets are.')
    listen: Annotated[str, AfterValidator(network.checked)] = Field(
        default='', description='Address and port where workers of other machines join; empty lets none join.'
    )
    lease_ttl_s: float = Field(default=15.0, gt=0, description='How long a run may go without a heartbeat, seconds.')
    heartbeat_s: float = Field(
        default=5.0, gt=0, description='How often workers send a heartbeat, seconds; at least thrice in a lease.'
    )
    reattach_s: float = Field(default=2.0, gt=0, description='How long a worker that vanished may take to come back.')
    retry_base_s: float = Field(default=2.0, ge=0, description='Back-off before the first retry, seconds; it doubles.')
    retry_max_s: float = Field(default=60.0, ge=0, description='Longest back-off, seconds.')
    overdue_after_s: float = Field(default=600.0, gt=0, description='A job that waited longer is overdue, seconds.')
    overdue_every: int = Field(default=3, ge=1, description='Of so many starts of a model one is for the overdue.')
    affinity_wait_s: float = Field(
        default=20.0,
        ge=0,
        description='How long jobs whose model is loaded may go before one that needs loading, seconds; 0 is never.',
    )
    balance: Policy = Field(
        default='least_loaded',
        description='Which of several free workers gets a job: least_loaded, round_robin, or weighted_random by slots.',
    )
    groups: tuple[ModelGroup, ...] = Field(
        default=(), description='Where models may run: tables with patterns for models, and for workers or labels.'
    )
    max_losses: int = Field(default=2, ge=1, description='A job that took this many workers down with it is dead.')
    max_waiting: int = Field(default=100_000, ge=1, description='Jobs that may wait; more are refused.')
    max_waiting_per_user: int = Field(default=0, ge=0, description='Jobs of one user that may wait; 0 is no limit.')
    max_waiting_bytes: WaitingBytes = Field(
        default=1_000_000_000, description='Bytes of all jobs that may wait; more are refused; 0 is no limit.'
    )
    priority_rules: tuple[PriorityRule, ...] = Field(
        default=tuple(PriorityRule(**rule._asdict()) for rule in guess.DEFAULT_RULES),
        max_length=100,
        description='What priority auto means: the first rule that fits the text of a job speaks.',
    )
    rate: RateText = Field(
        default='', description='Jobs that may start in all, like 10 per min burst 3; empty is no limit.'
    )
    user_rate: RateText = Field(default='', description='Jobs of one user that may start, written likewise.')
    model_rates: dict[str, RateText] = Field(default={}, description='Jobs of a model that may start, by model name.')
    running: int = Field(default=0, ge=0, description='Jobs that may run at the same time in all; 0 is no limit.')
    user_running: int = Field(
        default=0, ge=0, description='Jobs of one user that may run at the same time; 0 is no limit.'
    )
    batch_patience_s: float = Field(
        default=86_400.0, gt=0, description='A batch that has no job to do and gets no other is over then, seconds.'
    )
    max_answer_bytes: int = Field(default=32_000_000, ge=1_000, description='A longer answer ends its job as dead.')
    keep_completed: PeriodText = Field(
        default='30 d',
        description='How long completed jobs stay, like 30 d or 12 h; 0 is a minute, empty is for ever.',
    )
    keep_cancelled: PeriodText = Field(default='7 d', description='How long cancelled jobs stay, written likewise.')
    keep_dead: PeriodText = Field(default='90 d', description='How long dead jobs stay, written likewise.')
    keep_jobs: int = Field(
        default=1_000_000, ge=0, description='Jobs that ended stay, the newest so many; 0 is no limit.'
    )
    keep_facts: PeriodText = Field(
        default='400 d', description='How long facts stay, from which the statistics can be rebuilt, written likewise.'
    )
    log_level: str = Field(default='info', description='debug, info, warning or error.')

    def rules(self) -> Rules:
        """The numbers that the core goes by."""
        return Rules(
            lease_ttl_s=self.lease_ttl_s,
            heartbeat_s=min(self.heartbeat_s, self.lease_ttl_s / 3),  # one may be late, or a healthy run is lost
            reattach_s=self.reattach_s,
            retry=RetryPolicy(self.retry_base_s, self.retry_max_s),
            fairness=Fairness(self.overdue_after_s, self.overdue_every, self.affinity_wait_s),
            balance=self.balance,
            groups=tuple(Group(group.models, group.workers, group.labels) for group in self.groups),
            limits=self.limits(),
            max_waiting_per_user=self.max_waiting_per_user,
            max_waiting_bytes=self.max_waiting_bytes,
            priority_rules=tuple(guess.Rule(**rule.model_dump()) for rule in self.priority_rules),
            max_losses=self.max_losses,
            max_waiting=self.max_waiting,
            max_answer_bytes=self.max_answer_bytes,
            batch_patience_s=self.batch_patience_s,
        )

    def limits(self) -> limits.Limits:
        """The limits as the core takes them."""
        return limits.Limits(
            rate=limits.parse(self.rate) if self.rate else None,
            user_rate=limits.parse(self.user_rate) if self.user_rate else None,
            model_rates=tuple((model, limits.parse(text)) for model, text in self.model_rates.items() if text),
            user_running=self.user_running,
            running=self.running,
        )

    def keep(self) -> retention.Keep:
        """What stays how long; a job at least as long as a rate limit counts its start."""
        return retention.Keep(
            completed_s=retention.parse(self.keep_completed),
            cancelled_s=retention.parse(self.keep_cancelled),
            dead_s=retention.parse(self.keep_dead),
            facts_s=retention.parse(self.keep_facts),
            jobs=self.keep_jobs,
            at_least_s=max(retention.GRACE_S, limits.Gate(self.limits()).longest_period_s),
        )


def rules_of(told: bytes) -> Rules:
    """The rules in settings as ``protocol.Settings.values`` tells them. Raises ``ValueError`` for others."""
    nowhere = {'data_dir': Path(), 'endpoints': Endpoints(client='', worker='', facts='')}  # which nobody is told
    return BrokerSettings.model_validate({**json.loads(told), **nowhere}).rules()
