"""Every llama-server option that hettui knows, once: spellings, what may stand there, and who sets it.

The command line of the master, the `[serving]` section, `hettui plan`'s options, the reader of a command line of
somebody else's and the list of what may not stand in `extra-args` come from here. Spellings and limits are those of
`--help` of b10068 and b11434; defaults stand in `params`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from hettui.domain.llama.params import CACHE_TYPES, FLASH_ATTN, LOAD_MODES, SPLIT_MODES, RuntimeParams, Serving, scaled
from hettui.domain.records import dataclass
from hettui.domain.units import MIB

Kind = Literal["integer", "slots", "boolean", "text", "path", "overrides", "file", "files", "mebibytes"]
_DEFAULTS: dict[str, RuntimeParams | Serving] = {"memory": RuntimeParams(), "serving": Serving()}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `name` is llama-server's long one without dashes, and with `_` the attribute in `params`."""

    name: str
    spellings: tuple[str, ...]
    """All of llama-server's that say the same; the first one stands in our command lines."""
    kind: Kind = "text"
    doc: str = ""
    """One line for people, of those that can be set."""
    decides: Literal["memory", "serving", ""] = ""
    """Which settings it belongs to: `RuntimeParams`, `Serving`, or none that a configuration holds."""
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()
    placeholder: str = "N"
    """For the value in a command's help."""
    always: bool = True
    """In the command line also when it has llama-server's own default, so that the line says how it runs."""
    instead: str = ""
    """Where it is set, when not under its own name in [serving]."""
    also: tuple[str, ...] = ()
    """What sets the same in other words: negations, and the spellings of other builds."""
    secret: bool = False
    """Its value is a key."""
    newer: bool = False
    """Builds before b11434 may not have it."""
    allocates: str = ""
    """What llama.cpp reserves for it beside what a plan counts, or elsewhere than the plan says."""
    refused: str = ""
    """Why hettui cannot work with a server that has it, and what to do instead; then it stands in no `extra-args`."""
    loose: bool = False
    """It may stand in `extra-args` as well, where it always could; what is said there holds."""
    says_zero: bool = False
    """0 is a value of its own, and said; of other options it is what holds anyway."""
    shape: str = ""
    """A regular expression that its value must match whole, where hettui depends on it."""
    shape_said: str = ""
    """The same for people."""

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")

    @property
    def default(self) -> Any:
        """What holds when nobody says anything; None for an option without one, and for one that hettui sets."""
        return getattr(_DEFAULTS[self.decides], self.attribute) if self.decides else None

    @property
    def owned(self) -> str | None:
        """The key of the configuration that sets it; None for an option that may stand in `extra-args`."""
        return self.instead or (f"[serving] {self.name}" if self.decides and not self.loose else None)

    def words(self, value: Any) -> list[str]:
        """As it stands in the command line; nothing for a value that need not be said."""
        flag = self.spellings[0]
        if self.kind == "boolean":
            return [flag] if value else []
        unsaid = (self.default, "", ()) if self.says_zero else (self.default, 0, "", ())
        if value is None or not (self.always or value not in unsaid):
            return []
        return [flag, ",".join(value) if isinstance(value, tuple) else str(value)]


_IN_DEVICES = "layers in [[devices]]"
_A_KEY = "[serving] api-key-file: a key in argv is seen by everybody"
_NO_TLS = (
    "hettui asks llama-server over plain HTTP: leave it on 127.0.0.1 and let a reverse proxy in front of it speak HTTPS"
)
_NO_ROUTER = "hettui runs one model, and plans for it: set [model] path"
_ENDS = "llama-server prints something and ends: run it yourself for that"

_SPECULATING = "what speculation takes"

