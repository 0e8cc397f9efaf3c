"""What a start tells its user, with a stand-in for the desk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, clean_environment, wait_for

pytestmark = pytest.mark.whole

# Waits for something, is ready only after the user has heard of that, and says so twice; then it ends the whole
DESK = """
import json, os, pathlib, signal, sys, time
settings = json.loads(sys.stdin.readline())
def report(**fields):
    print(json.dumps(fields), flush=True)
report(waiting_for='worker')
log = pathlib.Path(settings['data_dir'], 'logs', 'run.log')
while 'Not ready yet' not in log.read_text():
    time.sleep(0.01)
report(ready=True, port=4321)
report(ready=True, port=4321)
while not pathlib.Path(settings['until']).exists():
    time.sleep(0.01)
print(pathlib.Path(settings['data_dir'], 'corral.lock').read_text(), file=sys.stderr)
os.kill(os.getppid(), signal.SIGTERM)
sys.stdin.read()
"""

START = """
import json, sys
from pathlib import Path
from app import settings
from app.launching import launch
from app.launching.supervisor import ProcessSpec
launch.PATIENCE_S = 0.3
folder, program, until, *flags = sys.argv[1:]
def compose(chosen):
    text = json.dumps({'data_dir': str(chosen.data_dir), 'until': until, 'port': 0})
    return [ProcessSpec(name='app', argv=(sys.executable, '-I', '-S', '-c', program), settings_json=text)]
chosen = settings.LaunchSettings(data_dir=Path(folder) / 'data', port=0, no_browser='--no-browser' in flags)
sys.exit(launch.launch(chosen, compose, Path(folder)))
"""


@pytest.fixture
def browser(tmp_path) -> Path:
    """A browser that writes down what it is asked to open."""
    path = tmp_path / 'browser'
    path.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    path.chmod(0o700)
    return path


def start(tmp_path, browser, until, *flags):
    environ = clean_environment() | {'PYTHONPATH': str(ROOT), 'DISPLAY': ':99', 'BROWSER': f'{browser} %s'}
    command = [sys.executable, '-c', START, str(tmp_path), DESK, str(until), *flags]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def log(tmp_path):
    return (tmp_path / 'data' / 'logs' / 'run.log').read_text()


def test_it_says_once_that_it_is_ready_and_before_that_what_is_missing(tmp_path, browser):
    opened = tmp_path / 'opened'
    with start(tmp_path, browser, opened) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, 'Corral is ready: http://127.0.0.1:4321\n')
    missing = f'Not ready yet: waiting for a worker. Logs: {tmp_path}/data/logs'
    assert err.splitlines() == ['Starting broker, 0 workers and desk …', missing, 'Stopping.']
    assert opened.read_text() == 'http://127.0.0.1:4321\n'
    assert 'action=open_browser' in log(tmp_path)
    held_by = json.loads((tmp_path / 'data' / 'logs' / 'app.err').read_text())
    assert (held_by['pid'], held_by['url']) == (process.pid, 'http://127.0.0.1:4321')


def test_no_browser_is_opened_when_none_is_wanted(tmp_path, browser):
    until = tmp_path / 'until'
    with start(tmp_path, browser, until, '--no-browser') as process:
        assert process.stdout.readline().startswith('Corral is ready')
        until.touch()
        process.communicate(timeout=20)
    assert 'action=open_browser' not in log(tmp_path)


def test_a_closed_terminal_stops_it_in_order(tmp_path, browser):
    with start(tmp_path, browser, tmp_path / 'never', '--no-browser') as process:
        assert process.stdout.readline().startswith('Corral is ready')
        process.stdout.close()
        process.stderr.close()
        pids = json.loads((tmp_path / 'data' / 'run' / 'processes.json').read_text())
        os.kill(process.pid, 1)  # SIGHUP
        assert process.wait(40) == 0
    wait_for(lambda: not Path(f'/proc/{pids["app"]}').exists(), 40, 'the desk is gone')
