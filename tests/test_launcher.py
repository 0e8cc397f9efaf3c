"""What happens before anything is started: settings, the data directory, the checks."""

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import run
from app import cli, ollama_address, settings
from app.launching import data_dir, environment, launch
from app.launching.supervisor import Backoff
from broker import addresses


def load(flags=None, environ=None, *, cwd, toml=None):
    if toml is not None:
        (cwd / 'corral.toml').write_text(toml)
    return settings.load(flags or {}, environ or {}, run.tables(), cwd=cwd, root=cwd)


def refused(**how):
    with pytest.raises(settings.SettingsError) as caught:
        load(**how)
    return str(caught.value)


@pytest.mark.parametrize(
    ('text', 'url'),
    [
        ('', 'http://127.0.0.1:11434'),
        ('gpu', 'http://gpu:11434'),
        ('gpu:1', 'http://gpu:1'),
        ('http://gpu', 'http://gpu:80'),
        ('https://gpu', 'https://gpu:443'),
        ('https://gpu:8443/ollama/', 'https://gpu:8443/ollama'),
        ('ollama.com', 'https://ollama.com:443'),
        ('0.0.0.0', 'http://127.0.0.1:11434'),
        ('0.0.0.0:9', 'http://127.0.0.1:9'),
        (':8000', 'http://127.0.0.1:8000'),
        ('[::]:7', 'http://127.0.0.1:7'),
        ('::1', 'http://[::1]:11434'),
        ('[::1]:7', 'http://[::1]:7'),
        ('gpu:99999', 'http://gpu:11434'),
        ('gpu:x', 'http://gpu:11434'),
        (' "gpu" ', 'http://gpu:11434'),
    ],
)
def test_ollama_host_means_what_it_means_to_ollama(text, url):
    assert ollama_address.parse(text) == url


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(tmp_path):
    toml, environ = 'port = 1\n', {'CORRAL_PORT': '2'}
    assert load(cwd=tmp_path).settings.port == 8080
    assert load(cwd=tmp_path, toml=toml).settings.port == 1
    assert load(cwd=tmp_path, toml=toml, environ=environ).settings.port == 2
    assert load(cwd=tmp_path, toml=toml, environ=environ, flags={'port': 3}).settings.port == 3


def test_ollama_host_counts_less_than_our_own_variable_and_more_than_the_file(tmp_path):
    toml, host, ours = 'ollama_url = "http://file:1"', {'OLLAMA_HOST': 'https://h'}, {'CORRAL_OLLAMA_URL': 'ours:3'}
    assert load(cwd=tmp_path, toml=toml).settings.ollama_url == 'http://file:1'
    assert load(cwd=tmp_path, toml=toml, environ=host).settings.ollama_url == 'https://h:443'
    assert load(cwd=tmp_path, toml=toml, environ=host | ours).settings.ollama_url == 'http://ours:3'


def test_each_room_has_a_table(tmp_path):
    toml = '[broker]\nlease_ttl_s = 3\n[worker]\nidle_timeout_s = 7.5\n[app]\nallowed_hosts = ["desk.lan"]\n'
    environ = {'CORRAL_WORKER__IDLE_TIMEOUT_S': '8', 'CORRAL_APP__ALLOWED_HOSTS': 'a.lan, b.lan'}
    assert load(cwd=tmp_path, toml=toml).settings.broker.lease_ttl_s == 3
    assert load(cwd=tmp_path, toml=toml).settings.app.allowed_hosts == ('desk.lan',)
    both = load(cwd=tmp_path, toml=toml, environ=environ).settings
    assert (both.broker.lease_ttl_s, both.worker.idle_timeout_s) == (3, 8)
    assert both.app.allowed_hosts == ('a.lan', 'b.lan')


@pytest.mark.parametrize(
    ('flag', 'value', 'what'),
    [
        ('--port', 'abc', 'a whole number'),
        ('--workers', 'abc', 'a whole number, or a range like 1..4'),
        ('--workers', '1..', 'a whole number, or a range like 1..4'),
        ('--workers', '1..2..3', 'a whole number, or a range like 1..4'),
        ('--workers', '4..1', '1 to 64, or a range of these like 1..4, the smaller one first'),
        ('--workers', '1..65', '1 to 64, or a range of these like 1..4, the smaller one first'),
        ('--slots', 'abc', 'a whole number, or auto'),
        ('--slots', '0', '1 to 64, or auto'),
    ],
)
def test_a_flag_that_is_no_number_is_refused_in_one_sentence(flag, value, what, capsys):
    assert cli.run([flag, value], lambda chosen: [], run.tables) == 2
    assert capsys.readouterr().err == f'{flag} {value} is not allowed: it should be {what}.\n'


