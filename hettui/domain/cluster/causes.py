"""What the lines of a log mean that llama.cpp, its backends, ssh or a loader leave behind, and what to do about them.

The words are those of b10068 and b11434: seen in a run of one of them, or read in b11434's source where they need
hardware; those of drivers and their libraries (AMD's memory faults, rocBLAS, HSA, newer cuBLAS, glibc, Metal) are
from public reports. Of one line the first entry counts; which line counts is `postmortem`'s to say. `{0}`, `{1}` in
the texts are what a pattern's groups matched; `{of}`, `{at}` and `{on}` are ` for DEVICE` and so on where a device
is named, else nothing; `{card}` is the device, else `the card`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hettui.domain.llama.faults import FAULTS
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One known pattern. Its group `device` is llama.cpp's name of one, `ordinal` a card's number."""

    pattern: re.Pattern[str]
    what: str
    remedy: str
    hopeless: bool = True
    """The next start would meet the same, so none is made by itself."""
    of_others: bool = False
    """Says that another process failed: of several deaths the other one's is the cause."""
    port_taken: bool = False
    """Another port may help."""
    family: str = ""
    """Lines of one family that follow each other tell of one error: each may know more of it."""
    vague: bool = False
    """Another line of its family says better what failed."""


def happened(cause: Cause, groups: Sequence[str], device: str) -> str:
    """What happened, with what its pattern matched and the device as the user calls it; empty where none is named."""
    places = {word: f" {preposition} {device}" if device else "" for word, preposition in _PREPOSITIONS.items()}
    return cause.what.format(*groups, card=device or "the card", **places)


_PREPOSITIONS = {"of": "for", "at": "at", "on": "on"}


def _cause(
    pattern: str,
    what: str,
    remedy: str,
    *,
    hopeless: bool = True,
    of_others: bool = False,
    port_taken: bool = False,
    family: str = "",
    vague: bool = False,
) -> Cause:
    return Cause(late_pattern(pattern), what, remedy, hopeless, of_others, port_taken, family, vague)


_FEWER_LAYERS = "give it fewer layers, or use a smaller ctx-size"
_NEWER = "use a newer llama.cpp, or a newer conversion of the model"
_AGAIN = "fetch it again"
_SAME_BUILD = "install the same llama.cpp build on both machines"
_MEMORY = "memory"
LINE = "line"
_CARD = r"(?:CUDA|ROCm|HIP|MUSA)"

LAST_WORDS = _cause(
    r"using \d+ threads for HTTP server$",
    "its port is in use",
    "choose another [serving] port, or stop what holds it",
    port_taken=True,
)
"""As the last line before an end with 1, or where nothing is said and the port is found taken. llama-server logs from a
thread and ends without waiting for it: why the port could not be bound, or all of the log, may be lost (b10068)."""


def _memory(pattern: str, what: str = "out of memory{of}", remedy: str = _FEWER_LAYERS, *, vague: bool = True) -> Cause:
    return _cause(pattern, what, remedy, family=_MEMORY, vague=vague)


_HOSTS = (  # what the holder of a remote worker says: adapters/hosts/hold.py
    _cause(r"^hettui gives up: (.+); (.+)$", "{0}", "{1}"),
    _cause(r"^hettui: (the line to .+ was lost: .+); (.+)$", "{0}", "{1}", hopeless=False, family=LINE, vague=True),
    _cause(r"^hettui: (.+); (.+)$", "{0}", "{1}", hopeless=False, family=LINE),
)

_ADDRESSES = (
    _cause(
        r"couldn't bind HTTP server socket, hostname: (\S+,\S.*), port", "it takes one address, not {0}",
        "name one address in [serving] host, or use a newer llama.cpp",
    ),
    _cause(
        r"couldn't bind HTTP server socket.*port: (\d+)", "port {0} is in use",
        "choose another [serving] port, or stop what holds it", port_taken=True,
    ),
    _cause(
        r"Failed to create server socket", "its port is in use", "choose another port for it, or stop what holds it",
        port_taken=True,
    ),
    _cause(r"Invalid host address: (\S+)", "{0} is not an IPv4 address", "give the worker an IPv4 address"),
    _cause(r"unknown device: (\S+)", "llama.cpp knows no device {0} here", "compare with hettui devices"),
)  # fmt: skip

