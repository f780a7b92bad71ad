"""JSON that comes from outside: a file, a server, another program."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """The document. Raises ValueError for whatever is none, also for one that is nested too deeply to be read.

    Python's own reader raises RecursionError for that, which no caller thinks of.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
