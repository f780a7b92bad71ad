"""Settings under one's hands: every value that the keys lead to is one that llama-server and a configuration take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.config.reading import read_config
from hettui.domain.llama.options import Option, memory_options, option
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.llama.setting import by_hand, ranges, shown, stepped, typed, value_of, with_value


def spelled(one: Option, value: object) -> object:
    return "auto" if one.kind == "slots" and value == -1 else value


@given(st.sampled_from(by_hand()), st.lists(st.sampled_from((-1, 1)), max_size=40))
def test_wherever_the_keys_lead_a_configuration_takes_it(one: Option, steps: list[int]) -> None:
    params = RuntimeParams()
    for step in steps:
        params = with_value(params, one, stepped(one, value_of(params, one), step))
    config, problems = read_config({"serving": {one.name: spelled(one, value_of(params, one))}})
    assert not problems
    assert config is not None
    assert config.params == params


@given(st.sampled_from(by_hand()), st.text("0123456789-x", max_size=5))
def test_a_typed_number_is_taken_only_where_a_configuration_takes_it(one: Option, text: str) -> None:
    value = typed(one, text)
    if value is not None:
        assert str(value) == str(int(text))
        assert read_config({"serving": {one.name: value}})[0] is not None


def test_all_but_the_experts_places_are_there_and_the_context_first() -> None:
    names = [one.name for one in by_hand()]
    assert names[:2] == ["ctx-size", "parallel"]
    beside = {"mmproj", "mmproj-device", "lora", "control-vector", "ctx-checkpoints", "cache-ram"}
    assert {o.name for o in memory_options()} - set(names) == {"override-tensor", "n-cpu-moe", "n-cpu-ffn"} | beside


@pytest.mark.parametrize(
    ("name", "value", "up", "down"),
    [
        ("ctx-size", 8192, 16384, 4096), ("ctx-size", 9000, 16384, 8192), ("ctx-size", 256, 512, 0),
        ("parallel", 1, 2, -1), ("parallel", -1, 1, -1), ("threads", -1, 1, -1), ("predict", -1, 16, -1),
        ("predict", 16, 32, -1), ("kv-unified", False, True, True), ("cache-type-k", "f16", "bf16", "f32"),
        ("flash-attn", "auto", "auto", "off"), ("ubatch-size", 32, 64, 32),
    ],
)  # fmt: skip
def test_the_next_value(name: str, value: int | str, up: object, down: object) -> None:
    assert (stepped(option(name), value, 1), stepped(option(name), value, -1)) == (up, down)


def test_what_minus_one_means_is_said() -> None:
    assert [shown(option(name), -1) for name in ("parallel", "threads", "predict")] == ["auto", "auto", "no limit"]
    assert ranges(option("parallel")) == "auto, 1 to 512"
    assert ranges(option("kv-unified")) == "on, off"
    assert ranges(option("ctx-size")) == "0 or more"
