"""What is loaded beside a model: a projector, LoRA adapters, control vectors; and what the host keeps over time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.adapters.llama.gguf import read_model
from hettui.domain.cluster.launch import plan_launch
from hettui.domain.config.reading import read_config
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.errors import ConfigError, HettuiError
from hettui.domain.llama.beside_words import beside_words
from hettui.domain.llama.options import option
from hettui.domain.llama.params import RuntimeParams, scaled
from hettui.domain.memory.beside_model import kept_over_time, projecting
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.projector import tower, weights_bytes, work_bytes
from hettui.domain.memory.workload import Workload
from hettui.domain.model.companions import Companions, no_adapter, no_projector
from hettui.domain.model.header import ModelFile
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.weights import CPU, CUDA
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.drafts import with_projector_placed
from hettui.domain.planner.learned import launch_key
from hettui.domain.recording.plausible import session_problem
from hettui.domain.session.beside_report import beside_lines
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.session.session import Session, runnable
from hettui.domain.units import GIB, MIB
from tests import examples
from tests.domain.test_drafts import card, worker
from tests.fakes import cluster
from tests.gguf_files import write_gguf
from tests.truth.compare import shape_of
from tests.truth.models import MODELS
from tests.truth.projectors import PROJECTORS, control_vector, lora

BLOCKS = 3
MODEL = "qwen2-0.5b"


def shape() -> ModelShape:
    return shape_of(MODEL, BLOCKS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFile]:
    folder = tmp_path_factory.mktemp("beside")
    headers = {kind: make(896) for kind, make in PROJECTORS.items()}
    headers |= {"lora": lora(MODELS[MODEL](BLOCKS), 16), "vector": control_vector(896, BLOCKS)}
    return {name: read_model(str(write_gguf(folder / f"{name}.gguf", *header))) for name, header in headers.items()}


def beside(files: dict[str, ModelFile], device: str = "auto") -> Workload:
    params = RuntimeParams(mmproj="/p.gguf", mmproj_device=device, lora=("/l.gguf",), control_vector=("/v.gguf:0.5",))
    return Workload(shape(), params, companions=Companions(files["gemma3"], (files["lora"],)))


# -- a projector ----------------------------------------------------------------------------------------------------


def test_the_buffer_for_a_picture_is_what_llama_server_reserves(files: dict[str, ModelFile]) -> None:
    """b10068 and b11434, MiB: on the CPU alone, and on a worker with the host's part of it."""
    on_host = {k: work_bytes(files[k], on_host=True)[0] for k in PROJECTORS}
    assert {k: round(v / MIB, 2) for k, v in on_host.items()} == {
        "gemma3": 121.25, "idefics3": 21.0, "qwen2vl": 267.08, "qwen25vl": 704.79,
    }  # fmt: skip
    assert work_bytes(files["gemma3"], on_host=False) == (127139840, 9633792)
    # b10068 and b11434 with -fa off, on a worker.
    assert work_bytes(files["idefics3"], on_host=False, flash_attn=False) == (60 * MIB, 3 * MIB)
    assert weights_bytes(files["gemma3"], CPU) == 144345344


def test_a_file_that_says_nothing_takes_nothing() -> None:
    empty = ModelFile(("/p.gguf",), 0, {"general.architecture": "clip"}, {}, ())
    assert work_bytes(empty, on_host=True) == (0, 0)


SAID = (
    "image_size", "patch_size", "block_count", "embedding_length", "feed_forward_length", "n_wa_pattern",
    "projector.scale_factor", "spatial_merge_size",
)  # fmt: skip


@settings(max_examples=examples.of(30), deadline=None)
@given(
    st.dictionaries(st.sampled_from(SAID), st.integers(-5, 1 << 40) | st.text(max_size=3)),
    st.sampled_from(["gemma3", "qwen2.5vl_merger", "x", ""]),
)
def test_a_strange_file_gives_some_number(said: dict[str, int | str], kind: str) -> None:
    metadata = {f"clip.vision.{k}": v for k, v in said.items()} | {"clip.projector_type": kind}
    file = ModelFile(("/p.gguf",), 0, metadata, {}, ())
    assert all(size >= 0 for size in work_bytes(file, on_host=False))
    assert tower(file).patches <= 1 << 17


