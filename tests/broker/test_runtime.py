"""Settings that are changed while the broker runs: checked, in force at once, and kept."""

import json

import pytest

from broker import errors, protocol, thread
from broker.client import BrokerClient, new_job_id
from broker.endpoints import Endpoints
from broker.runtime import CHANGEABLE, Runtime, Wrong
from broker.settings import BrokerSettings
from tests.broker.desk import RULES, Desk


@pytest.fixture
def configured(tmp_path):
    endpoints = Endpoints(**{side: f'ipc://{tmp_path}/{side[0]}' for side in ('client', 'worker', 'facts')})
    return BrokerSettings(data_dir=tmp_path, endpoints=endpoints, running=3)


def test_a_change_is_checked_and_says_which_setting_is_wrong(configured):
    runtime = Runtime(configured)
    runtime.change({'rate': '10 per min', 'keep_dead': '1 d'}, ())
    assert runtime.settings.limits().rate.step_s == 6 and runtime.settings.running == 3
    for values, field in (
        ({'rate': 'often'}, 'rate'),
        ({'keep_completed': 'long'}, 'keep_completed'),
        ({'running': -1}, 'running'),
        ({'data_dir': '/'}, 'data_dir'),
        ({'no_such': 1}, 'no_such'),
    ):
        with pytest.raises(Wrong) as wrong:
            runtime.change({'keep_jobs': 7, **values}, ())
        assert wrong.value.field == field and str(wrong.value).startswith(field)
    assert runtime.changes == {'rate': '10 per min', 'keep_dead': '1 d'}, 'one wrong value changes nothing'
    runtime.change({}, ('rate',))
    assert runtime.changes == {'keep_dead': '1 d'} and not runtime.settings.rate


def test_what_was_kept_comes_back_and_what_no_longer_fits_does_not(configured):
    runtime = Runtime(configured)
    runtime.change({'model_rates': {'m': '2 per min'}, 'running': 1}, ())
    assert Runtime.restored(configured, runtime.kept()).settings == runtime.settings
    old = Runtime.restored(configured, {**runtime.kept(), 'running': '"many"', 'gone': '1', 'keep_jobs': '{'})
    assert old.changes == {'model_rates': {'m': '2 per min'}}


def test_nothing_secret_is_told(configured):
    told = json.loads(Runtime(configured).told())
    assert set(told) >= CHANGEABLE and not {'endpoints', 'data_dir'} & set(told)


def test_a_limit_that_falls_lets_waiting_jobs_start_at_once():
    desk = Desk(RULES._replace(limits=RULES.limits._replace(running=1)))
    desk.join('w', slots=3)
    for number in (1, 2, 3):
        desk.submit(number)
    assert [desk.state(number) for number in (1, 2, 3)] == ['running', 'waiting', 'waiting']
    desk.did(desk.core.change(RULES._replace(limits=RULES.limits._replace(running=2)), (), desk.now))
    assert [desk.state(number) for number in (1, 2, 3)] == ['running', 'running', 'waiting']
    desk.core.check()
    desk.did(desk.core.change(RULES._replace(limits=RULES.limits._replace(user_running=2)), (), desk.now))
    assert desk.state(3) == 'waiting'
    desk.did(desk.core.change(RULES, (), desk.now))
    assert desk.state(3) == 'running'


async def test_settings_are_changed_over_the_wire_and_outlive_a_restart(configured):
    def job():
        return protocol.Submit(job_id=new_job_id(), kind='chat', model='m', body=b'{}')

    with thread.running(configured):
        async with BrokerClient(configured.endpoints) as broker:
            told = await broker.settings()
            assert json.loads(told.values)['running'] == 3 and not told.changed and 'running' in told.changeable
            told = await broker.set_settings(b'{"max_waiting": 1, "running": 5}')
            assert told.changed == ('max_waiting', 'running') and json.loads(told.configured)['running'] == 3
            await broker.submit(job())
            with pytest.raises(errors.Refused, match='1 jobs are waiting'):
                await broker.submit(job())
            for wrong in (b'{"running": "x"}', b'{"lease_ttl_s": 1}', b'[]', b'{'):
                with pytest.raises(errors.Refused) as refused:
                    await broker.set_settings(wrong)
                assert refused.value.code == 'invalid'
    with thread.running(configured):
        async with BrokerClient(configured.endpoints) as broker:
            told = await broker.settings()
            assert json.loads(told.values)['max_waiting'] == 1
            with pytest.raises(errors.Refused, match='1 jobs are waiting'):
                await broker.submit(job())
            assert (await broker.set_settings(b'{}', ('max_waiting', 'running'))).changed == ()
            await broker.submit(job())
