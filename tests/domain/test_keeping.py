"""What of the slots' contexts outlives a restart: the table that was tried on b10068 and b11434, as a function."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.model.header import ModelFile, TensorInfo
from hettui.domain.model.shape import ModelShape
from hettui.domain.slots.keeping import Held, plan_keeping, rate_of, refusal
from hettui.domain.slots.launch_terms import altered, terms_of
from hettui.domain.slots.policy import KeepPolicy
from hettui.domain.slots.saved import Saved, from_text, to_text, with_new, within
from hettui.domain.slots.terms import Terms
from hettui.domain.units import MIB
from tests.fakes import shape
from tests.truth.models import MODELS

SMOL = shape()


def terms(model: ModelShape = SMOL, extra: tuple[str, ...] = (), engine: str = "b10068", **params: object) -> Terms:
    settings = RuntimeParams(**{"ctx_size": 4096, **params})  # type: ignore[arg-type]
    return terms_of(Workload(model, settings, 10068), "/m.gguf", engine, extra)


def published(name: str, blocks: int) -> ModelShape:
    metadata, rows = MODELS[name](blocks)
    tensors = tuple(TensorInfo(n, s, t, 1, begin_bytes=0) for n, s, t in rows)
    return ModelShape.of(ModelFile(("/m.gguf",), 1, metadata, {}, tensors))


GEMMA, LFM = published("gemma3-1b", 7), published("lfm2", 4)

KEPT = {
    "nothing changes": ({}, {}),
    "-b and -ub": ({}, {"batch_size": 512, "ubatch_size": 128}),
    "a smaller -c": ({}, {"ctx_size": 2048}),
    "a larger -c": ({}, {"ctx_size": 8192}),
    "np 2 stays 2": ({"parallel": 2}, {"parallel": 2}),
    "unified stays unified": ({"parallel": 2, "kv_unified": True}, {"parallel": 3, "kv_unified": True}),
    "np 1 becomes 2 with unified": ({}, {"parallel": 2, "kv_unified": True}),
    "auto is unified": ({"parallel": -1}, {"parallel": 2, "kv_unified": True}),
    "q8_0 stays q8_0": ({"cache_type_k": "q8_0", "cache_type_v": "q8_0"},) * 2,
    "flash attention auto is on": ({"flash_attn": "auto"}, {"flash_attn": "on"}),
    "experts elsewhere": ({}, {"n_cpu_moe": 4}),
    "a feed-forward elsewhere": ({}, {"n_cpu_ffn": 4}),
}
REFUSED = {
    "np 2 becomes 1": ({"parallel": 2}, {"parallel": 1}, "parallel changes from 2 to 1 without kv-unified"),
    "np 1 becomes 3": ({}, {"parallel": 3}, "parallel changes from 1 to 3 without kv-unified"),
    "unified goes": ({"parallel": 2, "kv_unified": True}, {"parallel": 2}, "kv-unified goes off"),
    "flash attention goes off": ({"flash_attn": "on"}, {"flash_attn": "off"}, "flash attention goes off"),
    "flash attention goes on": ({"flash_attn": "off"}, {"flash_attn": "on"}, "flash attention goes on"),
    "another type of K": ({}, {"cache_type_k": "q8_0"}, "the cache's type changes"),
    "another type of V": ({}, {"cache_type_v": "q8_0"}, "the cache's type changes"),
}


@pytest.mark.parametrize(("before", "after"), KEPT.values(), ids=list(KEPT))
def test_kept(before: dict[str, object], after: dict[str, object]) -> None:
    assert refusal(terms(**before), terms(**after)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("before", "after", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_refused_and_known_beforehand(before: dict[str, object], after: dict[str, object], reason: str) -> None:
    assert refusal(terms(**before), terms(**after)) == reason  # type: ignore[arg-type]


def test_another_build_and_another_model_are_refused() -> None:
    assert refusal(terms(), terms(engine="b11434")) == "it is another llama.cpp build"
    assert refusal(terms(), terms(model=shape(29))) == "it is another model"
    assert refusal(terms(), replace(terms(), model="/other.gguf")) == "it is another model"


def test_a_sliding_window_is_lost_in_silence_without_swa_full() -> None:
    windowed, full = terms(GEMMA), terms(GEMMA, swa_full=True)
    for before, after in ((windowed, windowed), (windowed, full), (full, windowed)):
        assert "sliding window" in (refusal(before, after) or "")
    assert refusal(full, full) is None


def test_a_hybrid_is_kept_for_what_goes_on_from_it() -> None:
    plan = plan_keeping([(Held(0, 900), terms(LFM))], terms(LFM), KeepPolicy())
    assert plan.tokens == 900
    assert plan.only_extended
    assert not plan_keeping([(Held(0, 900), terms())], terms(), KeepPolicy()).only_extended


def test_what_changes_the_meaning_of_a_context_is_not_read_back() -> None:
    """llama-server would take it without a word."""
    assert altered(("--lora", "a.gguf", "--threads", "4", "--rope-freq-base=1e6", "--no-mmap")) == (
        "--lora a.gguf", "--rope-freq-base=1e6",
    )  # fmt: skip
    assert refusal(terms(), terms(extra=("--lora", "a.gguf"))) == "--lora changes what the context is"
    assert refusal(terms(extra=("--lora", "a.gguf")), terms(extra=("--lora", "a.gguf", "-t", "4"))) is None
    never = terms(extra=("--no-cache-prompt",))
    assert refusal(never, never) == "--no-cache-prompt reads every prompt anew"


def test_positions_for_long_contexts_are_other_positions() -> None:
    file = SMOL.file
    long = replace(
        file,
        metadata={**file.metadata, "llama.rope.scaling.original_context_length": 2048},
        tensors=(*file.tensors, TensorInfo("rope_factors_long.weight", (32,), "f32", 128, begin_bytes=0)),
    )
    model = ModelShape.of(long)
    assert refusal(terms(model, ctx_size=1024), terms(model, ctx_size=2048)) is None
    assert "positions" in (refusal(terms(model, ctx_size=2048), terms(model, ctx_size=8192)) or "")


def test_bytes_of_a_saved_slot() -> None:
    """b10068 wrote 16,301,344 bytes for 707 tokens of SmolLM2, and 7,078,944 for 307."""
    for tokens, written in ((707, 16_301_344), (307, 7_078_944)):
        assert terms().saved_bytes(tokens) == pytest.approx(written, rel=0.001)
    assert terms().saved_bytes(0) == 0
    small = terms(cache_type_k="q8_0", cache_type_v="q8_0")
    assert small.saved_bytes(1000) == pytest.approx(terms().saved_bytes(1000) * 34 / 64, rel=0.001)
    state = terms(LFM)
    assert state.state_bytes > 0
    assert state.saved_bytes(1) > state.state_bytes


def test_the_words_of_the_plan_line() -> None:
    held = [(Held(0, 48_210), replace(terms(), slot_tokens=65536, token_bytes=135_000))]
    after = replace(terms(), slot_tokens=65536)
    policy = KeepPolicy()
    assert plan_keeping(held, after, policy, None, 3.2e9).words == "keeps 48,210 tokens (6.1 GiB, about 4 s)"
    assert plan_keeping(held, replace(after, flash_attn=False), policy).words == (
        "48,210 tokens re-read: flash attention goes off"
    )
    assert plan_keeping([], after, policy).words == ""
    assert "context-keep" in plan_keeping(held, after, KeepPolicy(limit_bytes=0)).words
    assert "context-keep = 96 MiB" in plan_keeping(held, after, KeepPolicy(limit_bytes=96 * MIB)).words
    assert "the disk has 10 MiB left" in plan_keeping(held, after, policy, 10 * MIB).words


def test_the_latest_contexts_get_the_slots() -> None:
    unified = terms(parallel=4, kv_unified=True)
    held = [(Held(n, 100 * (n + 1), order=n), unified) for n in range(4)]
    two = plan_keeping(held, terms(parallel=2, kv_unified=True), KeepPolicy())
    assert [(k.held.slot, k.to_slot) for k in two.kept] == [(2, 1), (3, 0)]
    assert {left.reason for left in two.left} == {"there are 2 slots"}
    assert two.words.startswith("keeps 700 of 1,000 tokens (")
    crowded = plan_keeping(held, replace(unified, slot_tokens=750), KeepPolicy())
    assert [k.held.slot for k in crowded.kept] == [2, 3]
    assert "all slots together hold 750 tokens" in crowded.words
    small = plan_keeping([(Held(0, 3000), terms())], terms(ctx_size=2048), KeepPolicy())
    assert small.words == "3,000 tokens re-read: a slot holds 2,048 tokens"


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5000), st.integers(0, 99)), max_size=8),
    st.integers(1, 5),
    st.integers(0, 400 * MIB),
    st.one_of(st.none(), st.integers(0, 400 * MIB)),
)
def test_no_plan_keeps_more_than_there_is_room_for(
    rows: list[tuple[int, int, int]], slots: int, limit: int, free: int | None
) -> None:
    after = terms(parallel=slots, kv_unified=True)
    plan = plan_keeping([(Held(*row), after) for row in rows], after, KeepPolicy(limit_bytes=limit), free)
    assert plan.size_bytes <= limit
    assert free is None or plan.size_bytes <= free
    assert plan.tokens <= after.slot_tokens
    targets = [k.to_slot for k in plan.kept]
    assert len(set(targets)) == len(targets)
    assert all(0 <= slot < slots for slot in targets)
    assert plan.all_tokens == sum(tokens for _, tokens, _ in rows if tokens > 0)
    assert all(left.reason for left in plan.left)


def saved(slot: int, order: int, size: int = 100, model: str = "/m.gguf") -> Saved:
    return Saved(f"slot-{slot}-{order:012x}.ctx", slot, 10, size, replace(terms(), model=model), order)


def test_what_is_superseded() -> None:
    old, other, elsewhere = saved(0, 1), saved(1, 2), saved(0, 3, model="/other.gguf")
    new = saved(0, 4)
    assert with_new([old, other, elsewhere], new, 1000) == (other, elsewhere, new)
    assert with_new([old, other, elsewhere], new, 250) == (elsewhere, new)
    assert within([saved(0, 1, 300), saved(1, 2, 100)], 250) == (saved(1, 2, 100),)


def test_the_list_is_read_back_whole_or_not_at_all() -> None:
    rows = (saved(0, 1), saved(1, 2))
    text = to_text(rows)
    assert from_text(text) == rows
    for wrong in (
        "",
        "[]",
        text[:-9],
        text.replace('"slots": 1', '"slots": "x"'),
        text.replace('"version": 1', '"version": 9'),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - any of them
            from_text(wrong)


@pytest.mark.parametrize(
    ("new_tokens", "since_s", "due"), [(0, 9999, False), (10, 300, True), (10, 299, False), (4096, 0, True)]
)
def test_when_a_snapshot_is_due(new_tokens: int, since_s: float, due: bool) -> None:
    assert KeepPolicy().due(new_tokens, since_s) is due


def test_switched_off_is_off() -> None:
    assert not KeepPolicy(limit_bytes=0).due(10**6, 10**6)
    assert not KeepPolicy(snapshot_s=0, snapshot_tokens=0).due(10**6, 10**6)
    assert rate_of(["local", "attic"], "local") < rate_of(["local"], "local")
