"""Which of a log's lines is the cause: the first that was not recovered from, with the device that it names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.cluster.evidence import find
from hettui.domain.cluster.postmortem import End, examine, last_words
from hettui.domain.cluster.process import ProcessSpec

OWNERS = {"CUDA1": "RTX 3090", "Vulkan0": "Arc", "RPC0": "attic", "10.0.0.7:50052": "attic", "ROCm0": "W6800"}
MASTER = ProcessSpec("master", "master", ("llama-server",))
WORKER = ProcessSpec("worker attic", "worker", ("ggml-rpc-server",), device="attic")
P = "0.00.100.200 "
ECHO = f"""{P}E llama_model_load_from_file_impl: failed to load model
{P}E cmn  common_init_: failed to load model '/m.gguf'
{P}E srv  llama_server: exiting due to model loading error"""


@pytest.mark.parametrize(
    ("returncode", "log", "what", "remedy"),
    [
        (1, f"{P}E llama_model_load: error loading model: done_getting_tensors: wrong number of tensors; expected 500, "
            f"got 300\n{ECHO}", "wrong number of tensors: the file holds 500", "mmproj"),
        (1, f"{P}E llama_model_load: error loading model: missing tensor 'blk.3.attn_q.weight'\n{ECHO}",
         "lacks the tensor blk.3.attn_q.weight", "newer"),
        (1, f"{P}E llama_model_load: error loading model: error loading model hyperparameters: key not found in model: "
            f"phi9.rope\n{ECHO}", "header lacks phi9.rope", "newer"),
        (1, f"{P}E gguf_init_from_reader: tensor 'x' has invalid ggml type 139. should be in [0, 43)\n{ECHO}",
         "fork ik_llama.cpp", "another quantisation"),
        (1, f"{P}E gguf_init_from_reader: tensor 'x' has invalid ggml type 44. should be in [0, 43)\n{ECHO}",
         "type 44, which this llama.cpp does not have", "newer llama.cpp"),
        (1, f"{P}E g: tensor 'x' of type 31 (TYPE_Q4_0_4_4 REMOVED, use Q4_0 with runtime repacking) has 256 elements "
            f"per row\n{ECHO}", "Q4_0_4_4, which llama.cpp has no more", "fetch it as Q4_0"),
        (1, f"{P}E llama_model_load: error loading model: error loading model vocabulary: unknown pre-tokenizer type: "
            f"'tok9'\n{ECHO}", "does not know the model's tokenizer tok9", "newer"),
        (1, f"{P}E llama_model_load: error loading model: cannot find tokenizer merges in model file\n\n{ECHO}",
         "no merges of its tokenizer", "another conversion"),
        (1, f"{P}I srv  llama_server: model loaded\n{P}E srv init: chat template parsing error: unknown filter\n{ECHO}",
         "the chat template cannot be used: unknown filter", "--chat-template"),
        (1, f"{P}E llama_init_from_model: failed to initialize the context: quantized V cache was requested, but this "
            f"requires Flash Attention\n{ECHO}", "quantised V cache needs flash attention", 'flash-attn = "on"'),
        (1, f"{P}E llama_init_from_model: K cache type q8_0 with block size 32 does not divide n_embd=80\n{ECHO}",
         "the K cache cannot be q8_0", "f16"),
        (1, f"{P}E llama_model_load: error loading model: unknown model architecture: 'zeta'\n{ECHO}\n"
            f"{P}E srv load_model: failed to load draft model, 'd.gguf'",
         "does not know the architecture zeta, in the draft model d.gguf", "newer"),
        (1, f"{P}E srv load_model: failed to load multimodal model, 'p.gguf'\n{ECHO}", "failed to load multimodal",
         "log"),
        (-6, "/x/ggml-cuda.cu:98: CUDA error\nCUDA error: no kernel image is available for execution on the device\n"
             "  current device: 1, in function f at /x/ggml-cuda.cu:5\n  err",
         "has no code for RTX 3090 (CUDA1)", "CMAKE_CUDA_ARCHITECTURES"),
        (-6, "ggml_cuda_compute_forward: MUL_MAT failed\nROCm error: invalid device function\n  current device: 0, in",
         "has no code for W6800 (ROCm0)", "gfx"),
        (-6, "CUDA error: uncorrectable ECC error encountered\n  current device: 1, in function f",
         "RTX 3090 (CUDA1) has damaged memory", "reset"),
        (-6, "CUDA error: the provided PTX was compiled with an old tool.\n  current device: 1, in f",
         "driver of RTX 3090 (CUDA1) is older", "newer NVIDIA driver"),
        (-6, "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED\n  current device: 1, in f", "out of memory for RTX 3090",
         "fewer layers"),
        (-6, "rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat: Illegal seek for GPU arch : "
             "gfx1032", "has no code for the card", "HSA_OVERRIDE_GFX_VERSION"),
        (-6, "Memory access fault by GPU node-1 (Agent handle: 0x1) on address 0x2. Reason: Page not present",
         "a fault of its memory or a hang (node 1)", "ROCm"),
        (-6, "terminate called after throwing an instance of 'std::runtime_error'\n  what():  zeta is full",
         "it gave up: zeta is full", "log"),
        (1, f"{P}E llama_model_load: error loading model: mmap failed: Cannot allocate memory\n{ECHO}",
         "could not be mapped into memory: Cannot allocate memory", "ulimit -v"),
        (1, "No device of requested type available. Please check", "SYCL finds no Intel card",
         "sycl-ls"),
        (-6, "CUDA error: out of memory\n  current device: 1, in function ggml_cuda_pool", "out of memory for RTX 3090",
         "fewer layers"),
        (-6, "CUDA error: unspecified launch failure\n  current device: 1, in function f", "failed: unspecified",
         "Xid"),
        (1, f"ggml_vulkan: Device memory allocation of size 9 failed.\nggml_vulkan: vk::Device::allocateMemory: "
            f"ErrorOutOfDeviceMemory\n{P}E alloc_tensor_range: failed to allocate Vulkan0 buffer of size 9\n{ECHO}",
         "out of memory for Arc (Vulkan0)", "fewer layers"),
        (-6, "terminate called after throwing an instance of 'vk::DeviceLostError'\n  what():  vk::Queue::submit: "
             "ErrorDeviceLost", "its driver gave up", "kernel's log"),
        (-6, "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)\nException caught at "
             "file:/x/ggml-sycl.cpp, line:5\nError OP MUL_MAT", "out of memory", "fewer layers"),
        (-6, f"{P}E ggml_gallocr_reserve_n_impl: failed to allocate CUDA1 buffer of size 9\n{P}E x: failed to "
             f"allocate compute pp buffers\n{ECHO}", "out of memory for RTX 3090 (CUDA1) for the compute buffer",
         "ubatch-size"),
        (1, f"{P}E alloc_tensor_range: failed to allocate RPC0[10.0.0.7:50052] buffer of size 9\n{P}E llama_kv_cache: "
            f"failed to allocate buffer for kv cache\n{ECHO}", "out of memory for attic (RPC0) for the KV cache",
         "ctx-size"),
        (-6, "/x/ggml/src/ggml-backend.cpp:898: pre-allocated tensor (blk.1.ffn_up.weight) in a buffer (Vulkan0) that "
             "cannot run the operation (MUL_MAT)", "blk.1.ffn_up.weight lies where it cannot be computed on Arc",
         "override-tensor"),
        (-6, "/x/ggml.c:7000: GGML_ASSERT(cgraph->n_nodes < cgraph->size) failed",
         "a check of llama.cpp's own failed: cgraph->n_nodes < cgraph->size (ggml.c:7000)", "another build"),
        (127, "llama-server: /lib/libc.so.6: version `GLIBC_2.38' not found (required by llama-server)", "GLIBC_2.38",
         "build for this system"),
        (-8, "", "divided by zero", "b11434"),
    ],
)  # fmt: skip
def test_the_cause_of_a_log(returncode: int, log: str, what: str, remedy: str) -> None:
    found = examine(End(MASTER, returncode, tuple(log.splitlines())), owners=OWNERS)
    assert what in found.what
    assert remedy in found.remedy
    assert "exiting due to" not in found.what


def test_what_was_recovered_from_is_not_the_cause() -> None:
    retried = (
        f"{P}E ggml_gallocr_reserve_n_impl: failed to allocate CUDA1 buffer of size 912680960",
        f"{P}W llama_context: compute buffer allocation failed, retrying without pipeline parallelism",
        f"{P}I srv  llama_server: listening on http://127.0.0.1:8080",
    )
    lost = examine(End(MASTER, -6, (*retried, f"{P}E Remote RPC server crashed or returned malformed response")))
    assert "a worker died" in lost.what
    assert "memory" not in examine(End(MASTER, -6, (*retried, f"{P}E strange new error"))).sentence
    still = examine(
        End(MASTER, 1, (*retried[:2], f"{P}E alloc: failed to allocate CUDA1 buffer of size 1")), owners=OWNERS
    )
    assert still.what == "out of memory for RTX 3090 (CUDA1)"


def test_an_earlier_client_of_a_worker_explains_nothing() -> None:
    lines = ("Accepted client connection", "CUDA error: unspecified launch failure", "Accepted client connection")
    assert "launch failure" not in examine(End(WORKER, -9, lines)).sentence
    assert "launch failure" in examine(End(WORKER, -6, lines[:2])).what


def test_the_first_of_two_errors_is_the_cause_wherever_it_stands_in_the_table() -> None:
    one = f"{P}E CUDA error: unspecified launch failure"
    two = f"{P}E couldn't bind HTTP server socket, hostname: x, port: 8080"
    assert "launch failure" in examine(End(MASTER, 1, (one, two))).what
    assert "8080 is in use" in examine(End(MASTER, 1, (two, one))).what


def test_an_error_that_nobody_knows_is_told_and_not_its_echo() -> None:
    lines = (f"{P}I just fine", f"{P}E llama_model_load: quux overflowed", *ECHO.splitlines(), "#3 0x1 in abort ()")
    assert examine(End(MASTER, 1, lines)).what == "llama_model_load: quux overflowed"
    assert "failed to load model" in examine(End(MASTER, 1, tuple(ECHO.splitlines()))).what


def test_a_kill_after_memory_could_not_be_locked_says_so() -> None:
    lines = (
        f"{P}W warning: failed to mlock 42-byte buffer (after previously locking 0 bytes): Cannot allocate memory",
    )
    found = examine(End(MASTER, -9, lines))
    assert "killed from outside" in found.what
    assert "lock the model in memory" in found.remedy
    assert "mlock" not in examine(End(MASTER, 1, (*lines, f"{P}E new error"))).sentence


def test_a_worker_that_lives_on_is_heard() -> None:
    refused = (
        "Accepted client connection",
        "[create_node] invalid data ptr[graph_compute] failed to create graph node 9",
    )
    master = End(MASTER, -6, ("/x/ggml-rpc.cpp:35: Remote RPC server crashed or returned malformed response",))
    found = examine(master, witnesses=(End(WORKER, None, ("Accepted client connection",)), End(WORKER, None, refused)))
    assert found.process == "master"
    assert (
        found.what == "worker attic says why: this llama.cpp build sends a worker addresses of another worker's memory"
    )
    assert "b11434" in found.remedy
    assert found.hopeless
    assert found.consequences == ("worker attic runs on",)
    assert not examine(master, witnesses=(End(WORKER, None, refused[:1]),)).hopeless


def test_a_card_that_holds_no_layers_has_llama_cpps_name() -> None:
    lines = ("CUDA error: uncorrectable ECC error encountered", "  current device: 2, in function f at /x/y.cu:1")
    assert examine(End(MASTER, -6, lines), owners={"CUDA1": "RTX 3090"}).what.startswith("CUDA2 has damaged memory")


def test_a_workers_own_numbers_of_cards_are_not_the_masters() -> None:
    lines = ("CUDA error: out of memory", "  current device: 1, in function f")
    assert "3090" not in examine(End(WORKER, -6, lines), owners=OWNERS).sentence


NOISE = [f"{P}I slot is idle", f"{P}D failed to allocate 3.00 MiB of pinned memory: out of memory", "", "....",
         f"{P}W warning: failed to mlock 4-byte buffer: Cannot allocate memory", "#4 0x7f in raise ()"]  # fmt: skip


@given(st.lists(st.sampled_from(NOISE), max_size=8), st.lists(st.sampled_from(NOISE), max_size=8))
def test_noise_around_an_error_changes_nothing(before: list[str], after: list[str]) -> None:
    error = f"{P}E CUDA error: unspecified launch failure"
    alone = find((error,), -6)
    noisy = find((*before, error, *after), -6)
    assert (noisy.cause, noisy.device, noisy.lines) == (alone.cause, alone.device, alone.lines)


@given(st.lists(st.text(max_size=60), max_size=12), st.sampled_from([None, 0, 1, -6, -9, -11, 255]))
def test_any_log_gives_one_sentence(lines: list[str], returncode: int | None) -> None:
    found = examine(End(MASTER, returncode, tuple(" ".join(line.split()) for line in lines)))
    assert found.what
    assert found.remedy
    assert "\n" not in found.sentence


def test_a_program_that_fails_by_itself_is_explained_in_one_line() -> None:
    said = "loading\nllama-bench: error: invalid argument: --zeta\nusage: llama-bench [options]\n\x1b[0mbye"
    assert last_words(said, 1) == "invalid argument: --zeta; correct [serving] extra-args"
    assert last_words("strange error of ours\nbye", 1) == "strange error of ours"
    assert last_words("only words\nbye", 1) == "bye"
    assert last_words("", 1) == ""