def test_it_lies_on_the_masters_fastest_card_with_room_and_never_on_a_worker_unasked(
    files: dict[str, ModelFile],
) -> None:
    asked = beside(files)
    own, far = card("own", 4000), worker("far", 30_000)
    assert with_projector_placed(asked, (far, own)).mmproj_device == "own"
    assert with_projector_placed(asked, (far, card("own", 100))).mmproj_device == "host"
    assert with_projector_placed(asked, (far,)).mmproj_device == "host"
    named = beside(files, "far")
    assert with_projector_placed(named, (far, own)).mmproj_device == "far"
    with pytest.raises(ConfigError, match='allowed: "auto", "host", "far"'):
        with_projector_placed(beside(files, "fra"), (far,))


def test_its_bytes_are_where_it_lies(files: dict[str, ModelFile]) -> None:
    devices, split = (worker("a", 4000), worker("b", 4000)), Split((2, 2), 4)
    bare = replace(beside(files, "b"), companions=Companions(files["gemma3"]))
    bare = bare.having(replace(bare.params, lora=(), control_vector=()))
    there = forecast(bare, split, devices)
    work = work_bytes(files["gemma3"], on_host=False)[0]
    assert [m.beside_bytes for m in there.devices] == [0, work + weights_bytes(files["gemma3"], CUDA)]
    assert there.host.beside_bytes == 9633792
    host = forecast(bare.having(replace(bare.params, mmproj_device="host")), split, devices)
    assert [m.beside_bytes for m in host.devices] == [0, 0]
    assert host.host.beside_bytes == 144345344 + round(121.25 * MIB)
    found = projecting(bare, devices)
    assert found is not None
    assert found.device == 1


# -- adapters and control vectors -----------------------------------------------------------------------------------


def test_an_adapter_follows_the_split(files: dict[str, ModelFile]) -> None:
    params = RuntimeParams(lora=("/l.gguf",))
    workload = Workload(shape(), params, companions=Companions(adapters=(files["lora"],)))
    plain = Workload(shape(), RuntimeParams())
    whole = sum(t.size_bytes for t in files["lora"].tensors)
    for layers in ((4,), (2, 2), (1, 1, 2), (1, 1)):
        split = Split(layers, 4)
        outlook, without = forecast(workload, split), forecast(plain, split)
        assert sum(m.beside_bytes for m in outlook.devices) + outlook.host.beside_bytes == whole
        assert [m.weights_bytes for m in outlook.devices] == [m.weights_bytes for m in without.devices]
        grown = [a.compute_bytes - b.compute_bytes for a, b in zip(outlook.devices, without.devices, strict=True)]
        assert min(grown) >= 0


def test_a_control_vector_has_a_row_for_every_block_but_the_first(files: dict[str, ModelFile]) -> None:
    workload = Workload(shape(), RuntimeParams(control_vector=("/v.gguf",)))
    outlook = forecast(workload, Split((2, 2), 4))
    assert [m.beside_bytes for m in outlook.devices] == [896 * 4, 896 * 4]
    assert forecast(workload, Split((2,), 4)).host.beside_bytes == 896 * 4


def test_a_search_counts_what_the_forecast_counts(files: dict[str, ModelFile]) -> None:
    devices = (worker("a", 4000), worker("b", 4000))
    workload = beside(files, "b")
    costs = LayerCosts(workload, devices, several=True)
    outlook = forecast(workload, Split((2, 2), 4), devices)
    assert costs.held_bytes(0, 0, 1) == outlook.devices[0].total_bytes
    assert costs.held_bytes(1, 2, 3) == outlook.devices[1].total_bytes


