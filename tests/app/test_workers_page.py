"""What the workers page shows, as data; and what its buttons do."""

from app import machines
from app.board import Board
from app.pages import workers as page
from broker import facts, protocol, vitals
from broker.errand import Errand
from tests.app import news as n

GB = 10**9


def tell(board, worker, **fields):
    """How this worker is now, as the broker tells it."""
    known = next(each for each in board.workers() if each.worker == worker)
    named = {name: getattr(known, name) for name in known.__struct_fields__} | {'models': ()} | fields
    board.apply(protocol.WorkerOut(worker=protocol.WorkerInfo(**named)), n.T0)


def board_with(*items):
    board = Board()
    n.feed(board, *items)
    return board


def state(board, now=n.T0):
    return machines.state_of(board, lambda job_id, conversation: 'A title', now)


def test_a_machine_shows_its_load_and_its_workers_their_slots():
    news = n.News()
    board = board_with(
        news.joined('h:1', host='h', slots=2), news.joined('h:2', host='h'), news.joined('g:1', host='g')
    )
    board.apply(news.queued('a', conversation_id='c', user='ana'), n.T0)
    board.apply(news.started('a', worker='h:1'), n.T0)
    gpu = vitals.Gpu(name='RTX', memory_total=24 * GB, memory_used=6 * GB)
    tell(board, 'h:2', vitals=vitals.Vitals(cpus=8, cpu_percent=25.0, memory_total=64, memory_used=16, gpus=(gpu,)))
    shown = state(board)
    assert shown['order'] == ['g', 'h']
    assert shown['machines']['h']['cpu'] == 25.0
    assert shown['machines']['h']['memory'] == [16, 64]
    assert shown['machines']['h']['gpus'] == [['RTX', 6 * GB, 24 * GB, None]]
    assert (shown['machines']['h']['busy'], shown['machines']['h']['slots']) == (1, 4)
    assert shown['machines']['g']['cpu'] is None
    assert shown['workers']['h:1']['jobs'] == ['a']
    assert (shown['jobs']['a']['title'], shown['jobs']['a']['user']) == ('A title', 'ana')


def test_workers_that_share_an_engine_share_its_models_wherever_they_run():
    news = n.News()
    board = board_with(*(news.joined(name, host=host) for name, host in (('a:1', 'a'), ('a:2', 'a'), ('b:1', 'b'))))
    for name in ('a:1', 'a:2', 'b:1'):
        tell(board, name, backend='a:11434')
    shown = state(board)
    assert list(shown['groups']) == ['a:11434']
    assert shown['groups']['a:11434']['workers'] == ['a:1', 'a:2']
    assert shown['machines']['b'] | {'groups': [], 'guests': ['b:1']} == shown['machines']['b']


def test_the_demo_beside_real_models_is_not_shown_as_one():
    news = n.News()
    real, demo = n.model('qwen3:latest'), facts.ModelInfo(name='demo', engine='demo', resident=True)
    board = board_with(news.joined('w', models=(real, demo)), news.joined('d', engine='demo', models=(demo,)))
    shown = state(board)
    assert [model['name'] for model in shown['groups']['w']['models']] == ['qwen3:latest']
    assert [model['name'] for model in shown['groups']['d']['models']] == ['demo']
    assert shown['machines']['h']['groups'] == ['w', 'd'], 'real engines come first'


def test_a_model_in_memory_shows_what_it_takes_and_until_when():
    news = n.News()
    loaded = vitals.Loaded(name='m', size_bytes=6 * GB, vram_bytes=3 * GB, expires_at=n.T0 + 300)
    board = board_with(
        news.joined('w', models=(facts.ModelInfo(name='m', engine='ollama', resident=True), n.model('k')))
    )
    tell(board, 'w', vitals=vitals.Vitals(loaded=(loaded,)))
    one, other = state(board)['groups']['w']['models']
    assert (one['memory'], one['vram'], one['expires']) == (6 * GB, 3 * GB, n.T0 + 300)
    assert (other['resident'], other['memory']) == (False, 0)


def test_health_is_shown_with_its_reason():
    news = n.News()
    sick = facts.ModelInfo(name='m', engine='ollama', problem='canary_failed')
    board = board_with(news.joined('w', models=(sick,), problem='breaker_open'), news.paused('worker', 'w'))
    tell(board, 'w', draining=True, last_token_at=n.T0 - 5, vitals=vitals.Vitals(breaker='open', breaker_code='busy'))
    worker = state(board)['workers']['w']
    assert (worker['problem'], worker['breaker_code'], worker['failing']) == ('breaker_open', 'busy', ['m'])
    assert (worker['paused'], worker['leaving'], worker['token']) == (True, True, n.T0 - 5)


