"""Which rpc servers a master can use, by the protocol that each names in its HELLO."""

from __future__ import annotations

Version = tuple[int, int, int]

_BUILDS = {4: "b10068 to b10092", 5: "b10434", 6: "b10600 or so", 7: "b11434"}
"""In which builds a major version was seen (6: read in the changes); others have the same."""


def speaks(master: Version, worker: Version) -> bool:
    """The same major and no newer minor of the worker; the patch does not count (ggml-rpc.cpp:356 of b11434; b10068
    and b10434 refuse each other likewise)."""
    return master[0] == worker[0] and worker[1] <= master[1]


def spoken(version: Version) -> str:
    """`RPC 5.0.0 (as b10434)`."""
    builds = _BUILDS.get(version[0])
    return f"RPC {'.'.join(map(str, version))}{f' (as {builds})' if builds else ''}"


def refusal(device: str, host: str, master: Version, worker: Version, remedy: str) -> str | None:
    """Why this worker cannot be used by this machine's llama-server; None when it can."""
    if speaks(master, worker):
        return None
    return (
        f'device "{device}": llama.cpp on {host} speaks {spoken(worker)}, that of this machine {spoken(master)}, which '
        f"do not understand each other; {remedy}"
    )


def word(host: str, version: Version) -> str:
    """Of a worker that is another build and can be used."""
    return (
        f"{host} has another llama.cpp build than this machine, of the same protocol ({spoken(version)}): that works; "
        "what differs in speed or results may come from it"
    )