def test_what_does_not_belong_to_the_model_is_told(files: dict[str, ModelFile]) -> None:
    assert no_adapter(files["lora"], shape()) is None
    assert "was made for qwen2" in (no_adapter(files["lora"], shape_of("llama-1b", 3)) or "")
    assert "no LoRA adapter" in (no_adapter(files["gemma3"], shape()) or "")
    assert "does not have" in (no_adapter(files["lora"], shape_of(MODEL, 2)) or "")
    glm = replace(files["lora"], metadata={**files["lora"].metadata, "general.architecture": "glm4moe"})
    two = replace(glm, tensors=tuple(t for t in glm.tensors if t.name.startswith("blk.2.")))
    assert "an MTP block" in (no_adapter(two, shape_of("glm4moe", 3)) or "")
    assert "an MTP block" not in (no_adapter(two, shape_of("glm4moe", 3), with_mtp=True) or "")
    assert no_projector(files["gemma3"]) is None
    assert "no projector" in (no_projector(files["lora"]) or "")


# -- what is said ---------------------------------------------------------------------------------------------------


def test_the_projectors_place_is_always_said_in_the_builds_own_words() -> None:
    params = RuntimeParams(mmproj="/p.gguf")
    assert beside_words(params, "none", {"--mmproj"}) == (["--mmproj", "/p.gguf", "--no-mmproj-offload"], {})
    new = {"--mmproj", "--mmproj-device"}
    assert beside_words(params, "CUDA1", new) == (["--mmproj", "/p.gguf", "--mmproj-device", "CUDA1"], {})
    assert beside_words(params, "CUDA1", {"--mmproj"}) == (["--mmproj", "/p.gguf"], {"MTMD_BACKEND_DEVICE": "CUDA1"})


def test_files_are_said_with_their_scales_where_one_has_one() -> None:
    said = RuntimeParams(lora=("/a.gguf", "/b.gguf"), control_vector=("/v.gguf:-0.5", "/w.gguf"))
    assert beside_words(said, "none", ())[0] == [
        "--lora", "/a.gguf,/b.gguf", "--control-vector-scaled", "/v.gguf:-0.5,/w.gguf:1",
    ]  # fmt: skip
    assert scaled("/odd:name.gguf") == ("/odd:name.gguf", "")


def test_a_launch_says_all_of_it_and_nothing_without() -> None:
    devices = (Device("own", "0", backend="cuda", engine_name="CUDA0"),)
    params = RuntimeParams(mmproj="/p.gguf", mmproj_device="own", lora=("/l.gguf",), cache_ram=0, ctx_checkpoints=4)
    master = plan_launch(replace(cluster(devices), params=params), Split((4,), 4)).master
    argv = master.argv
    assert master.env["MTMD_BACKEND_DEVICE"] == "CUDA0"
    assert argv[argv.index("--cache-ram") + 1] == "0"
    assert argv[argv.index("--ctx-checkpoints") + 1] == "4"
    usual = plan_launch(replace(cluster(devices), params=RuntimeParams()), Split((4,), 4)).master.argv
    assert not {"--mmproj", "--lora", "--cache-ram", "--ctx-checkpoints"} & set(usual)


def test_a_projector_alone_on_a_device_changes_no_other_name() -> None:
    devices = (worker("a", 4000), replace(worker("b", 4000), name="b"))
    params = RuntimeParams(mmproj="/p.gguf", mmproj_device="b")
    launch = plan_launch(replace(cluster(devices), params=params), Split((4, 0), 4))
    argv = launch.master.argv
    assert argv[argv.index("--device") + 1] == "RPC0"
    assert launch.master.env["MTMD_BACKEND_DEVICE"] == "RPC1"
    assert launch.owners["RPC1"] == "b"


def test_a_configuration_names_them() -> None:
    said = {"mmproj": "p.gguf", "mmproj-device": "host", "lora": ["a.gguf:0.5"], "cache-ram": -1, "ctx-checkpoints": 0}
    config, problems = read_config({"serving": said})
    assert config is not None, problems
    assert (config.params.mmproj, config.params.lora, config.params.cache_ram) == ("p.gguf", ("a.gguf:0.5",), -1)
    assert config.params.ctx_checkpoints == 0
    for wrong in ({"lora": ["a,b"]}, {"lora": "a"}, {"cache-ram": -2}, {"ctx-checkpoints": -1}, {"mmproj": 3}):
        assert read_config({"serving": wrong})[1], wrong
    assert option("cache-ram").words(0) == ["--cache-ram", "0"]
    assert option("cache-ram").words(8192) == []