def test_a_worker_that_went_is_shown_as_gone_until_it_is_back():
    news = n.News()
    board = board_with(news.joined('w'), news.left('w'))
    assert state(board)['gone']['w']['reason'] == 'lost'
    assert state(board)['order'] == []
    board.apply(news.joined('w'), n.T0)
    assert state(board)['gone'] == {}


def errand(errand_id='e', **fields):
    return Errand(errand_id=errand_id, worker='w', **{'action': 'pull', 'model': 'm', 'state': 'running', **fields})


def test_everybody_sees_the_same_errand_also_who_comes_later_and_not_for_ever():
    news = n.News()
    board = board_with(news.joined('w'), protocol.ErrandOut(errand=errand(completed=3, total=9)))
    assert state(board)['errands']['e']['completed'] == 3
    late = Board()
    late.restore(protocol.Snapshot(seq=1, jobs=(), workers=(), errands=(errand(completed=3, total=9),)), n.T0)
    assert state(late)['errands'] == state(board)['errands']
    board.apply(protocol.ErrandOut(errand=errand(state='done', ended_at=n.T0)), n.T0)
    assert 'e' in state(board)['errands']
    assert state(board, n.T0 + machines.SHOWN_ENDED_S + 1)['errands'] == {}


def test_how_an_errand_ended_is_told_until_the_next_one_of_the_same_model():
    news = n.News()
    load = errand('load', action='load', state='done', asked_at=n.T0, ended_at=n.T0)
    other = errand('other', action='load', model='other', state='done', asked_at=n.T0, ended_at=n.T0)
    board = board_with(news.joined('w'), protocol.ErrandOut(errand=load), protocol.ErrandOut(errand=other))
    assert set(state(board)['errands']) == {'load', 'other'}
    board.apply(protocol.ErrandOut(errand=errand('unload', action='unload', asked_at=n.T0 + 1)), n.T0 + 1)
    assert set(state(board)['errands']) == {'other', 'unload'}


def test_only_what_differs_is_sent():
    news = n.News()
    board = board_with(news.joined('w'), news.joined('v'))
    before = state(board)
    assert machines.difference(before, state(board, n.T0 + 9)) == {}
    tell(board, 'w', last_token_at=n.T0)
    patch = machines.difference(before, state(board))
    assert list(patch) == ['workers']
    assert list(patch['workers']['set']) == ['w']
    board.apply(news.left('v'), n.T0)
    assert machines.difference(before, state(board))['workers']['gone'] == ['v']


def test_news_of_machines_do_not_wake_those_who_wait_for_workers():
    news = n.News()
    board = board_with(news.joined('w'))
    woken = {'workers': 0, 'staff': 0}
    board.on_workers(lambda: woken.update(workers=woken['workers'] + 1))
    board.on_staff(lambda: woken.update(staff=woken['staff'] + 1))
    board.flush(n.T0)
    tell(board, 'w', last_token_at=n.T0)
    board.flush(n.T0 + 1)
    assert woken == {'workers': 1, 'staff': 1}
    tell(board, 'w', draining=True)
    board.flush(n.T0 + 2)
    assert woken == {'workers': 2, 'staff': 2}


def test_an_order_of_the_page_holds_what_was_clicked_and_nothing_else():
    order = page._order({'action': 'load', 'model': 'm', 'keep': -1})
    assert (order.action, order.model, order.keep_s) == ('load', 'm', -1.0)
    assert page._order({'action': 'pull', 'model': 'm', 'keep': 'x'}).keep_s == 0.0


def test_the_dialog_for_one_machine_more_shows_what_works_now(tmp_path):
    class Settings:
        data_dir = tmp_path / 'it is here'
        listen = ''

    class Parts:
        settings = Settings()

    closed = page.offer(Parts())
    assert "'" in closed['local'], 'a folder with spaces is quoted'
    assert closed['place'] == ''
    assert '--listen' in closed['example']
    Settings.listen = 'box:8090'
    assert (page.offer(Parts())['place'], page.offer(Parts())['example']) == ('tcp://box:8090', '')
