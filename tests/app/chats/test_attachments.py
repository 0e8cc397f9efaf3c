"""Pictures and texts that are attached: what is taken, what is refused, and whose they are."""

import time
from types import SimpleNamespace

import pytest

from app.chats.attachments import MOST_FILES, MOST_PICTURE_BYTES, MOST_TEXT_BYTES, UNDO_S, Attachments
from app.chats.chat_refusal import ChatError
from app.desk import DRAFT_S, Desk, DeskError
from app.messages import Conversation, File
from broker.errors import KEPT_FREE_BYTES

PNG = b'\x89PNG\r\n\x1a\n' + bytes(20)


async def test_a_picture_is_kept_as_it_is_and_a_name_without_its_folders(desk):
    attachments = Attachments(desk)
    file = await attachments.add('../../etc/`shot`\n.png', PNG, width=640, height=480)
    assert (file.name, file.media_type, file.size, file.width, file.height) == ('shot.png', 'image/png', 28, 640, 480)
    assert await attachments.one(file.id) == (file, PNG)
    assert await attachments.one('nothing') is None


@pytest.mark.parametrize(
    'data',
    [
        'héllo\n你好\tx'.encode(),
        b'\xef\xbb\xbf' + 'héllo\n你好\tx'.encode(),
        'héllo\n你好\tx'.encode('utf-16'),
        'héllo\n你好\tx'.encode('gb18030'),
        'héllo\r\n你好\tx'.encode(),
    ],
)
async def test_texts_are_read_in_the_encodings_people_have(desk, data):
    attachments = Attachments(desk)
    file = await attachments.add('a.txt', data)
    assert (await attachments.read([file]))[file.id].decode() == 'héllo\n你好\tx'


@pytest.mark.parametrize(
    ('data', 'code'),
    [
        (b'', 'file_empty'),
        (b'\x7fELF\x02\x01\x01\x00', 'file_kind'),
        (b'GIF89a\x01\x00\x01\x00', 'file_kind'),
        (b'\xff\xff\xff', 'file_kind'),
        (b'a' * (MOST_TEXT_BYTES + 1), 'file_large'),
        (PNG + bytes(MOST_PICTURE_BYTES), 'file_large'),
    ],
)
async def test_what_cannot_be_taken_is_refused(desk, data, code):
    with pytest.raises(ChatError) as refused:
        await Attachments(desk).add('x', data)
    assert refused.value.code == code


async def test_a_file_belongs_to_the_conversation_it_was_sent_in(desk):
    attachments = Attachments(desk)
    file = await attachments.add('a.txt', b'a')
    assert await attachments.claim([file.id, file.id], 'one') == (file,)
    assert await attachments.claim([file.id], 'one') == (file,), 'a question may be asked anew'
    with pytest.raises(ChatError, match='file_gone'):
        await attachments.claim([file.id], 'two')
    with pytest.raises(ChatError, match='file_gone'):
        await attachments.claim(['nothing'], 'one')
    with pytest.raises(ChatError, match='too_many'):
        await attachments.claim([f'{n}' for n in range(MOST_FILES + 1)], 'one')


async def test_pictures_that_fit_no_request_together_are_refused(desk):
    attachments = Attachments(desk)
    ids = [(await attachments.add('p', PNG + bytes(1_500_000))).id for _ in range(2)]
    with pytest.raises(ChatError, match='files_large'):
        await attachments.claim(ids, 'one')
    assert len(await attachments.claim(ids[:1], 'two')) == 1, 'what was refused is still free'


async def test_all_files_have_a_total_and_forgotten_ones_make_room(desk):
    attachments = Attachments(desk, most_bytes=30)
    old = await attachments.add('old', b'a' * 20)
    with pytest.raises(ChatError, match='file_room') as refused:
        await attachments.add('b', b'b' * 11)
    assert refused.value.values == {'limit': 30}
    await attachments.add('c', b'c' * 10)
    long_ago = time.time() - DRAFT_S - 1
    await desk.run(lambda db: db.execute('UPDATE files SET created_at = ? WHERE id = ?', (long_ago, old.id)).fetchall())
    kept = await attachments.add('b', b'b' * 11)
    assert list(await attachments.read([old, kept])) == [kept.id]
    await desk.put(Conversation(id='gone', title='', created_at=1, updated_at=1, model='m', priority=5))
    await attachments.claim([kept.id], 'gone')
    await desk.set_deleted('gone', time.time() - UNDO_S - 1)
    assert await attachments.add('d', b'd' * 20)


async def test_a_part_of_the_disk_is_kept_for_what_runs(desk, monkeypatch):
    monkeypatch.setattr('app.chats.attachments.shutil.disk_usage', lambda _: SimpleNamespace(free=KEPT_FREE_BYTES + 3))
    await Attachments(desk).add('a', b'aaa')
    with pytest.raises(DeskError, match='full'):
        await Attachments(desk).add('a', b'aaaa')


async def test_files_of_deleted_conversations_go_and_those_of_drafts_after_a_while(tmp_path):
    desk = await Desk.open(tmp_path / 'desk.db')
    attachments = Attachments(desk)
    names = ('kept', 'deleted', 'draft', 'old')
    files = {name: await attachments.add(name, name.encode()) for name in names}
    for name in ('kept', 'deleted'):
        await desk.put(Conversation(id=name, title='', created_at=1, updated_at=1, model='m', priority=5))
        await attachments.claim([files[name].id], name)
    await desk.set_deleted('deleted', 1.0)
    old = time.time() - DRAFT_S - 1
    await desk.run(lambda db: db.execute('UPDATE files SET created_at = ? WHERE name = ?', (old, 'old')).fetchall())
    await desk.close()
    desk = await Desk.open(tmp_path / 'desk.db')
    left = await Attachments(desk).read(files.values())
    await desk.close()
    assert sorted(map(bytes.decode, left.values())) == ['draft', 'kept']


def test_only_pictures_are_shown_as_pictures():
    assert File(id='1', name='a', media_type='image/jpeg', size=1).picture
    assert not File(id='1', name='a.png', media_type='text/plain', size=1).picture
