"""What a comparison of orders comes to, in words and rows: of what was, and of what would have been."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.charts.rehearsals import MOST_JOBS, Comparison
from app.i18n import N_, Speech
from app.shell import theme
from broker.rehearsal import Outcome, level_of

RECORDED, OURS, PLAIN = 'recorded', 'affinity', 'fifo'
ORDERS = {
    'recorded': N_('As it happened'),
    'fifo': N_('First come, first served'),
    'priority': N_('Higher priority first'),
    'fair': N_('Users take turns'),
    'affinity': N_('Corral’s order'),
}
ABOUT = {
    'recorded': N_('As recorded, with all outages and pauses'),
    'fifo': N_('Whoever came first goes first'),
    'priority': N_('The same, and higher priorities go before lower ones'),
    'fair': N_('The same, and within a priority users take turns'),
    'affinity': N_('The same, and a model in memory is used a while before another one is loaded'),
}
LEVELS = {level_of(priority): name for priority, name in theme.PRIORITIES.items()}
MOST_USERS = 8
ALIKE, ALIKE_S = 0.05, 0.1  # two waits that differ by less are the same to people


def findings(said: Speech, found: Comparison) -> list[str]:
    """What is to be learned from it, in a few sentences; the first is about most jobs."""
    played = {outcome.policy: outcome for outcome in found.outcomes}
    if not {OURS, PLAIN} <= played.keys():
        return []
    if all(outcome.waits.longest_s < ALIKE_S for outcome in found.outcomes):
        return [said.tr('In none of these orders would anybody have had to wait.')]
    return [_most(said, played), *_best(said, played), *_level(said, played), *_loads(said, played)]


def asked_for(said: Speech, found: Comparison, slots: Mapping[str, int], resident: int | None) -> list[str]:
    """What is to be known about the figures: that they are not of all jobs, or of other machines."""
    lines = []
    if found.cut:
        lines.append(said.tr('These are the last {n} jobs of that time; there were more.', n=said.number(MOST_JOBS)))
    for worker, n in slots.items():
        if worker in found.strangers:
            continue
        lines.append(said.trn('As if {worker} had {n} slot.', 'As if {worker} had {n} slots.', n, worker=worker))
    if resident is not None:
        lines.append(
            said.trn('As if {n} model fitted into memory.', 'As if {n} models fitted into memory at once.', resident)
        )
    elif found.resident > 1:
        lines.append(said.tr('As recorded, {n} models stayed in memory at once.', n=said.number(found.resident)))
    return lines


def rows(said: Speech, found: Comparison) -> list[list[Any]]:
    """A row for each order, what happened first: name, waits, loads of models, share of busy slots, what it is."""
    return [
        [
            said.tr(ORDERS[each.policy]),
            each.waits.p50_s,
            each.waits.p95_s,
            each.waits.longest_s,
            each.loads,
            each.busy,
            said.tr(ABOUT[each.policy]),
        ]
        for each in outcomes(found)
    ]


def levels(said: Speech, found: Comparison) -> tuple[list[str], dict[str, list[float]]]:
    """The wait of 95% by priority: what the priorities are called, and the seconds by order."""
    names = list(found.recorded.by_level) if found.recorded else []
    series = {each.policy: [round(each.by_level[name].p95_s, 2) for name in names] for each in outcomes(found)}
    return [said.tr(LEVELS[name]) for name in names], series


def users(said: Speech, found: Comparison) -> tuple[list[str], dict[str, list[float]]]:
    """The same by user, those with the most jobs."""
    names = list(found.recorded.by_user)[:MOST_USERS] if found.recorded else []
    series = {each.policy: [round(each.by_user[name].p95_s, 2) for name in names] for each in outcomes(found)}
    return [name or said.tr('(no name)') for name in names], series


def outcomes(found: Comparison) -> list[Outcome]:
    """All of them, what happened first."""
    return [found.recorded, *found.outcomes] if found.recorded else []


def _most(said: Speech, played: Mapping[str, Outcome]) -> str:
    ours_s, plain_s = (played[order].waits.p95_s for order in (OURS, PLAIN))
    times = {'ours': said.seconds(ours_s), 'plain': said.seconds(plain_s)}
    if _alike(ours_s, plain_s):
        return said.tr(
            'For most jobs the order makes little difference: with the order that Corral uses, 95% wait at most '
            '{ours}; first come, first served, it would have been {plain}.',
            **times,
        )
    if ours_s < plain_s:
        return said.tr(
            'With the order that Corral uses, 95% of the jobs wait at most {ours}; first come, first served, '
            'it would have been {plain}.',
            **times,
        )
    return said.tr(
        'First come, first served would have been shorter for most jobs: 95% would have waited at most {plain}; '
        'with the order that Corral uses it is {ours}.',
        **times,
    )


def _best(said: Speech, played: Mapping[str, Outcome]) -> Iterator[str]:
    """Another order that beats both of the first sentence."""
    best = min(played.values(), key=lambda outcome: outcome.waits.p95_s)
    best_s = best.waits.p95_s
    others = [played[order].waits.p95_s for order in (OURS, PLAIN)]
    if best.policy not in (OURS, PLAIN) and not any(_alike(best_s, other_s) for other_s in others):
        name = said.tr(ORDERS[best.policy])
        yield said.tr('The shortest would have been “{order}” with {time}.', order=name, time=said.seconds(best_s))


def _level(said: Speech, played: Mapping[str, Outcome]) -> Iterator[str]:
    """The highest priority, where there are several."""
    found = played[OURS].by_level
    if len(found) < 2:
        return
    level = next(iter(found))
    ours_s, plain_s = (played[order].by_level[level].p95_s for order in (OURS, PLAIN))
    if not _alike(ours_s, plain_s):
        yield said.tr(
            'Of the jobs with the priority “{level}”, 95% wait at most {ours} instead of {plain}.',
            level=said.tr(LEVELS[level]),
            ours=said.seconds(ours_s),
            plain=said.seconds(plain_s),
        )


def _loads(said: Speech, played: Mapping[str, Outcome]) -> Iterator[str]:
    ours, plain = (played[order].loads for order in (OURS, PLAIN))
    if ours != plain:
        yield said.tr('Loads of models: {ours} instead of {plain}.', ours=said.number(ours), plain=said.number(plain))


def _alike(one_s: float, other_s: float) -> bool:
    return abs(one_s - other_s) <= max(ALIKE_S, ALIKE * max(one_s, other_s))
