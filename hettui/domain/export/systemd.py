"""A cluster as systemd user units: order, readiness, restart policy and stop order as hettui supervises it."""

from __future__ import annotations

from collections.abc import Mapping

from hettui.domain.export.parts import ENV_FILE, PRIVATE, Exported, Part, Parts, env_text
from hettui.domain.text import clean_line

TARGET = "hettui.target"
_LISTENS = (
    'until awk -v port={port} \'$$4 == "0A" && substr($$2, length($$2) - 4) == port {{ found = 1 }} '
    "END {{ exit !found }}' /proc/net/tcp /proc/net/tcp6; do sleep 0.2; done"
)
_HEALTHY = "until curl -fs -o /dev/null {url}/health; do sleep 0.5; done"


def files(parts: Parts) -> list[Exported]:
    """The units of this machine, those of each other host in a folder of its name, and the environment file."""
    units = [Exported(f"{_unit(part)}.service", _worker(parts, part)) for part in parts.here]
    for name, workers in parts.hosts.items():
        folder = _word(name)
        for part in workers:
            units.append(Exported(f"{folder}/{_unit(part)}.service", _worker(parts, part)))
            units.append(Exported(f"{_unit(part)}-line.service", _line(parts, part)))
        units.append(Exported(f"{folder}/{ENV_FILE}", "# the environment of the workers here\n", PRIVATE))
    return [
        *units,
        Exported("hettui-master.service", _master(parts)),
        Exported(TARGET, _target(parts)),
        Exported(ENV_FILE, env_text(parts), PRIVATE),
        Exported("README", _readme(parts)),
    ]


def _unit(part: Part) -> str:
    return f"hettui-{part.slug}"


def _word(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def _needed(part: Part) -> str:
    """What of it stands on this machine."""
    return f"{_unit(part)}.service" if part.host is None else f"{_unit(part)}-line.service"


def _service(parts: Parts, argv: tuple[str, ...], env: Mapping[str, str], ready: str) -> list[str]:
    supervision, restart = parts.supervision, parts.supervision.restart
    lines = [
        "[Service]",
        "Type=exec",
        f"EnvironmentFile=-%h/.config/systemd/user/{ENV_FILE}",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in env.items()),
        "Environment=GGML_NO_BACKTRACE=1",
        # A client that vanishes must not end a worker.
        "IgnoreSIGPIPE=yes",
        f"ExecStart={' '.join(map(_quoted, argv))}",
        f"ExecStartPost=/bin/sh -c {_raw(ready)}",
        # A large model over a slow line loads for long; hettui watches progress instead.
        "TimeoutStartSec=infinity",
        f"TimeoutStopSec={max(1, round(supervision.stop_grace_s))}",
    ]
    if restart.limit:
        lines += ["Restart=on-failure", f"RestartSec={restart.first_pause_s:g}"]
    return lines


def _limits(parts: Parts) -> list[str]:
    restart = parts.supervision.restart
    if not restart.limit:
        return []
    return [f"StartLimitIntervalSec={restart.window_s:g}", f"StartLimitBurst={restart.limit + 1}"]


def _worker(parts: Parts, part: Part) -> str:
    description = f"hettui: {clean_line(part.name, 80)}".replace("%", "%%")
    lines = ["[Unit]", f"Description={description}", *_limits(parts)]
    if part.host is None:
        lines.append(f"PartOf={TARGET}")
    lines += ["", *_service(parts, part.argv, part.env, _LISTENS.format(port=f":{part.port:04X}"))]
    if part.host is not None:
        lines += ["", "[Install]", "WantedBy=default.target"]
    return "\n".join(lines) + "\n"


def _line(parts: Parts, part: Part) -> str:
    """The tunnel to a worker on another host."""
    host = part.host
    assert host is not None  # noqa: S101 - only of those
    tunnel = f"127.0.0.1:{part.local_port}:127.0.0.1:{part.port}"
    argv = (
        "/usr/bin/ssh", "-N", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15",
        "-L", tunnel, host.ssh or host.name,
    )  # fmt: skip
    description = f"hettui: line to {clean_line(part.name, 80)} on {clean_line(host.name, 60)}".replace("%", "%%")
    unit = ["[Unit]", f"Description={description}", f"PartOf={TARGET}", *_limits(parts), ""]
    return "\n".join([*unit, *_service(parts, argv, {}, _LISTENS.format(port=f":{part.local_port:04X}"))]) + "\n"


def _master(parts: Parts) -> str:
    needed = " ".join(_needed(part) for part in parts.workers)
    lines = ["[Unit]", "Description=hettui: llama-server", f"PartOf={TARGET}", *_limits(parts)]
    # After them it starts, and before them it stops.
    lines += [f"Requires={needed}", f"After={needed}"] if needed else []
    return (
        "\n".join([*lines, "", *_service(parts, parts.master.argv, parts.master.env, _HEALTHY.format(url=parts.url))])
        + "\n"
    )


def _target(parts: Parts) -> str:
    names = " ".join([*(_needed(part) for part in parts.workers), "hettui-master.service"])
    return f"[Unit]\nDescription=hettui's cluster\nWants={names}\n\n[Install]\nWantedBy=default.target\n"


def _quoted(word: str) -> str:
    """A word of a command line, as systemd reads it back."""
    home, word = ("%h/", word[2:]) if word.startswith("~/") else ("", word)
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    return f'"{home}{escaped}"'


def _raw(script: str) -> str:
    """A script in which dollars are doubled already."""
    return '"' + script.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _readme(parts: Parts) -> str:
    lines = [
        "systemd user units of a llama.cpp cluster, as hettui planned it. hettui is not needed to run them.",
        "",
        "  cp *.service *.target hettui.env ~/.config/systemd/user/ && chmod 600 ~/.config/systemd/user/hettui.env",
        "  systemctl --user daemon-reload",
        f"  systemctl --user start {TARGET}      # and enable: with every login; loginctl enable-linger: at boot",
        f"  systemctl --user stop {TARGET}       # the master first, then the workers",
        "  journalctl --user -u 'hettui-*' -f",
        "",
        f"It answers at {parts.url}.",
    ]
    for name in parts.hosts:
        lines += ["", f"{_word(name)}/ goes to {clean_line(name, 60)}: the same steps there, enable each of its units."]
    return "\n".join(lines) + "\n"
