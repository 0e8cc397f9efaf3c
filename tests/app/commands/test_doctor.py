"""doctor: what it finds, and what it says to do."""

import asyncio
import importlib.metadata
import socket

import apsw
import msgspec
import pytest

from app import i18n
from app.commands import checkup
from app.commands.checkup import OK, PROBLEM, WARNING
from broker.client import BrokerClient
from tests.standin import StandIn
from workers.engines import address


def states(findings):
    return {each.what: each.state for each in findings}


@pytest.mark.whole
def test_a_corral_that_runs_is_well(call, desk):
    ended = call('doctor', '-o', 'json')
    found = {each['what']: each for each in ended.json}
    assert found['Corral']['detail'].startswith(f'runs (pid {desk.process.pid}, {desk.url})')
    assert found['data directory']['state'] == found['Python']['state'] == 'ok'
    assert '1 slots' not in found['worker']['detail']
    assert found['queue.db']['detail'].endswith('in use')
    assert ended.code == (1 if any(each['state'] == 'problem' for each in ended.json) else 0)
    assert 'Corral' in call('doctor').out


def test_without_a_corral_the_port_is_looked_at(bare, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / 'corral.toml').write_text(f'port = {port}\nengine = "demo"\n')
        ended = bare('doctor', '--data-dir', 'd', '-o', 'json')
    found = {each['what']: each for each in ended.json}
    assert ended.code == 1
    assert found['port']['state'] == 'problem'
    assert f'Port {port} on 127.0.0.1 is in use' in found['port']['detail']
    assert found['Corral']['detail'] == 'does not run'
    assert not (tmp_path / 'd').exists(), 'it only looks'
    (tmp_path / 'corral.toml').write_text('port = 0\nengine = "demo"\n')
    assert states_of(bare('doctor', '--data-dir', 'd', '-o', 'json'))['port'] == 'ok'


async def test_the_models_of_an_ollama_that_answers_are_named():
    async with StandIn() as ollama:
        found = {each.what: each for each in await asyncio.to_thread(lambda: [*checkup.ollama(ollama.url, 'auto')])}
    assert found['Ollama'].detail.endswith(f' at {ollama.url}')
    assert (found['models'].state, bool(found['models'].detail)) == (OK, True)


def states_of(ended):
    return {each['what']: each['state'] for each in ended.json}


def test_a_wrong_setting_is_a_finding(bare, tmp_path):
    (tmp_path / 'corral.toml').write_text('prot = 1\n')
    ended = bare('doctor')
    assert ended.code == 1
    assert '"prot" is not a setting' in ended.out
    assert 'settings: Correct that' in ended.out


def test_packages_are_compared_with_the_lock(tmp_path):
    lock = tmp_path / 'requirements.txt'
    here = importlib.metadata.version('typer')
    lock.write_text(f'typer=={here} \\\n    --hash=sha256:0\nwinonly==1 ; sys_platform == "win32"\n')
    assert next(checkup.packages(lock)) == ('packages', OK, '1 as locked', '')
    lock.write_text('typer==0.0.1 \\\n    --hash=sha256:0\nnot-there-at-all==1 \\\n')
    (found,) = checkup.packages(lock)
    assert found.state == PROBLEM
    assert found.detail == f'typer is {here} instead of 0.0.1; not-there-at-all is missing'


def test_a_data_directory_that_others_can_read_is_a_problem(tmp_path):
    path = tmp_path / 'd'
    path.mkdir(mode=0o700)
    assert states(checkup.folder(path))['data directory'] == OK
    (path / 'queue.db').touch(mode=0o600)
    assert states(checkup.folder(path))['data directory'] == OK
    (path / 'queue.db').chmod(0o644)
    found = next(checkup.folder(path))
    assert (found.state, 'queue.db is not private' in found.detail) == (PROBLEM, True)
    assert f'chmod -R go-rwx {path}' in found.advice
    assert states(checkup.folder(tmp_path / 'not' / 'there'))['data directory'] == OK


