"""Makes `measured.jsonl`: what real loads of published models' headers reserve, byte for byte.

    python -m tests.truth.make b10068=DIR_WITH_THE_BINARIES b11434=OTHER_DIR [--only llama-8b,…] [--parallel 2]

Each model is cut to a few blocks, so that it fits a small machine, and loaded really under every setting below by
every build that is given. Cases that the table already has are skipped: it can be stopped and continued.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, get_ident
from typing import Any

from hettui.domain.model.movable import PATTERNS, Movable
from hettui.domain.plan.experts import blocks_away, override
from hettui.domain.plan.split import Split
from tests.gguf_files import with_tokenizer, write_gguf
from tests.truth.measure import Engine, Held, LoadFailed, Reading, load
from tests.truth.models import MODELS
from tests.truth.projectors import PROJECTORS, control_vector, lora

TABLE = Path(__file__).with_name("measured.jsonl")

CUT = {
    "gemma3-12b": 7, "gemma3-1b": 7, "gemma3n": 22, "jamba": 6, "granitehybrid": 7, "nemotron_h": 8,
    "llama-70b": 2, "qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "lfm2": 4, "lfm2moe": 4, "deepseek-v3": 4,
    "llama4": 4, "cohere2": 4, "olmo2": 4, "exaone4": 4,
}  # fmt: skip
"""Blocks to keep, so that every kind of block is there; 3 for the others."""

_SLOW = frozenset({"gpt-oss-120b", "deepseek-v3", "gemma3n"})
"""Loads of many seconds: only the first settings are measured."""
_SETTINGS_OF_SLOW = 5


@dataclass(frozen=True)
class Setting:
    """llama.cpp's options by RuntimeParams' names, and how the layers are laid on devices."""

    params: dict[str, Any]
    layers: str = "half"
    """`half`: two devices; `gap`: two with an empty one between; `one`; `thirds`; `host`: two layers stay on the
    host; `output`: the last device has the output layer alone."""


SETTINGS = (
    Setting({}),
    Setting({"ctx_size": 8192, "parallel": 4, "kv_unified": True, "ubatch_size": 256}, "gap"),
    Setting({"flash_attn": "off"}),
    Setting({"ctx_size": 16384, "parallel": 2, "cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attn": "on"}),
    Setting({"ctx_size": 2048, "parallel": -1, "swa_full": True}, "host"),
    Setting({}, "one"),
    Setting({"ctx_size": 1000, "parallel": 3}),
    Setting({"ctx_size": 32768, "ubatch_size": 1024}),
    Setting({}, "output"),
    Setting({"ctx_size": 8192, "parallel": 8, "ubatch_size": 128, "load_mode": "none"}, "thirds"),
    Setting({"flash_attn": "off", "parallel": 2, "ctx_size": 12288, "ubatch_size": 256}, "host"),
    Setting({"n_cpu_moe": 2}),
    Setting({"override_tensor": ["blk\\.2\\.ffn_(up|down|gate)_exps=CPU"], "ctx_size": 2048}),
)


def split_of(setting: Setting, blocks: int) -> tuple[int, ...]:
    layers = blocks + 1
    if setting.layers == "host":
        layers -= 2
    half = layers // 2
    if setting.layers == "gap":
        return half, 0, layers - half
    if setting.layers == "one":
        return (layers,)
    if setting.layers == "output":
        return layers - 1, 1
    if setting.layers == "thirds":
        third = layers // 3
        return third, third, layers - 2 * third
    return (half, layers - half) if half else (layers,)


def arguments(params: dict[str, Any], build: str) -> list[str]:
    """llama-server's options. What is not named is RuntimeParams' default."""
    argv = ["-c", str(params.get("ctx_size", 4096)), "-np", str(params.get("parallel", 1))]
    argv += ["-ub", str(params.get("ubatch_size", 512)), "-b", str(params.get("batch_size", 2048))]
    argv += ["-fa", params.get("flash_attn", "auto")]
    argv += ["-ctk", params.get("cache_type_k", "f16"), "-ctv", params.get("cache_type_v", "f16")]
    argv += ["-kvu"] * params.get("kv_unified", False) + ["--swa-full"] * params.get("swa_full", False)
    if params.get("load_mode") == "none":
        argv += ["--no-mmap"] if build == "b10068" else ["--load-mode", "none"]
    if "override_tensor" in params:
        argv += ["-ot", ",".join(params["override_tensor"])]
    if "n_cpu_moe" in params:
        argv += ["-ncmoe", str(params["n_cpu_moe"])]
    if "n_cpu_ffn" in params:
        argv += ["-ncffn", str(params["n_cpu_ffn"])]
    return argv


def engine_name(device: str, card: str = "") -> str:
    """What llama.cpp calls a device of a case, or the host. `card`: the first one, where the master drives it."""
    if device == "host":
        return "none"
    number = int(device)
    return (card if number == 0 else f"RPC{number - 1}") if card else f"RPC{number}"


def draft_arguments(draft: dict[str, Any], path: Path, card: str = "") -> list[str]:
    """The same of `Drafting`'s names."""
    place = engine_name(draft["device"], card)
    argv = ["-md", str(path), "-devd", place, "--spec-type", "draft-simple"]
    argv += ["-ctkd", draft.get("cache_type_k", "f16"), "-ctvd", draft.get("cache_type_v", "f16")]
    return argv + (["--spec-draft-n-max", str(draft["n_max"])] if "n_max" in draft else [])


