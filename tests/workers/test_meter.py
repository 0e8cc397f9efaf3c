"""What an engine says of itself may be nonsense; what we pass on may not."""

import json

import msgspec
import pytest

from broker import protocol
from workers.engines.meter import Meter
from workers.engines.ollama import _model_info, _Tag


@pytest.mark.parametrize('nonsense', [-5, 1e30, 1e308])
def test_senseless_numbers_of_an_engine_become_ones_that_travel(nonsense):
    meter = Meter('chat', 'm')
    final = {'done': True, 'done_reason': 'x' * 100_000, 'eval_count': nonsense, 'prompt_eval_count': nonsense}
    meter.read(json.dumps({**final, 'eval_duration': nonsense, 'load_duration': nonsense}).encode(), 0.1)
    usage = meter.usage
    assert 0 <= usage.output_tokens <= 2**53 and 0 <= usage.decode_s <= 1e9 and 0 <= usage.load_s <= 1e9
    assert len(usage.done_reason) <= 100
    sent = protocol.Finished(job_id='0' * 32, epoch=1, lines=1, usage=usage)
    assert protocol.from_worker_in(protocol.encode(sent)) == [sent]


def test_a_model_of_a_senseless_size_can_be_announced():
    info = _model_info(_Tag(name='m', size=1e308))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(info.size_bytes)) == info.size_bytes
