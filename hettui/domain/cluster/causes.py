"""What llama.cpp's last words mean, and what to do about them: patterns of b10068 and b11434, of ssh and of loaders.

Sources: every line was seen in a run of one of the two builds, or read in b11434's source where it needs hardware.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One known pattern. `{0}`, `{1}` in the texts are what its groups matched, `{at}` the device they mean."""

    pattern: re.Pattern[str]
    what: str
    remedy: str
    hopeless: bool = True
    """The next start would meet the same, so none is made by itself."""
    of_others: bool = False
    """Says that another process failed: of several deaths the other one's is the cause."""
    port_taken: bool = False
    """Another port may help."""


def _cause(
    pattern: str,
    what: str,
    remedy: str,
    *,
    hopeless: bool = True,
    of_others: bool = False,
    port_taken: bool = False,
) -> Cause:
    return Cause(re.compile(pattern), what, remedy, hopeless, of_others, port_taken)


_FEWER_LAYERS = "give it fewer layers, or use a smaller ctx-size"

LAST_WORDS = _cause(
    r"using \d+ threads for HTTP server$",
    "its port is in use",
    "choose another [serving] port, or stop what holds it",
    port_taken=True,
)
"""As the last line before an end with 1. llama-server logs from a thread and ends without waiting for it: that the port
could not be bound, the only end between this line and the next, is now and then lost (seen with b10068)."""

CAUSES: tuple[Cause, ...] = (
    _cause(
        r"couldn't bind HTTP server socket, hostname: (\S+,\S.*), port",
        "it takes one address, not {0}",
        "name one address in [serving] host, or use a newer llama.cpp",
    ),
    _cause(
        r"couldn't bind HTTP server socket.*port: (\d+)",
        "port {0} is in use",
        "choose another [serving] port, or stop what holds it",
        port_taken=True,
    ),
    _cause(
        r"Failed to create server socket",
        "its port is in use",
        "choose another port for it, or stop what holds it",
        port_taken=True,
    ),
    _cause(r"Invalid host address: (\S+)", "{0} is not an IPv4 address", "give the worker an IPv4 address"),
    _cause(r"unknown device: (\S+)", "llama.cpp knows no device {0} here", "compare with hettui devices"),
    _cause(
        r"invalid device: (\S+)", "llama.cpp knows no device {0}: a worker did not answer it", "start again",
        hopeless=False, of_others=True,
    ),
    _cause(r"(?:failed|unable) to allocate (\S+) buffer", "out of memory for {at}", _FEWER_LAYERS),
    _cause(
        r"allocating [\d.]+ MiB on device (\S+?): cudaMalloc failed: out of memory",
        "out of memory on CUDA device {0}", _FEWER_LAYERS,
    ),
    _cause(
        r"CUDA error: out of memory|cudaMalloc failed: out of memory|ErrorOutOfDeviceMemory",
        "out of memory on the card", _FEWER_LAYERS,
    ),
    _cause(r"failed to allocate buffer for kv cache", "out of memory for the KV cache", "use a smaller ctx-size"),
    _cause(
        r"failed to allocate compute buffers|ggml_gallocr_reserve_n_impl: failed to allocate",
        "out of memory for the compute buffer", "use a smaller ubatch-size",
    ),
    _cause(
        r"Failed to allocate input buffer of size (\d+)", "out of memory while receiving weights", _FEWER_LAYERS
    ),
    _cause(r"std::bad_alloc", "out of memory of the machine", "give its devices fewer layers, or close other programs"),
    _cause(
        r"Out of memory: Killed process (\d+)|oom-kill",
        "the kernel ended it because the machine's memory was full",
        "give the CPU devices fewer layers, or close other programs",
    ),
    _cause(
        r"RPC server version mismatch: (\S+)",
        "the worker speaks RPC {0}, another llama.cpp build than the master",
        "install the same llama.cpp build on both machines",
    ),
    _cause(
        r"client needs upgrade to protocol (\S+?)\.?$|Expected HELLO command, update client",
        "master and worker are different llama.cpp builds", "install the same build on both machines",
    ),
    _cause(
        r"[Ff]ailed to connect to (\S+)", "the worker at {at} did not answer", "start again", hopeless=False,
        of_others=True,
    ),
    _cause(
        r"RPC handshake failed for (\S+)", "the worker at {at} is another build or busy",
        "install the same build on both machines, and let nobody else use it", of_others=True,
    ),
    _cause(
        r"Remote RPC server crashed or returned malformed response", "a worker died or sent nonsense", "start again",
        hopeless=False, of_others=True,
    ),
    _cause(
        r"failed to open GGUF file '([^']*)'|failed to read magic|failed to open (\S+\.gguf)",
        "the model file cannot be opened or is empty", "check the path and its permissions",
    ),
    _cause(
        r"tensor '([^']*)' data is not within the file bounds|failed to read key-value pairs|unexpectedly reached end",
        "the model file is incomplete", "fetch it again",
    ),
    _cause(r"invalid magic characters", "the model file is no GGUF", "choose another file"),
    _cause(
        r"unknown model architecture: '([^']*)'",
        "this llama.cpp build does not know the architecture {0}", "use a newer llama.cpp",
    ),
    _cause(
        r"CUDA driver version is insufficient|no CUDA-capable device|failed to initialize CUDA",
        "the NVIDIA driver is missing or too old", "check with nvidia-smi, and install or load the driver",
    ),
    _cause(
        r"CUDA error: (?!out of memory)(.{1,120})",
        "the card failed: {0}",
        "look for Xid lines in the kernel's log; a reset or fewer watts may help",
        hopeless=False,
    ),
    _cause(
        r"error while loading shared libraries: ([^:]+)",
        "the shared library {0} is missing", "install it, or set LD_LIBRARY_PATH",
    ),
    _cause(r"Illegal instruction", "an instruction that this CPU does not have", "use a build for this CPU"),
    _cause(r"error: (invalid argument: .*)", "{0}", "correct [serving] extra-args"),
    _cause(r"(error while handling argument .*)", "{0}", "correct [serving] extra-args"),
    _cause(r"ssh: (.*)", "ssh: {0}", "check that ssh reaches the host", hopeless=False),
    _cause(r"(Timeout, server \S+ not responding)", "ssh: {0}", "check host and network", hopeless=False),
    _cause(r"(Connection to \S+ closed by remote host)", "ssh: {0}", "check host and network", hopeless=False),
    _cause(r"(Permission denied.*)", "ssh: {0}", "let a key or an agent answer for you"),
)  # fmt: skip

BY_SIGNAL: dict[int, Cause] = {
    -4: _cause("", "its build uses an instruction that this CPU does not have", "use a build for this CPU"),
    -9: _cause("", "it was killed from outside", "if nobody did, the machine's memory was full", hopeless=False),
    -13: _cause("", "its client vanished while it was answering", "start again", hopeless=False),
    -15: _cause("", "somebody asked it to end", "start again", hopeless=False),
}
"""What a signal says where the log says nothing."""

LOUD = re.compile(r"\b(error|failed|abort|terminate|exception|fatal)\b|^\S+ [EF] ", re.IGNORECASE)
