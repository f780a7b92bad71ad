"""Command lines: exactly what llama.cpp will be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hettui.domain.cluster.launch import default_ports, exposures, plan_launch, shell_line, unsafe
from hettui.domain.devices.device import Device, Host
from hettui.domain.errors import ConfigError, EngineError
from hettui.domain.hosts.worker import HOLDER, HOLDER_MODULE, RemoteWorker
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.split import Split
from tests.fakes import ENGINE, cluster, workers

GPU = Device("RTX 5080", "pci:0000:01:00.0", backend="cuda", engine_name="CUDA0", uuid="GPU-aaa")
LENT = Device("RTX 3060", "pci:0000:02:00.0", via="worker", backend="cuda", engine_name="CUDA1", uuid="GPU-bbb")


def option(argv: tuple[str, ...], name: str) -> str:
    assert argv.count(name) == 1, f"{name} must stand exactly once in {argv}"
    return argv[argv.index(name) + 1]


def test_three_workers() -> None:
    plan = plan_launch(cluster(workers(None, None, None)), Split((16, 10, 5), 31))
    assert plan.workers[0].argv == (
        "/opt/llama/ggml-rpc-server", "-H", "127.0.0.1", "-p", "50052", "-d", "CPU", "-t", "1",
    )  # fmt: skip
    argv = plan.master.argv
    assert option(argv, "--rpc") == "127.0.0.1:50052,127.0.0.1:50053,127.0.0.1:50054"
    assert option(argv, "--device") == "RPC0,RPC1,RPC2"
    assert argv.index("--device") > argv.index("--rpc")
    assert (option(argv, "-ngl"), option(argv, "-ts")) == ("31", "16,10,5")
    assert (option(argv, "-fit"), option(argv, "-lv")) == ("off", "4")
    assert plan.owners == {
        "RPC0": "d0", "127.0.0.1:50052": "d0",
        "RPC1": "d1", "127.0.0.1:50053": "d1",
        "RPC2": "d2", "127.0.0.1:50054": "d2",
    }  # fmt: skip


def test_an_empty_device_keeps_its_worker_and_leaves_the_masters_line() -> None:
    plan = plan_launch(cluster(workers(None, None, None)), Split((20, 0, 8), 31))
    assert len(plan.workers) == 3
    argv = plan.master.argv
    assert option(argv, "--rpc") == "127.0.0.1:50052,127.0.0.1:50054"
    assert option(argv, "--device") == "RPC0,RPC1"
    assert (option(argv, "-ngl"), option(argv, "-ts")) == ("28", "20,8")
    assert plan.owners["RPC1"] == "d2"


def test_a_share_of_every_tensor_is_said_by_the_same_numbers() -> None:
    cards = (GPU, replace(GPU, name="RTX 3060", id="pci:0000:02:00.0", engine_name="CUDA1", uuid="GPU-bbb"))
    argv = plan_launch(cluster(cards), Split((20, 11), 31)).master.argv
    assert option(argv, "-sm") == "layer"
    shared = replace(cluster(cards), params=RuntimeParams(split_mode="tensor"))
    argv = plan_launch(shared, Split((20, 11), 31)).master.argv
    assert option(argv, "-sm") == "tensor"
    assert (option(argv, "--device"), option(argv, "-ngl"), option(argv, "-ts")) == ("CUDA0,CUDA1", "31", "20,11")
    assert "--rpc" not in argv


def test_no_worker_ever_shares_tensors() -> None:
    """It would open a port on all networks, in newer builds."""
    mixed = replace(cluster((GPU, LENT)), params=RuntimeParams(split_mode="tensor"))
    with pytest.raises(ConfigError, match="RTX 3060 is a worker"):
        plan_launch(mixed, Split((20, 11), 31))
    assert "--rpc" not in plan_launch(mixed, Split((31, 0), 31)).master.argv


def test_everything_on_the_host() -> None:
    argv = plan_launch(cluster(workers(None)), Split((0,), 31)).master.argv
    assert "--rpc" not in argv
    assert "-ts" not in argv
    assert (option(argv, "--device"), option(argv, "-ngl")) == ("none", "0")


def test_attached_and_lent_cards_see_only_themselves() -> None:
    plan = plan_launch(cluster((LENT, GPU)), Split((17, 32), 49))
    worker = plan.workers[0]
    assert worker.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "GPU-bbb"}
    assert option(worker.argv, "-d") == "CUDA0"
    assert plan.master.env["CUDA_VISIBLE_DEVICES"] == "GPU-aaa"
    assert option(plan.master.argv, "--device") == "RPC0,CUDA0"
    assert plan.owners["CUDA0"] == "RTX 5080"


def test_attached_cards_are_numbered_in_the_order_in_which_they_are_made_visible() -> None:
    second = replace(GPU, name="RTX 3060", engine_name="CUDA1", uuid=None)
    plan = plan_launch(cluster((second, GPU)), Split((0, 49), 49))
    assert plan.master.env["CUDA_VISIBLE_DEVICES"] == "1,GPU-aaa"
    assert option(plan.master.argv, "--device") == "CUDA1"


def test_a_card_that_cannot_be_used_is_not_shown_to_the_master() -> None:
    hidden = replace(GPU, name="RTX 3060", uuid="GPU-hidden", missing="hidden by CUDA_VISIBLE_DEVICES")
    plan = plan_launch(cluster((hidden, GPU)), Split((0, 49), 49))
    assert plan.master.env["CUDA_VISIBLE_DEVICES"] == "GPU-aaa"
    assert option(plan.master.argv, "--device") == "CUDA0"
    planned_for_elsewhere = plan_launch(cluster((hidden, GPU)), Split((20, 29), 49))
    assert option(planned_for_elsewhere.master.argv, "--device") == "CUDA0,CUDA1"


def test_a_master_without_cards_hides_those_that_workers_use() -> None:
    plan = plan_launch(cluster((LENT,)), Split((49,), 49))
    assert plan.master.env["CUDA_VISIBLE_DEVICES"] == ""


def test_settings_reach_llama_server_by_its_own_names() -> None:
    params = RuntimeParams(
        ctx_size=8192, parallel=3, kv_unified=True, batch_size=1024, ubatch_size=256,
        cache_type_k="q8_0", cache_type_v="q8_0", flash_attn="on", swa_full=True,
    )  # fmt: skip
    serving = Serving(port=9000, alias="coder", api_key_file="/k", extra_args=("--metrics",))
    argv = plan_launch(cluster(workers(None), params=params, serving=serving), Split((31,), 31)).master.argv
    expected = {
        "-c": "8192", "-np": "3", "-b": "1024", "-ub": "256", "-ctk": "q8_0", "-ctv": "q8_0", "-fa": "on",
        "--port": "9000", "--host": "127.0.0.1", "--alias": "coder", "--api-key-file": "/k", "-m": "/models/smol.gguf",
    }  # fmt: skip
    assert {name: option(argv, name) for name in expected} == expected
    assert {"-kvu", "--swa-full", "--metrics"} <= set(argv)


@pytest.mark.parametrize(
    ("options", "mode", "words"),
    [
        ({"--mmap"}, "auto", ()),
        ({"--mmap"}, "none", ("--no-mmap",)),
        ({"--mmap"}, "mmap+mlock", ("--mmap", "--mlock")),
        ({"--load-mode"}, "none", ("--load-mode", "none")),
        ({"--load-mode"}, "auto", ()),
    ],
)
def test_the_load_mode_is_spelled_as_the_build_knows_it(options: set[str], mode: str, words: tuple[str, ...]) -> None:
    engine = EngineInfo(Path("/s"), Path("/w"), "PATH", "", frozenset(options))
    spec = replace(cluster(workers(None), params=RuntimeParams(load_mode=mode)), engine=engine)
    argv = plan_launch(spec, Split((31,), 31)).master.argv
    assert tuple(w for w in argv if "mmap" in w or "mlock" in w or w in ("--load-mode", "none")) == words


def test_a_dense_feed_forward_on_the_host_is_said_where_the_build_has_it() -> None:
    spec = cluster(workers(None), params=RuntimeParams(n_cpu_ffn=3))
    having = replace(ENGINE, options=frozenset({"--load-mode", "--n-cpu-ffn"}))
    assert option(plan_launch(replace(spec, engine=having), Split((31,), 31)).master.argv, "-ncffn") == "3"
    without = replace(ENGINE, options=frozenset({"--mmap"}))
    with pytest.raises(ConfigError, match="this llama.cpp build has no --n-cpu-ffn"):
        plan_launch(replace(spec, engine=without), Split((31,), 31))
    plain = replace(cluster(workers(None)), engine=without)
    assert "-ncffn" not in plan_launch(plain, Split((31,), 31)).master.argv


def test_a_remote_worker_is_held_by_a_local_process() -> None:
    remote = Device("attic card", "cuda", "attic", "worker", "cuda", "CUDA0", uuid="GPU-x", port=18100)
    spec = replace(cluster((remote,)), hosts=(Host("attic", "me@attic", "/opt/llama.cpp/bin/", 60),))
    worker = plan_launch(spec, Split((31,), 31)).workers[0]
    assert worker.argv == (
        *HOLDER, "worker attic card", "attic", "me@attic", "18100", "lease=60", "patience=60",
        "bin=/opt/llama.cpp/bin/", "fixed", "cache=34359738368", "env:CUDA_DEVICE_ORDER=PCI_BUS_ID",
        "env:CUDA_VISIBLE_DEVICES=GPU-x", "--", "-d", "CUDA0",
    )  # fmt: skip
    assert worker.env == {}
    assert worker.address == ("127.0.0.1", 18100)
    held = RemoteWorker.of(worker.argv[len(HOLDER) :])
    assert (held.bin, held.fixed, held.env["CUDA_VISIBLE_DEVICES"]) == ("/opt/llama.cpp/bin/", True, "GPU-x")


def test_a_remote_worker_is_told_what_its_cache_may_hold_of_the_model() -> None:
    remote = Device("attic card", "cuda", "attic", "worker", "cuda", "CUDA0", budget_bytes=5 << 25)
    spec = replace(cluster((remote,)), hosts=(Host("attic", "me@attic"),), large_tensors=(2 << 25, 2 << 25, 3 << 25))
    worker = plan_launch(spec, Split((31,), 31)).workers[0]
    held = RemoteWorker.of(worker.argv[len(HOLDER) :])
    assert (held.kept_sizes, held.kept_bytes) == ((2 << 25, 3 << 25), 5 << 25)


def test_ports_of_remote_workers_lie_below_those_that_the_kernel_gives_away() -> None:
    there = replace(workers(None)[0], host="attic")
    ports = default_ports((replace(there, name="a"), replace(there, name="b", port=18053), replace(there, name="c")))
    assert ports == {"a": 18052, "b": 18053, "c": 18054}


@pytest.mark.parametrize("address", [None, "attic.lan", "8.8.8.8", "0.0.0.0", "127.0.0.1", "fd00::1"])  # noqa: S104
def test_a_remote_worker_is_opened_to_a_named_private_address_only(address: str | None) -> None:
    remote = replace(workers(None)[0], host="attic", expose=True)
    attic = Host("attic", "me@attic", address=address)
    with pytest.raises(ConfigError, match="expose"):
        plan_launch(replace(cluster((remote,)), hosts=(attic,)), Split((31,), 31))


def test_an_exposed_remote_worker_is_reached_without_a_tunnel_and_told() -> None:
    remote = replace(workers(None)[0], host="attic", expose=True)
    attic = Host("attic", "me@attic", address="192.168.1.20")
    launch = plan_launch(replace(cluster((remote,)), hosts=(attic,)), Split((31,), 31))
    assert launch.master.argv[launch.master.argv.index("--rpc") + 1] == "192.168.1.20:18052"
    assert {"address=192.168.1.20", "fixed"} <= set(launch.workers[0].argv)
    assert launch.workers[0].address == ("192.168.1.20", 18052)
    held = RemoteWorker.of(launch.workers[0].argv[launch.workers[0].argv.index(HOLDER_MODULE) + 1 :])
    assert held.address == "192.168.1.20"
    (said,) = exposures([remote])
    assert "at an address of attic without ssh" in said


def test_fixed_ports_are_kept_and_passed_over() -> None:
    a, b, c = workers(None, None, None)
    assert default_ports((a, replace(b, port=50052), c)) == {"d0": 50053, "d1": 50052, "d2": 50054}


@pytest.mark.parametrize(
    ("devices", "serving", "says"),
    [
        (workers(*[None] * 16), Serving(), "at most 15"),
        ((replace(GPU, host="attic"),), Serving(), 'via = "worker"'),
        ((Device("cpu"),), Serving(), "is the CPU"),
    ],
)
def test_what_llama_cpp_cannot_do_is_refused(devices: tuple[Device, ...], serving: Serving, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan_launch(cluster(devices, serving=serving), Split((31,) + (0,) * (len(devices) - 1), 31))


def test_a_worker_needs_an_rpc_server() -> None:
    engine = replace(ENGINE, rpc_server=None)
    with pytest.raises(EngineError, match="GGML_RPC=ON"):
        plan_launch(replace(cluster(workers(None)), engine=engine), Split((31,), 31))


def test_a_line_for_the_shell_is_quoted() -> None:
    spec = replace(cluster(workers(None)), model_path="/my models/a'b.gguf")
    line = shell_line(plan_launch(spec, Split((31,), 31)).master)
    assert """-m '/my models/a'"'"'b.gguf'""" in line


@pytest.mark.parametrize(
    ("host", "safe"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("/run/x.sock", True), ("0.0.0.0", False), ("::", False), ("192.168.1.5", False),  # noqa: S104
        ("127.0.0.1,0.0.0.0", False), ("127.evil.example", False), ("attic", False),
    ],
)  # fmt: skip
def test_an_open_master_without_a_key_is_refused(host: str, safe: bool) -> None:
    exposed = cluster(workers(None), serving=Serving(host=host))
    assert (unsafe(exposed, has_key=False) is None) is safe
    assert unsafe(exposed, has_key=True) is None


def test_rpc_servers_listen_on_loopback_unless_the_configuration_says_otherwise() -> None:
    closed, opened = workers(None, None)
    devices = (closed, replace(opened, expose=True))
    launch = plan_launch(cluster(devices), Split((20, 11), 31))
    hosts = [spec.argv[spec.argv.index("-H") + 1] for spec in launch.workers]
    assert hosts == ["127.0.0.1", "0.0.0.0"]  # noqa: S104
    (said,) = exposures(devices)
    assert "anyone there can run code" in said
    assert "d1" in said
