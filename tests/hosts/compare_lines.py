"""`python -m tests.hosts.compare_lines [decode|loads …]`: what hettui's line costs, and how long weights take.

Two machines on the bed behind cables of a chosen length and width (`wire.py`), real llama.cpp, workers started by
`hettui up`. Everything that is compared is done in turns within one run, and given as medians.

    decode   SmolLM2 over two CPU workers: through hettui's shared ssh connection against `expose = true`, where
             llama.cpp goes to the workers directly. Round trips of 0.5, 5 and 50 ms.
    loads    a model whose matrices are as wide as those of real ones, over one worker at 100 Mbit/s: first start, and
             second start with what the worker has kept; as parts of what the line could carry. 0.5 and 50 ms.

Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from tests.gguf_files import with_tokenizer, write_gguf
from tests.hosts import bed as beds
from tests.hosts.bed import HETTUI, Bed
from tests.hosts.driving import programs_here, settled
from tests.truth.models import _llama

HOSTS = ("attic", "cellar")
NUMBER = 7
_VOCABULARY = 512
_LOAD = """
import os, subprocess, sys, time, urllib.request
tick = os.sysconf("SC_CLK_TCK")
def master():
    for pid in subprocess.run(["pgrep", "-x", "llama-server"], capture_output=True, text=True).stdout.split():
        try:
            words = open(f"/proc/{pid}/cmdline").read().split(chr(0))
            began = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[19]) / tick
        except OSError:
            continue
        # One that is only asked for its devices has none.
        if "--port" in words:
            return words[words.index("--port") + 1], began
found = None
while found is None:
    time.sleep(0.05)
    found = master()
while True:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{found[0]}/health", timeout=5)
        break
    except OSError:
        time.sleep(0.02)
