"""Which data directory is meant, and who runs on it."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import run
from app import settings
from app.commands import place
from app.launching import data_dir
from broker.endpoints import Endpoints

HERE = Endpoints(client='ipc://c', worker='ipc://w', facts='ipc://f')


@pytest.mark.parametrize('toml', [None, 'port = 1', 'data_dir = "by_file"'])
@pytest.mark.parametrize('environ', [{}, {'CORRAL_DATA_DIR': 'by_environment'}])
@pytest.mark.parametrize('flag', [None, 'by_flag', '~/by_flag'])
def test_commands_mean_the_same_data_directory_as_a_start(tmp_path, toml, environ, flag):
    root, cwd = tmp_path / 'root', tmp_path / 'cwd'
    root.mkdir()
    cwd.mkdir()
    if toml:
        (root / 'corral.toml').write_text(toml)
    meant = place.data_dir(flag, None, environ, cwd, root)
    loaded = settings.load({'data_dir': flag}, environ, run.tables(), cwd=cwd, root=root).settings.data_dir
    assert meant == loaded or (meant == root / 'data' and loaded == settings.ROOT / 'data')


def test_a_file_that_is_named_counts_and_a_broken_one_is_one_sentence(tmp_path):
    (tmp_path / 'mine.toml').write_text('data_dir = "d"')
    assert place.data_dir(None, 'mine.toml', {}, tmp_path) == tmp_path / 'd'
    assert place.data_dir(None, None, {'CORRAL_CONFIG': 'mine.toml'}, tmp_path) == tmp_path / 'd'
    (tmp_path / 'mine.toml').write_text('data_dir = ')
    with pytest.raises(ValueError, match='not valid TOML'):
        place.data_dir(None, 'mine.toml', {}, tmp_path)
    with pytest.raises(ValueError, match='cannot be read: no such file'):
        place.data_dir(None, 'other.toml', {}, tmp_path)


def test_whoever_holds_a_data_directory_is_found_with_the_way_to_its_broker(tmp_path):
    assert place.running(tmp_path) is None
    with data_dir.hold(tmp_path) as held:
        assert place.running(tmp_path) is None, 'it has not come that far'
        held.write_endpoints(HERE.model_dump_json())
        held.note(pid=os.getpid(), url='http://127.0.0.1:1')
        assert place.running(tmp_path) == (os.getpid(), 'http://127.0.0.1:1', HERE)
        assert (tmp_path / data_dir.ENDPOINTS).stat().st_mode & 0o077 == 0
    assert place.running(tmp_path) is None
    assert not (tmp_path / data_dir.ENDPOINTS).exists()


def test_a_corral_that_was_killed_does_not_run(tmp_path):
    with data_dir.hold(tmp_path) as held, subprocess.Popen([sys.executable, '-c', 'pass']) as ended:
        ended.wait()
        held.write_endpoints(HERE.model_dump_json())
        held.note(pid=ended.pid)
        assert place.running(tmp_path) is None


@pytest.mark.parametrize('text', ['', '[]', '{"pid": "x"}', '{"pid": -1}', 'no json'])
def test_a_lock_file_with_something_else_in_it_is_nobodys(tmp_path, text):
    (tmp_path / data_dir.LOCK).write_text(text)
    (tmp_path / 'run').mkdir()
    (tmp_path / data_dir.ENDPOINTS).write_text(HERE.model_dump_json())
    assert place.running(tmp_path) is None


def test_the_endpoints_that_commands_get_hold_no_secret_of_the_broker(desk):
    found = json.loads((desk.data_dir / data_dir.ENDPOINTS).read_text())
    assert found['broker_secret'] == ''
    assert found['client'].startswith('ipc://')


def test_a_disk_that_is_full_stops_nothing_that_runs_and_is_said_at_a_start(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, 'No space left on device')

    with data_dir.hold(tmp_path / 'd') as held:
        held.write_pids({'broker': 2})
        monkeypatch.setattr(Path, 'write_text', full)
        held.write_pids({'broker': 3})
        assert json.loads((tmp_path / 'd' / 'run' / 'processes.json').read_bytes())['broker'] == 2
        with pytest.raises(data_dir.DataDirError, match='cannot be written to: no space left on device'):
            held.write_endpoints('{}')
        monkeypatch.undo()
