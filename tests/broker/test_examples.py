"""The example in docs/jobs.md runs, word for word, against a real broker and the demo."""

import json
import subprocess
import sys

import pytest

from tests.broker.test_server import Broker, ipc
from tests.conftest import ROOT
from workers.engines.demo_models import MODEL


def example():
    text = (ROOT / 'docs' / 'jobs.md').read_text(encoding='utf-8')
    return text.partition('<!-- example -->')[2].partition('```python\n')[2].partition('```\n<!-- /example -->')[0]


@pytest.fixture
def folder(tmp_path):
    """A folder with a desk's endpoints in it, a broker, and a worker process on the demo."""
    run = tmp_path / 'data' / 'run'
    run.mkdir(parents=True)
    broker = Broker(tmp_path, ipc(tmp_path))
    (run / 'endpoints.json').write_text(broker.endpoints.for_peers().model_dump_json(), encoding='utf-8')
    broker.start()
    settings = {
        'worker': 'demo:1',
        'engine': 'demo',
        'slots': 4,
        'demo_chars_per_s': 1e6,
        'endpoints': json.loads(broker.endpoints.for_peers().model_dump_json()),
        'data_dir': str(tmp_path / 'data'),
    }
    worker = subprocess.Popen(
        [sys.executable, '-m', 'workers'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    worker.stdin.write(json.dumps(settings).encode() + b'\n')
    worker.stdin.flush()
    yield tmp_path
    worker.stdin.close()
    worker.wait(20)
    worker.stdout.close()
    broker.stop()


def test_the_example_of_the_readme_runs(folder):
    code = example()
    assert f"MODEL = '{MODEL}'" in code
    (folder / 'example.py').write_text(code, encoding='utf-8')
    done = subprocess.run(
        [sys.executable, 'example.py'],
        cwd=folder,
        env={'PYTHONPATH': str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, done.stderr.decode()
    assert sum(line.startswith('completed ') for line in lines) == 3
    assert lines[-2:] == ['True', 'conflict']
    assert any(line.startswith('Morning news (') for line in lines)