print(time.clock_gettime(time.CLOCK_BOOTTIME) - found[1])
"""
_ASK = """
import json, sys, urllib.request
def ask(count):
    body = {"prompt": [100 + i * 37 % 400 for i in range(64)], "n_predict": count, "temperature": 0,
            "ignore_eos": True, "cache_prompt": False}
    call = urllib.request.Request("http://127.0.0.1:8080/completion", json.dumps(body).encode(),
                                  {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(call, timeout=600))["timings"]["predicted_per_second"]
ask(8)
print(ask(int(sys.argv[1])))
"""


@dataclass(frozen=True)
class Cable:
    delay_ms: float
    """One way."""
    rate_mbit: float
    mtu: int = 1500

    def __str__(self) -> str:
        return f"{2 * self.delay_ms:g} ms, {self.rate_mbit:g} Mbit/s"


@contextlib.contextmanager
def laid(bed: Bed, cable: Cable, names: tuple[str, ...]) -> Iterator[None]:
    """The cables of the bed are such ones meanwhile."""
    wires = []
    for place, name in enumerate(HOSTS):
        if name not in names:
            continue
        host, link, number = bed.hosts[name], f"to-{name}", bed.number + 50 * place
        bed.desk.run("ip", "link", "del", link)
        argv = [sys.executable, "-m", "tests.hosts.wire", str(bed.desk.pid), link, str(host.pid), "cable"]
        wire = subprocess.Popen([*argv, str(cable.delay_ms), str(cable.rate_mbit)], stdout=subprocess.PIPE, text=True)
        wires.append(wire)
        assert wire.stdout is not None
        assert wire.stdout.readline() == "ready\n"
        for box, end, last in ((bed.desk, link, 1), (host, "cable", 2)):
            for words in (
                ("addr", "add", f"10.79.{number}.{last}/24", "dev", end),
                ("link", "set", end, "mtu", str(cable.mtu), "up"),
            ):
                assert box.run("ip", *words).returncode == 0
    try:
        yield
    finally:
        for wire in wires:
            wire.kill()
            wire.wait()


def configure(bed: Bed, model: Path, *, direct: bool, names: tuple[str, ...]) -> None:
    lines = ["[model]", f'path = "{model}"', "[serving]", "port = 8080", "ctx-size = 512", "parallel = 1"]
    for name in names:
        number = bed.number + 50 * HOSTS.index(name)
        lines += ["[[hosts]]", f'name = "{name}"', f'ssh = "{name}"', f'bin = "{programs_here()}"']
        lines += [f'address = "10.79.{number}.2"'] if direct else []
    for name in names:
        lines += ["[[devices]]", f'name = "{name}"', f'host = "{name}"', 'id = "cpu"', "threads = 1", 'budget = "2GiB"']
        lines += ["expose = true"] if direct else []
    bed.desk.write("cluster.toml", "\n".join(lines))


def loaded(bed: Bed) -> float:
    """Seconds from the start of llama-server until it can be asked."""
    with subprocess.Popen(bed.desk.enter([sys.executable, "-c", _LOAD]), stdout=subprocess.PIPE, text=True) as watch:
        done = bed.desk.run(*HETTUI, "up", "cluster.toml", seconds=900)
        if done.returncode != 0:
            watch.kill()
            raise SystemExit(done.stderr)
        return float(watch.communicate(timeout=60)[0])


def forget(bed: Bed) -> None:
    for box in bed.hosts.values():
        box.run("rm", "-rf", "/home/me/.cache/hettui/rpc")


def kept(bed: Bed) -> int:
    """Bytes in the cache of tensors of the attic."""
    said = bed.attic.run("sh", "-c", "cat ~/.cache/hettui/rpc/* 2>/dev/null | wc -c").stdout
    return int(said)


def sent(bed: Bed) -> int:
    """Bytes that went to the attic so far."""
    lines = bed.desk.run("cat", "/proc/net/dev").stdout.splitlines()
    counts = next(line.partition(":")[2].split() for line in lines if line.strip().startswith("to-attic:"))
    return int(counts[8])


def decode(bed: Bed, rounds: int, tokens: int) -> None:
    model = demo_model(cache_dir(), lambda done, total: None)
    for cable in (Cable(0.25, 1000, 9000), Cable(2.5, 1000, 9000), Cable(25, 100)):
        with laid(bed, cable, HOSTS):
            found: dict[str, list[tuple[float, float]]] = {"direct": [], "ssh": []}
            for number in range(rounds):
                for way in ("direct", "ssh") if number % 2 == 0 else ("ssh", "direct"):
                    configure(bed, model, direct=way == "direct", names=HOSTS)
                    forget(bed)
                    load_s = loaded(bed)
                    speed = float(bed.desk.run(sys.executable, "-c", _ASK, str(tokens), seconds=600).stdout)
                    found[way].append((load_s, speed))
                    settled(bed)
            _tell_decode(cable, found)


def _tell_decode(cable: Cable, found: dict[str, list[tuple[float, float]]]) -> None:
    medians = {way: [statistics.median(column) for column in zip(*rows, strict=True)] for way, rows in found.items()}
    (load_s, speed), (far_load_s, far_speed) = medians["direct"], medians["ssh"]
    pairs = [ssh[1] / direct[1] for direct, ssh in zip(found["direct"], found["ssh"], strict=True)]
    print(
        f"{cable}: decode {far_speed:.1f} through ssh, {speed:.1f} direct: {far_speed / speed:.3f} "
        f"(pairs {min(pairs):.2f} to {max(pairs):.2f}); load {far_load_s:.2f} and {load_s:.2f} s: "
        f"{far_load_s / load_s:.2f}; load of the machine {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def wide(folder: Path, *, wider: bool) -> Path:
    """Weights of zero but for a number in each tensor, so that no two are alike. As wide as 8B at four bits, of whose
    bytes a sixth lies in tensors too small for the cache; `wider`: as 70B, a thirtieth."""
    metadata, tensors = (
        _llama("Wider", 1, 4096, 14336, 32, 8, _VOCABULARY, fine=True)
        if wider
        else _llama("Wide", 3, 2048, 8192, 32, 8, _VOCABULARY, fine=True)
    )
    path = write_gguf(folder / f"wide-{int(wider)}.gguf", with_tokenizer(metadata, _VOCABULARY), tensors)
    from hettui.adapters.llama.gguf import read_model

    header = read_model(str(path))
    with path.open("r+b") as file:
        size, begin = path.stat().st_size, 0
        begin = size - sum(-(-tensor.size_bytes // 32) * 32 for tensor in header.tensors)
        for number, tensor in enumerate(header.tensors):
            # The second value of its first block, whose scale is zero.
            file.seek(begin + 3)
            if tensor.type_name == "q8_0":
                file.write(bytes([1 + number]))
            begin += -(-tensor.size_bytes // 32) * 32
    return path


def loads(bed: Bed, rounds: int, folder: Path) -> None:
    for wider in (False, True):
        model = wide(folder, wider=wider)
        size = model.stat().st_size
        for cable in (Cable(0.25, 100), Cable(25, 100)):
            with laid(bed, cable, ("attic",)):
                configure(bed, model, direct=False, names=("attic",))
                rows = [_cold_and_warm(bed) for _ in range(rounds)]
            first, second, first_bytes, second_bytes = (statistics.median(c) for c in zip(*rows, strict=True))
            line = cable.rate_mbit * 1e6 / 8
            print(
                f"{cable}, {size / 1e6:.0f} MB, {kept(bed) / 1e6:.0f} of them kept there: first start {first:.1f} s "
                f"({first_bytes / 1e6:.0f} MB sent, {size / first / line:.2f} of the line's rate), second "
                f"{second:.1f} s ({second_bytes / 1e6:.0f} MB): {second / first:.2f}; "
                f"load of the machine {os.getloadavg()[0]:.1f}",
                flush=True,
            )


def _cold_and_warm(bed: Bed) -> tuple[float, float, int, int]:
    forget(bed)
    found: list[float] = []
    sizes: list[int] = []
    for _ in range(2):
        before = sent(bed)
        found.append(loaded(bed))
        sizes.append(sent(bed) - before)
        settled(bed)
    return found[0], found[1], sizes[0], sizes[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["decode", "loads"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=96)
    options = parser.parse_args()
    if (why := beds.missing()) is not None:
        print(why)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        bed = beds.make(Path(folder) / "bed", NUMBER, programs_here(), HOSTS)
        try:
            if "decode" in options.what:
                decode(bed, options.rounds, options.tokens)
            if "loads" in options.what:
                loads(bed, options.rounds, Path(folder))
        finally:
            bed.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
