"""The running cluster as a document: what the next hettui needs to take it over, and nothing secret.

One JSON object with a checksum of its content: a file that was cut anywhere, or changed by hand, is told from a
whole one. Keys and prompts never stand in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from hettui.domain.cluster.address import api_url
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.documents.plain import decode, encode
from hettui.domain.json_text import parse_json
from hettui.domain.plan.split import Split
from hettui.domain.records import dataclass
from hettui.domain.slots.policy import KeepPolicy
from hettui.domain.slots.terms import Terms

VERSION = 1


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One process: enough to find it again, and to know that it is still the same."""

    spec: ProcessSpec
    pid: int | None
    """None: about to be started when this was written."""
    started: int | None
    """The kernel's start time in clock ticks since boot: with the pid it names one process for ever."""
    log_path: str
    log_offset: int = 0
    """Where in its log file this run begins."""
    ready: bool = False


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything about what runs."""

    boot_id: str
    """Pids and start times mean nothing after a reboot."""
    owner_pid: int
    """The hettui that wrote this."""
    state: ClusterState
    cluster: Cluster
    split: Split
    processes: tuple[ProcessRecord, ...] = ()
    """The front door first, then workers, the master last."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Device names by what llama.cpp calls them."""
    weights_bytes: int = 0
    config_path: str | None = None
    demo: bool = False
    problem: str | None = None
    keeping: KeepPolicy = field(default_factory=KeepPolicy)
    terms: Terms | None = None
    """Of its slots' contexts."""

    @property
    def master(self) -> ProcessRecord | None:
        """llama-server, which hettui itself asks."""
        return next((entry for entry in self.processes if entry.spec.role == "master"), None)

    @property
    def door(self) -> ProcessRecord | None:
        return next((entry for entry in self.processes if entry.spec.role == "door"), None)

    @property
    def api(self) -> str | None:
        """Where clients find it: at the front door, else at the master."""
        if self.master is None:
            return None
        return api_url(*(self.door or self.master).spec.address, self.master.spec.argv)


def to_text(state: RunState) -> str:
    """As it is written to the state file: at every step of a start, on the loop that makes it.

    In one line: only so it is written by the C encoder, ten times as fast.
    """
    content = encode(state)
    return json.dumps({"version": VERSION, "sha256": _checksum(content), "run": content}) + "\n"


def from_text(text: str) -> RunState:
    """Raises ValueError for anything but a whole document of this version."""
    found = parse_json(text)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError("it is not of this version of hettui")
    content = found.get("run")
    if found.get("sha256") != _checksum(content):
        raise ValueError("its checksum is wrong")
    return decode(RunState, content)


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
