"""Where the time of a job goes, told by facts alone."""

import pytest

from analytics import absences, timekeeper
from broker import facts
from tests.analytics import made

T0 = made.T0
MODEL = facts.ModelInfo(name='m', engine='demo')


class Story:
    """Facts with running numbers, at seconds after the beginning."""

    def __init__(self, watts=None):
        self.keeper = timekeeper.Timekeeper(watts=watts)
        self.seq = 0
        self.rows = {'depth': [], 'slots': []}
        self.tell(facts.WorkerJoined, 0, worker='w:1', session='s', host='h', pid=1, engine='demo', engine_version='1',
                  slots=2, models=(MODEL,), labels=('big',))  # fmt: skip

    def tell(self, kind, at, **fields):
        """One fact more; gives the times of a job that it ends."""
        self.seq += 1
        make = {facts.JobQueued: made.queued, facts.JobStarted: made.started, facts.JobCompleted: made.completed,
                facts.JobCancelled: made.cancelled}.get(kind, kind)  # fmt: skip
        times, rows = self.keeper.feed([make(seq=self.seq, at=T0 + at, **fields)])
        for table, lines in rows.items():
            self.rows[table] += lines
        return times[0] if times else None

    def end(self, at, waited_s=0.0, **fields):
        """A job is completed."""
        return self.tell(facts.JobCompleted, at, waited_s=waited_s, **fields)


def parts_of(times):
    names = ('behind_s', 'limited_s', 'paused_s', 'no_worker_s', 'delayed_s', 'blocked_s', 'retry_s')
    return {name: getattr(times, name) for name in names if getattr(times, name)}


def test_a_wait_is_behind_others_unless_something_else_is_told():
    story = Story()
    story.tell(facts.JobQueued, 10)
    story.tell(facts.JobStarted, 14, predicted_from=T0 + 12, predicted_until=T0 + 15, resident=True)
    times = story.end(20)
    assert parts_of(times) == {'behind_s': 4}
    assert (times.predicted_from, times.predicted_until, times.resident) == (T0 + 12, T0 + 15, True)


def test_each_reason_has_its_share_and_together_they_are_the_wait():
    story = Story()
    story.tell(facts.JobQueued, 10, due_at=T0 + 15)
    story.tell(facts.JobDue, 15, job_id='a')
    story.tell(facts.Paused, 17, scope='user', name='')
    story.tell(facts.Paused, 18, scope='all', name='')
    story.tell(facts.Resumed, 20, scope='user', name='')
    story.tell(facts.Resumed, 21, scope='all', name='')
    story.tell(facts.WorkerLeft, 20.5, worker='w:1', reason='lost')
    story.tell(facts.WorkerJoined, 25, worker='w:1', session='t', host='h', pid=2, engine='demo', engine_version='1',
               slots=2, models=(MODEL,))  # fmt: skip
    story.tell(facts.JobStarted, 32, limited_s=3.0)
    times = story.end(40)
    assert parts_of(times) == {'delayed_s': 5, 'paused_s': 4, 'no_worker_s': 4, 'limited_s': 3, 'behind_s': 6}
    assert sum(parts_of(times).values()) == 32 - 10


def test_a_limit_takes_no_more_than_what_is_left_of_the_wait():
    story = Story()
    story.tell(facts.JobQueued, 10, blocked_by=1)
    story.tell(facts.JobUnblocked, 18, job_id='a')
    story.tell(facts.JobStarted, 20, limited_s=10.0)
    assert parts_of(story.end(21)) == {'blocked_s': 8, 'limited_s': 2}


def test_what_was_tried_before_counts_as_retry_and_the_machine_s_time_of_all_attempts():
    story = Story({'big': 200.0, 'default': 100.0})
    story.tell(facts.JobQueued, 10)
    story.tell(facts.JobStarted, 11)
    story.tell(facts.JobRequeued, 15, job_id='a', epoch=1, reason='retry', due_at=T0 + 20, failures=1, losses=0)
    story.tell(facts.JobDue, 20, job_id='a')
    story.tell(facts.JobStarted, 22, starts=2)
    times = story.end(32, starts=2)
    assert parts_of(times) == {'behind_s': 1 + 2, 'retry_s': 4 + 5}
    assert times.gpu_s == 4 + 10
    assert times.energy_wh == pytest.approx(14 * 200 / 3600)


def test_jobs_side_by_side_share_their_worker():
    story = Story()
    for job_id in ('a', 'b'):
        story.tell(facts.JobQueued, 0, job_id=job_id)
    story.tell(facts.JobStarted, 0, job_id='a')
    story.tell(facts.JobStarted, 4, job_id='b')
    first = story.end(10, job_id='a')
    second = story.end(16, job_id='b')
    assert first.gpu_s == 4 + 3
    assert second.gpu_s == 3 + 6
    assert first.gpu_s + second.gpu_s == 16  # as long as the worker was busy


