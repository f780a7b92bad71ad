"""Speculative decoding: what is said to llama-server, where the draft lies, what it takes, whether it suits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hettui.domain.bench.run import BenchResult, BenchSample, BenchTest
from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.launch import Cluster, plan_launch
from hettui.domain.config.reading import read_config
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.errors import ConfigError
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.drafting import draft_words
from hettui.domain.llama.params import Drafting, RuntimeParams, Serving
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.vocabulary import Words, misfit
from hettui.domain.plan.beside_place import draft_place
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import HOST, Split
from hettui.domain.planner.drafts import with_draft_placed
from hettui.domain.planner.learned import launch_key
from hettui.domain.planner.objectives import best_plan
from hettui.domain.recording.plausible import session_problem
from hettui.domain.session.doubts import untested
from hettui.domain.session.draft_gain import draft_gain
from hettui.domain.session.session import Session
from hettui.domain.speed.pace import Expected
from hettui.domain.units import MIB
from tests.truth.compare import shape_of

SMALL = Drafting(model="/small.gguf")


def card(name: str, budget_mib: int, bandwidth: float = 1e11) -> Device:
    return Device(
        name, "cuda", backend="cuda", engine_name="CUDA0", budget_bytes=budget_mib * MIB,
        bandwidth_bytes_per_s=bandwidth, measured_overhead_bytes=0, measured_slowness=1.0,
    )  # fmt: skip


def worker(name: str, budget_mib: int) -> Device:
    return replace(card(name, budget_mib, 9e11), via="worker")


def drafted(draft: Drafting = SMALL, **params: int) -> Workload:
    settings = RuntimeParams(draft=draft, **params)  # type: ignore[arg-type]
    return Workload(shape_of("qwen3-8b", 3), settings, draft=shape_of("qwen3-0.6b", 3))


# -- what is said ---------------------------------------------------------------------------------------------------


def test_the_device_is_always_said() -> None:
    words = draft_words(SMALL, "none", ())
    assert words[words.index("--spec-draft-device") + 1] == "none"
    assert words[words.index("--spec-type") + 1] == "draft-simple"


def test_an_older_build_is_told_in_its_own_words() -> None:
    known = {"--model-draft", "--device-draft", "--gpu-layers-draft", "--draft-max", "--cache-type-k-draft"}
    words = draft_words(replace(SMALL, n_max=5), "CUDA1", known | {"--cache-type-v-draft"})
    assert words == [
        "--model-draft", "/small.gguf", "--device-draft", "CUDA1", "--gpu-layers-draft", "999",
        "--cache-type-k-draft", "f16", "--cache-type-v-draft", "f16", "--draft-max", "5",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="no --spec-type"):
        draft_words(Drafting("ngram-mod"), "none", known)


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (Drafting("ngram-mod", n_max=8, n_min=2), "--spec-ngram-mod-n-max 8 --spec-ngram-mod-n-min 2"),
        (Drafting("ngram-map-k", n_max=9), "--spec-ngram-map-k-size-m 9"),
        (Drafting("draft-mtp", p_min=0.5), "--spec-draft-type-k f16 --spec-draft-type-v f16 --spec-draft-p-min 0.5"),
    ],
)
def test_what_needs_no_model_names_none(draft: Drafting, words: str) -> None:
    assert draft_words(draft, "none", ()) == ["--spec-type", draft.type, *words.split()]


@pytest.mark.parametrize(
    ("device", "split", "rpc", "place"),
    [
        ("host", (2, 2), 2, "none"),
        ("b", (2, 2), 2, "RPC1"),
        # Its worker holds no layers, so its endpoint comes last and no other number changes.
        ("a", (0, 4), 2, "RPC1"),
        ("b", (4, 0), 2, "RPC1"),
        ("host", (0, 4), 1, "none"),
    ],
)
def test_a_workers_draft_is_named_by_its_endpoint(device: str, split: tuple[int, ...], rpc: int, place: str) -> None:
    devices = (Device("a", via="worker"), Device("b", via="worker"))
    engine = EngineInfo(Path("llama-server"), Path("ggml-rpc-server"), "test", "", frozenset())
    params = RuntimeParams(draft=replace(SMALL, device=device))
    launch = plan_launch(Cluster("/m.gguf", params, Serving(), devices, engine), Split(split, 4))
    argv = launch.master.argv
    assert argv[argv.index("--spec-draft-device") + 1] == place
    assert len(argv[argv.index("--rpc") + 1].split(",")) == rpc
    assert len(argv[argv.index("--device") + 1].split(",")) == sum(n > 0 for n in split)
    if place != "none":
        assert launch.owners[place] == device


# -- configuration --------------------------------------------------------------------------------------------------


def test_the_section_is_read() -> None:
    config, problems = read_config({"draft": {"model": "d.gguf", "device": "host", "n-max": 8, "p-min": 0.5}})
    assert problems == []
    assert config is not None
    assert config.params.draft == Drafting(model="d.gguf", device="host", n_max=8, p_min=0.5)
    assert read_config({"draft": {}})[0] == read_config({})[0]


@pytest.mark.parametrize(
    ("draft", "more", "says"),
    [
        ({"n-max": 4}, {}, "model is missing"),
        ({"model": "d", "type": "ngram-mod"}, {}, "does without a model"),
        ({"type": "ngram-mod", "p-min": 0.5}, {}, "means nothing with ngram-mod"),
        ({"type": "ngram-simple", "n-min": 1}, {}, "means nothing with ngram-simple"),
        ({"model": "d", "n-max": 2, "n-min": 3}, {}, "above n-max"),
        ({"model": "d", "p-min": 2}, {}, "a number from 0 to 1"),
        ({"model": "d", "device": "x"}, {"devices": [{"name": "a"}]}, 'allowed: "auto", "host", "a"'),
        ({"model": "d"}, {"serving": {"extra-args": ["-md", "e.gguf"]}}, "say it in one place"),
        ({"model": "d"}, {"serving": {"extra-args": ["--spec-draft-n-max", "3"]}}, "say it in one place"),
    ],
)
def test_what_makes_no_sense_is_told(draft: dict[str, object], more: dict[str, object], says: str) -> None:
    _, problems = read_config({"draft": draft, **more})
    assert any(says in problem.message for problem in problems), problems


# -- where it lies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("devices", "place"),
    [
        ([card("slow", 9000, 1e11), card("fast", 9000, 5e11)], "fast"),
        ([card("slow", 9000, 1e11), card("fast", 100, 5e11)], "slow"),
        ([card("small", 100), worker("w", 9000)], "host"),
        ([worker("w", 9000)], "host"),
        ([replace(card("gone", 9000), missing="it is not here")], "host"),
    ],
)
def test_the_planner_puts_it_on_the_masters_fastest_card_that_has_room(devices: list[Device], place: str) -> None:
    params = with_draft_placed(drafted(), devices)
    assert params.draft is not None
    assert params.draft.device == place


def test_a_device_that_is_named_is_kept_and_must_be_there() -> None:
    asked = drafted(replace(SMALL, device="w"))
    assert with_draft_placed(asked, [worker("w", 1)]) == asked.params
    with pytest.raises(ConfigError, match='"auto", "host", "other"'):
        with_draft_placed(asked, [worker("other", 1)])


def test_without_its_device_it_goes_to_the_host_as_the_command_line_says() -> None:
    assert draft_place(replace(RuntimeParams(), draft=replace(SMALL, device="gone")), [worker("w", 1)]) == HOST


# -- what it takes --------------------------------------------------------------------------------------------------


def test_its_bytes_stand_on_its_device_and_nowhere_else() -> None:
    devices, split = [card("a", 9000), card("b", 9000)], Split((2, 2), 4)
    without = forecast(drafted().having(RuntimeParams()), split, devices)
    there = forecast(drafted(replace(SMALL, device="b")), split, devices)
    assert there.draft is not None
    assert there.draft.device == 1
    assert there.devices[1].draft_bytes == there.draft.there.own_bytes > 100 * MIB
    assert there.devices[0] == without.devices[0]
    # Of a draft on a device the host keeps its embedding.
    assert 0 < there.host.draft_bytes < there.devices[1].draft_bytes
    home = forecast(drafted(replace(SMALL, device="host")), split, devices)
    assert [m.draft_bytes for m in home.devices] == [0, 0]
    assert home.draft is not None
    assert home.host.draft_bytes == home.draft.host.own_bytes


def test_a_card_with_a_draft_and_no_layers_holds_it_and_its_backend() -> None:
    devices = [card("a", 9000), replace(card("b", 9000), measured_overhead_bytes=7)]
    held = forecast(drafted(replace(SMALL, device="b")), Split((4, 0), 4), devices).devices[1]
    assert (held.own_bytes, held.overhead_bytes) == (0, 7)
    assert held.total_bytes == held.draft_bytes + 7


def test_rows_that_are_checked_at_once_are_in_the_buffer_of_the_output() -> None:
    def held(most: int) -> int:
        workload = drafted(replace(SMALL, device="host", n_max=most), ubatch_size=64)
        return forecast(workload, Split((4,), 4), [card("a", 9000)]).devices[0].compute_bytes

    rows = 4 * shape_of("qwen3-8b", 3).n_vocab
    # Something else was the largest with a few.
    assert 29 * rows < held(60) - held(30) <= 30 * rows


def test_the_search_leaves_room_for_it() -> None:
    """As many layers as without it would not fit beside it."""
    size = forecast(drafted(replace(SMALL, device="a")), Split((4,), 4), [card("a", 9000)]).devices[0]
    short = replace(card("a", 0), budget_bytes=size.total_bytes - MIB)
    devices = (short, card("b", 9000, 1e9))
    alone = best_plan(drafted().having(RuntimeParams()), devices, "latency").plan
    beside = best_plan(drafted(replace(SMALL, device="a")), devices, "latency").plan
    assert alone.split.layers[alone.devices.index(short)] == 4
    assert beside.split.layers[beside.devices.index(short)] < 4
    assert forecast(drafted(replace(SMALL, device="a")), beside.split, beside.devices).fits


def test_what_launches_taught_without_a_draft_is_found_again_and_not_with_one() -> None:
    devices, split = [card("a", 9000)], Split((4,), 4)
    plain = Workload(shape_of("qwen3-8b", 3))
    assert launch_key(plain, devices, split) == launch_key(plain.having(RuntimeParams()), devices, split)
    assert launch_key(plain, devices, split) != launch_key(drafted(), devices, split)


def test_beside_cards_that_were_not_measured_it_is_said_to_be_an_estimate() -> None:
    """Real loads of drafts were made over CPU workers and beside an NVIDIA card."""
    split = Split((2, 2), 4)
    cards, cpus = (card("a", 9000), card("b", 9000)), (Device("a", via="worker"), Device("b", via="worker"))
    others = (replace(cards[0], backend="vulkan"), cards[1])
    assert untested(drafted(), Plan(others, split)) == "with a draft model beside cards other than NVIDIA's"
    assert untested(drafted(), Plan(cards, split)) is None
    assert untested(drafted(), Plan(cpus, split)) is None


# -- whether it suits -----------------------------------------------------------------------------------------------


def vocabulary(**said: object) -> Words:
    shape = shape_of("qwen3-0.6b", 3)
    metadata = dict(shape.file.metadata) | {f"tokenizer.ggml.{key}": value for key, value in said.items()}
    return Words.of(ModelShape.of(replace(shape.file, metadata=metadata)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "draft", "says"),
    [
        ({"model": "gpt2"}, {"model": "gpt2"}, None),
        ({"model": "gpt2"}, {"model": "llama"}, "its tokenizer is llama, the model's gpt2"),
        ({"model": "gpt2", "add_bos_token": True}, {"model": "gpt2", "add_bos_token": False}, "only one of the two"),
        ({"bos_token_id": 1, "add_bos_token": True}, {"bos_token_id": 2, "add_bos_token": True}, "is another one"),
        # What is not put there need not be the same.
        ({"bos_token_id": 1, "add_bos_token": False}, {"bos_token_id": 2, "add_bos_token": False}, None),
        ({"bos_token_id": 1}, {"bos_token_id": 2}, None),
    ],
)
def test_a_draft_has_the_models_vocabulary(
    model: dict[str, object], draft: dict[str, object], says: str | None
) -> None:
    found = misfit(vocabulary(**model), vocabulary(**draft))
    assert found is None if says is None else found is not None and says in found


def test_a_vocabulary_of_another_size_does_not_suit() -> None:
    assert "tokens, the model's" in (
        misfit(Words.of(shape_of("llama-1b", 3)), Words.of(shape_of("qwen2-0.5b", 3))) or ""
    )


# -- whether it is worth it -----------------------------------------------------------------------------------------


def answered(rate: float, drafted: int | None = 60, accepted: int = 30, tokens: int = 60) -> Timings:
    return Timings(generated_tokens=tokens, generated_per_second=rate, drafted_tokens=drafted, accepted_tokens=accepted)


def promise(rate: float, *, measured: bool = True) -> Expected:
    return Expected(1 / rate, 0.02 / rate, {0: 1 / rate}, measured)


@pytest.mark.parametrize(
    ("rate", "without", "costs", "says"),
    [
        (10, promise(20), True, "50% of what it proposed was right, 2.0 tokens a step: 10 tokens a second, 20 ± 0.4"),
        (30, promise(20), False, "30 tokens a second, 20 ± 0.4 without it"),
        # About as fast: nothing to be told.
        (19.5, promise(20), False, "19.5 tokens a second"),
        (10, promise(20, measured=False), False, "was never measured here"),
        (10, None, False, "was never measured here"),
    ],
)
def test_a_draft_that_costs_more_than_it_brings_is_told(
    rate: float, without: Expected | None, costs: bool, says: str
) -> None:
    gain = draft_gain(answered(rate), without)
    assert gain is not None
    assert gain.costs is costs
    assert says in gain.words


@pytest.mark.parametrize("timings", [None, answered(10, None), answered(10, 0), answered(10, tokens=8, accepted=4)])
def test_an_answer_without_a_draft_says_nothing_of_it(timings: Timings | None) -> None:
    assert draft_gain(timings, promise(20)) is None


def test_what_was_accepted_stands_in_a_bench() -> None:
    test = BenchTest(generate=10)
    drafted = BenchSample(10, 1.0, drafted_tokens=20, accepted_tokens=5)
    assert (
        BenchResult(test, (drafted, BenchSample(10, 1.0, drafted_tokens=20, accepted_tokens=15))).accepted_part == 0.5
    )
    assert BenchResult(test, (BenchSample(10, 1.0),)).accepted_part is None


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (Drafting("telepathy"), "speculation is telepathy"),
        (Drafting(cache_type_k="q0"), "type of cache"),
        (Drafting(n_max=10**15), "impossible number"),
    ],
)
def test_a_recording_with_an_impossible_draft_is_told(draft: Drafting, says: str) -> None:
    session = Session(Config(params=RuntimeParams(draft=draft)), (), (), None, None)
    assert says in (session_problem(session) or "")
