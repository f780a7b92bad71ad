"""The commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

from hettui import __version__
from hettui.cli.iron_options import engine_options, models_options
from hettui.domain.chat.agent_names import AGENTS
from hettui.domain.llama.options import Option, memory_options, option
from hettui.domain.plan.aim import OBJECTIVES


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """One parser for everything; `command` names its function in `hettui.cli.commands.COMMANDS`.

    `only`: the command that will be parsed. To make them all takes a twentieth of the time to the early frame.
    """
    parser = argparse.ArgumentParser(
        prog="hettui",
        usage="hettui [CONFIG] [--record FILE | --replay FILE] | hettui COMMAND …",
        description="Plans, starts and watches a llama.cpp cluster of mismatched GPUs. Without a command: the screen.",
        epilog="example: hettui plan model.gguf --devices big=16GiB,small=6GiB",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"hettui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="hettui")
    for added, add in _ADDERS:
        if only is None or only in added:
            add(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add(commands: _Commands, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary, epilog=f"example: {example}", allow_abbrev=False
    )
    return parser


def _screen(commands: _Commands) -> None:
    parser = _add(
        commands,
        "screen",
        "the screen (the default)",
        "hettui --record bug.jsonl ~/cluster.toml, then hettui --replay bug.jsonl",
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration file; else the usual one")
    parser.add_argument("--theme", help="a theme's name; else the configured one")
    files = parser.add_mutually_exclusive_group()
    _record(files)
    files.add_argument("--replay", metavar="FILE", help="shows a recording: no engine, no GPU, no model is needed")


def _demo(commands: _Commands) -> None:
    parser = _add(
        commands, "demo", "a real small cluster on this machine: no GPU needed", "hettui demo --headless --json"
    )
    parser.add_argument("--headless", action="store_true", help="start, ask one question, stop, print figures")
    parser.add_argument("--json", action="store_true", help="with --headless: one JSON document")
    parser.add_argument("--theme", help="a theme's name")
    _record(parser)


def _record(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--record", metavar="FILE", help="writes what happens as JSON lines: no chats, no keys")


def _doctor(commands: _Commands) -> None:
    parser = _add(
        commands, "doctor", "checks cards, drivers, builds, links, power, memory, configuration", "hettui doctor --json"
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration; else the one used last")
    parser.add_argument("--host", metavar="DESTINATION", help="this host instead: its name, or where ssh goes")
    parser.add_argument("--local", action="store_true", help="no configured host is asked")
    parser.add_argument("--all", action="store_true", help="also what is well, and what could not be checked")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="afterwards repairs what is the user's own and safe (modes of key files); asks",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _devices(commands: _Commands) -> None:
    parser = _add(commands, "devices", "what can hold layers, here and on [[hosts]]", "hettui devices --speeds")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration; else the one used last")
    parser.add_argument("--local", action="store_true", help="this machine only: no host is asked")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--speeds", action="store_true", help="what answers have shown of each device's speed")
    which.add_argument("--forget-speeds", action="store_true", help="forgets that: the next answers measure it anew")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _hosts(commands: _Commands) -> None:
    parser = _add(
        commands, "hosts", "other machines: list, probe, push llama.cpp, clean up", "hettui hosts probe --host me@attic"
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("list", "probe", "connect", "push", "clean"),
        default="list",
        help="list: those that are configured; probe: ask each what it is; connect: log in once, with ssh's questions, "
        "for hours in which none is asked again; push: bring this machine's llama.cpp there; clean: end what hettui "
        "runs there, and take away its logs and caches and what was pushed",
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration; else the one used last")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="DESTINATION",
        help="a host by its name, or where ssh goes; may repeat",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _engine(commands: _Commands) -> None:
    parser = _add(
        commands, "engine", "llama.cpp on this machine: built for its cards, installed, one of several in use",
        "hettui engine build --use",
    )  # fmt: skip
    engine_options(parser)


def _model(commands: _Commands) -> None:
    parser = _add(commands, "model", "what a model's header says", "hettui model model.gguf")
    parser.add_argument("model", metavar="FILE", help="a GGUF file, or any part of a split one")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    _setting(parser, option("cache-type-k"))
    _setting(parser, option("cache-type-v"))


def _models(commands: _Commands) -> None:
    parser = _add(
        commands, "models", "models here and at a hub, judged for these devices; fetched, verified, removed",
        "hettui models fetch ggml-org/gpt-oss-20b-GGUF",
    )  # fmt: skip
    models_options(parser)


def _plan(commands: _Commands) -> None:
    parser = _add(
        commands, "plan", "layers and memory of every device, and the command lines", "hettui plan m.gguf --split 3,2,1"
    )
    parser.add_argument("model", metavar="MODEL", help="a GGUF file, or any part of a split one")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration file with the devices")
    parser.add_argument(
        "--devices",
        metavar="NAME=BUDGET[@SPEED],…",
        help="devices in order: big=16GiB@960GB,small=6GiB, or cards by name: 'RTX 5080,RTX 3060'",
    )
    parser.add_argument("--rig", metavar="FILE", help="plan for the machine of this hettui report")
    parser.add_argument("--split", metavar="N,N,…", help="llama.cpp's tensor-split weights in device order")
    parser.add_argument("--objective", choices=OBJECTIVES, help="what the planner aims at; it may reorder the devices")
    parser.add_argument(
        *option("gpu-layers").spellings[:2], type=int, metavar="N", help="layers on devices; the first stay behind"
    )
    for one in memory_options():
        _setting(parser, one)
    parser.add_argument("--llama-build", metavar="bNNNNN", help="llama.cpp's build, when it is not the one found here")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _setting(parser: argparse.ArgumentParser, one: Option) -> None:
    """An option of llama-server under its own names. What is not said stays None; values are checked by `options`."""
    if one.kind == "boolean":
        parser.add_argument(*one.spellings, action="store_true", default=None, help=one.doc)
    elif one.choices:
        parser.add_argument(*one.spellings, choices=one.choices, help=one.doc)
    elif one.kind == "integer":
        parser.add_argument(*one.spellings, type=int, metavar=one.placeholder, help=one.doc)
    else:
        parser.add_argument(*one.spellings, metavar=one.placeholder, help=one.doc)


def _init(commands: _Commands) -> None:
    parser = _add(commands, "init", "writes a commented configuration for this machine", "hettui init cluster.toml")
    parser.add_argument("path", nargs="?", metavar="FILE", help="where to; else the usual place")
    parser.add_argument("--model", metavar="FILE", help="the model to put in")
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="DESTINATION",
        help="also the cards of this host, such as me@attic",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file; it is kept as .bak")


def _keys(commands: _Commands) -> None:
    parser = _add(commands, "keys", "the keys of the screen, and the actions behind them", "hettui keys --markdown")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration file with [keys]; else the defaults")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--markdown", action="store_true", help="a table for a README")
    forms.add_argument("--json", action="store_true", help="one JSON document")


def _running(commands: _Commands) -> None:
    up = _add(commands, "up", "starts the cluster without the screen and leaves it running", "hettui up cluster.toml")
    up.add_argument("config", nargs="?", metavar="CONFIG", help="configuration file; else the one used last")
    up.add_argument(
        "--force", action="store_true", help="also what does not fit, or is open to a network without a key"
    )
    up.add_argument(
        "--push",
        action="store_true",
        help="first bring this machine's llama.cpp to hosts that lack it, or have another",
    )
    down = _add(commands, "down", "stops the running cluster", "hettui down")
    status = _add(commands, "status", "what runs; exit code 0 when it is ready", "hettui status --json")
    logs = _add(commands, "logs", "what the processes print", "hettui logs -f --process master")
    logs.add_argument("-f", "--follow", action="store_true", help="goes on until Ctrl-C")
    logs.add_argument("-n", "--lines", type=_count, default=50, metavar="N", help="last lines of each process")
    logs.add_argument("--process", metavar="NAME", help="one process: master, or a device's name")
    requests = _add(
        commands, "requests", "what every client's requests did, what was read again and why", "hettui requests -f"
    )
    requests.add_argument("-f", "--follow", action="store_true", help="goes on until Ctrl-C")
    requests.add_argument("-n", "--lines", type=_count, default=50, metavar="N", help="the last requests")
    for parser in (up, down, status, logs, requests):
        parser.add_argument("--json", action="store_true", help="JSON; with -f one object a line")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _which_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="a llama-server that runs, such as http://127.0.0.1:8080; key: LLAMA_API_KEY")
    parser.add_argument("--model", metavar="NAME", help="which model is asked, of a server that has several")
    parser.add_argument("--demo", action="store_true", help="start the demo cluster for it, and stop it afterwards")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start", action="store_true", help="start the configured cluster for it, and stop it afterwards; no question"
    )


def _chat(commands: _Commands) -> None:
    parser = _add(commands, "chat", "one answer, streamed, with its figures", 'hettui chat "Three colours?" --demo')
    parser.add_argument("text", metavar="TEXT", help="the question; - reads it from stdin")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration, where no cluster of it runs")
    _which_cluster(parser)
    _start(parser)
    parser.add_argument("--raw", action="store_true", help="send the text as it is to /completion")
    parser.add_argument("--system", metavar="TEXT", help="system prompt")
    parser.add_argument("--temperature", type=float, metavar="T")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of the answer")


def _bench(commands: _Commands) -> None:
    parser = _add(commands, "bench", "the standard measurement over the HTTP API", "hettui bench --demo --markdown")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration, where no cluster of it runs")
    _which_cluster(parser)
    _start(parser)
    parser.add_argument("--csv", action="store_true", help="llama-bench's columns as CSV")
    parser.add_argument("--markdown", action="store_true", help="tables to paste into an issue")
    parser.add_argument("-p", "--n-prompt", default="512", metavar="N,…", help="prompt sizes; 0 for none")
    parser.add_argument("-n", "--n-gen", default="128", metavar="N,…", help="tokens to generate; 0 for none")
    parser.add_argument("-d", "--n-depth", default="0", metavar="N,…", help="tokens in the context before")
    parser.add_argument("-r", "--repetitions", type=int, default=3, metavar="N", help="runs of each test")
    parser.add_argument("--parallel", default="1,2,4", metavar="N,…", help="streams at once, up to the server's slots")
    parser.add_argument("--no-sum", action="store_true", help="do not read the whole model for its SHA-256")
    parser.add_argument("--llama-bench", action="store_true", help="a second opinion by llama-bench, the same split")
    parser.add_argument("--list", action="store_true", help="the runs that were kept")
    parser.add_argument(
        "--compare", nargs=2, metavar=("A", "B"), help="two runs: a key, its beginning, last, last-1, a file, a report"
    )


def _report(commands: _Commands) -> None:
    parser = _add(commands, "report", "this rig, its plan and runs as one page for others", "hettui report -o rig.md")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration; else the one used last")
    parser.add_argument("--model", metavar="FILE", help="the model to plan with; else the configured one")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to; else stdout")
    parser.add_argument("--force", action="store_true", help="replace an existing file")


def _agents(commands: _Commands) -> None:
    parser = _add(
        commands, "agents", "what coding agents need to use the running cluster", "hettui agents codex -o codex.toml"
    )
    parser.add_argument("name", nargs="?", choices=AGENTS, metavar="AGENT", help=f"one of them: {', '.join(AGENTS)}")
    parser.add_argument("--url", help="a llama-server that runs, such as http://127.0.0.1:8080; key: LLAMA_API_KEY")
    parser.add_argument("--no-try", action="store_true", help="do not ask the server anything but its model")
    parser.add_argument("-o", "--output", metavar="FILE", help="write that agent's lines there, and nowhere else")
    parser.add_argument("--force", action="store_true", help="replace an existing file; it is kept as .bak")
    parser.add_argument("--json", action="store_true", help="one JSON document")


EXPORTS = ("sh", "systemd", "compose")


def _export(commands: _Commands) -> None:
    parser = _add(
        commands, "export", "the running or planned cluster as files that work without hettui", "hettui export sh DIR"
    )
    parser.add_argument("form", choices=EXPORTS, help="scripts, systemd user units, or a compose file")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="where to; else what they are is listed")
    parser.add_argument("--config", metavar="CONFIG", help="plan this configuration; else what runs, else the last one")
    parser.add_argument("--force", action="store_true", help="replace files of those names")
    parser.add_argument("--json", action="store_true", help="one JSON document")


SHELLS = ("bash", "zsh", "fish")


def _for_shells(commands: _Commands) -> None:
    parser = _add(commands, "completion", "what a shell completes after hettui", "hettui completion fish | source")
    parser.add_argument("shell", choices=SHELLS, help="for which shell")
    _add(commands, "man", "the manual page", "hettui man | man -l -")


def _tune(commands: _Commands) -> None:
    parser = _add(commands, "tune", "searches for the best split by measuring", "hettui tune cluster.toml --for decode")
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="configuration; else what runs, else the last one")
    parser.add_argument(
        "--for", dest="aim", default="decode", metavar="WHAT", help="decode (the default), prompt, or so many streams"
    )
    parser.add_argument("--trials", type=int, metavar="N", help="most launches; left out: 6")
    parser.add_argument("--demo", action="store_true", help="on the demo cluster, which is stopped afterwards")
    parser.add_argument("--json", action="store_true", help="one JSON document")


_ADDERS: tuple[tuple[tuple[str, ...], Callable[[_Commands], None]], ...] = (
    (("screen",), _screen),
    (("demo",), _demo),
    (("doctor",), _doctor),
    (("devices",), _devices),
    (("hosts",), _hosts),
    (("engine",), _engine),
    (("model",), _model),
    (("models",), _models),
    (("plan",), _plan),
    (("init",), _init),
    (("keys",), _keys),
    (("up", "down", "status", "logs", "requests"), _running),
    (("chat",), _chat),
    (("bench",), _bench),
    (("tune",), _tune),
    (("report",), _report),
    (("agents",), _agents),
    (("export",), _export),
    (("completion", "man"), _for_shells),
)
"""What adds which commands, as `hettui --help` lists them."""
