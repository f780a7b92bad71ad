"""Every section and key of the configuration, once. Checking, "did you mean" and `hettui init` come from here."""

from __future__ import annotations

from typing import Any

from hettui.domain.cluster.supervision import ON_EXIT, ON_HANGUP
from hettui.domain.devices.device import LOCAL
from hettui.domain.llama.options import Option, settable
from hettui.domain.llama.params import AUTO, CACHE_TYPES, DRAFT_MODEL, SPECULATION
from hettui.domain.records import dataclass
from hettui.domain.screen.keymap import ALLOWED
from hettui.domain.slots.policy import AT_STOP

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
            "limit": '"off" or a size such as "16GiB"',
            "fraction": "a number from 0 to 1",
            "watts": 'a power such as "1200W", or a number of watts',
            "texts": "a list of texts",
            "paths": "a list of folders",
            "files": 'a list of files, each "FILE" or "FILE:SCALE", without commas',
            "device-id": '"cpu", "pci:0000:01:00.0", "uuid:GPU-…" or llama.cpp\'s name such as "CUDA0"',
            "options": "a list of texts",
            "destination": "one destination such as me@attic, without options: those belong to ~/.ssh/config",
            "overrides": 'a list of texts such as "ffn_.*_exps=CPU"',
        }.get(self.kind, "a text")


@dataclass(frozen=True, slots=True)
class Section:
    """One table; `many` for an array of tables."""

    name: str
    doc: str
    keys: tuple[Key, ...]
    many: bool = False


def _serving_key(option: Option) -> Key:
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    if default == "":
        # Nothing is said where there is none: an empty text stands nowhere in a configuration.
        default = None
    return Key(option.name, option.kind, option.doc, default, option.least, option.most, option.choices)


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
            *(_serving_key(option) for option in settable()),
            Key(
                "extra-args",
                "options",
                "passed to llama-server; what hettui says itself, TLS and a router are refused with the reason",
                [],
            ),
            Key(
                "hold-requests",
                "boolean",
                "requests wait at a front door of hettui's while llama-server is restarted, instead of failing",
                False,
            ),
            Key("hold-seconds", "integer", "seconds that a request waits there at most", 300, 1, 86400),
            Key("hold-limit", "integer", "requests that wait there at once at most", 100, 1, 10000),
            Key(
                "context-keep",
                "limit",
                'what slots hold is kept over restarts, on disk, up to so much in all; "off": nothing is',
                "16GiB",
            ),
            Key(
                "context-at-stop", "text", "what becomes of that when the cluster is stopped", "delete", choices=AT_STOP
            ),
            Key(
                "context-snapshot-minutes",
                "integer",
                "a slot that rests is saved so long after its last saving, for a lost worker; 0: not by time",
                5,
                0,
                1440,
            ),
            Key(
                "context-snapshot-tokens",
                "integer",
                "so many new tokens of a slot that rests are saved at once; 0: not by tokens",
                4096,
                0,
            ),
        ),
    ),
    Section(
        "llama-cpp",
        "The llama.cpp binaries. Left out: LLAMA_CPP_BIN, then what `hettui engine use` chose, PATH, a wheel.",
        (Key("bin", "path", "folder of llama-server and ggml-rpc-server"),),
    ),
    Section(
        "hosts",
        "Other machines, reached by ssh. Their workers listen on loopback and are reached through the tunnel.",
        (
            Key("name", "text", "how devices refer to it", required=True),
            Key("ssh", "destination", "where ssh goes: me@attic, an alias of ~/.ssh/config, ssh://…", required=True),
            Key("bin", "text", "folder of the llama.cpp binaries there, ~ is its home; left out: on its PATH"),
            Key(
                "lease",
                "integer",
                "seconds that its workers live when nothing is heard from here; 0: until they are ended",
                120,
                0,
                86400,
            ),
            Key("patience", "integer", "seconds of silence after which the line counts as lost", 60, 10, 3600),
            Key(
                "address",
                "text",
                "its IPv4 address in a trusted network, for devices with expose = true: llama.cpp then goes there "
                "without ssh, unencrypted and without a password",
            ),
            Key("cache", "size", "what weights may take on its disk, so that they travel once; 0 for none", "32GiB"),
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
                "its worker listens on every network of this machine, or at address of its [[hosts]]: RPC has no "
                "password, anyone there can run code on it",
                False,
            ),
        ),
        many=True,
    ),
    Section(
        "draft",
        "Speculative decoding: a small model proposes tokens, and the model checks several of them at once.",
        (
            Key("model", "path", "the draft model's file; its vocabulary must be the model's"),
            Key(
                "type",
                "text",
                "who proposes; all but draft-simple do without a model",
                DRAFT_MODEL,
                choices=SPECULATION,
            ),
            Key(
                "device",
                "text",
                'where it lies: a name of [[devices]], "host" (this machine\'s CPU), or "auto": the fastest card of '
                "the master's own that has room, else host; never a worker, unless named",
                AUTO,
            ),
            Key("cache-type-k", "text", "type of its K cache", "f16", choices=CACHE_TYPES),
            Key(
                "cache-type-v",
                "text",
                "type of its V cache; quantised needs flash attention",
                "f16",
                choices=CACHE_TYPES,
            ),
            Key("n-max", "integer", "tokens proposed at once; left out: llama-server's own", least=1, most=1024),
            Key("n-min", "integer", "fewer are not proposed; left out: llama-server's own", least=0, most=1024),
            Key("p-min", "fraction", "how sure a proposal must be, 0 to 1; left out: llama-server's own"),
        ),
    ),
    Section(
        "machine",
        "This machine's power, for hettui doctor.",
        (
            Key("psu", "watts", "what its power supply can give"),
            Key("rest", "watts", "what it draws at most beside its cards; left out: by the CPU's limit, else usual"),
        ),
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
