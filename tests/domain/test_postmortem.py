"""Post-mortems: the cause that a log names, what it means, and what it did to the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.cluster.causes import CAUSES, happened
from hettui.domain.cluster.postmortem import End, examine
from hettui.domain.cluster.process import ProcessSpec

OWNERS = {"RPC0": "middle", "127.0.0.1:50052": "middle"}
MASTER = ProcessSpec("master", "master", ("llama-server",))
WORKER = ProcessSpec("worker middle", "worker", ("ggml-rpc-server",), device="middle")
CRASHED = "/x/ggml-rpc.cpp:612: Remote RPC server crashed or returned malformed response"


@pytest.mark.parametrize(
    ("returncode", "line", "says"),
    [
        (1, "0.1.2.3 E srv start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080", "8080 is in use"),
        (
            1,
            "0.1.2.3 E srv start: couldn't bind HTTP server socket, hostname: ::1,10.9.9.1, port: 8080",
            "one address, not",
        ),
        (0, "Failed to create server socket", "its port is in use"),
        (1, "0.1.2.3 E llama_model_load: error: tensor 'blk.3.x' data is not within the file bounds", "incomplete"),
        (1, "gguf_init_from_reader: invalid magic characters: 'hell', expected 'GGUF'", "no GGUF"),
        (-6, "/x/ggml-rpc.cpp:612: Remote RPC server crashed or returned malformed response", "a worker died"),
        (1, "0.1.2.3 E alloc: failed to allocate RPC0[127.0.0.1:50052] buffer of size 9", "out of memory for RPC0"),
        (1, "error: invalid argument: --workers", "invalid argument: --workers"),
        (1, "0.1.2.3 E something nobody has seen", "something nobody has seen"),
    ],
)
def test_the_cause_is_named(returncode: int, line: str, says: str) -> None:
    sentence = examine(End(MASTER, returncode, ("harmless", line, "also harmless"))).sentence
    assert says in sentence
    assert "\n" not in sentence


def test_a_port_that_is_taken_is_known_though_the_last_line_was_lost() -> None:
    line = "0.00.014.127 I srv          init: using 5 threads for HTTP server"
    found = examine(End(MASTER, 1, ("harmless", line)))
    assert found.port_taken
    assert "its port is in use" in found.sentence
    # Every run has that line, and goes on.
    assert not examine(End(MASTER, 1, (line, "0.1.2.3 E something nobody has seen"))).port_taken
    assert not examine(End(MASTER, -6, (line,))).port_taken


@pytest.mark.parametrize("lines", [(), ("0.00.003.127 I build: 10068",)])
def test_a_port_that_is_taken_is_known_though_the_whole_log_was_lost(lines: tuple[str, ...]) -> None:
    found = examine(End(MASTER, 1, lines, port_held=True))
    assert found.port_taken
    assert "its port is in use" in found.sentence
    assert not examine(End(MASTER, 1, lines)).port_taken
    # An error that stands there is why it ended.
    assert not examine(End(MASTER, 1, ("0.1.2.3 E something nobody has seen",), port_held=True)).port_taken
    assert "incomplete" in examine(End(MASTER, 1, ("failed to read key-value pairs",), port_held=True)).sentence


@pytest.mark.parametrize(
    ("returncode", "says"), [(-4, "SIGILL"), (-9, "lack of memory"), (-13, "client vanished"), (3, "exit code 3")]
)
def test_a_silent_end_says_how(returncode: int, says: str) -> None:
    sentence = examine(End(WORKER, returncode, ())).sentence
    assert says in sentence
    assert "printed nothing" in sentence


@pytest.mark.parametrize("returncode", [-9, -15])
def test_the_last_line_of_a_killed_process_explains_nothing(returncode: int) -> None:
    said = examine(End(WORKER, returncode, ("Accepted client connection",))).sentence
    assert "Accepted" not in said
    assert "SIG" in said


FAR = replace(WORKER, host="attic")


@pytest.mark.parametrize(
    ("code", "lines", "says", "hopeless"),
    [
        (69, ["hettui gives up: attic: its host key has CHANGED; forget the old key"],
         "worker middle on attic ended (no connection): attic: its host key has CHANGED; forget the old key", True),
        (69, ["hettui: attic (1.2.3.4:22) does not answer: Connection timed out; is it up?"],
         "(no connection): attic (1.2.3.4:22) does not answer: Connection timed out; is it up?", False),
        (-9, ["Accepted client connection", "hettui: the worker on attic was killed by SIGKILL; its memory was full"],
         "killed by SIGKILL (from outside, perhaps for lack of memory)): the worker on attic was killed", False),
        (127, ["hettui gives up: attic has neither ggml-rpc-server nor rpc-server in ~/x (127: not found); name bin"],
         "(exit code 127): attic has neither", True),
        (1, ["hettui: the line to attic was lost: x; it is being reached again", "hettui: attic is there again",
             "Failed to create server socket"], "its port is in use", True),
    ],
)  # fmt: skip
def test_what_the_holder_of_a_remote_worker_says_is_the_cause(
    code: int, lines: list[str], says: str, hopeless: bool
) -> None:
    found = examine(End(FAR, code, tuple(lines)))
    assert says in found.sentence
    assert found.hopeless is hopeless


def test_a_line_that_was_lost_is_the_cause_of_the_masters_end() -> None:
    lost = End(FAR, None, ("hettui: the line to attic was lost: Timeout; it is being reached again",))
    found = examine(End(MASTER, -6, (CRASHED,)), witnesses=(lost,))
    assert found.what == "worker middle says why: the line to attic was lost: Timeout"
    assert not found.hopeless
    back = End(FAR, None, (*lost.lines, "hettui: attic is there again"))
    assert "was lost" not in examine(End(MASTER, -6, (CRASHED,)), witnesses=(back,)).what


@pytest.mark.parametrize(
    ("line", "says", "hopeless"),
    [
        ("alloc: failed to allocate RPC0[127.0.0.1:50052] buffer of size 9", "out of memory for middle", True),
        ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 1: cudaMalloc failed: "
         "out of memory", "out of memory for card 1", True),
        ("0.1.2.3 E Failed to connect to 127.0.0.1:50052", "the worker at middle", False),
        ("E RPC server version mismatch: 7.0.0", "another llama.cpp build", True),
        ("HELLO request size mismatch (0 vs 24) — client needs upgrade to protocol v7.x", "different llama.cpp", True),
        ("./llama-server: error while loading shared libraries: libcuda.so.1: cannot open", "libcuda.so.1", True),
        ("CUDA error: CUDA driver version is insufficient for CUDA runtime version", "driver is missing", True),
        ("CUDA error: an illegal memory access was encountered", "the card failed: an illegal memory access", False),
        ("gguf_init_from_reader: failed to read key-value pairs", "incomplete", True),
        ("[1234.5] Out of memory: Killed process 4711 (llama-server)", "the kernel ended it", True),
    ],
)  # fmt: skip
def test_known_patterns(line: str, says: str, hopeless: bool) -> None:
    kernel = [line] if "Killed process" in line else []
    found = examine(End(MASTER, -9 if kernel else 1, ("fine", line, "fine too")), owners=OWNERS, kernel_lines=kernel)
    assert says in found.what
    assert found.remedy
    assert found.hopeless is hopeless
    assert len(found.lines) >= 1


def test_every_cause_formats_whatever_its_groups_are() -> None:
    for cause in CAUSES:
        groups = ["g"] * cause.pattern.groups
        for device in ("", "middle (RPC0)"):
            assert happened(cause, groups, device)
        assert cause.remedy.format(*groups)


def test_the_worker_that_died_is_the_cause_and_the_master_the_consequence() -> None:
    master = End(MASTER, -6, (CRASHED,))
    worker = End(WORKER, -9, ("Accepted client connection",))
    for found in (examine(master, others=(worker,)), examine(worker, others=(master,))):
        assert (found.process, found.device) == ("worker middle", "middle")
        assert found.consequences == ("master ended with it (killed by SIGABRT (llama.cpp gave up))",)
        assert "killed from outside" in found.what
        assert not found.hopeless


def test_an_illegal_instruction_needs_no_line() -> None:
    found = examine(End(WORKER, -4, ()), moment="while the model was loading")
    assert "this CPU does not have" in found.what
    assert found.hopeless
    assert "ended while the model was loading (killed by SIGILL" in found.sentence


def test_lines_that_matter_are_picked_from_among_the_others() -> None:
    lines = tuple(f"slot {i} is idle" for i in range(50))
    found = examine(End(MASTER, 1, (*lines[:25], "0.0.1.2 E failed to allocate buffer for kv cache", *lines[25:])))
    assert found.lines == ("failed to allocate buffer for kv cache",)


def test_an_unknown_exit_code_is_said_to_be_unknown() -> None:
    assert "not known" in examine(End(MASTER, None, ("slot is idle",))).sentence


def test_two_that_blame_each_other_end_the_search() -> None:
    found = examine(End(MASTER, -6, (CRASHED,)), others=(End(WORKER, 1, ("Failed to connect to 1.2.3.4:5",)),))
    assert found.process == "master"