@pytest.mark.parametrize(
    ('how', 'workers', 'slots'),
    [
        ({'flags': {'workers': '1..3'}}, (1, 3), (1, 1, 1)),
        ({'environ': {'CORRAL_WORKERS': '2..2', 'CORRAL_SLOTS': '2'}}, (2, 2), (2, 2)),
        ({'toml': 'workers = "2..3"\nslots = "auto"'}, (2, 3), (0, 0, 0)),
        ({'toml': 'workers = 2'}, (2, 2), (0, 0)),
        ({}, None, (0,)),
        ({'flags': {'slots': 4}}, None, (4,)),
        ({'flags': {'workers': 2, 'slots': 'auto'}}, (2, 2), (0, 0)),
    ],
)
def test_workers_are_a_number_or_a_range_and_slots_a_number_or_measured(tmp_path, how, workers, slots):
    found = load(cwd=tmp_path, **how).settings
    assert (found.workers, found.slots_by_worker()) == (workers, slots)
    assert found.follows_load == (workers is not None and workers[0] < workers[1])


def test_another_file_can_be_named(tmp_path):
    (tmp_path / 'other.toml').write_text('port = 5\ndata_dir = "here"')
    by_flag = load({'config': Path('other.toml')}, cwd=tmp_path, toml='port = 1').settings
    assert (by_flag.port, by_flag.data_dir) == (5, tmp_path / 'here')
    assert load(environ={'CORRAL_CONFIG': str(tmp_path / 'other.toml')}, cwd=tmp_path).settings.port == 5


