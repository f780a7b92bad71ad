"""What coding agents are told: each in its own language, whatever the model is called, and never a key."""

from __future__ import annotations

import json
import subprocess
import tomllib

import pytest

from hettui.domain.chat.agent_names import AGENTS
from hettui.domain.chat.agents import (
    CHAT,
    MESSAGES,
    RESPONSES,
    Endpoint,
    Tried,
    agents,
    answered,
    as_text,
    key_line,
    remark,
    trial,
)
from tests.hostile import HOSTILE

URL = "http://127.0.0.1:8080/lab"
NAMES = ["smol", "it's $(touch x) `y`", 'a "b" \\ c', *(clean for _, clean in HOSTILE.values())]


def by_name(of: Endpoint) -> dict[str, str]:
    return {one.name: one.text for one in agents(of)}


def test_all_are_there_by_their_names() -> None:
    assert tuple(by_name(Endpoint(URL, "m"))) == AGENTS
    assert {one.api for one in agents(Endpoint(URL, "m"))} == {CHAT, MESSAGES, RESPONSES}


@pytest.mark.parametrize("model", NAMES, ids=range(len(NAMES)))
def test_every_language_gives_back_the_models_name(model: str) -> None:
    told = by_name(Endpoint(URL, model, 32768))
    codex = tomllib.loads(told["codex"])
    assert (codex["model"], codex["model_context_window"]) == (model, 32768)
    assert codex["model_providers"]["hettui"]["base_url"] == f"{URL}/v1"
    assert codex["model_providers"]["hettui"]["wire_api"] == "responses"
    opencode = json.loads(told["opencode"])
    assert opencode["model"] == f"hettui/{model}"
    assert opencode["provider"]["hettui"]["models"][model]["limit"] == {"context": 32768, "output": 8192}
    for name, variable in (("openai", "OPENAI_MODEL"), ("claude", "ANTHROPIC_MODEL"), ("qwen", "OPENAI_MODEL")):
        lines = [line for line in told[name].splitlines() if line.startswith("export")]
        script = "\n".join([*lines, f'printf %s "${variable}"'])
        env = {"PATH": "/usr/bin:/bin", "LLAMA_API_KEY": "k"}
        said = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env=env)
        assert said.stdout == model


def test_a_key_is_named_and_never_printed() -> None:
    told = as_text(Endpoint(URL, "m", None, "/etc/keys", has_key=True), agents(Endpoint(URL, "m")), ())
    assert 'export LLAMA_API_KEY="$(grep' in told
    assert key_line(Endpoint(URL, "m")) == "export LLAMA_API_KEY=none"
    assert "already" in key_line(Endpoint(URL, "m", has_key=True))


def test_the_key_comes_out_of_its_file(tmp_path: object) -> None:
    file = f"{tmp_path}/it's keys"
    with open(file, "w") as keys:  # noqa: PTH123
        keys.write("# mine\n\nsecret-1\nsecret-2\n")
    line = key_line(Endpoint(URL, "m", key_file=file, has_key=True))
    said = subprocess.run(
        ["sh", "-c", f'{line}; printf %s "$LLAMA_API_KEY"'], capture_output=True, text=True, check=True
    )
    assert said.stdout == "secret-1"


def test_too_small_a_context_is_told() -> None:
    assert "A slot has 2,048 tokens of context" in remark(Endpoint(URL, "m", 2048))
    assert remark(Endpoint(URL, "m", 65536)) == remark(Endpoint(URL, "m")) == ""
    assert "# /v1/messages: no such thing" in as_text(Endpoint(URL, "m", 2048), (), (Tried(MESSAGES, "no such thing"),))


ANSWERS: dict[str, object] = {
    CHAT: {"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": ""}}]},
    MESSAGES: {"type": "message", "content": []},
    RESPONSES: {"object": "response", "output": []},
}


@pytest.mark.parametrize("api", ANSWERS)
def test_an_answer_is_known_by_its_shape_alone(api: str) -> None:
    assert [answered(one, ANSWERS[api]) for one in ANSWERS] == [one == api for one in ANSWERS]
    others: tuple[object, ...] = (None, [], {}, "text", {"choices": []}, {"choices": ["x"]}, {"type": "message"})
    for other in others:
        assert not answered(api, other)
    body = trial(api, "m")
    assert body["model"] == "m"
    assert body["tools"]