_OUT_OF_MEMORY = (
    _memory(
        r"ggml_gallocr_reserve_n_impl: failed to allocate (?P<device>\S+) buffer"
        r"|failed to allocate compute (?:pp |tg )?buffers",
        "out of memory{of} for the compute buffer", "give it fewer layers, or use a smaller ubatch-size", vague=False,
    ),
    _memory(
        r"failed to allocate buffer for (?:kv|rs) cache", "out of memory{of} for the KV cache",
        "use a smaller ctx-size, or give it fewer layers", vague=False,
    ),
    _memory(r"(?:failed|unable) to allocate (?P<device>\S+?) buffer"),
    _memory(r"allocating [\d.]+ MiB on device (?P<ordinal>\d+):? .*out of memory"),
    _memory(rf"{_CARD} error: out of memory|(?:cuda|hip)Malloc failed: out of memory"),
    _memory(
        r"CUBLAS_STATUS_(?:ALLOC_FAILED|NOT_INITIALIZED)|CUDA error: the (?:library was not initialized|resource "
        r"allocation failed)|HSA_STATUS_ERROR_OUT_OF_RESOURCES"
    ),
    _memory(r"ggml_vulkan: Device memory allocation of size \d+ failed|ErrorOutOfDeviceMemory"),
    _memory(
        r"Requested buffer size exceeds device (?:buffer size|memory allocation) limit",
        "one buffer{of} would be larger than its driver allows", "use a smaller ctx-size or ubatch-size", vague=False,
    ),
    _memory(
        r"UR_RESULT_ERROR_OUT_OF_(?:DEVICE_MEMORY|RESOURCES)|can't allocate \d+ Bytes of memory on device"
        r"|PI_ERROR_OUT_OF_RESOURCES",
        "out of memory{of}: the Intel card's driver had none left",
    ),
    _memory(r"kIOGPUCommandBufferCallbackErrorOutOfMemory"),
    _cause(
        r"Failed to allocate input buffer of size (\d+)",
        "out of memory while receiving weights", _FEWER_LAYERS,
    ),
    _cause(
        r"std::bad_alloc|ErrorOutOfHostMemory|can't allocate \d+ Bytes of memory on host|UR_RESULT_ERROR_OUT_OF_HOST",
        "out of memory of the machine", "give its devices fewer layers, or close other programs",
    ),
    _cause(
        r"mmap failed: (.{1,120})", "the model file could not be mapped into memory: {0}",
        'raise ulimit -v, or set [serving] load-mode = "none"',
    ),
    _cause(
        r"Out of memory: Killed process (\d+)|oom-kill", "the kernel ended it because the machine's memory was full",
        "give the CPU devices fewer layers, or close other programs",
    ),
    _cause(r"No space left on device", "a disk is full", "free some space where its logs and caches lie"),
)  # fmt: skip

_OTHER_MACHINES = (
    *(_cause(f.pattern.pattern, f.what, f.remedy) for f in FAULTS if f.pattern is not None),
    _cause(
        r"RPC server version mismatch: (\S+)", "the worker speaks RPC {0}, another llama.cpp build than the master",
        _SAME_BUILD,
    ),
    _cause(
        r"client needs upgrade to protocol (\S+?)\.?$|Expected HELLO command, update client|Unknown command: (\d+)",
        "master and worker are different llama.cpp builds", _SAME_BUILD,
    ),
    _cause(
        r"error deserializing tensor|out of (?:tensor|buffer) bounds|Null tensor pointer passed|failed to create graph "
        r"node|invalid tensor type received",
        "the worker was sent a tensor that it cannot take, as of another llama.cpp build", _SAME_BUILD,
    ),
    _cause(
        r"[Ff]ailed to connect to (?P<device>\S+)", "the worker{at} did not answer", "start again", hopeless=False,
        of_others=True,
    ),
    _cause(
        r"RPC handshake failed for (?P<device>\S+)", "the worker{at} is another build or busy",
        "install the same build on both machines, and let nobody else use it", of_others=True,
    ),
    _cause(
        r"Remote RPC server crashed or returned malformed response", "a worker died or sent nonsense", "start again",
        hopeless=False, of_others=True,
    ),
    _cause(
        r"invalid device: (\S+)", "llama.cpp knows no device {0}: a worker did not answer it", "start again",
        hopeless=False, of_others=True,
    ),
)  # fmt: skip

