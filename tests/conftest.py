"""Shared by all tests. The two big ones:

``corral`` starts the real product, as a user does, and stops it after the test::

    @pytest.mark.whole
    def test_something(corral):
        desk = corral('--engine', 'demo')          # more flags as you like; env={'CORRAL_…': '…'} too
        httpx.get(desk.url + '/health')
        os.kill(desk.pid('worker-1'), signal.SIGKILL)
        desk.wait_restarted('worker-1', before)    # its new process id
        desk.stop()                                # returns the exit code; otherwise done after the test

``chromium_path`` is a Chromium to drive; without one the test is skipped, except in CI, where it fails.
"""

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent
READY = 'Corral is ready: '
PATIENCE_S = 45  # what has not come by then does not come; a busy machine may need many times what a quiet one does
BROWSERS = (
    'chromium-headless-shell',  # without windows: a page costs half of what it does in the others
    'chromium',
    'chromium-browser',
    'google-chrome',
    'google-chrome-stable',
    'chrome',
)


def pytest_configure() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, which our own children would inherit."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module that has nothing of what ``-m`` asks for: the browser tests are few, and all modules many."""
    asked = config.getoption('markexpr')
    if asked not in {'browser', 'not browser'} or not collection_path.match('test_*.py'):
        return None
    text = collection_path.read_text(encoding='utf-8')
    if asked == 'browser':
        return True if 'browser.MARKS' not in text and 'mark.browser' not in text else None
    return True if '\npytestmark = [*browser.MARKS' in text else None


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end anyway: NiceGUI's tests collect before and after each test."""
    _spare()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Also what has come to stay with a module, as what it has imported has."""
    yield
    if nextitem is None or nextitem.path != item.path:
        _spare()


def _spare() -> None:
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """What was spared can go."""
    gc.unfreeze()


@pytest.fixture(scope='session')
def chromium_path() -> str:
    """The path of a Chromium: ``CORRAL_CHROMIUM``, or the first on the PATH."""
    named = os.environ.get('CORRAL_CHROMIUM')
    found = named if named and Path(named).is_file() else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return found
    why = 'no Chromium: install one, or name it in CORRAL_CHROMIUM'
    if os.environ.get('CI') == 'true':
        pytest.fail(why)
    pytest.skip(why)


class Corral:
    """The product, running."""

    def __init__(self, process: 'subprocess.Popen[str]', data_dir: Path, stderr: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self.stderr_path = stderr
        self.url = ''
        self.lines: list[str] = []  # all of stdout
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def stderr(self) -> str:
        """What it has told the user besides the ready line."""
        return self.stderr_path.read_text(encoding='utf-8')

    def wait_ready(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait for the ready line; fails with what Corral said if it does not come."""
        with self._news:
            self._news.wait_for(self._told, timeout_s)
        ready = [line for line in self.lines if line.startswith(READY)]
        if not ready:
            pytest.fail(f'Corral is not ready (exit code {self.process.poll()}): {self.stderr}{self.logs()}')
        self.url = ready[0].removeprefix(READY).strip()

    def pids(self) -> dict[str, int]:
        """Process ids by name: run, broker, worker-1, …, app."""
        return json.loads((self.data_dir / 'run' / 'processes.json').read_text())

    def pid(self, name: str) -> int:
        """The process id of one of them."""
        return self.pids()[name]

    def kill(self, name: str) -> int:
        """``kill -9`` one of them; returns the id that it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, name: str, old_pid: int, timeout_s: float = PATIENCE_S) -> int:
        """Wait until ``name`` runs as another process; returns its id."""
        return wait_for(lambda: (pid := self.pids().get(name)) != old_pid and pid, timeout_s, f'{name} runs again')

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.wait_ended(timeout_s)

    def wait_ended(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end; returns the exit code."""
        try:
            return self.process.wait(timeout_s)
        finally:
            self._clean_up()

    def logs(self) -> str:
        """The ends of its log files, for a failure's message."""
        files = sorted((self.data_dir / 'logs').glob('*'))
        return ''.join(f'\n--- {file.name}\n{file.read_text(errors="replace")[-3000:]}' for file in files)

    def _told(self) -> bool:
        return any(line.startswith(READY) for line in self.lines) or not self._reader.is_alive()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip('\n'))
                self._news.notify_all()
        with self._news:
            self._reader = threading.Thread()  # not alive: there will be no more lines
            self._news.notify_all()

    def _clean_up(self) -> None:
        """End what is left; children end by themselves once their parent is gone."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(40)


@pytest.fixture
def corral(tmp_path: Path) -> Iterator[Callable[..., Corral]]:
    """A function that starts the product and waits until it is ready; see the top of this file."""
    with starter(tmp_path) as start:
        yield start


@contextlib.contextmanager
def starter(tmp_path: Path) -> Iterator[Callable[..., Corral]]:
    """What the fixture ``corral`` is, for fixtures that keep it longer than for one test.

    ``data_dir`` (default: one per test, so a second call after ``stop`` finds the first one's data), ``env`` (more
    variables), ``ready=False`` (do not wait), ``timeout_s`` (for the ready line).
    """
    running: list[Corral] = []

    def start(
        *flags: str,
        data_dir: Path | None = None,
        env: dict[str, str] | None = None,
        ready: bool = True,
        timeout_s: float = PATIENCE_S,
    ) -> Corral:
        folder = data_dir or tmp_path / 'data'
        (tmp_path / 'corral.toml').touch()  # it comes before a developer's own beside run.py
        stderr = tmp_path / f'stderr-{len(running)}'
        command = [sys.executable, str(ROOT / 'run.py'), '--no-browser', '--data-dir', str(folder)]
        command += [] if '--port' in flags else ['--port', '0']
        with stderr.open('w') as errors:
            process = subprocess.Popen(
                [*command, *flags],
                cwd=tmp_path,
                env=clean_environment() | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        desk = Corral(process, folder, stderr)
        running.append(desk)
        if ready:
            desk.wait_ready(timeout_s)
        return desk

    try:
        yield start
    finally:  # also where what needed it went wrong
        for desk in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                desk.stop()
            assert desk.process.stdout
            desk._reader.join(5) if desk._reader.is_alive() else None
            desk.process.stdout.close()


def clean_environment() -> dict[str, str]:
    """Ours, less what would change how Corral runs. It stays with the Python of the tests."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in {'PYTEST_CURRENT_TEST', 'OLLAMA_HOST', 'DISPLAY', 'WAYLAND_DISPLAY'}
        and not name.startswith(('NICEGUI_', 'CORRAL_'))
    }
    return ours | {'CORRAL_NO_SETUP': '1'}


def is_running(pid: int) -> bool:
    """Whether a process is there; one that has ended and only waits to be reaped is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> object:
    """Wait until ``condition()`` is true and return it; fails with ``what`` when it is not in time.

    For things of other processes only, which nothing wakes us for. How quick something is has to be measured.
    """
    timeout_s = max(timeout_s, PATIENCE_S)
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f'not in {timeout_s:g} s: {what}')
        time.sleep(0.02)
    return found
