"""What is said about a comparison of orders, in both languages."""

import pytest

from app.charts import verdict
from app.charts.rehearsals import Comparison
from app.i18n import Speech
from broker.rehearsal import Outcome, Waits


def outcome(policy, p95_s, *, loads=4, users=('ana', ''), longest_s=None, **levels):
    waits = Waits(jobs=20, mean_s=p95_s / 3, p50_s=p95_s / 2, p95_s=p95_s, longest_s=longest_s or 2 * p95_s)
    by_level = {name: Waits(jobs=5, mean_s=0.0, p50_s=0.0, p95_s=s, longest_s=s) for name, s in levels.items()}
    return Outcome(
        policy=policy, waits=waits, by_user=dict.fromkeys(users, waits), by_level=by_level or {'normal': waits},
        loads=loads, busy=0.5, span_s=3600.0,
    )  # fmt: skip


def compared(fifo, ours, *, fair=None, **more):
    """Of first come, first served and Corral's order, and of users taking turns, who wait as in one of the two."""
    outcomes = [outcome('fifo', fifo), outcome('fair', ours if fair is None else fair), outcome('affinity', ours)]
    fields = {'jobs': 20, 'cut': False, 'recorded': outcome('recorded', ours), 'outcomes': outcomes} | more
    return Comparison(since=0.0, until=3600.0, **fields)


@pytest.mark.parametrize(
    ('fifo', 'ours', 'en', 'zh'),
    [
        (73, 41, '95% of the jobs wait at most 41 s; first come, first served, it would have been 1 min 13 s',
         '按 Corral 的顺序，95% 的任务最多等待 41 秒；如果先来先服务，则为 1 分 13 秒'),
        (15, 18, 'First come, first served would have been shorter for most jobs: 95% would have waited at most 15 s',
         '对大多数任务来说，先来先服务反而更快：95% 的任务最多等待 15 秒；按 Corral 的顺序则为 18 秒'),
        (40, 41, 'the order makes little difference', '顺序影响不大'),
    ],
)  # fmt: skip
def test_the_first_sentence_says_which_order_is_shorter_or_that_it_matters_little(fifo, ours, en, zh):
    [said] = verdict.findings(Speech('en'), compared(fifo, ours))
    assert en in said
    [said] = verdict.findings(Speech('zh'), compared(fifo, ours))
    assert zh in said


def test_a_third_order_that_is_clearly_better_is_named():
    [_, best] = verdict.findings(Speech('en'), compared(73, 41, fair=20))
    assert best == 'The shortest would have been “Users take turns” with 20 s.'
    assert len(verdict.findings(Speech('en'), compared(73, 41, fair=40.5))) == 1


def test_what_the_highest_priority_and_the_loads_of_models_gained_is_said():
    ours = outcome('affinity', 20, loads=9, high=0.5, normal=22)
    found = compared(20, 20, outcomes=[outcome('fifo', 20, loads=30, high=18, normal=20), ours])
    _, level, loads = verdict.findings(Speech('en'), found)
    assert level == 'Of the jobs with the priority “High”, 95% wait at most 0.5 s instead of 18 s.'
    assert loads == 'Loads of models: 9 instead of 30.'


def test_where_nobody_waits_nothing_is_compared():
    [said] = verdict.findings(Speech('en'), compared(0.01, 0.02))
    assert said == 'In none of these orders would anybody have had to wait.'
    rare = [outcome('fifo', 0.01, longest_s=60), outcome('affinity', 0.01, longest_s=50)]
    [said] = verdict.findings(Speech('en'), compared(0, 0, outcomes=rare))
    assert 'little difference' in said


def test_rows_and_bars_begin_with_what_happened():
    many = tuple(f'u{n}' for n in range(12))
    found = compared(73, 41, recorded=outcome('recorded', 50, users=('', *many), high=1, normal=2))
    found.outcomes[:] = [outcome('affinity', 41, users=('', *many), high=3, normal=4)]
    assert [row[0] for row in verdict.rows(Speech('en'), found)] == ['As it happened', 'Corral’s order']
    assert verdict.rows(Speech('zh'), found)[0][1:6] == [25, 50, 100, 4, 0.5]
    assert verdict.levels(Speech('zh'), found) == (['高', '普通'], {'recorded': [1, 2], 'affinity': [3, 4]})
    names, series = verdict.users(Speech('en'), found)
    assert names == ['(no name)', *many[:7]] and series['affinity'] == [41] * 8


def test_what_was_left_out_or_only_supposed_is_said():
    said = verdict.asked_for(Speech('en'), compared(1, 1, cut=True), {'gpu:1': 1, 'gpu:2': 4}, 2)
    assert said == [
        'These are the last 200,000 jobs of that time; there were more.',
        'As if gpu:1 had 1 slot.',
        'As if gpu:2 had 4 slots.',
        'As if 2 models fitted into memory at once.',
    ]
    assert verdict.asked_for(Speech('zh'), compared(1, 1), {}, None) == []
    assert verdict.asked_for(Speech('en'), compared(1, 1, resident=2), {}, 1) == ['As if 1 model fitted into memory.']