_MODEL_FILES = (
    _cause(
        r"failed to open GGUF file '([^']*)'|failed to read magic|failed to open (\S+\.gguf)",
        "the model file cannot be opened or is empty", "check the path and its permissions",
    ),
    _cause(
        r"tensor '([^']*)' data is not within the file bounds|failed to read key-value pairs|unexpectedly reached end",
        "the model file is incomplete", _AGAIN,
    ),
    _cause(r"invalid magic characters", "the model file is no GGUF", "choose another file"),
    _cause(
        r"has invalid ggml type (9[789]|[123]\d\d)\b",
        "the model has tensors of the type {0} of the fork ik_llama.cpp, which llama.cpp cannot read",
        "fetch another quantisation of the model, or run it with that fork",
    ),
    _cause(
        r"has invalid ggml type (-?\d+)", "the model has tensors of the type {0}, which this llama.cpp does not have",
        "use a newer llama.cpp, or fetch another quantisation of the model",
    ),
    _cause(
        r"of type \d+ \(TYPE_(\w+) REMOVED, use (\w+)", "the model has the type {0}, which llama.cpp has no more",
        "fetch it as {1}, or quantise it again",
    ),
    _cause(
        r"tensor '([^']*)' has offset \d+, expected|is duplicated$|duplicate (?:tensor name|key) '",
        "the model file is no sound GGUF", "fetch it again, or convert it again",
    ),
    _cause(
        r"illegal split file idx|invalid split (?:file|count)|missing key split\.no",
        "the parts of the model do not belong together or are not named by their numbers",
        "name them NAME-00001-of-0000N.gguf, and the first one in [model] path",
    ),
    _cause(
        r"unknown model architecture: '([^']*)'", "this llama.cpp build does not know the architecture {0}",
        "use a newer llama.cpp",
    ),
    _cause(
        r"wrong number of tensors; expected (\d+), got (\d+)",
        "wrong number of tensors: the file holds {0}, of which this llama.cpp takes {1} for the model",
        "text model and vision tower may be in one file, as in Ollama's: fetch the model as GGUF from elsewhere, with "
        "its mmproj file apart; else use a newer llama.cpp",
    ),
    _cause(r"missing tensor '([^']*)'", "the model lacks the tensor {0} that this llama.cpp asks for", _NEWER),
    _cause(r"tensor '([^']*)' has wrong shape", "the model's tensor {0} has a shape that is not of its kind", _NEWER),
    _cause(r"key not found in model: (\S+)", "the model's header lacks {0}, which this llama.cpp asks for", _NEWER),
    _cause(
        r"key (\S+) has wrong (?:type|array length)",
        "the model's header says {0} otherwise than this llama.cpp asks", _NEWER,
    ),
    _cause(
        r"unknown pre-tokenizer type: '([^']*)'|unknown tokenizer: '([^']*)'",
        "this llama.cpp does not know the model's tokenizer {0}{1}", _NEWER,
    ),
    _cause(
        r"cannot find tokenizer (\w+) in model file", "the model's header has no {0} of its tokenizer",
        "fetch another conversion of the model",
    ),
    _cause(
        r"chat template parsing error: (.{1,160})|chat template is not supported: (.{1,160})"
        r"|(custom template is not supported)",
        "the chat template cannot be used: {0}{1}{2}",
        'set [serving] extra-args to "--chat-template", "chatml", or use a newer llama.cpp or conversion',
    ),
)  # fmt: skip

