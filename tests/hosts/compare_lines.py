"""`python -m tests.hosts.compare_lines [decode|starts|loads …]`: what hettui's line costs, and how long weights take.

Two machines on the bed behind cables of a chosen length and width (`wire.py`), real llama.cpp, workers started by
`hettui up`. Everything that is compared is done in turns within one run, and given as medians.

    decode   SmolLM2 over two CPU workers: through hettui's shared ssh connection against `expose = true`, where
             llama.cpp goes to the workers directly; two clusters that run and answer in turns. Round trips of 0.5, 5
             and 50 ms.
    starts   the same model's load, in both ways in turns.
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
from hettui.adapters.llama.gguf import read_model
from tests.gguf_files import with_tokenizer, write_gguf
from tests.hosts import bed as beds
from tests.hosts.bed import HETTUI, Bed
from tests.hosts.driving import hettui, programs_here, settled
from tests.truth.models import _llama

HOSTS = ("attic", "cellar")
NUMBER = 7
_VOCABULARY = 512
_PAIRS = 8
"""Of answers of both ways, for each start."""
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
        # One that is only asked for its devices has none; those that ran before are named.
        if "--port" in words and pid not in sys.argv:
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
    call = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/completion", json.dumps(body).encode(),
                                  {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(call, timeout=600))["timings"]["predicted_per_second"]
ask(8)
print(ask(int(sys.argv[2])))
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


@dataclass(frozen=True)
class Way:
    """One of two clusters of the same machines: each belongs to a desk of its own."""

    name: str
    user: str
    port: int
    direct: bool


SSH, DIRECT = Way("ssh", "me", 8080, direct=False), Way("direct", "you", 8081, direct=True)


def configure(bed: Bed, model: Path, way: Way, names: tuple[str, ...]) -> None:
    lines = ["[model]", f'path = "{model}"', "[serving]", f"port = {way.port}", "ctx-size = 512", "parallel = 1"]
    for name in names:
        number = bed.number + 50 * HOSTS.index(name)
        lines += ["[[hosts]]", f'name = "{name}"', f'ssh = "{name}"', f'bin = "{programs_here()}"']
        lines += [f'address = "10.79.{number}.2"'] if way.direct else []
    for place, name in enumerate(names):
        lines += ["[[devices]]", f'name = "{name}"', f'host = "{name}"', 'id = "cpu"', "threads = 1", 'budget = "2GiB"']
        # What is exposed keeps its port, and the other cluster has taken the first ones.
        lines += ["expose = true", f"port = {18200 + place}"] if way.direct else []
    bed.desk.as_user(way.user).write("cluster.toml", "\n".join(lines))


def loaded(bed: Bed, way: Way) -> float:
    """Seconds from the start of its llama-server until that can be asked. Nothing was kept before."""
    desk = bed.desk.as_user(way.user)
    watching = desk.enter([sys.executable, "-c", _LOAD, *desk.run("pgrep", "-x", "llama-server").stdout.split()])
    with subprocess.Popen(watching, stdout=subprocess.PIPE, text=True) as watch:
        done = desk.run(*HETTUI, "up", "cluster.toml", seconds=900)
        if done.returncode != 0:
            watch.kill()
            raise SystemExit(done.stderr)
        return float(watch.communicate(timeout=60)[0])


def speed(bed: Bed, way: Way, tokens: int) -> float:
    """Tokens a second while it answers."""
    done = bed.desk.run(sys.executable, "-c", _ASK, str(way.port), str(tokens), seconds=600)
    return float(done.stdout)


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
        found: dict[Way, list[tuple[float, list[float]]]] = {SSH: [], DIRECT: []}
        with laid(bed, cable, HOSTS):
            # There each load takes minutes.
            for number in range(rounds if cable.delay_ms < 10 else 1):
                for way, row in zip(found, _both(bed, model, tokens, turned=number % 2 == 1), strict=True):
                    found[way].append(row)
        _tell_decode(cable, found)


def _both(bed: Bed, model: Path, tokens: int, *, turned: bool) -> list[tuple[float, list[float]]]:
    """Both clusters are started, one after the other, and answer in turns while the other one waits."""
    ways = (SSH, DIRECT)
    loads, speeds = dict.fromkeys(ways, 0.0), {way: list[float]() for way in ways}
    for way in reversed(ways) if turned else ways:
        configure(bed, model, way, HOSTS)
        forget(bed)
        loads[way] = loaded(bed, way)
    for number in range(_PAIRS):
        for way in ways if number % 2 == 0 else reversed(ways):
            speeds[way].append(speed(bed, way, tokens))
    hettui(bed, "down", user=DIRECT.user)
    settled(bed, SSH.user)
    return [(loads[way], speeds[way]) for way in ways]


def starts(bed: Bed, rounds: int) -> None:
    model = demo_model(cache_dir(), lambda done, total: None)
    for cable in (Cable(0.25, 1000, 9000), Cable(2.5, 1000, 9000)):
        found: dict[Way, list[float]] = {SSH: [], DIRECT: []}
        with laid(bed, cable, HOSTS):
            for number in range(rounds):
                for way in (SSH, DIRECT) if number % 2 == 0 else (DIRECT, SSH):
                    configure(bed, model, way, HOSTS)
                    forget(bed)
                    found[way].append(loaded(bed, way))
                    settled(bed, way.user)
        ssh_s, direct_s = (statistics.median(found[way]) for way in (SSH, DIRECT))
        pairs = [ssh / direct for ssh, direct in zip(found[SSH], found[DIRECT], strict=True)]
        print(
            f"{cable}: load {ssh_s:.2f} s through ssh, {direct_s:.2f} s direct: {ssh_s / direct_s:.2f}; {rounds} pairs "
            f"{min(pairs):.2f} to {max(pairs):.2f}, median {statistics.median(pairs):.2f}; load of the machine "
            f"{os.getloadavg()[0]:.1f}",
            flush=True,
        )


def _tell_decode(cable: Cable, found: dict[Way, list[tuple[float, list[float]]]]) -> None:
    loads = {way: statistics.median(load_s for load_s, _ in rows) for way, rows in found.items()}
    all_ssh, all_direct = ([one for _, speeds in found[way] for one in speeds] for way in (SSH, DIRECT))
    pairs = sorted(ssh / direct for ssh, direct in zip(all_ssh, all_direct, strict=True))
    low, middle, high = statistics.quantiles(pairs, n=4)
    print(
        f"{cable}: decode {statistics.median(all_ssh):.1f} tok/s through ssh, {statistics.median(all_direct):.1f} "
        f"direct: {statistics.median(all_ssh) / statistics.median(all_direct):.3f}; {len(pairs)} pairs {middle:.3f} "
        f"(quartiles {low:.2f} to {high:.2f}); load {loads[SSH]:.2f} and {loads[DIRECT]:.2f} s: "
        f"{loads[SSH] / loads[DIRECT]:.2f} of {len(found[SSH])}; load of the machine {os.getloadavg()[0]:.1f}",
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
    header = read_model(str(path))
    with path.open("r+b") as file:
        begin = path.stat().st_size - sum(-(-tensor.size_bytes // 32) * 32 for tensor in header.tensors)
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
                configure(bed, model, SSH, ("attic",))
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
        found.append(loaded(bed, SSH))
        sizes.append(sent(bed) - before)
        settled(bed)
    return found[0], found[1], sizes[0], sizes[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["decode", "starts", "loads"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=48)
    options = parser.parse_args()
    if (why := beds.missing()) is not None:
        print(why)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        bed = beds.make(Path(folder) / "bed", NUMBER, programs_here(), HOSTS)
        try:
            if "decode" in options.what:
                decode(bed, options.rounds, options.tokens)
            if "starts" in options.what:
                starts(bed, options.rounds)
            if "loads" in options.what:
                loads(bed, options.rounds, Path(folder))
        finally:
            bed.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
