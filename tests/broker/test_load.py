"""What the broker says about how busy the workers are."""

import contextlib
import json
import os
import threading

import msgspec
import pytest

from broker import child, load, protocol
from broker.limits import Limits
from broker.rules import Rules
from tests.broker.desk import Desk, finished


def of(desk):
    return desk.core.load(desk.now)


def test_a_worker_is_wanted_while_a_job_waits_that_could_start_there():
    desk = Desk()
    here = desk.join('here', slots=1)
    desk.join('there', slots=2, models=('other',))
    assert of(desk).workers == {
        'here': load.WorkerLoad(busy=0, slots=1, wanted=False, saturated=False),
        'there': load.WorkerLoad(busy=0, slots=2, wanted=False, saturated=False),
    }
    desk.submit(1)
    assert not of(desk).workers['here'].wanted
    desk.submit(2)
    found = of(desk)
    assert (found.waiting, found.running, found.slots) == (1, 1, 3)
    assert found.workers['here'] == load.WorkerLoad(busy=1, slots=1, wanted=True, saturated=False)
    assert not found.workers['there'].wanted
    desk.tell(here, finished(1, 1, 0))
    assert not of(desk).workers['here'].wanted


@pytest.mark.parametrize(
    'pause',
    [('all', ''), ('model', 'm'), ('user', 'u'), ('priority', '5'), ('worker', 'w')],
    ids=lambda pause: pause[0],
)
def test_what_is_paused_wants_no_worker(pause):
    desk = Desk()
    desk.join('w')
    desk.submit(1, user='u')
    desk.submit(2, user='u')
    assert of(desk).workers['w'].wanted
    desk.ask(protocol.Pause(scope=pause[0], name=pause[1]))
    assert not of(desk).workers['w'].wanted


@pytest.mark.parametrize('limits', [Limits(running=1), Limits(user_running=1)], ids=['in all', 'per user'])
def test_what_a_limit_holds_back_wants_no_worker(limits):
    desk = Desk(Rules(limits=limits))
    desk.join('w')
    desk.submit(1, user='u')
    desk.submit(2, user='u')
    assert (of(desk).waiting, of(desk).workers['w'].wanted) == (1, False)


def test_a_worker_that_drains_or_is_gone_has_no_slots():
    desk = Desk()
    one, two = desk.join('one'), desk.join('two')
    desk.tell(one, protocol.Bye(draining=True))
    desk.gone(two)
    assert [worker.slots for worker in of(desk).workers.values()] == [0, 0]


def test_a_saturated_engine_is_told():
    desk = Desk()
    peer = desk.join('w')
    ready = next(iter(desk.core._queue.fleet)).ready
    desk.tell(peer, msgspec.structs.replace(ready, saturated=True))
    assert of(desk).workers['w'].saturated


def test_a_parent_that_does_not_read_holds_up_nobody_and_gets_the_newest_report(monkeypatch):
    """Ctrl-Z in the terminal stops it; the broker must go on."""
    reading, writing = os.pipe()
    pipe = os.fdopen(writing, 'w')
    monkeypatch.setattr('sys.stdout', pipe)
    latest = child.Latest()
    threads = threading.active_count()
    for number in range(20_000):  # far more than a pipe holds
        latest.report(load={'waiting': number, 'names': 'x' * 100})
    assert threading.active_count() == threads
    with os.fdopen(reading) as lines:
        numbers = []
        for line in lines:
            numbers.append(json.loads(line)['load']['waiting'])
            if numbers[-1] == 19_999:
                break
        assert numbers == sorted(numbers)
    latest.report(load={})  # the parent is gone: that ends the reports, and nothing else
    latest._thread.join(5)
    assert not latest._thread.is_alive()
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
