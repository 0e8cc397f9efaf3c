"""The supervisor with tiny children of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from app.launching.supervisor import Backoff, ProcessSpec, Supervisor
from tests.conftest import PATIENCE_S, ROOT, is_running, wait_for

pytestmark = pytest.mark.whole

# Acts by its settings, and writes what happens to a file that all share
CHILD = """
import json, os, signal, sys
settings = json.loads(sys.stdin.readline())
def note(what):
    with open(settings['log'], 'a') as log:
        log.write(settings['name'] + ' ' + what + '\\n')
signal.signal(signal.SIGINT, signal.SIG_IGN)
if settings.get('stubborn'):
    signal.signal(signal.SIGTERM, lambda *_: note('ignores SIGTERM'))
print('not a report')
print(json.dumps(settings.get('report', {'ready': True})), flush=True)
note('started')
if 'exit' in settings:
    sys.exit(settings['exit'])
sys.stdin.readline() if 'left' in settings else sys.stdin.read()
if 'left' in settings:
    print(json.dumps({'left': True}), flush=True)
    sys.exit(settings['left'])
note('hung up')
while settings.get('stubborn'):
    signal.pause()
"""


class Stage:
    """A supervisor over scripted children, and what was seen of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / 'log'
        self.said: list[str] = []
        self.reports: list[tuple[str, dict]] = []
        self.pids: dict[str, int] = {}
        self._news = asyncio.Condition()

    def child(self, name: str, *, stop_order: int = 0, grace_s: float = 5, **settings: object) -> ProcessSpec:
        text = json.dumps({'name': name, 'log': str(self.log), **settings})
        argv = (sys.executable, '-I', '-S', '-c', CHILD)
        return ProcessSpec(name=name, argv=argv, settings_json=text, stop_order=stop_order, grace_s=grace_s)

    def supervisor(self, *specs: ProcessSpec, backoff: Backoff | None = None) -> Supervisor:
        return Supervisor(
            specs,
            folder=self.folder,
            errors_dir=self.folder,
            say=self.said.append,
            on_report=lambda name, fields: self.reports.append((name, dict(fields))),
            on_pids=self.pids.update,
            backoff=lambda: backoff or Backoff(first_s=0.01),
        )

    async def until(self, *lines: str) -> None:
        """Wait until the children have noted all these."""
        await eventually(lambda: all(line in self.noted for line in lines))

    @property
    def noted(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def stage(tmp_path) -> Stage:
    return Stage(tmp_path)


async def test_a_child_that_dies_is_started_again_later_and_later(stage):
    supervisor = stage.supervisor(stage.child('frail', exit=3), stage.child('firm'))
    running = asyncio.create_task(supervisor.run())
    await eventually(lambda: len(stage.said) >= 3)
    supervisor.stop()
    assert await running == 0
    errors = stage.folder / 'frail.err'
    assert stage.said[:3] == [
        f'frail ended with exit code 3; it is started again in {delay} s. Details: {errors}'
        for delay in ('0.01', '0.02', '0.04')
    ]
    assert stage.noted.count('firm started') == 1


async def test_a_killed_child_is_named_with_its_signal(stage):
    supervisor = stage.supervisor(stage.child('one'))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started')
    os.kill(stage.pids['one'], signal.SIGKILL)
    await eventually(lambda: stage.noted.count('one started') == 2)
    supervisor.stop()
    await running
    assert 'one was ended by SIGKILL' in stage.said[0]


async def test_children_stop_in_order(stage):
    supervisor = stage.supervisor(
        stage.child('broker', stop_order=3),
        stage.child('worker-1', stop_order=2),
        stage.child('worker-2', stop_order=2),
        stage.child('app', stop_order=1),
    )
    running = asyncio.create_task(supervisor.run())
    await stage.until('broker started', 'worker-1 started', 'worker-2 started', 'app started')
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    ends = [line for line in stage.noted if line.endswith('hung up')]
    assert (ends[0], set(ends[1:3]), ends[3]) == (
        'app hung up',
        {'worker-1 hung up', 'worker-2 hung up'},
        'broker hung up',
    )
    assert stage.said == ['Stopping.']


async def test_a_child_that_will_not_stop_is_told_so_and_then_killed(stage):
    supervisor = stage.supervisor(stage.child('mule', stubborn=True, grace_s=0.3))
    running = asyncio.create_task(supervisor.run())
    await stage.until('mule started')
    supervisor.stop()
    async with asyncio.timeout(PATIENCE_S):
        assert await running == 0
    assert stage.noted == ['mule started', 'mule hung up', 'mule ignores SIGTERM']
    assert not is_running(stage.pids['mule'])


async def test_one_more_is_started_while_the_others_run_and_kept_alive(stage):
    supervisor = stage.supervisor(stage.child('one'))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started')
    supervisor.add(stage.child('two'))
    await stage.until('two started')
    os.kill(stage.pids['two'], signal.SIGKILL)
    await eventually(lambda: stage.noted.count('two started') == 2)
    assert supervisor.keeps('two') and supervisor.knows('two') and not supervisor.knows('three')
    supervisor.stop()
    assert await running == 0
    assert sorted(stage.noted) == ['one hung up', 'one started', 'two hung up', 'two started', 'two started']


async def test_one_that_is_removed_may_finish_and_is_not_started_again(stage):
    supervisor = stage.supervisor(stage.child('one'), stage.child('two'))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started', 'two started')
    supervisor.remove('two')
    assert not supervisor.keeps('two') and supervisor.knows('two'), 'its name is taken until it has ended'
    await eventually(lambda: not supervisor.knows('two'))
    assert not running.done() and stage.said == []
    supervisor.add(stage.child('two'))
    await eventually(lambda: stage.noted.count('two started') == 2)
    supervisor.stop()
    assert await running == 0
    assert stage.noted.count('one started') == 1


async def test_one_that_is_removed_and_does_not_end_is_killed(stage):
    supervisor = stage.supervisor(stage.child('one'), stage.child('mule', stubborn=True, grace_s=0.1))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started', 'mule started')
    supervisor.remove('mule')
    await eventually(lambda: not supervisor.knows('mule'))
    assert not is_running(stage.pids['mule'])
    supervisor.stop()
    assert await running == 0


async def test_one_that_is_removed_before_its_next_start_does_not_start(stage):
    supervisor = stage.supervisor(stage.child('one'), stage.child('frail', exit=3), backoff=Backoff(first_s=60))
    running = asyncio.create_task(supervisor.run())
    await eventually(lambda: len(stage.said) == 1)
    supervisor.remove('frail')
    await eventually(lambda: not supervisor.knows('frail'))
    supervisor.stop()
    assert await running == 0
    assert stage.noted.count('frail started') == 1


async def test_one_that_was_asked_to_leave_stays_away(stage):
    supervisor = stage.supervisor(stage.child('one'), stage.child('two', left=0))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started', 'two started')
    child = next(child for child in supervisor._children if child.spec.name == 'two')
    child._process.stdin.write(b'leave\n')
    await eventually(lambda: stage.said != [])
    assert stage.said == ['two has left, as it was asked to; it is not started again.']
    assert not supervisor.keeps('two') and supervisor.knows('two'), 'its name is not given to another one'
    assert not running.done()
    supervisor.stop()
    assert await running == 0


async def test_one_that_breaks_while_it_leaves_is_started_again(stage):
    supervisor = stage.supervisor(stage.child('one', left=1))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started')
    supervisor._children[0]._process.stdin.write(b'leave\n')
    await eventually(lambda: stage.noted.count('one started') == 2)
    supervisor.stop()
    await running
    assert 'one ended with exit code 1; it is started again' in stage.said[0]


async def test_a_spare_one_that_cannot_start_does_not_stop_the_others(stage):
    supervisor = stage.supervisor(stage.child('one'))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started')
    broken = stage.child('broken', exit=78, report={'error': 'There is no room.'})
    broken.spare = True
    supervisor.add(broken)
    await eventually(lambda: stage.said == ['There is no room.'])
    assert not supervisor.keeps('broken') and supervisor.knows('broken') and not running.done()
    supervisor.stop()
    assert await running == 0


async def test_a_second_ctrl_c_kills_at_once(stage):
    supervisor = stage.supervisor(stage.child('mule', stubborn=True, grace_s=60))
    running = asyncio.create_task(supervisor.run())
    await stage.until('mule started')
    os.kill(os.getpid(), signal.SIGINT)
    await stage.until('mule hung up')
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(PATIENCE_S):
        await running
    assert stage.noted == ['mule started', 'mule hung up']


async def test_a_child_that_cannot_start_says_why_and_all_stops(stage):
    supervisor = stage.supervisor(
        stage.child('newer', exit=78, report={'error': 'queue.db was written by a newer Corral.'}), stage.child('other')
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await supervisor.run() == 1
    assert stage.said == ['queue.db was written by a newer Corral.']
    assert stage.noted.count('newer started') == 1


async def test_a_child_that_never_gets_ready_is_given_up(stage):
    supervisor = stage.supervisor(stage.child('broken', exit=1, report={}), stage.child('other'))
    async with asyncio.timeout(PATIENCE_S):
        assert await supervisor.run() == 1
    assert stage.noted.count('broken started') == 6
    errors = stage.folder / 'broken.err'
    assert stage.said[-1] == f'broken cannot start; it ended with exit code 1. Details: {errors}'


async def test_a_program_that_is_missing_is_said(stage):
    ghost = ProcessSpec(name='ghost', argv=('/no/such/program',), settings_json='{}')
    async with asyncio.timeout(PATIENCE_S):
        assert await stage.supervisor(ghost).run() == 1
    assert stage.said[0] == 'ghost does not start: No such file or directory'
    assert 'exit code 127' in stage.said[-1]


async def test_only_json_objects_count_as_reports(stage):
    supervisor = stage.supervisor(stage.child('one', report={'ready': True, 'port': 7}))
    running = asyncio.create_task(supervisor.run())
    await stage.until('one started')
    supervisor.stop()
    await running
    assert stage.reports == [('one', {'ready': True, 'port': 7})]


def test_a_killed_parent_leaves_no_orphan(stage):
    specs = [stage.child(name) for name in ('one', 'two')]
    program = textwrap.dedent(f"""
        import asyncio, json, sys
        from pathlib import Path
        from app.launching.supervisor import ProcessSpec, Supervisor
        specs = [ProcessSpec(name=name, argv=argv, settings_json=text) for name, argv, text in json.loads(sys.argv[1])]
        show = lambda pids: Path('pids').write_text(json.dumps(dict(pids)))
        folder = Path({str(stage.folder)!r})
        asyncio.run(Supervisor(specs, folder=folder, errors_dir=folder, say=print, on_pids=show).run())
    """)
    told = json.dumps([(spec.name, spec.argv, spec.settings_json) for spec in specs])
    with subprocess.Popen(
        [sys.executable, '-c', program, told], cwd=stage.folder, env=os.environ | {'PYTHONPATH': str(ROOT)}
    ) as parent:
        wait_for(lambda: len(stage.noted) == 2, 40, 'both children started')
        pids = json.loads((stage.folder / 'pids').read_text()).values()
        parent.kill()
    wait_for(lambda: not any(is_running(pid) for pid in pids), 40, 'no orphan')
    assert sorted(stage.noted)[0] == 'one hung up'


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something that other processes do; nothing wakes us for it."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