@pytest.mark.parametrize(
    ('toml', 'words'),
    [
        ('prot = 1', ['corral.toml', '"prot"', '"port"']),
        ('[broker]\nlease = 1', ['"broker.lease"', '"lease_ttl_s"']),
        ('[brokr]\nlease_ttl_s = 1', ['"brokr"', '"broker"']),
        ('qqq = 1', ['"qqq"', 'settings here are: host, port,', '[worker]']),
        ('port = 70000', ['corral.toml: port = 70000', 'less than or equal to 65535']),
        ('port = "x"', ["port = 'x'", 'a whole number']),
        ('engine = "vllm"', ["'auto', 'ollama' or 'demo'"]),
        ('ollama_url = "ftp://x"', ['http://127.0.0.1:11434']),
        ('ollama_url = "gpu::x"', ["ollama_url = 'gpu::x'", 'http://127.0.0.1:11434']),
        ('[broker]\nlease_ttl_s = 0', ['broker.lease_ttl_s = 0', 'greater than 0']),
        ('[workers]\nidle_timeout_s = 1', ['[worker]']),
        ('broker = 1', ['[broker]']),
        ('port = 1\nhost = x', ['not valid TOML', 'line 2']),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_with_file_key_and_what_is_allowed(tmp_path, toml, words):
    sentence = refused(cwd=tmp_path, toml=toml)
    assert '\n' not in sentence
    assert str(tmp_path / 'corral.toml') in sentence
    assert [word for word in words if word not in sentence] == [], sentence


def test_a_mistake_elsewhere_names_its_place(tmp_path):
    assert refused(cwd=tmp_path, environ={'CORRAL_PORT': 'x'}).startswith('CORRAL_PORT=x is not allowed')
    assert refused(cwd=tmp_path, flags={'workers': 0}).startswith('--workers 0 is not allowed')
    assert 'no such file' in refused(cwd=tmp_path, flags={'config': 'none.toml'})


def test_an_unknown_variable_is_only_warned_about(tmp_path):
    loaded = load(cwd=tmp_path, environ={'CORRAL_PROT': '1', 'CORRAL_CHROMIUM': '/x', 'CORRAL_PORT': ''})
    assert loaded.warnings == ('CORRAL_PROT is not a setting (did you mean "CORRAL_PORT"?).',)
    assert loaded.settings.port == 8080


def test_restarts_wait_longer_and_longer_until_a_run_lasts():
    backoff = Backoff()
    assert [backoff.after(0) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert [backoff.after(31), backoff.after(1)] == [0.2, 0.4]


def test_a_data_directory_is_private_and_held_by_one(tmp_path):
    path = tmp_path / 'data'
    with data_dir.hold(path) as held:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        held.note(pid=os.getpid(), url='http://127.0.0.1:8080')
        with pytest.raises(data_dir.DataDirError) as second, data_dir.hold(path):
            pass
    assert str(second.value) == (
        f'{path} is in use by Corral (pid {os.getpid()}, http://127.0.0.1:8080). Stop it or choose another --data-dir.'
    )
    with data_dir.hold(path):
        assert json.loads((path / data_dir.LOCK).read_text()) == {'pid': os.getpid()}


def test_a_folder_with_other_things_in_it_keeps_its_mode_and_ours_stay_private(tmp_path):
    """``--data-dir /tmp`` must not lock everybody else out of it."""
    shared = tmp_path / 'shared'
    shared.mkdir()
    shared.chmod(0o755)
    (shared / 'of somebody else').touch()
    for _ in range(2):
        with data_dir.hold(shared):
            assert stat.S_IMODE(shared.stat().st_mode) == 0o755
            for ours in ('logs', 'run', data_dir.LOCK):
                assert not (shared / ours).stat().st_mode & 0o077


def test_a_killed_holders_children_are_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(data_dir, 'ENDING_S', 0.1)
    with data_dir.hold(tmp_path / 'data') as held:
        with subprocess.Popen([sys.executable, '-c', 'pass']) as ended:
            pass
        held.note(pid=ended.pid)
        with pytest.raises(data_dir.DataDirError, match=f'in use by Corral .pid {ended.pid}.'):
            data_dir.hold(tmp_path / 'data').__enter__()


def test_a_data_directory_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(data_dir.DataDirError, match=r'cannot be written to: not a directory\. .*--data-dir'):
        data_dir.hold(tmp_path / 'file' / 'data').__enter__()


@pytest.mark.parametrize('host', ['0.0.0.0', '192.168.1.5', 'desk.lan', '::'])
def test_only_loopback_is_listened_on(tmp_path, host):
    why = 'Corral has no login yet, so it only listens on this machine (127.0.0.1).'
    assert refused(cwd=tmp_path, flags={'host': host}) == f'--host {host} is not allowed: {why}'


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost', '::1', '[::1]', '127.0.0.9'])
def test_loopback_is_fine(tmp_path, host):
    assert load(cwd=tmp_path, environ={'CORRAL_HOST': host}).settings.host == host


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    toml = 'port = "x"\n[broker]\nmax_waiting = 0\n[[broker.groups]]\nmodels = []\n'
    told = sorted(line.partition(': ')[2] for line in refused(cwd=tmp_path, toml=toml).splitlines())
    assert [line.partition(' ')[0] for line in told] == ['broker.groups', 'broker.max_waiting', 'port']
    assert '0.models' in told[0]


def test_a_list_of_tables_is_json_in_the_environment(tmp_path):
    groups = json.dumps([{'models': ['qwen*'], 'labels': ['gpu']}])
    (group,) = load(cwd=tmp_path, environ={'CORRAL_BROKER__GROUPS': groups}).settings.broker.groups
    assert (group.models, group.labels) == (('qwen*',), ('gpu',))


def test_a_taken_port_is_one_sentence():
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(launch.CannotLaunch, match=f'Port {port} on 127.0.0.1 is in use by another program'):
            launch.check_port('127.0.0.1', port)
    launch.check_port('127.0.0.1', port)


def test_sockets_are_files_in_a_private_folder(tmp_path):
    folder = tmp_path / 'd'
    folder.mkdir()
    places = addresses.choose(folder)
    assert places.client == f'ipc://{folder}/run/client'
    assert stat.S_IMODE((folder / 'run').stat().st_mode) == 0o700
    assert places.broker_secret == ''


def test_a_long_path_gets_a_short_folder_for_its_sockets(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv('XDG_RUNTIME_DIR', short)
        deep = tmp_path / ('x' * 90)
        places = addresses.choose(deep)
        folder = Path(places.client.removeprefix('ipc://')).parent
        assert folder.parent == Path(short)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert addresses.choose(deep) == places
        folder.rmdir()
        folder.symlink_to('/')
        with pytest.raises(addresses.UnsafeFolder):
            addresses.choose(deep)


def test_tcp_has_keys_of_its_own_and_only_the_broker_has_its_secret(tmp_path):
    first, second = (addresses.choose(tmp_path, 'tcp') for _ in range(2))
    assert first.client.startswith('tcp://127.0.0.1:')
    assert len({first.broker_secret, second.broker_secret, first.peer_secret, second.peer_secret}) == 4
    assert first.for_peers().broker_secret == ''
    assert first.broker_secret not in repr(first)


def test_compose_gives_each_room_its_settings_and_the_stop_order(tmp_path):
    loaded = load({'data_dir': tmp_path, 'workers': 2, 'slots': 2, 'port': 0, 'engine': 'demo'}, cwd=tmp_path, toml='')
    specs = {spec.name: spec for spec in run.compose(loaded.settings)}
    assert sorted(specs, key=lambda name: specs[name].stop_order) == ['app', 'worker-1', 'worker-2', 'broker']
    workers = [json.loads(specs[name].settings_json) for name in ('worker-1', 'worker-2')]
    assert [each['slots'] for each in workers] == [2, 2]
    assert {each['engine'] for each in workers} == {'demo'}
    assert workers[0]['worker'] != workers[1]['worker']
    assert sum(spec.grace_s + 0.5 for name, spec in specs.items() if name != 'worker-2') < 10


def test_of_a_range_of_workers_the_least_start_and_the_rest_is_spare(tmp_path):
    loaded = load({'data_dir': tmp_path, 'workers': '2..4', 'engine': 'demo'}, cwd=tmp_path)
    specs = {spec.name: spec for spec in run.compose(loaded.settings)}
    assert [name for name, spec in specs.items() if spec.spare] == ['worker-3', 'worker-4']
    assert {json.loads(specs[f'worker-{place}'].settings_json)['slots'] for place in (1, 2, 3, 4)} == {1}
    names = [json.loads(specs[f'worker-{place}'].settings_json)['worker'] for place in (1, 2, 3, 4)]
    assert [name.rpartition(':')[2] for name in names] == ['1', '2', '3', '4']


def test_the_command_line_is_complete_and_knows_its_version(capsys):
    flags = '--host --port --data-dir --config --engine --ollama-url --workers --slots --log-level --no-browser'
    assert cli.run(['--help'], None, None) == 0
    text = capsys.readouterr().out
    assert [flag for flag in flags.split() if flag not in text] == []
    assert cli.run(['--version'], None, None) == 0
    assert capsys.readouterr().out.startswith('Corral ')


def test_a_wrong_flag_or_setting_ends_with_code_2(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.run(['--prot', '1'], None, run.tables) == 2
    assert '--port' in capsys.readouterr().err
    assert cli.run(['--engine', 'vllm'], None, run.tables) == 2
    assert capsys.readouterr().err.startswith('--engine vllm is not allowed')
    assert cli.run(['--host', '0.0.0.0', '--data-dir', str(tmp_path / 'd')], None, run.tables) == 2
    assert not (tmp_path / 'd').exists()


@pytest.mark.parametrize('windows', [False, True])
def test_the_environment_gets_a_command_that_does_what_run_py_does(tmp_path, windows):
    root = tmp_path / 'it is here'
    (folder := root / '.venv' / ('Scripts' if windows else 'bin')).mkdir(parents=True)
    (root / 'run.py').write_text('import os, sys; print(os.environ["_CORRAL_PROGRAM"], *sys.argv[1:])')
    environment.write_command(root / '.venv', root, windows=windows)
    file = folder / ('corral.cmd' if windows else 'corral')
    assert str(root / 'run.py') in file.read_text()
    if not windows:
        (folder / 'python').symlink_to(sys.executable)
        said = subprocess.run([file, 'list', '--user', 'a b'], capture_output=True, text=True, check=True).stdout
        assert said == 'corral list --user a b\n'
    file.write_text('mine')
    environment.write_command(root / '.venv', root, windows=windows)
    assert file.read_text() == 'mine', 'it is made once'


def test_one_worker_more_is_like_the_others_but_for_its_slots(tmp_path):
    loaded = load({'data_dir': tmp_path, 'engine': 'demo', 'worker': {'labels': 'gpu,big'}}, cwd=tmp_path)
    endpoints = addresses.choose(tmp_path, 'tcp')
    spec = run.one_worker(loaded.settings, endpoints, 'host:extra-1')
    found = json.loads(spec.settings_json)
    assert (found['worker'], found['slots'], found['labels']) == ('host:extra-1', 1, ['gpu', 'big'])
    assert (spec.name, found['endpoints']['broker_secret']) == ('worker-host-extra-1', '')
