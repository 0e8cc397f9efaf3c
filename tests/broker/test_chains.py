"""Who waits for whom: links come loose when jobs end, and a circle is named."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.chains import Chains, arrange, sentence

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine


def test_a_job_is_free_when_the_last_it_waited_for_is_completed():
    chains = Chains()
    chains.add('c', ['a', 'b'])
    chains.add('d', ['b'])
    assert chains.completed('a') == []
    assert chains.completed('b') == ['c', 'd']
    chains.check([])


def test_a_job_that_ends_leaves_no_link_behind():
    chains = Chains()
    chains.add('c', ['a', 'b'])
    chains.remove('c')
    assert chains.completed('a') == []
    assert chains.followers('b') == []
    chains.check([])


def test_jobs_are_arranged_behind_those_they_wait_for():
    order, circles = arrange({'c': ['b', 'elsewhere'], 'a': [], 'b': ['a'], 'd': ['a', 'c']})
    assert (order, circles) == (['a', 'b', 'c', 'd'], {})


def test_a_circle_is_found_and_named_also_for_those_who_wait_for_it():
    order, circles = arrange({'a': ['c'], 'b': ['a'], 'c': ['b'], 'd': ['a'], 'e': ['e'], 'f': []})
    assert order == ['f']
    assert set(circles) == {'a', 'b', 'c', 'd', 'e'}
    assert set(circles['d']) == {'a', 'b', 'c'}
    assert circles['e'] == ('e',)
    assert sentence(circles['e']) == 'these jobs would wait for each other for ever: e after e'
    assert sentence(('a', 'c', 'b')).endswith(': a after c after b after a')
    assert sentence([str(n) for n in range(99)]).endswith('after 9 after …')


def test_a_long_chain_is_arranged_without_recursion():
    order, circles = arrange({str(n): [str(n + 1)] for n in range(50_000)})
    assert order[0] == '49999' and order[-1] == '0' and not circles
    _, circles = arrange({str(n): [str((n + 1) % 50_000)] for n in range(50_000)})
    assert len(circles) == len(circles['7']) == 50_000


@PATIENT
@given(st.dictionaries(st.integers(0, 9).map(str), st.lists(st.integers(0, 9).map(str), max_size=3)))
def test_every_job_is_either_arranged_or_in_a_circle_or_behind_one(after):
    order, circles = arrange(after)
    assert sorted([*order, *circles]) == sorted(after)
    for place, job_id in enumerate(order):
        assert all(order.index(other) < place for other in after[job_id] if other in after)
    for circle in circles.values():
        for job_id, other in zip(circle, [*circle[1:], circle[0]], strict=True):
            assert other in after[job_id]


@PATIENT
@given(
    st.lists(st.tuples(st.integers(0, 7), st.sets(st.integers(0, 7), min_size=1, max_size=3)), max_size=8),
    st.lists(st.tuples(st.booleans(), st.integers(0, 7)), max_size=20),
)
def test_links_agree_with_a_plain_model(jobs, steps):
    chains, model = Chains(), {}
    for number, missing in jobs:
        if number not in model and number not in missing:
            model[number] = set(missing)
            chains.add(str(number), map(str, missing))
    for completes, number in steps:
        if completes:
            free = {each for each, missing in model.items() if missing == {number}}
            assert set(chains.completed(str(number))) == set(map(str, free))
            model = {each: missing - {number} for each, missing in model.items() if each not in free}
        else:
            chains.remove(str(number))
            model.pop(number, None)
        chains.check(map(str, model))
        for each in range(8):
            assert set(chains.followers(str(each))) == {str(n) for n, missing in model.items() if each in missing}