def cases(names: list[str], builds: list[str]) -> Iterator[dict[str, Any]]:
    """All of them, the first settings of every model before the later ones."""
    for number, setting in enumerate(SETTINGS):
        for name in names:
            if name in _SLOW and number >= _SETTINGS_OF_SLOW:
                continue
            blocks = CUT.get(name, 3)
            overrides = "n_cpu_moe" in setting.params or "override_tensor" in setting.params
            if overrides and not any("_exps." in t[0] for t in MODELS[name](blocks)[1]):
                continue
            split = split_of(setting, blocks)
            for build in builds:
                yield {"model": name, "blocks": blocks, "build": build, "split": split, "params": setting.params}


WHOLE = ("llama-1b", "qwen2-0.5b", "gemma3-1b", "lfm2", "qwen3-0.6b", "granitemoe", "smollm3", "mamba")
"""Small enough to be loaded with all their blocks."""


def whole_cases(builds: list[str]) -> Iterator[dict[str, Any]]:
    """Uncut models: the forecast leaves out long runs of equal blocks, and here they are."""
    for name in WHOLE:
        blocks = int(next(v for k, v in MODELS[name]()[0].items() if k.endswith(".block_count")))
        for setting in SETTINGS[:5]:
            for build in builds:
                split = split_of(setting, blocks)
                yield {"model": name, "blocks": blocks, "build": build, "split": split, "params": setting.params}