_SETTINGS = (
    _cause(
        r"V cache quantization requires flash_attn|quantized V cache (?:was requested, but this )?requires "
        r"(?:flash_attn|Flash Attention)",
        "a quantised V cache needs flash attention, which is off here",
        'set [serving] flash-attn = "on", or cache-type-v = "f16"',
    ),
    _cause(
        r"Unsupported KV type combination",
        "this llama.cpp build has no flash attention for these types of K and V caches",
        "set cache-type-k and cache-type-v alike, to f16, q8_0 or q4_0",
    ),
    _cause(
        r"([KV]) cache type (\S+) with block size \d+ does not divide",
        "the {0} cache cannot be {1}: the model's heads are no whole blocks of it", "use f16 or another cache type",
    ),
    _cause(
        r"does not support different K \((\S+)\) and V \((\S+)\) cache types",
        "this model needs K and V caches of one type, not {0} and {1}", "set cache-type-k and cache-type-v alike",
    ),
    _cause(
        r"pre-allocated tensor \((\S+)\) in a buffer \((?P<device>\S+)\) that cannot run the operation \((\S+)\)",
        "the tensor {0} lies where it cannot be computed{on}",
        "take it out of [serving] override-tensor, or give that device layers",
    ),
    _cause(
        r"failed to (?:load|apply) lora adapter", "the LoRA adapter cannot be used with this model",
        "correct --lora in [serving] extra-args",
    ),
    _cause(
        r"failed to load control vector file|no valid control vector files|control vector n_embd does not match",
        "the control vector cannot be used with this model", "correct --control-vector in [serving] extra-args",
    ),
    _cause(r"error: (invalid argument: .*)", "{0}", "correct [serving] extra-args"),
    _cause(r"(error while handling argument .*)", "{0}", "correct [serving] extra-args"),
)  # fmt: skip

_CARDS = (
    _cause(
        rf"{_CARD} error: (?:no kernel image is available|device kernel image is invalid)",
        "this llama.cpp build has no code for {card}",
        "use a build for its compute capability (CMAKE_CUDA_ARCHITECTURES), or leave the card out",
    ),
    _cause(
        rf"{_CARD} error: invalid device function|hipErrorNoBinaryForGpu|Cannot read \S*TensileLibrary",
        "this llama.cpp build has no code for {card}",
        "use a build for its gfx target (GPU_TARGETS), set HSA_OVERRIDE_GFX_VERSION where a like target is there, or "
        "leave the card out",
    ),
    _cause(
        rf"{_CARD} error: uncorrectable ECC error|uncorrectable NVLink error",
        "{card} has damaged memory: an uncorrectable ECC error",
        "reset it (nvidia-smi --gpu-reset) or restart the machine; if it comes again, the card is broken",
        hopeless=False,
    ),
    _cause(
        rf"{_CARD} error: the provided PTX was compiled",
        "the driver of {card} is older than the CUDA that this llama.cpp build was made with",
        "install a newer NVIDIA driver, or use a build with an older CUDA",
    ),
    _cause(
        r"Memory access fault by GPU node-(\d+)|HW Exception by GPU node-(\d+)",
        "the AMD card failed: a fault of its memory or a hang (node {0}{1})",
        "look for a reset in the kernel's log; try another ROCm or llama.cpp build, or Vulkan", hopeless=False,
    ),
    _cause(
        r"CUDA driver version is insufficient|no CUDA-capable device|forward compatibility was attempted"
        r"|system has unsupported display driver",
        "the NVIDIA driver is missing or too old", "check with nvidia-smi, and install or load the driver",
    ),
    _cause(
        r"no ROCm-capable device", "the AMD driver is missing, or its device files are not yours to open",
        "check with rocminfo, and add yourself to the groups video and render",
    ),
    _cause(
        r"failed to initialize (?:CUDA|ROCm|SYCL)", "the card's driver is missing or too old",
        "check with nvidia-smi, rocminfo or sycl-ls, and install or load the driver",
    ),
    _cause(
        rf"{_CARD} error: (?!out of memory)(.{{1,120}})", "{card} failed: {0}",
        "look for Xid lines or a reset in the kernel's log; a restart of the machine or fewer watts may help",
        hopeless=False,
    ),
    _cause(
        r"ErrorDeviceLost|UR_RESULT_ERROR_DEVICE_LOST", "{card} was lost: its driver gave up",
        "look for a reset in the kernel's log; a smaller ubatch-size or another driver may help", hopeless=False,
    ),
    _cause(
        r"ErrorIncompatibleDriver|ErrorInitializationFailed", "the card's Vulkan driver does not work here",
        "check with vulkaninfo, and install the driver",
    ),
    _cause(
        r"No device of requested type available", "SYCL finds no Intel card",
        "check with sycl-ls, and install the Level Zero driver",
    ),
)  # fmt: skip

