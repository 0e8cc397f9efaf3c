"""Records of programs stay, in order."""

import pytest

from app.desk import Desk
from app.records import Records


@pytest.fixture
async def records(tmp_path):
    desk = await Desk.open(tmp_path / 'desk.db')
    made = Records(desk)
    for number in range(5):
        await made.put('file', f'f{number}', b'%d' % number, tag='even' if number % 2 == 0 else 'odd')
    await made.put('batch', 'f0', b'another')
    yield made
    await desk.close()


async def test_records_are_given_in_pages(records):
    assert await records.page('file', limit=2) == ([b'4', b'3'], True)
    assert await records.page('file', after='f3', limit=3) == ([b'2', b'1', b'0'], False)
    assert await records.page('file', after='f3', newest_first=False) == ([b'4'], False)
    assert await records.page('file', tag='odd', newest_first=False) == ([b'1', b'3'], False)
    assert await records.page('file', after='nobody') == ([], False)


async def test_a_record_that_is_changed_keeps_its_place(records):
    await records.put('file', 'f1', b'new', tag='even')
    assert await records.get('file', 'f1') == b'new' and await records.get('batch', 'f0') == b'another'
    assert await records.page('file', tag='even', newest_first=False) == ([b'0', b'new', b'2', b'4'], False)


async def test_a_record_that_is_dropped_is_gone(records):
    assert await records.drop('file', 'f4') and not await records.drop('file', 'f4')
    assert await records.get('file', 'f4') is None and await records.get('batch', 'f0') == b'another'
    await records.put('file', 'f5', b'5')
    assert (await records.page('file', limit=1))[0] == [b'5']