def test_a_job_that_never_started_ends_in_its_wait():
    story = Story()
    story.tell(facts.JobQueued, 1, due_at=T0 + 100)
    times = story.tell(facts.JobCancelled, 9, starts=0, waited_s=8.0)
    assert parts_of(times) == {'delayed_s': 8} and times.gpu_s == 0


def test_a_job_that_is_cancelled_between_two_attempts_waited_until_the_last_one():
    story = Story()
    story.tell(facts.JobQueued, 0)
    story.tell(facts.JobStarted, 1)
    story.tell(facts.JobRequeued, 5, job_id='a', epoch=1, reason='retry', due_at=T0 + 60, failures=1, losses=0)
    assert parts_of(story.tell(facts.JobCancelled, 9, starts=1, waited_s=1.0)) == {'behind_s': 1}


def test_a_job_whose_beginning_was_forgotten_waited_behind_others():
    assert parts_of(Story().end(9, waited_s=4.0)) == {'behind_s': 4}


@pytest.mark.parametrize(
    ('fields', 'source'),
    [({}, 'api'), ({'conversation_id': 'c'}, 'chat'), ({'parent': 'b', 'conversation_id': 'c'}, 'batch'),
     ({'schedule': 's', 'parent': 'b'}, 'schedule')],
)  # fmt: skip
def test_where_a_job_came_from(fields, source):
    story = Story()
    story.tell(facts.JobQueued, 0, **fields)
    assert story.end(1).source == source


def test_the_curves_are_areas_whose_sums_are_exact():
    story = Story()
    for at, job_id in ((5, 'a'), (8, 'b'), (31, 'c')):
        story.tell(facts.JobQueued, at, job_id=job_id)
    story.tell(facts.JobStarted, 38, job_id='a')
    story.tell(facts.JobPriorityChanged, 100, job_id='b', priority=9, was=5)
    total = [row for row in story.rows['depth'] if not row[2]]
    assert sum(row[3] for row in total) == (38 - 5) + (100 - 8) + (100 - 31)
    assert sum(row[1] for row in total) == 100
    assert max(row[4] for row in total) == 3
    assert sum(row[3] for row in story.rows['depth'] if row[2] == 'm') == sum(row[3] for row in total)
    workers = [row for row in story.rows['slots'] if row[2] == 'w:1']
    assert sum(row[3] for row in workers) == 2 * 100 and sum(row[4] for row in workers) == 100 - 38


def test_the_last_worker_that_goes_leaves_slots_for_as_long_as_it_was_there():
    story = Story()
    story.tell(facts.WorkerLeft, 8, worker='w:1', reason='left')
    story.tell(facts.JobQueued, 15)
    story.tell(facts.JobQueued, 25, job_id='b')
    total = [row for row in story.rows['slots'] if not row[2]]
    assert sum(row[3] for row in total) == 2 * 8 and sum(row[1] for row in total) == 10
    assert story.keeper.state.waiting() == story.keeper.state.waiting(('m', 'none')) == 2
    assert story.keeper.state.slots() == (0, 0)


def test_a_night_without_facts_is_a_few_rows():
    story = Story()
    story.tell(facts.JobQueued, 1)
    story.tell(facts.JobStarted, 1 + 8 * 3600)
    assert len(story.rows['depth']) < 1000
    assert sum(row[3] for row in story.rows['depth'] if not row[2]) == pytest.approx(8 * 3600, abs=10)


def test_what_is_kept_goes_on_as_if_nothing_had_happened():
    story = made.one_of_each() + made.life(60, first_seq=24)
    whole = timekeeper.Timekeeper()
    expected = whole.feed(story)
    for cut in range(0, len(story), 7):
        first = timekeeper.Timekeeper()
        times, rows = first.feed(story[:cut])
        second = timekeeper.Timekeeper.from_bytes(first.to_bytes())
        more, others = second.feed(story[cut:])
        assert times + more == expected[0]
        assert {name: rows[name] + others[name] for name in rows} == expected[1]
        assert second.to_bytes() == whole.to_bytes()


def test_spans_that_overlap_count_once_and_models_go_by_their_full_name():
    away = absences.Absences()
    away.serves('w', ['m'], 10.0)
    away.serves('v', ['m:latest'], 12.0)
    away.serves('w', [], 20.0)
    away.serves('v', [], 30.0)
    assert away.during(0.0, 40.0, 'm', 'u', 5) == (0, 10 + 10)
    away.paused('priority', '5', 5.0, True)
    away.paused('model', 'm', 8.0, True)
    away.paused('priority', '5', 15.0, False)
    away.paused('model', 'm', 16.0, False)
    assert away.during(0.0, 40.0, 'm', 'u', 5) == (11, 5 + 10)
    assert away.during(0.0, 40.0, 'other', 'u', 4) == (0, 40)
