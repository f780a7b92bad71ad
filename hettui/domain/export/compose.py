"""A cluster as a compose file: the host's network, so that workers stay on loopback; cards reserved by UUID."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

from hettui.domain.export.parts import ENV_FILE, PRIVATE, Exported, Part, Parts, env_text
from hettui.domain.text import clean_line

_IMAGE = "${LLAMA_CPP_IMAGE:?name an image with llama-server and ggml-rpc-server of this build}"
_MODELS = "/models"
_SHELL = ["/bin/sh", "-c", "trap '' PIPE; exec \"$$@\"", "sh"]
"""A client that vanishes must not end a worker."""


def files(parts: Parts) -> list[Exported]:
    """`compose.yaml`, one in a folder for each other host, and the environment file."""
    own = [*parts.here]
    found = [Exported("compose.yaml", _document(parts, own, master=True)), Exported(ENV_FILE, env_text(parts), PRIVATE)]
    for name, workers in parts.hosts.items():
        folder = "".join(c if c.isalnum() else "-" for c in name.lower())
        found.append(Exported(f"{folder}/compose.yaml", _document(parts, workers, master=False)))
        found.append(Exported(f"{folder}/{ENV_FILE}", "# the environment of the workers here\n", PRIVATE))
    return found


def _document(parts: Parts, workers: Sequence[Part], *, master: bool) -> str:
    lines = [
        "# A llama.cpp cluster as hettui planned it. LLAMA_CPP_IMAGE names the image; in it llama-server and",
        "# ggml-rpc-server are looked for on the PATH and in /app.",
    ]
    for host, held in parts.hosts.items() if master else ():
        tunnels = " ".join(f"-L 127.0.0.1:{p.local_port}:127.0.0.1:{p.port}" for p in held)
        ssh = held[0].host.ssh if held[0].host else host
        lines.append(
            f"# Needed beside it, the line to {clean_line(host, 60)}: ssh -N {tunnels} {clean_line(ssh or '', 200)}"
        )
    services: dict[str, object] = {part.slug: _service(parts, part, _listens(part.port)) for part in workers}
    if master:
        service = _service(parts, parts.master, f"curl -fs -o /dev/null {parts.url}/health")
        # Files beside the model stand where they do outside: the command line names them so.
        others = dict.fromkeys(_dollars(str(PurePosixPath(file).parent)) for file in parts.beside)
        service["volumes"] = [f"{_folder(parts)}:{_MODELS}:ro", *(f"{one}:{one}:ro" for one in others)]
        service["depends_on"] = {part.slug: {"condition": "service_healthy"} for part in workers}
        services["master"] = service
    return "\n".join([*lines, *_yaml({"name": "hettui", "services": services})]) + "\n"


def _folder(parts: Parts) -> str:
    return _dollars(str(PurePosixPath(parts.model_path).parent))


def _service(parts: Parts, part: Part, check: str) -> dict[str, object]:
    restart = parts.supervision.restart
    program = PurePosixPath(part.argv[0]).name
    words = [_there(parts, word) for word in part.argv[1:]]
    cards = parts.uuids if part is parts.master else (part.uuid,) if part.uuid else ()
    # The card that is reserved is the only one there.
    env = {name: value for name, value in part.env.items() if not name.startswith(("CUDA_", "LD_"))}
    service: dict[str, object] = {
        "image": _IMAGE,
        "network_mode": "host",
        "entrypoint": _SHELL,
        "command": ["/usr/bin/env", "PATH=/app:/usr/local/bin:/usr/bin:/bin", program, *map(_dollars, words)],
        "env_file": [ENV_FILE],
        "environment": {"GGML_NO_BACKTRACE": "1", **{name: _dollars(value) for name, value in env.items()}},
        "restart": f"on-failure:{restart.limit}" if restart.limit else "no",
        "stop_grace_period": f"{max(1, round(parts.supervision.stop_grace_s))}s",
        "healthcheck": {
            "test": ["CMD-SHELL", check],
            "interval": "2s",
            "retries": 3,
            "start_period": "3600s",
            "start_interval": "1s",
        },
    }
    if cards:
        device = {"driver": "nvidia", "device_ids": list(cards), "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    return service


def _there(parts: Parts, word: str) -> str:
    """Where the model is in the container."""
    return f"{_MODELS}/{PurePosixPath(word).name}" if word == parts.model_path else word


def _dollars(text: str) -> str:
    return text.replace("$", "$$")


def _listens(port: int) -> str:
    hexadecimal = f":{port:04X}"
    return (
        f'awk -v port={hexadecimal} \'$$4 == "0A" && substr($$2, length($$2) - 4) == port {{ found = 1 }} '
        "END { exit !found }' /proc/net/tcp"
    )


def _yaml(value: object, depth: int = 0) -> list[str]:
    """Block style for tables; every text as a double-quoted scalar, which JSON's are."""
    pad = "  " * depth
    lines: list[str] = []
    assert isinstance(value, dict)  # noqa: S101 - the caller's
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines += [f"{pad}{key}:", *_yaml(item, depth + 1)]
        elif isinstance(item, list) and item and not all(isinstance(one, dict) for one in item):
            lines += [f"{pad}{key}:", *(f"{pad}  - {json.dumps(one, ensure_ascii=False)}" for one in item)]
        else:
            lines.append(f"{pad}{key}: {json.dumps(item, ensure_ascii=False)}")
    return lines
