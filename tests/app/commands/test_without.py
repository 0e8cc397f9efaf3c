"""Commands where no Corral runs, or where it stops meanwhile; how quickly they start; what the help lists."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import run
from app import cli
from app.commands.group import COMMANDS
from app.launching import data_dir
from broker import addresses
from tests.conftest import ROOT, clean_environment

ALL = [
    ['list'], ['status'], ['watch'], ['result', 'last'], ['cancel', 'last'], ['priority', 'last', '1'],
    ['retry', 'last'], ['dead', 'list'], ['dead', 'replay', '--all'], ['dead', 'purge', '--older', '0'],
    ['cron', 'list'], ['cron', 'next'], ['batch', 'list'], ['workers'], ['pause'], ['resume'], ['drain'], ['stats'],
    ['export'], ['worker'], ['submit', 'chat', 'x'], ['submit', 'batch', 'corral.toml'],
]  # fmt: skip


@pytest.mark.parametrize('arguments', ALL, ids=' '.join)
def test_without_a_corral_one_sentence_says_how_to_start_one(bare, arguments, tmp_path):
    ended = bare(*arguments, '--data-dir', 'mine')
    assert (ended.code, ended.out) == (3, '')
    assert ended.err == (
        f'No Corral runs on {tmp_path / "mine"}. Start one with "python3 run.py --data-dir mine", '
        'or name the folder of another with --data-dir.\n'
    )
    assert not (tmp_path / 'mine').exists()


def test_a_word_that_an_option_does_not_know_is_said_with_those_that_it_does(bare):
    ended = bare('list', '--state', 'foo')
    assert ended.code == 2 and "Invalid value for '--state' / '-s': 'foo' is not one of 'blocked', 'wai" in ended.err


def test_a_data_directory_may_be_named_before_or_after_the_command(bare, tmp_path):
    for arguments in (['--data-dir', 'd', 'list'], ['list', '--data-dir', 'd'], ['list', '--config', 'other.toml']):
        (tmp_path / 'other.toml').write_text('data_dir = "d"')
        assert f'No Corral runs on {tmp_path / "d"}.' in bare(*arguments).err


def test_a_corral_whose_queue_does_not_answer_is_one_sentence(bare, tmp_path, monkeypatch):
    from broker import client

    monkeypatch.setattr(client.BrokerClient.__init__, '__kwdefaults__', {'timeout_s': 0.1})
    with data_dir.hold(tmp_path / 'd') as held:
        held.write_endpoints(addresses.choose(tmp_path / 'd').model_dump_json())
        ended = bare('list', '--data-dir', 'd')
    assert ended.code == 3
    assert ended.err.startswith(f'Corral (pid {os.getpid()}) does not answer.')
    assert ended.err.count('\n') == 1


@pytest.fixture
def apis(corral):
    """A Corral without pages, whose processes talk by TCP."""
    return corral('api', '--engine', 'demo', '--workers', '1', env={'CORRAL_TRANSPORT': 'tcp'})


@pytest.mark.whole
def test_the_apis_alone_serve_programs_and_commands_until_they_are_stopped(apis, start):
    assert apis.stderr == 'Starting broker, 1 worker and APIs …\n'
    assert httpx.get(f'{apis.url}/api/tags').json()['models'][0]['name'] == 'demo'
    page = httpx.get(apis.url, headers={'Accept': 'text/html'}, follow_redirects=True)
    assert page.text.startswith('Here are only the APIs of Corral.')
    _everybody_ends_with(apis, start)


def _everybody_ends_with(desk, start):
    """Who waits for a job, who watches, and who works for this Corral."""
    here = ('--data-dir', str(desk.data_dir))
    worker = start(*here, 'worker', '--engine', 'demo')
    watching = start(*here, 'watch')
    assert watching.stderr.readline() == 'Watching; Ctrl-C ends it.\n'
    waiting = start(*here, 'submit', 'chat', 'x', '--delay', '1h', '--wait')
    assert next(line for line in watching.stdout if 'queued' in line)
    assert ' is ready (demo). Ctrl-C ends it.' in worker.stderr.readline()
    assert desk.stop() == 0
    for process in (waiting, watching):
        _, err = process.communicate(timeout=20)
        assert process.returncode == 3
        assert err == 'Corral was stopped. What is in the queue goes on when it runs again.\n'
    _, err = worker.communicate(timeout=45)
    assert (worker.returncode, err) == (3, 'Corral was stopped, so this worker ends, too.\n')


def test_a_command_loads_neither_the_pages_nor_the_statistics(tmp_path):
    command = [sys.executable, '-X', 'importtime', ROOT / 'run.py', 'list', '--data-dir', tmp_path]
    ended = subprocess.run(command, env=clean_environment(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    loaded = {line.rpartition('|')[2].strip() for line in ended.stderr.splitlines() if line.startswith('import time')}
    assert 'app.commands.telling' in loaded
    assert not {'nicegui', 'duckdb', 'fastapi', 'app.startup', 'babel', 'rich', 'zmq.auth'} & loaded


def test_the_help_lists_every_command_once(bare):
    text = bare('--help').out
    shown = [
        line.split()[1]
        for line in text.partition('Commands')[2].splitlines()
        if line.startswith('│ ') and line[2] != ' '
    ]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(COMMANDS) | {'serve', 'api', 'test'}
    assert '130 interrupted' in text


@pytest.mark.parametrize('name', sorted(COMMANDS))
def test_each_command_has_a_help_of_its_own(bare, name):
    ended = bare(name, '--help')
    assert ended.code == 0
    assert 'Usage' in ended.out


@pytest.mark.parametrize('arguments', [['lst'], ['list', '--lmit', '3'], ['cron', 'ad'], ['list', '--state', 'x']])
def test_a_wrong_word_is_wrong_usage(bare, arguments):
    ended = bare(*arguments)
    assert (ended.code, ended.out) == (2, '')
    assert 'Error' in ended.err


def test_serve_and_api_take_the_options_of_a_start(monkeypatch, tmp_path, capsys):
    from app.launching import launch

    monkeypatch.chdir(tmp_path)
    (tmp_path / 'corral.toml').touch()
    seen = []
    monkeypatch.setattr(launch, 'launch', lambda chosen, compose, root: seen.append((chosen, compose)) or 0)
    for arguments in (['serve', '--port', '1'], ['--port', '1', 'serve'], ['--port', '1'], ['api', '--port', '1']):
        assert cli.run(arguments, run.compose, run.tables) == 0
    assert [chosen.port for chosen, _ in seen] == [1, 1, 1, 1]
    assert [getattr(compose, 'keywords', {}) for _, compose in seen] == [{}, {}, {}, {'pages': False}]
    assert seen[-1][0].no_browser


def test_shells_can_complete(bare, monkeypatch, capsys):
    script = bare('completion', 'bash').out
    assert '_CORRAL_COMPLETE=complete_bash' in script
    assert 'complete -o default -F _corral_completion corral' in script
    for words, found in (('corral cr', 'cron'), ('corral cron en', 'enable'), ('corral list --st', '--state')):
        env = clean_environment() | {
            '_CORRAL_COMPLETE': 'complete_bash', 'COMP_WORDS': words, 'COMP_CWORD': str(len(words.split()) - 1),
        }  # fmt: skip
        command = [sys.executable, str(ROOT / 'run.py')]
        ended = subprocess.run(command, env=env, cwd=Path.cwd(), capture_output=True, text=True, check=False)
        assert found in ended.stdout.split()