def random_cases(names: list[str], builds: list[str], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Anything goes: what the settings above did not foresee."""
    dice = random.Random(seed)
    for _ in range(count):
        name = dice.choice([n for n in names if n not in _SLOW])
        blocks = CUT.get(name, 3)
        devices = dice.randint(1, 4)
        layers = blocks + 1 - dice.choice([0, 0, 0, 1, 2])
        cuts = sorted(dice.randint(0, layers) for _ in range(devices - 1))
        split = [b - a for a, b in zip([0, *cuts], [*cuts, layers], strict=True)]
        params: dict[str, Any] = {
            "ctx_size": dice.choice([300, 1000, 2048, 3000, 4096, 7000, 10000, 16384, 24000]),
            "parallel": dice.choice([1, 1, 1, 2, 3, 4, 6, -1]),
            "ubatch_size": dice.choice([64, 128, 256, 300, 512, 512, 768, 1024]),
        }
        if params["parallel"] > 1 and dice.random() < 0.4:
            params["kv_unified"] = True
        if dice.random() < 0.25:
            params["flash_attn"] = "off"
        elif dice.random() < 0.35:
            kind = dice.choice(["q8_0", "q4_0", "bf16", "f32"])
            params |= {"cache_type_k": kind, "cache_type_v": kind, "flash_attn": "on"}
        if dice.random() < 0.2:
            params["swa_full"] = True
        if dice.random() < 0.2:
            params["batch_size"] = dice.choice([128, 512])
        for build in builds:
            yield {"model": name, "blocks": blocks, "build": build, "split": split, "params": params}


def apart_cases(names: list[str], builds: list[str], count: int, seed: int, moves: Movable) -> Iterator[dict[str, Any]]:
    """Experts, or the FFN of dense models, of any blocks in RAM, said block by block as a plan does: of some on every
    device, or of none."""
    dice = random.Random(seed)
    fitting = [n for n in names if n not in _SLOW and _moves(MODELS[n](CUT.get(n, 3))[1]) == moves]
    for number in range(count):
        name = fitting[number % len(fitting)]
        blocks = max(CUT.get(name, 3), 4)
        layers = blocks + 1 - dice.choice([0, 0, 0, 1])
        cuts = sorted(dice.randint(0, layers) for _ in range(dice.randint(0, 2)))
        split = Split(tuple(b - a for a, b in zip([0, *cuts], [*cuts, layers], strict=True)), blocks + 1)
        away = [dice.randint(0, len(split.block_range(i))) for i in range(len(split.layers))]
        params: dict[str, Any] = {
            "ctx_size": dice.choice([1000, 2048, 4096, 8192]),
            "parallel": dice.choice([1, 1, 2, 4, -1]),
            "ubatch_size": dice.choice([64, 128, 256, 512, 512]),
        }
        if said := override(blocks_away(split, away), moves):
            params["override_tensor"] = list(said)
        if dice.random() < 0.2:
            params["flash_attn"] = "off"
        if dice.random() < 0.15:
            params["load_mode"] = "none"
        for build in builds:
            yield {"model": name, "blocks": blocks, "build": build, "split": list(split.layers), "params": params}


def dense_setting_cases(names: list[str], builds: list[str], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """The dense feed-forward of the first blocks, of any model that has some: where the build has `--n-cpu-ffn`."""
    dice = random.Random(seed)
    fitting = [n for n in names if n not in _SLOW and _dense(MODELS[n](CUT.get(n, 3))[1])]
    for number in range(count):
        name = fitting[number % len(fitting)]
        blocks = CUT.get(name, 3)
        layers = blocks + 1 - dice.choice([0, 0, 1])
        first = dice.randint(1, layers)
        split = [first] if first == layers else [first, layers - first]
        params = {"ctx_size": dice.choice([1000, 2048, 4096]), "ubatch_size": dice.choice([64, 256, 512])}
        params["n_cpu_ffn"] = dice.randint(1, blocks + 1)
        for build in (b for b in builds if b != "b10068"):
            yield {"model": name, "blocks": blocks, "build": build, "split": split, "params": params}


def _dense(tensors: list[Any]) -> bool:
    return any(re.search(PATTERNS["FFN"], t[0]) for t in tensors)


def _moves(tensors: list[Any]) -> Movable | None:
    names = [t[0] for t in tensors]
    found = (kind for kind, pattern in PATTERNS.items() if any(re.search(pattern, n) for n in names))
    return next(found, None)


def draft_cases(names: list[str], builds: list[str], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """One model before another on the host or on any device, with its own types of the cache."""
    dice = random.Random(seed)
    quick = [n for n in names if n not in _SLOW]
    for number in range(count):
        name, drafted = quick[number % len(quick)], dice.choice(quick)
        blocks, layers = CUT.get(name, 3), CUT.get(name, 3) + 1 - dice.choice([0, 0, 0, 1])
        cuts = sorted(dice.randint(0, layers) for _ in range(dice.randint(0, 2)))
        split = [b - a for a, b in zip([0, *cuts], [*cuts, layers], strict=True)]
        holding = [i for i, n in enumerate(split) if n]
        draft: dict[str, Any] = {"device": dice.choice(["host", *map(str, holding)])}
        if dice.random() < 0.6:
            draft["n_max"] = dice.choice([1, 2, 5, 8, 16, 64])
        params: dict[str, Any] = {
            "ctx_size": dice.choice([1000, 2048, 4096, 5000, 8192]),
            "parallel": dice.choice([1, 1, 1, 2, 4, -1]),
            "ubatch_size": dice.choice([64, 128, 256, 512, 512]),
        }
        if dice.random() < 0.2:
            params["flash_attn"] = "off"
        elif dice.random() < 0.4:
            draft |= {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}
            params["flash_attn"] = "on"
        if dice.random() < 0.15:
            params["load_mode"] = "none"
        for build in builds:
            beside = {"draft": drafted, "draft_blocks": CUT.get(drafted, 3)}
            params = params | {"draft": draft}
            yield {"model": name, "blocks": blocks, "build": build, "split": split, "params": params} | beside


def beside_cases(names: list[str], builds: list[str], count: int, seed: int) -> Iterator[dict[str, Any]]:
    """A projector, LoRA adapters and a control vector beside a model, in any combination, wherever they can lie."""
    dice = random.Random(seed)
    quick = [n for n in names if n not in _SLOW]
    for number in range(count):
        name = quick[number % len(quick)]
        blocks = CUT.get(name, 3)
        layers = blocks + 1 - dice.choice([0, 0, 0, 1])
        cuts = sorted(dice.randint(0, layers) for _ in range(dice.randint(0, 2)))
        split = [b - a for a, b in zip([0, *cuts], [*cuts, layers], strict=True)]
        holding = [i for i, n in enumerate(split) if n]
        beside: dict[str, Any] = {}
        if dice.random() < 0.6:
            beside |= {"mmproj": dice.choice(list(PROJECTORS)), "device": dice.choice(["host", *map(str, holding)])}
        if dice.random() < 0.6 or not beside:
            kinds = [["attn_q", "attn_v"], ["attn"], [], ["ffn"]]
            beside["lora"] = [[dice.choice([8, 16, 32, 64]), dice.choice(kinds)] for _ in range(dice.choice([1, 1, 2]))]
        if dice.random() < 0.4:
            beside["control_vector"] = True
        params: dict[str, Any] = {
            "ctx_size": dice.choice([1000, 2048, 4096, 8192]),
            "parallel": dice.choice([1, 1, 2, 4, -1]),
            "ubatch_size": dice.choice([64, 128, 512, 512]),
        }
        if dice.random() < 0.2:
            params["flash_attn"] = "off"
        for build in builds:
            if build != "b10068" and layers <= blocks:
                # It warms up, and newer builds may compute on the host with what a guest has not (AMX).
                continue
            case = {"model": name, "blocks": blocks, "build": build, "split": split, "params": params}
            yield case | {"beside": beside}


def written_beside(case: dict[str, Any], folder: Path) -> dict[str, list[Path]]:
    """The files that a case loads beside its model, by the options' names."""
    beside, model = case["beside"], MODELS[case["model"]](case["blocks"])
    width = next(int(v) for k, v in model[0].items() if k.endswith(".embedding_length"))
    found: dict[str, list[Path]] = {}

    def write(option: str, name: str, header: Any) -> None:
        # Names are of their content: two threads may write the same file.
        found.setdefault(option, []).append(write_gguf(folder / f"{name}-{get_ident()}.gguf", *header))

    if "mmproj" in beside:
        write("mmproj", f"{beside['mmproj']}-{width}", PROJECTORS[beside["mmproj"]](width))
    for rank, parts in beside.get("lora", ()):
        header = lora(model, rank, parts=parts)
        if header[1]:
            write("lora", f"{case['model']}-{rank}-{'-'.join(parts)}", header)
    if beside.get("control_vector"):
        write("control-vector", f"{case['model']}-vector", control_vector(width, case["blocks"]))
    return found


def beside_arguments(
    case: dict[str, Any], files: dict[str, list[Path]], card: str = ""
) -> tuple[list[str], dict[str, str]]:
    """llama-server's options, and its environment's variables."""
    argv = [w for name, paths in files.items() for w in (f"--{name}", ",".join(map(str, paths)))]
    place = case["beside"].get("device")
    if place is None:
        return argv, {}
    if place == "host":
        return [*argv, "--no-mmproj-offload"], {}
    name = engine_name(place, card)
    return ([*argv], {"MTMD_BACKEND_DEVICE": name}) if case["build"] == "b10068" else ([*argv, "-mmdev", name], {})


def identity(case: dict[str, Any]) -> str:
    what = [case["model"], case["blocks"], case["build"], list(case["split"]), case["params"]]
    what += [case["draft"]] if "draft" in case else []
    return json.dumps(what + ([case["beside"]] if "beside" in case else []))


def needs_words(case: dict[str, Any]) -> bool:
    """Its projector looks words up in the model's vocabulary."""
    return bool(case.get("beside", {}).get("mmproj") == "idefics3")


def header_of(model: str, blocks: int, *, speaks: bool) -> Any:
    metadata, tensors = MODELS[model](blocks)
    size = next((int(v) for k, v in metadata.items() if k.endswith(".vocab_size")), 0)
    return (with_tokenizer(metadata, size) if speaks else metadata), tensors


def beside_numbers(reading: Reading) -> dict[str, Any]:
    """What the devices hold beside the model's own, and what the master prints of its RAM: adapters, pictures."""
    own = [d.weights + d.context + d.compute for d in reading.devices]
    more = [live - mine for live, mine in zip(reading.live, own, strict=True)]
    return {"beside_devices": more, "beside_host": [reading.adapters_host, reading.pictures_host]}


def _numbers(held: Held) -> list[int]:
    return [held.weights, held.context, held.compute]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="+", metavar="BUILD=DIRECTORY")
    parser.add_argument("--only", default="")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--whole", action="store_true", help="uncut small models instead")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="N random cases instead")
    parser.add_argument("--experts", type=int, default=0, metavar="N", help="N cases with experts in RAM instead")
    parser.add_argument("--dense", type=int, default=0, metavar="N", help="N cases with dense FFN in RAM instead")
    parser.add_argument("--adapted", action="store_true", help="of --dense: with a LoRA adapter of each FFN")
    parser.add_argument("--n-cpu-ffn", type=int, default=0, metavar="N", help="N cases with that setting instead")
    parser.add_argument("--drafts", type=int, default=0, metavar="N", help="N cases with a draft model instead")
    parser.add_argument(
        "--beside", type=int, default=0, metavar="N", help="N cases with files beside the model instead"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    engines = {}
    for text in options.engines:
        build, _, folder = text.partition("=")
        engines[build] = Engine(build, Path(folder) / "llama-server", Path(folder) / "ggml-rpc-server")
    names = options.only.split(",") if options.only else list(MODELS)
    lines = options.table.read_text().splitlines() if options.table.exists() else []
    known = {identity(json.loads(line)) for line in lines}
    lock = Lock()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(options.parallel) as pool:

        def written(model: str, blocks: int, *, speaks: bool = False) -> Path:
            path = Path(folder) / f"{model}-{blocks}{'-speaks' if speaks else ''}.gguf"
            with lock:
                if not path.exists():
                    write_gguf(path, *header_of(model, blocks, speaks=speaks))
            return path

        def measure(case: dict[str, Any]) -> None:
            beside, variables = case.get("beside"), dict[str, str]()
            path = written(case["model"], case["blocks"], speaks=needs_words(case))
            argv = arguments(case["params"], case["build"])
            if beside is not None:
                more, variables = beside_arguments(case, written_beside(case, Path(folder)))
                argv += more
            if "draft" in case:
                argv += draft_arguments(case["params"]["draft"], written(case["draft"], case["draft_blocks"]))
            try:
                engine = engines[case["build"]]
                reading = load(engine, path, case["split"], argv, beside=beside is not None, variables=variables)
            except LoadFailed as e:
                print("FAILED", identity(case), str(e)[-300:], flush=True)
                return
            row = case | {"devices": [_numbers(d) for d in reading.devices], "host": _numbers(reading.host)}
            if "draft" in case:
                row |= {"draft_devices": [_numbers(d) for d in reading.draft]}
                row |= {"draft_host": _numbers(reading.draft_host)}
            if beside is not None:
                row |= beside_numbers(reading)
            with lock, options.table.open("a") as table:
                table.write(json.dumps(row) + "\n")

        builds = list(engines)
        wanted = cases(names, builds)
        if options.experts:
            wanted = apart_cases(names, builds, options.experts, options.seed, "experts")
        elif options.dense:
            wanted = apart_cases(names, builds, options.dense, options.seed, "FFN")
            if options.adapted:
                wanted = (case | {"beside": {"lora": [[64, ["ffn"]]]}} for case in wanted)
        elif options.n_cpu_ffn:
            wanted = dense_setting_cases(names, builds, options.n_cpu_ffn, options.seed)
        elif options.drafts:
            wanted = draft_cases(names, builds, options.drafts, options.seed)
        elif options.beside:
            wanted = beside_cases(names, builds, options.beside, options.seed)
        elif options.random:
            wanted = random_cases(names, builds, options.random, options.seed)
        elif options.whole:
            wanted = whole_cases(builds)
        list(pool.map(measure, (c for c in wanted if identity(c) not in known)))


if __name__ == "__main__":
    main()
