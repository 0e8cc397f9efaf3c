"""One small Corral for all tests of the commands, and a way to call them as a shell would."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import run
from app import cli
from tests.conftest import ROOT, clean_environment, starter

SPEED = '20000'  # characters of the demo per second


class Ended:
    """How a command ended."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self):
        """What it printed, as one document."""
        return json.loads(self.out)

    @property
    def lines(self):
        """What it printed, as a JSON document in each line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope='package')
def desk(tmp_path_factory):
    """The Corral."""
    env = {'CORRAL_WORKER__DEMO_CHARS_PER_S': SPEED, 'CORRAL_BROKER__RETRY_BASE_S': '0.05'}
    with starter(tmp_path_factory.mktemp('corral')) as start:
        yield start('--engine', 'demo', '--workers', '1', '--slots', '2', env=env)


@pytest.fixture
def bare(tmp_path, monkeypatch, capsys):
    """A function that calls a command in this process, in an empty folder, and says how it ended."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'corral.toml').touch()
    for name in [name for name in os.environ if name.startswith('CORRAL_')]:
        monkeypatch.delenv(name)

    def call(*arguments, stdin=None):
        given = io.TextIOWrapper(io.BytesIO(stdin if isinstance(stdin, bytes) else (stdin or '').encode()))
        monkeypatch.setattr(sys, 'stdin', given)
        capsys.readouterr()
        code = cli.run(list(map(str, arguments)), run.compose, run.tables, run.one_worker)
        return Ended(code, *capsys.readouterr())

    return call


@pytest.fixture
def call(bare, desk):
    """The same for the Corral that runs."""
    return lambda *arguments, stdin=None: bare('--data-dir', desk.data_dir, *arguments, stdin=stdin)


@pytest.fixture
def start(desk, tmp_path):
    """A function that starts a command as a process of its own; it is ended after the test."""
    running = []

    def begin(*arguments, **how):
        command = [sys.executable, ROOT / 'run.py', '--data-dir', desk.data_dir, *arguments]
        given = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE} | how
        process = subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), text=True, **given)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def says(call):
    """A function that submits a chat which the demo answers with ``text``; returns how the command ended."""

    def ask(text, *arguments, **script):
        how = json.dumps({'text': text, 'chars_per_s': 1e6, **script})
        return call('submit', 'chat', 'a question', '--option', f'demo={how}', *arguments)

    return ask


def folder_of(path: Path) -> Path:
    """A private data directory."""
    path.mkdir(mode=0o700, exist_ok=True)
    return path