# -- what the host keeps over time ----------------------------------------------------------------------------------


def test_checkpoints_are_of_windows_and_states_only() -> None:
    assert kept_over_time(Workload(shape())).checkpoints_bytes == 0
    gemma = Workload(shape_of("gemma3-1b", 7), RuntimeParams(ctx_size=4096, parallel=2))
    one = gemma.having(RuntimeParams(ctx_size=4096, parallel=1))
    assert kept_over_time(gemma).checkpoints_bytes == 2 * kept_over_time(one).checkpoints_bytes > 0
    assert kept_over_time(one.having(replace(one.params, swa_full=True))).checkpoints_bytes == 0
    assert kept_over_time(one.having(replace(one.params, ctx_checkpoints=0))).checkpoints_bytes == 0
    assert kept_over_time(Workload(shape_of("mamba", 3))).checkpoints_bytes > 0
    assert kept_over_time(one).prompts_bytes == 8 * GIB
    assert kept_over_time(one.having(replace(one.params, cache_ram=-1))).prompts_bytes is None


# -- reports --------------------------------------------------------------------------------------------------------


def test_a_plan_tells_where_each_lies(files: dict[str, ModelFile]) -> None:
    devices, split = (worker("a", 4000), worker("b", 4000)), Split((2, 2), 4)
    workload = beside(files, "b")
    lines = beside_lines(workload, forecast(workload, split, devices), devices)
    assert "The projector lies on b" in lines[0]
    assert "896 × 896" in lines[0]
    assert "b is a worker" in lines[1]
    plan = Plan(devices, split)
    launch = plan_launch(replace(cluster(devices), params=workload.params), split)
    # Other cards than NVIDIA's were not measured with such things.
    others = replace(devices[0], backend="vulkan"), devices[1]
    assert not PlanReport(workload, Plan(others, split), launch).as_json()["exact"]
    report = PlanReport(workload, plan, launch)
    assert report.as_json()["exact"]
    assert "beside" in report.as_text()
    told = report.as_json()["beside"]
    assert isinstance(told, dict)
    assert told["projector"]["device"] == "b"
    assert told["projector"]["known"]
    assert not PlanReport(beside_of_a_strange_kind(workload), plan, launch).as_json()["exact"]


def beside_of_a_strange_kind(workload: Workload) -> Workload:
    file = workload.companions.projector
    assert file is not None
    odd = replace(file, metadata={**file.metadata, "clip.projector_type": "tomorrow's"})
    return replace(workload, companions=replace(workload.companions, projector=odd), _known={})


def test_what_was_learned_before_there_was_such_a_setting_holds(files: dict[str, ModelFile]) -> None:
    devices, split = (worker("a", 4000),), Split((4,), 4)
    plain = Workload(shape(), RuntimeParams())
    assert launch_key(plain, devices, split) != launch_key(beside(files), devices, split)


def test_a_recording_with_impossible_ones_is_not_played() -> None:
    odd = RuntimeParams(cache_ram=-5)
    session = Session(Config(params=odd), (), (), None, None)
    assert "cache_ram is -5" in (session_problem(session) or "")


def test_a_projector_on_a_missing_card_is_not_started(files: dict[str, ModelFile]) -> None:
    devices = (worker("a", 4000), replace(card("own", 4000), missing="own is not there"))
    workload = beside(files, "own")
    made = cluster(devices, params=workload.params)
    config = Config(params=workload.params)
    session = Session(config, (), devices, made, shape(), companions=workload.companions)
    with pytest.raises(HettuiError, match="own is not there"):
        runnable(session, Plan(devices, Split((4, 0), 4)))