def test_a_full_disk_is_seen(tmp_path, monkeypatch):
    for free, state in ((10e9, OK), (1e9, WARNING), (1e6, PROBLEM)):
        monkeypatch.setattr(checkup.shutil, 'disk_usage', lambda path, free=free: type('', (), {'free': free}))
        assert states(checkup.folder(tmp_path))['disk'] == state


def test_a_database_that_is_damaged_is_seen(tmp_path):
    connection = apsw.Connection(str(tmp_path / 'queue.db'))
    connection.execute('CREATE TABLE t(x); CREATE INDEX i ON t(x)')
    with connection:
        connection.executemany('INSERT INTO t VALUES(?)', [('x' * 500,) for _ in range(500)])
    connection.close()
    look = lambda: states(checkup.databases(tmp_path, thorough=False, in_use=False))  # noqa: E731
    assert look() == {'queue.db': OK, 'desk.db': OK}
    data = bytearray((tmp_path / 'queue.db').read_bytes())
    data[8192:40960] = bytes(32768)
    (tmp_path / 'queue.db').write_bytes(data)
    assert look()['queue.db'] == PROBLEM
    (tmp_path / 'queue.db').write_bytes(b'not a database' * 100)
    assert look()['queue.db'] == PROBLEM
    assert states(checkup.databases(tmp_path, thorough=False, in_use=True))['queue.db'] == OK


@pytest.mark.parametrize(
    ('url', 'rest'), [('http://127.0.0.1:11434', ':11434'), ('http://localhost', ':80'), ('https://[::1]:7/x', ':7/x')]
)
def test_an_engine_of_this_machine_is_named_as_workers_name_it(url, rest):
    assert checkup.place(url) == address.place(url) == socket.gethostname() + rest
    assert checkup.url_of(checkup.place(url)) == f'http://127.0.0.1{rest}'
    assert checkup.url_of('box.lan:443') == 'https://box.lan:443'


@pytest.mark.whole
def test_the_ollamas_that_the_workers_of_this_machine_use_are_asked_too(call, monkeypatch):
    ask, asked = BrokerClient.snapshot, []

    async def snapshot(self):
        found = await ask(self)
        (worker,) = found.workers
        places = ((socket.gethostname(), 'box.lan:1'), ('other', 'other:2'), (socket.gethostname(), ''))
        workers = tuple(msgspec.structs.replace(worker, host=host, backend=place) for host, place in places)
        return msgspec.structs.replace(found, workers=workers)

    monkeypatch.setattr(BrokerClient, 'snapshot', snapshot)
    monkeypatch.setattr(checkup, 'ollama', lambda url, engine: asked.append((url, engine)) or iter(()))
    call('doctor')
    configured, *others = asked
    assert configured[0] == 'http://127.0.0.1:11434' and others == [('http://box.lan:1', 'ollama')]


@pytest.mark.parametrize(('engine', 'state'), [('auto', WARNING), ('ollama', PROBLEM), ('demo', OK)])
def test_an_ollama_that_is_away_counts_by_who_needs_it(engine, state):
    with socket.create_server(('127.0.0.1', 0)) as closed:
        url = f'http://127.0.0.1:{closed.getsockname()[1]}'
    (found,) = checkup.ollama(url, engine)
    assert (found.state, found.detail) == (state, f'{url} does not answer (connection refused)')
    assert ('built-in demo answers' in found.advice) == (engine == 'auto')


def test_what_the_checks_find_is_a_sentence_in_english_that_a_page_says_in_chinese():
    speech = i18n.Speech('zh')
    advice = checkup.Told('Until then the built-in demo answers. {advice}', advice=checkup.Told('Ollama has none'))
    assert advice == 'Until then the built-in demo answers. Ollama has none'
    assert advice.said(speech.tr, '；') == '在此之前由内置的演示引擎回答。Ollama 里还没有模型'
    wrong = tuple(checkup.Told('{name} is missing', name=name) for name in ('{a}', 'b'))
    assert checkup.Told('{parts}', parts=wrong) == '{a} is missing; b is missing'
    assert checkup.Told('{parts}', parts=wrong).said(speech.tr, '；') == '缺少 {a}；缺少 b'