_PROGRAMS = (
    _cause(
        r"error while loading shared libraries: ([^:]+)", "the shared library {0} is missing",
        "install it, or set LD_LIBRARY_PATH",
    ),
    _cause(
        r"version `([^']+)' not found|symbol lookup error: .*undefined symbol: (\S+)",
        "its build wants {0}{1}, which this system's libraries do not have", "use a build for this system",
    ),
    _cause(r"Illegal instruction", "an instruction that this CPU does not have", "use a build for this CPU"),
    _cause(
        r"([\w.-]+:\d+): GGML_ASSERT\((.{1,160})\) failed", "a check of llama.cpp's own failed: {1} ({0})",
        "try another build of llama.cpp; its project wants to know, with the log", hopeless=False,
    ),
    _cause(r"^\s*what\(\):\s+(.{1,200})", "it gave up: {0}", "its log says more", hopeless=False),
)  # fmt: skip

CAUSES: tuple[Cause, ...] = (
    *_HOSTS, *_ADDRESSES, *_OUT_OF_MEMORY, *_OTHER_MACHINES, *_MODEL_FILES, *_SETTINGS, *_CARDS, *_PROGRAMS,
)  # fmt: skip

BY_SIGNAL: dict[int, Cause] = {
    -4: _cause("", "its build uses an instruction that this CPU does not have", "use a build for this CPU"),
    -9: _cause("", "it was killed from outside", "if nobody did, the machine's memory was full", hopeless=False),
    -13: _cause("", "its client vanished while it was answering", "start again", hopeless=False),
    -15: _cause("", "somebody asked it to end", "start again", hopeless=False),
    **{f.returncode: _cause("", f.what, f.remedy) for f in FAULTS if f.returncode is not None},
}
"""What a signal says where the log says nothing."""

RECOVERED: tuple[tuple[re.Pattern[str], str], ...] = (
    (late_pattern(r"^hettui: \S.* is there again$"), LINE),
    (late_pattern(r"retrying without pipeline parallelism"), _MEMORY),
    (late_pattern(r"\bmodel loaded\b|\blistening on \S"), ""),
    (late_pattern(r"Accepted client connection"), ""),
)
"""Lines after which what was said before did no harm: of one family, or all of it."""
HARMLESS = late_pattern(r"pinned memory|failed to m(?:un)?lock|RLIMIT_MEMLOCK|^#\d+ |^\[(?:Inferior|Thread|New LWP) ")
"""Loud, and never why something ended: warnings that llama.cpp goes on after, and the lines of a stack."""
UNLOCKED = late_pattern(r"failed to mlock")
TRAILERS = late_pattern(
    r"exiting due to|failed to load model|failed to create context|failed to initialize the context"
    r"|failed to read tensor info|\berror$"
)
"""What follows an error and names none."""
ABOUT = late_pattern(r"failed to load (draft|multimodal) model, '([^']*)'")
"""Which of several models the error before was about."""
MAKER = late_pattern(r"\b(CUDA|ROCm|MUSA) error")
CURRENT_DEVICE = late_pattern(r"current device: (\d+)")
LOUD = late_pattern(r"\b(error|failed|abort|terminate|exception|fatal)\b|^\S+ [EF] ", re.IGNORECASE)
QUIET_LEVEL = late_pattern(r"^\d+\.\d+\.\d+\.\d+ [ID] ")
"""Said for information: whatever the words, no error."""
