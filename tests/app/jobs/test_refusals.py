"""What a page says when the queue refuses: a sentence in its language, with the time where the queue names one."""

import pytest

from app.i18n import Speech
from app.jobs import refusals
from broker import errors


@pytest.mark.parametrize(
    ('error', 'en', 'zh'),
    [
        (errors.Refused('queue_full', '', 5.0), 'The queue is full. Try again in about 5 s.', '请大约 5 秒后再试。'),
        (errors.Refused('queue_full', ''), 'Wait until some jobs have ended', '请等一些任务结束后再试。'),
        (errors.Refused('disk_full', '', 30.0), '32 MB are kept free for what runs.', '请腾出一些空间后再试。'),
        (errors.Refused('conflict', ''), 'take a new key.', '请换一个新的键。'),
        (errors.Refused('unknown_job', ''), 'is not there any more.', '它的前置任务已不存在。'),
        (errors.Refused('not_waiting', ''), 'It is running already', '任务已经开始运行'),
        (errors.Refused('never heard of', 'x'), 'The queue refused that.', '队列拒绝了这个操作。'),
        (errors.BrokerUnreachable(), 'The queue does not answer; nothing was changed.', '什么都没有改变。'),
    ],
)
def test_every_refusal_is_a_sentence_in_both_languages(error, en, zh):
    assert en in refusals.why(error, Speech('en'))
    assert zh in refusals.why(error, Speech('zh'))
