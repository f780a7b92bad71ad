"""What coding agents need to use a server: their own settings, word for word, without a key in them.

Each names the key by an environment variable. Read of their documentation in 2026-11: Codex speaks /v1/responses only,
Claude Code /v1/messages, the others /v1/chat/completions.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from hettui.domain.records import dataclass
from hettui.domain.text import clean_line, single_quoted

KEY = "LLAMA_API_KEY"
NO_KEY = "none"
"""What stands in place of a key where the server asks for none: the clients want a word."""
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
USEFUL_TOKENS = 24 * 1024
"""Of context: agents begin with some ten thousand tokens of instructions and tools."""
_ANSWER_PART = 4
"""Of the context an answer may take: what is left is for the question."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that answers."""

    url: str
    """Without a slash at its end."""
    model: str
    """As its API names it."""
    ctx_tokens: int | None = None
    """Of one slot."""
    key_file: str | None = None
    """Where its keys are; None: it asks for none, or they are only in the environment."""
    has_key: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """One client, and what it has to be told."""

    name: str
    title: str
    api: str
    """What it asks."""
    where: str
    """Its file; empty: lines for a shell."""
    text: str


def agents(of: Endpoint) -> tuple[Agent, ...]:
    """All that are known, the plainest first."""
    return tuple(make(of) for make in _MAKERS)


def key_line(of: Endpoint) -> str:
    """How the key comes into the environment; it is not printed."""
    if not of.has_key:
        return f"export {KEY}={NO_KEY}"
    if of.key_file is None:
        return f"# {KEY} is in the environment already"
    return f"export {KEY}=\"$(grep -v -m1 -e '^#' -e '^$' {single_quoted(of.key_file)})\""


def _exports(**values: str) -> str:
    """A value that names the key's variable is expanded by the shell, any other is quoted."""
    return "\n".join(
        f"export {name}={value if value == f'${KEY}' else single_quoted(value)}" for name, value in values.items()
    )


def _plain(of: Endpoint) -> Agent:
    text = _exports(OPENAI_BASE_URL=f"{of.url}/v1", OPENAI_API_KEY=f"${KEY}", OPENAI_MODEL=of.model)
    return Agent("openai", "Any OpenAI client", CHAT, "", text)


def _claude(of: Endpoint) -> Agent:
    names = {f"ANTHROPIC_DEFAULT_{kind}_MODEL": of.model for kind in ("OPUS", "SONNET", "HAIKU")}
    text = _exports(ANTHROPIC_BASE_URL=of.url, ANTHROPIC_AUTH_TOKEN=f"${KEY}", ANTHROPIC_MODEL=of.model, **names)
    return Agent("claude", "Claude Code", MESSAGES, "", f"{text}\nclaude")


def _codex(of: Endpoint) -> Agent:
    lines = [
        f"model = {json.dumps(of.model)}",
        'model_provider = "hettui"',
        *([f"model_context_window = {of.ctx_tokens}"] if of.ctx_tokens else []),
        "",
        "[model_providers.hettui]",
        'name = "hettui"',
        f"base_url = {json.dumps(f'{of.url}/v1')}",
        f'env_key = "{KEY}"',
        'wire_api = "responses"',
    ]
    return Agent("codex", "Codex", RESPONSES, "~/.codex/config.toml", "\n".join(lines))


def _opencode(of: Endpoint) -> Agent:
    model: dict[str, object] = {"name": of.model}
    if of.ctx_tokens:
        model["limit"] = {"context": of.ctx_tokens, "output": of.ctx_tokens // _ANSWER_PART}
    document = {
        "model": f"hettui/{of.model}",
        "provider": {
            "hettui": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "hettui",
                "options": {"baseURL": f"{of.url}/v1", "apiKey": f"{{env:{KEY}}}"},
                "models": {of.model: model},
            }
        },
    }
    return Agent("opencode", "OpenCode", CHAT, "~/.config/opencode/opencode.json", json.dumps(document, indent=2))


def _qwen(of: Endpoint) -> Agent:
    text = _exports(OPENAI_BASE_URL=f"{of.url}/v1", OPENAI_API_KEY=f"${KEY}", OPENAI_MODEL=of.model)
    return Agent("qwen", "Qwen Code", CHAT, "", f"{text}\nqwen")


def _aider(of: Endpoint) -> Agent:
    text = _exports(OPENAI_API_BASE=f"{of.url}/v1", OPENAI_API_KEY=f"${KEY}")
    return Agent("aider", "Aider", CHAT, "", f"{text}\naider --model {single_quoted(f'openai/{of.model}')}")


_MAKERS: tuple[Callable[[Endpoint], Agent], ...] = (_plain, _claude, _codex, _opencode, _qwen, _aider)


def remark(of: Endpoint) -> str:
    """What stands in the way of working with an agent; empty when nothing does."""
    if of.ctx_tokens is not None and of.ctx_tokens < USEFUL_TOKENS:
        return (
            f"A slot has {of.ctx_tokens:,} tokens of context; agents begin with about 10,000 and want "
            f"{USEFUL_TOKENS:,} or more: ctx-size, or fewer slots (parallel)."
        )
    return ""


# -- the trial -----------------------------------------------------------------------------------------------------

_QUESTION = "Say hello."
_MOST_TOKENS = 8
_TOOL = {"type": "object", "properties": {"path": {"type": "string"}}}


def trial(api: str, model: str) -> dict[str, object]:
    """A small request as agents send them, a tool included."""
    turns = [{"role": "user", "content": _QUESTION}]
    named = {"name": "read_file", "description": "Reads a file."}
    if api == CHAT:
        tools: list[dict[str, object]] = [{"type": "function", "function": {**named, "parameters": _TOOL}}]
        return {"model": model, "max_tokens": _MOST_TOKENS, "messages": turns, "tools": tools}
    if api == MESSAGES:
        return {
            "model": model, "max_tokens": _MOST_TOKENS, "messages": turns, "tools": [{**named, "input_schema": _TOOL}]
        }  # fmt: skip
    tools = [{"type": "function", **named, "parameters": _TOOL}]
    return {"model": model, "max_output_tokens": _MOST_TOKENS, "input": _QUESTION, "tools": tools}


def answered(api: str, document: object) -> bool:
    """Whether it is an answer of that API, whatever it says."""
    if not isinstance(document, dict):
        return False
    if api == CHAT:
        choices = document.get("choices")
        return isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict) and "message" in choices[0]
    if api == MESSAGES:
        return document.get("type") == "message" and isinstance(document.get("content"), list)
    return document.get("object") == "response" and isinstance(document.get("output"), list)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one."""

    api: str
    problem: str = ""
    """Empty: it answers."""


def as_text(of: Endpoint, shown: tuple[Agent, ...], tried: tuple[Tried, ...]) -> str:
    """For people: comments and lines that a shell takes."""
    ctx = "" if of.ctx_tokens is None else f", {of.ctx_tokens:,} tokens of context a slot"
    lines = [f"# {clean_line(of.model, 200)} at {clean_line(of.url, 200)}{ctx}"]
    lines += [f"# {one.api}: {clean_line(one.problem, 200) or 'answers'}" for one in tried]
    if said := remark(of):
        lines.append(f"# {said}")
    lines += ["", "# the key, for all of them", key_line(of)]
    for one in shown:
        where = f": {one.where}" if one.where else ""
        lines += ["", f"# {one.title}{where}", one.text]
    return "\n".join(lines)
