"""The examples in docs/apis.md do what they say, against the running desk."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT, clean_environment

pytestmark = pytest.mark.whole
SECTION = (ROOT / 'docs' / 'apis.md').read_text(encoding='utf-8').partition('\n## APIs\n')[2].partition('\n## ')[0]
EXAMPLES = re.findall(r'```(bash|python)\n(.*?)```', SECTION, re.DOTALL)


def test_there_are_examples_for_both_doors_and_both_languages():
    assert [language for language, _ in EXAMPLES] == ['bash', 'python', 'bash', 'python', 'python']


@pytest.mark.parametrize(('language', 'text'), EXAMPLES, ids=lambda value: value[:40])
def test_an_example_prints_an_answer(url, language, text):
    if language == 'bash' and shutil.which('curl') is None:
        pytest.skip('no curl')
    text = text.replace('http://127.0.0.1:8080', url).replace('\\\n', ' ')
    command = shlex.split(text) if language == 'bash' else [sys.executable, '-c', text]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert '**Markdown**' in done.stdout or '"done":true' in done.stdout