OPTIONS: tuple[Option, ...] = (
    Option("host", ("--host",), "text", "address of the HTTP API; other than loopback needs an API key", "serving"),
    Option("port", ("--port",), "integer", "port of the HTTP API; 0 takes a free one", "serving", 0, 65535),
    Option(
        "ctx-size", ("-c", "--ctx-size"), "integer", "tokens of context over all slots; 0 is the model's own", "memory",
        0,
    ),
    Option(
        "parallel", ("-np", "--parallel"), "slots", "slots: how many requests are answered at once", "memory", 1, 512,
        placeholder="N|auto",
    ),
    Option(
        "batch-size", ("-b", "--batch-size"), "integer", "logical batch: prompt tokens handed over at once", "memory", 1
    ),
    Option(
        "ubatch-size", ("-ub", "--ubatch-size"), "integer", "physical batch: drives the compute buffer's size",
        "memory", 1,
    ),
    Option("flash-attn", ("-fa", "--flash-attn"), "text", "flash attention", "memory", choices=FLASH_ATTN),
    Option("cache-type-k", ("-ctk", "--cache-type-k"), "text", "type of the K cache", "memory", choices=CACHE_TYPES),
    Option(
        "cache-type-v", ("-ctv", "--cache-type-v"), "text", "type of the V cache; quantised needs flash attention",
        "memory", choices=CACHE_TYPES,
    ),
    Option(
        "kv-unified", ("-kvu", "--kv-unified"), "boolean", "one KV cache for all slots", "memory",
        also=("-no-kvu", "--no-kv-unified"),
    ),
    Option("swa-full", ("--swa-full",), "boolean", "full-size cache for sliding-window layers", "memory"),
    Option(
        "n-cpu-moe", ("-ncmoe", "--n-cpu-moe"), "integer", "the experts of so many first blocks stay on the host",
        "memory", 0, always=False,
    ),
    Option(
        "n-cpu-ffn", ("-ncffn", "--n-cpu-ffn"), "integer",
        "the dense feed-forward of so many first blocks stays on the host; builds before b11434 may not have it",
        "memory", 0, always=False, loose=True, newer=True, allocates="on the host what the plan puts on devices",
    ),
    Option(
        "override-tensor", ("-ot", "--override-tensor"), "overrides",
        'tensors that stay on the host, each "PATTERN=CPU"', "memory", placeholder="PATTERN=CPU,…", always=False,
    ),
    Option(
        "threads", ("-t", "--threads"), "integer", "threads of the master's CPU; -1: llama.cpp's choice", "memory", -1,
        1024, always=False, loose=True,
    ),
    Option(
        "predict", ("-n", "--predict", "--n-predict"), "integer", "most tokens of one answer; -1: no limit", "memory",
        -1, always=False, loose=True,
    ),
    # Said beside the layers: `launch` knows where.
    Option(
        "split-mode", ("-sm", "--split-mode"), "text",
        "whole layers on each device, or a share of every tensor on all of this machine's cards", "memory",
        choices=SPLIT_MODES,
    ),
    # How it is said differs from build to build: `launch` knows.
    Option(
        "load-mode", ("--load-mode", "-lm"), "text", "how the file is read", "memory", choices=LOAD_MODES,
        also=("--mmap", "--no-mmap", "--mlock", "-dio", "--direct-io", "-ndio", "--no-direct-io"),
    ),
    # How these are said differs, too, and by where the projector lies.
    Option(
        "mmproj", ("--mmproj", "-mm"), "file", "the projector's file: the model sees pictures with it", "memory",
        placeholder="FILE", always=False, loose=True, allocates="a vision tower with its weights and compute buffers",
    ),
    Option(
        "mmproj-device", ("--mmproj-device", "-mmdev"), "text",
        'where it lies: a name of [[devices]], "host" (this machine\'s CPU), or "auto": the fastest card of the '
        "master's own that has room, else host; never a worker, unless named", "memory", placeholder="NAME",
        always=False, loose=True, newer=True, also=("--mmproj-offload", "--no-mmproj-offload"),
    ),
    Option(
        "lora", ("--lora",), "files", 'LoRA adapters, each "FILE" or "FILE:SCALE"', "memory",
        placeholder="FILE[:SCALE],…", always=False, loose=True, allocates="an adapter's weights",
    ),
    Option(
        "control-vector", ("--control-vector",), "files", 'control vectors, each "FILE" or "FILE:SCALE"', "memory",
        placeholder="FILE[:SCALE],…", always=False, loose=True, allocates="a control vector for every block",
    ),
    Option(
        "ctx-checkpoints", ("--ctx-checkpoints", "-ctxcp", "--swa-checkpoints"), "integer",
        "copies of a slot's context kept in this machine's memory, of models with windows or recurrent states",
        "memory", 0, 4096, always=False, loose=True, says_zero=True,
        allocates="copies of the context on the host, so many for every slot",
    ),
    Option(
        "cache-ram", ("--cache-ram", "-cram"), "integer",
        "MiB of prompts kept in this machine's memory; 0: none, -1: without a limit", "memory", -1, always=False,
        loose=True, says_zero=True, allocates="prompts kept on the host, up to so many MiB",
    ),
    Option("alias", ("--alias", "-a"), "text", "the model's name in the API", "serving"),
    Option(
        "api-key-file", ("--api-key-file",), "path", "file of API keys, one per line, mode 0600", "serving",
        instead=_A_KEY,
    ),
    Option(
        "slot-save-path", ("--slot-save-path",), "path", "where contexts are kept; left out: in the state folder",
        "serving",
    ),
    # Not under their own names in a configuration: hettui sets them by what it plans.
    Option("model", ("-m", "--model"), instead="[model] path"),
    Option("tensor-split", ("-ts", "--tensor-split"), instead=_IN_DEVICES),
    Option("gpu-layers", ("-ngl", "--gpu-layers", "--n-gpu-layers"), instead=_IN_DEVICES),
    Option("rpc", ("--rpc",), instead="[[devices]]"),
    Option("device", ("--device", "-dev"), instead="[[devices]]"),
    Option("main-gpu", ("-mg", "--main-gpu"), instead="[[devices]]"),
    Option("fit", ("-fit", "--fit"), instead=f"{_IN_DEVICES}: hettui fits them"),
    Option("cpu-moe", ("-cmoe", "--cpu-moe"), "boolean", instead="[serving] n-cpu-moe"),
    Option("api-key", ("--api-key",), instead=_A_KEY, secret=True),
    # How the server is reached, beyond address and port. hettui asks it over plain HTTP, below the prefix.
    Option(
        "api-prefix", ("--api-prefix",), shape=r"(/[A-Za-z0-9._~-]+)+",
        shape_said="a path such as /lab/llm, without a slash at its end",
    ),
    Option("ssl-key-file", ("--ssl-key-file",), "path", refused=_NO_TLS),
    Option("ssl-cert-file", ("--ssl-cert-file",), "path", refused=_NO_TLS),
    Option("reuse-port", ("--reuse-port",), "boolean", refused=(
        "hettui could not tell this server from another one on the same port: choose a [serving] port of its own"
    )),
    Option("models-dir", ("--models-dir",), "path", refused=_NO_ROUTER),
    Option("models-preset", ("--models-preset",), "path", refused=_NO_ROUTER),
    # What they change is nothing that hettui asks for, or is nice to know only.
    Option("path", ("--path",), "path"),
    Option("slots", ("--slots", "--no-slots"), "boolean"),
    Option("ui", ("--ui", "--no-ui", "--webui", "--no-webui"), "boolean"),
    Option("metrics", ("--metrics",), "boolean"),
    Option("props", ("--props",), "boolean"),
    Option("timeout", ("-to", "--timeout")),
    # They print something and end: no server comes of it.
    Option("help", ("-h", "--help", "--usage"), "boolean", refused=_ENDS),
    Option("version", ("--version",), "boolean", refused=_ENDS),
    Option("list-devices", ("--list-devices",), "boolean", refused=_ENDS),
    Option("cache-list", ("-cl", "--cache-list"), "boolean", refused=_ENDS),
    Option("completion-bash", ("--completion-bash",), "boolean", refused=_ENDS),
    # Whoever wants them says them in `extra-args`; hettui understands them where it meets them.
    Option("hf-token", ("-hft", "--hf-token"), secret=True),
    Option("verbose", ("-v", "--verbose", "--log-verbose"), "boolean"),
    Option("log-verbosity", ("-lv", "--verbosity", "--log-verbosity")),
    Option("log-prefix", ("--log-prefix", "--no-log-prefix"), "boolean"),
    # These make llama.cpp hold more than a plan counts, or hold it elsewhere.
    Option(
        "spec-draft-model", ("--spec-draft-model", "-md", "--model-draft"), "file",
        allocates="a second model with its weights, cache and compute buffers",
    ),
    Option(
        "spec-draft-hf", ("--spec-draft-hf", "-hfd", "-hfrd", "--hf-repo-draft"),
        allocates="a second model with its weights, cache and compute buffers",
    ),
    Option(
        "spec-type", ("--spec-type",),
        allocates="speculation: a second context with its cache and compute buffers, or tables on the host",
    ),
    # How [draft] is said; older builds have the later spellings.
    Option("spec-draft-device", ("--spec-draft-device", "-devd", "--device-draft"), allocates=_SPECULATING),
    Option(
        "spec-draft-ngl", ("--spec-draft-ngl", "-ngld", "--gpu-layers-draft", "--n-gpu-layers-draft"),
        allocates=_SPECULATING,
    ),
    Option(
        "spec-draft-type-k", ("--spec-draft-type-k", "-ctkd", "--cache-type-k-draft"), choices=CACHE_TYPES,
        allocates=_SPECULATING,
    ),
    Option(
        "spec-draft-type-v", ("--spec-draft-type-v", "-ctvd", "--cache-type-v-draft"), choices=CACHE_TYPES,
        allocates=_SPECULATING,
    ),
    Option("spec-draft-n-max", ("--spec-draft-n-max", "--draft-max", "--draft", "--draft-n"), allocates=_SPECULATING),
    Option("spec-draft-n-min", ("--spec-draft-n-min", "--draft-min", "--draft-n-min"), allocates=_SPECULATING),
    Option("spec-draft-p-min", ("--spec-draft-p-min", "--draft-p-min"), allocates=_SPECULATING),
    Option("spec-ngram-mod-n-max", ("--spec-ngram-mod-n-max",), allocates=_SPECULATING),
    Option("spec-ngram-mod-n-min", ("--spec-ngram-mod-n-min",), allocates=_SPECULATING),
    Option("spec-ngram-simple-size-m", ("--spec-ngram-simple-size-m",), allocates=_SPECULATING),
    Option("spec-ngram-map-k-size-m", ("--spec-ngram-map-k-size-m",), allocates=_SPECULATING),
    Option("spec-ngram-map-k4v-size-m", ("--spec-ngram-map-k4v-size-m",), allocates=_SPECULATING),
    Option("spec-default", ("--spec-default",), "boolean", allocates="speculation: tables on the host, or more"),
    Option("mmproj-url", ("--mmproj-url", "-mmu"), allocates="a vision tower with its weights and compute buffers"),
    Option("lora-scaled", ("--lora-scaled",), "file", allocates="an adapter's weights"),
    Option("control-vector-scaled", ("--control-vector-scaled",), "file", allocates="a control vector for every block"),
    Option("model-vocoder", ("--model-vocoder", "-mv"), "file", allocates="a vocoder with its weights"),
    Option("hf-repo-v", ("--hf-repo-v", "-hfv", "-hfrv"), allocates="a vocoder with its weights"),
    Option(
        "moe-cache-mib", ("--moe-cache-mib",), "mebibytes", newer=True,
        allocates="experts of the host kept on the cards",
    ),
    Option(
        "no-kv-offload", ("--no-kv-offload", "-nkvo"), "boolean",
        allocates="the KV cache on the host, not on the devices",
    ),
    Option("no-op-offload", ("--no-op-offload",), "boolean", also=("--op-offload",)),
    Option("backend-sampling", ("--backend-sampling", "-bs"), "boolean", allocates="samplers on the devices"),
)  # fmt: skip
_SPECULATION = "--spec-"

