"""A conversation is a tree: what is shown is one way through it, and nothing beside it is lost."""

from app.chats.branches import Branches
from app.messages import ROOT, Message


def message(name, parent=''):
    role = 'user' if name[0] == 'q' else 'assistant'
    return Message(id=name, conversation_id='c', role=role, content=name, parent=parent)


# q1 → a1 → q2 → a2, a second answer b1 to q1 with q3 behind it, and another first question q0
TREE = [
    message('q1'),
    message('a1'),
    message('q2'),
    message('a2'),
    message('b1', 'q1'),
    message('q3', 'b1'),
    message('a3', 'q3'),
    message('q0', ROOT),
    message('a0', 'q0'),
]


def shown(last):
    return [each.id for each in Branches(TREE).shown(last)]


def test_messages_without_a_parent_follow_each_other():
    branches = Branches(TREE[:4])
    assert [each.id for each in branches.shown('')] == ['q1', 'a1', 'q2', 'a2']
    assert branches.parent_of('q1') == ROOT and branches.parent_of('q2') == 'a1'
    assert branches.turn('a1') == (1, 1)


def test_what_is_shown_goes_over_the_message_and_down_to_the_end():
    assert shown('a2') == ['q1', 'a1', 'q2', 'a2']
    assert shown('b1') == ['q1', 'b1', 'q3', 'a3']
    assert shown('a0') == ['q0', 'a0']
    assert shown('not there any more') == shown('') == ['q0', 'a0'], 'else the newest'
    assert Branches([]).shown('') == []


def test_turning_leads_from_one_version_to_the_next_and_stops_at_the_ends():
    branches = Branches(TREE)
    assert (branches.turn('a1'), branches.turn('b1'), branches.turn('q1'), branches.turn('q0')) == (
        (1, 2),
        (2, 2),
        (1, 2),
        (2, 2),
    )
    assert branches.turned('a1', 1) == branches.turned('a1', 9) == 'a3'
    assert branches.turned('b1', -1) == branches.turned('b1', -9) == 'a2'
    assert branches.turned('q1', 1) == 'a0'


def test_the_way_to_a_message_is_what_its_answer_has_to_know():
    branches = Branches(TREE)
    assert [each.id for each in branches.path('q3')] == ['q1', 'b1', 'q3']
    assert branches.path(ROOT) == []
    assert branches.followed('b1') and not branches.followed('a3')


def test_a_message_whose_parent_is_gone_follows_the_one_before_it():
    branches = Branches([message('q1'), message('a1', 'lost')])
    assert [each.id for each in branches.shown('')] == ['q1', 'a1']
