"""The examples of our own API in docs/apis.md do what they say, against the running desk."""

import re
import shutil
import subprocess

import pytest

from tests.conftest import ROOT, clean_environment

pytestmark = [pytest.mark.whole, pytest.mark.skipif(shutil.which('curl') is None, reason='no curl')]
TEXT = (ROOT / 'docs' / 'apis.md').read_text(encoding='utf-8')
SECTION = TEXT.partition('\n## Our own API\n')[2].partition('\n## ')[0]
EXAMPLES = re.findall(r'```bash\n(.*?)```', SECTION, re.DOTALL)
SAID = [
    ['"state":"completed"', '**Markdown**'],
    ['"kind":"chat"', 'event: line', 'event: end', '"complete":true', '"attempts":[{'],
    ['"secret":"whsec_'],
]


@pytest.mark.parametrize(('text', 'said'), list(zip(EXAMPLES, SAID, strict=True)), ids=range(len(SAID)))
def test_an_example_does_what_it_says(desk, text, said):
    text = text.replace('http://127.0.0.1:8080', desk)
    run = ['bash', '-euc', text]
    done = subprocess.run(run, capture_output=True, text=True, env=clean_environment(), timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for words in said:
        assert words in done.stdout, done.stdout
    assert '"error":{' not in done.stdout
