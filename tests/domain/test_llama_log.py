"""Facts from llama-server's log, and explanations of its ends."""

from __future__ import annotations

from hettui.domain.cluster.llama_log import MasterLog
from hettui.domain.memory.forecast import Memory
from hettui.domain.units import MIB

OWNERS = {"127.0.0.1:50101": "a", "127.0.0.1:50102": "b", "RPC0": "a", "RPC1": "b", "CUDA0": "card"}

# As b10068 printed it at -lv 5.
REAL = """\
0.00.028.595 I llama_prepare_model_devices: using device RPC0 (127.0.0.1:50101) (unknown id) - 24105 MiB free
0.00.075.871 D load_tensors: layer   0 assigned to device RPC0, is_swa = 0
0.00.075.881 D load_tensors: layer   1 assigned to device RPC1, is_swa = 0
0.00.075.882 D load_tensors: layer   2 assigned to device CPU, is_swa = 0
0.00.158.938 I load_tensors: offloaded 31/31 layers to GPU
0.00.158.953 I load_tensors:   CPU_Mapped model buffer size =    28.69 MiB
0.00.158.954 I load_tensors: RPC0[127.0.0.1:50101] model buffer size =    42.28 MiB
0.00.158.954 I load_tensors: RPC0[127.0.0.1:50102] model buffer size =    49.83 MiB
0.00.471.839 I llama_context:        CPU  output buffer size =     0.19 MiB
0.00.472.274 I llama_kv_cache: RPC0[127.0.0.1:50101] KV buffer size =    60.00 MiB
0.00.599.568 I llama_kv_cache: RPC0[127.0.0.1:50102] KV buffer size =    30.00 MiB
0.00.713.749 I sched_reserve: RPC0[127.0.0.1:50101] compute buffer size =    16.38 MiB
0.00.713.763 I sched_reserve: RPC0[127.0.0.1:50102] compute buffer size =    16.38 MiB
0.00.713.764 I sched_reserve:        CPU compute buffer size =     6.26 MiB
0.00.760.461 I srv  llama_server: listening on http://127.0.0.1:8099
"""


def read(text: str) -> MasterLog:
    log = MasterLog(OWNERS)
    for line in text.splitlines():
        log.feed(line)
    return log


def size(mib: float) -> int:
    return round(mib * MIB)


def test_buffers_belong_to_their_devices() -> None:
    log = read(REAL)
    assert log.memory == {
        "a": Memory(size(42.28), size(60), size(16.38)),
        "b": Memory(size(49.83), size(30), size(16.38)),
        "host": Memory(size(28.69), 0, size(6.26)),
    }
    assert log.layers == {"a": 1, "b": 1, "host": 1}
    assert log.offloaded == (31, 31)
    assert log.listening == "http://127.0.0.1:8099"


def test_what_is_said_of_all_devices_together_is_no_device_s() -> None:
    """b11434 with -sm tensor."""
    log = read(
        "0.00.000.001 D load_tensors: layer   0 assigned to device Meta(), is_swa = 0\n"
        "0.00.399.747 I load_tensors:   CPU_Mapped model buffer size =   137.94 MiB\n"
        "0.00.399.766 I load_tensors:       Meta() model buffer size =   160.38 MiB\n"
        "0.02.468.803 I llama_kv_cache:     Meta() KV buffer size =     4.00 MiB\n"
        "0.02.479.185 I sched_reserve:     Meta() compute buffer size =    39.51 MiB\n"
        "0.02.479.212 I sched_reserve:        CPU compute buffer size =    11.02 MiB\n"
    )
    assert log.memory == {"host": Memory(size(137.94), 0, size(11.02))}
    assert log.layers == {}


def test_two_caches_of_one_device_add_up_and_a_second_reservation_replaces_the_first() -> None:
    log = read(
        "0.1.2.3 I llama_kv_cache: CUDA0 KV buffer size =   768.00 MiB\n"
        "0.1.2.3 I llama_kv_cache: CUDA0 KV buffer size =    18.00 MiB\n"
        "0.1.2.3 I sched_reserve:      CUDA0 compute buffer size =   300.00 MiB\n"
        "0.1.2.3 I sched_reserve:      CUDA0 compute buffer size =   100.00 MiB\n"
    )
    assert log.memory["card"] == Memory(0, size(786), size(100))


def test_dots_are_hundredths() -> None:
    log = MasterLog({})
    log.feed_partial("." * 37)
    assert log.load_fraction == 0.37
    log.feed("0.00.028.032 I llama_model_loader: - kv  26: tokenizer.ggml.merges arr[str,48900] = [...")
    assert log.load_fraction == 0.37


def one_model(mib: float) -> str:
    """As b10068 prints it at -lv 4."""
    return (
        "0.1.2.3 I load_tensors: loading model tensors, this can take a while... (mmap = true, direct_io = false)\n"
        "0.1.2.3 D load_tensors: layer   0 assigned to device RPC0, is_swa = 0\n"
        f"0.1.2.3 I load_tensors: offloaded {int(mib)}/31 layers to GPU\n"
        f"0.1.2.3 I load_tensors: RPC0[127.0.0.1:50101] model buffer size =   {mib:.2f} MiB\n"
    )


def one_context(mib: float) -> str:
    return (
        "0.1.2.3 I llama_context: constructing llama_context\n"
        f"0.1.2.3 I llama_kv_cache: RPC0[127.0.0.1:50101] KV buffer size =    {mib:.2f} MiB\n"
        f"0.1.2.3 I sched_reserve: RPC0[127.0.0.1:50101] compute buffer size =    {mib + 1:.2f} MiB\n"
    )


SERVED = "0.1.2.3 I srv    load_model: loading model '/m.gguf'\n"
DRAFT = "0.1.2.3 I common_speculative_init_result: loading draft model '/d.gguf'\n"


def test_a_draft_model_is_kept_apart_from_the_model_that_is_served() -> None:
    log = read(SERVED + one_model(30) + one_context(8) + DRAFT + one_model(12) + one_context(4))
    assert log.memory == {"a": Memory(size(30), size(8), size(9), draft_bytes=size(12) + size(4) + size(5))}
    assert log.beside == {"a": Memory(size(12), size(4), size(5))}
    assert log.offloaded == (30, 31)
    assert log.layers == {"a": 1}


def test_a_second_context_of_the_same_model_is_kept_apart() -> None:
    log = read(SERVED + one_model(30) + one_context(8) + one_context(2))
    assert log.memory == {"a": Memory(size(30), size(8), size(9), draft_bytes=size(2) + size(3))}
    assert log.beside == {"a": Memory(0, size(2), size(3))}


def test_a_model_that_is_loaded_again_replaces_itself() -> None:
    once = SERVED + one_model(30) + one_context(8)
    assert read(once + once).memory == read(once).memory
    assert read(once + once).beside == read(once).beside == {}
