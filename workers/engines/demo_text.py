"""What the demo says: canned, honest about it, in the language of the question."""

import re

PULL = 'ollama pull qwen3'
_CJK = re.compile('[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]')
_QUOTE_CHARS = 120
_PUNCTUATION = re.compile(r'([!-/:-@\[-`{-~])')

_EN = """\
You asked:

> {quote}

I am the built-in **demo**, not a language model: this answer is canned. It shows how answers look here and that your \
question went through the queue, was run by a worker and came back token by token.

## A real model

Install [Ollama](https://ollama.com/download), then run one command:

```bash
{pull}
```

Corral finds Ollama by itself, without a restart; the model then shows up in the picker.

## What an answer may hold

Code, for example, with its language named:

```python
def fibonacci(count: int) -> list[int]:
    numbers = [0, 1]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[:count]


print(fibonacci(10))  # [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
```

And tables:

| Priority | Level | Good for |
|:---------|------:|:---------|
| Realtime | 15 | somebody is waiting for it right now |
| High | 10 | urgent questions |
| Normal | 5 | everyday chat |
| Low | 1 | long batches that may wait |

1. Jobs with a higher priority run first.
2. Within one level, whoever came first goes first.
3. **Stop** really stops: the worker closes its connection to the model.
"""

_ZH = """\
你的问题是：

> {quote}

我是内置的**演示引擎**，并不是语言模型：这段回答是事先写好的。它用来展示回答的样子，也说明你的问题已经排进队列、\
由工作进程处理，并逐字返回。

## 接入真正的模型

先安装 [Ollama](https://ollama.com/download)，再运行一条命令：

```bash
{pull}
```

Corral 会自动发现 Ollama，无需重启；之后就能在模型列表里选到它。

## 回答里可以有什么

比如标明语言的代码：

```python
def fibonacci(count: int) -> list[int]:
    numbers = [0, 1]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[:count]


print(fibonacci(10))  # [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
```

还有表格：

| 优先级 | 数值 | 适用场景 |
|:-------|-----:|:---------|
| 实时 | 15 | 有人正等着结果 |
| 高 | 10 | 紧急的问题 |
| 普通 | 5 | 日常对话 |
| 低 | 1 | 可以慢慢跑的批量任务 |

1. 优先级高的任务先运行。
2. 同一级别内，先到先得。
3. **停止**是真的停止：工作进程会断开与模型的连接。
"""


def answer(question: str) -> str:
    """The demo's answer in Markdown, in Chinese where the question has Chinese characters, else in English."""
    chinese = is_cjk(question)
    quote = quoted(question) or ('（空白）' if chinese else '(nothing)')
    return (_ZH if chinese else _EN).format(quote=quote, pull=PULL)


def thoughts(question: str) -> str:
    """What the demo plays to think, where thinking was asked for."""
    if is_cjk(question):
        return '用户问了一个问题。\n我是演示引擎，不会真的思考，\n所以直接给出写好的回答。'
    return 'The user asks a question.\nI am a demo and cannot really think,\nso I give the canned answer.'


def is_cjk(text: str) -> bool:
    """Whether there is a Chinese or Japanese character in it."""
    return _CJK.search(text) is not None


def quoted(text: str) -> str:
    """The first line with something in it, cut short, with everything escaped that Markdown or HTML could take up."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), '')
    line = ''.join(c if c.isprintable() else ' ' for c in line)
    if len(line) > _QUOTE_CHARS:
        line = line[:_QUOTE_CHARS].rstrip() + '…'
    return _PUNCTUATION.sub(r'\\\1', line)


_PIECE = re.compile(
    r'\\.'  # an escape stays in one piece
    r'|[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]{1,2}'
    r'|[ ]?[A-Za-z]{1,8}|[ ]?[0-9]{1,3}|\n+|[ ]{2,}|.',
    re.DOTALL,
)


def pieces(text: str) -> list[str]:
    """``text`` cut into parts about as long as a model's tokens; joined they are ``text`` again."""
    return _PIECE.findall(text)


def width(text: str) -> int:
    """How long it takes to say: characters, the wide ones counted twice."""
    return sum(2 if c >= '\u1100' else 1 for c in text)
