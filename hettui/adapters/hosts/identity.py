"""What a worker is called on another host."""

from __future__ import annotations

import hashlib
import os

from hettui.adapters.files.bounded import kernel_text


def worker_id(mark: str, name: str) -> str:
    """Of its record there: the same for each start of it from this machine by this user, and no other's.

    `mark` is the cluster's, `name` the worker's.
    """
    machine = kernel_text("/etc/machine-id").strip() or os.uname().nodename
    told = f"{machine}\0{os.uname().nodename}\0{os.getuid()}\0{mark}\0{name}"
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:16]