_SAID_OF_SPECULATION = frozenset(o.allocates for o in OPTIONS if o.name.startswith("spec-"))

_BY_NAME = {option.name: option for option in OPTIONS}
_BY_SPELLING = {spelling: option for option in OPTIONS for spelling in (*option.spellings, *option.also)}


def option(name: str) -> Option:
    """The option of that name. Raises KeyError."""
    return _BY_NAME[name]


def flag(name: str) -> str:
    """How our command lines spell it."""
    return _BY_NAME[name].spellings[0]


def spelled(name: str, known: Collection[str]) -> str:
    """How a build spells it whose long options are these; without any, as the newest ones do."""
    spellings = _BY_NAME[name].spellings
    return next((one for one in spellings if one in known), spellings[0])


def option_spelled(word: str) -> Option | None:
    """The option that llama-server takes a word of a command line for, `--name=value` included."""
    return _BY_SPELLING.get(word.partition("=")[0])


def settable() -> tuple[Option, ...]:
    """Those that a configuration sets under their own names, in the order in which people read them."""
    return tuple(one for one in OPTIONS if one.decides)


def memory_options() -> tuple[Option, ...]:
    """Those that decide what every device holds."""
    return tuple(one for one in OPTIONS if one.decides == "memory")


def words_of(settings: RuntimeParams | Serving, names: Iterable[str]) -> list[str]:
    """The named settings as a part of the command line."""
    found: list[str] = []
    for name in names:
        one = _BY_NAME[name]
        found += one.words(getattr(settings, one.attribute))
    return found


def spoken(argv: Sequence[str]) -> dict[str, str]:
    """A command line's options by name, each with its value or the word behind it; unknown ones are passed over."""
    found: dict[str, str] = {}
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        spelling, separator, value = word.partition("=")
        one = _BY_SPELLING.get(spelling)
        if one is not None and spelling in one.spellings:
            found[one.name] = value if separator else following
    return found


@dataclass(frozen=True, slots=True)
class Allocation:
    """One word of a command line that makes llama.cpp reserve more than a plan counts."""

    spelling: str
    """As it stands there."""
    what: str
    files: tuple[str, ...] = ()
    """What it reads: at least so many bytes are held somewhere."""
    least_bytes: int = 0
    """What the value itself says."""


def allocations(argv: Sequence[str]) -> tuple[Allocation, ...]:
    """Everything in a command line that a plan does not count, in its order, each thing once."""
    found: dict[str, Allocation] = {}
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        spelling, separator, after = word.partition("=")
        one = _BY_SPELLING.get(spelling)
        value = after if separator else following
        if one is not None and one.allocates and value.strip().lower() != "none":
            files = tuple(_file(part) for part in value.split(",") if part) if one.kind in ("file", "files") else ()
            number = int(value) * MIB if one.kind == "mebibytes" and value.isdecimal() else 0
            before = found.get(one.allocates, Allocation(spelling, one.allocates))
            found[one.allocates] = replace(before, files=before.files + files, least_bytes=before.least_bytes + number)
        elif one is None and spelling.startswith(_SPECULATION):
            found.setdefault(_SPECULATING, Allocation(spelling, _SPECULATING))
    if any(said != _SPECULATING and said in _SAID_OF_SPECULATION for said in found):
        found.pop(_SPECULATING, None)
    return tuple(found.values())


def _file(value: str) -> str:
    """`FNAME` of `FNAME:SCALE`."""
    return scaled(value)[0]
