"""The file of API keys that llama-server reads, too: one per line, `#` begins a comment."""

from __future__ import annotations

import os

from hettui.adapters.files.bounded import read_text_file
from hettui.domain.errors import ConfigError

_MAX_BYTES = 1024 * 1024


def first_key(path: str) -> str:
    """The key for our own requests. Raises ConfigError: for a file that others can read, too."""
    try:
        mode = os.stat(path).st_mode & 0o777  # noqa: PTH116 - the path is a string all the way
        if mode & 0o077:
            raise ConfigError(
                f"[serving] api-key-file {path} can be read by others (mode {mode:04o}): chmod 600 {path}"
            )
        lines = (line.strip() for line in read_text_file(path, _MAX_BYTES, "replace").splitlines())
        key = next((line for line in lines if line and not line.startswith("#")), None)
    except OSError as error:
        raise ConfigError(f"[serving] api-key-file {path} cannot be read: {error.strerror}") from error
    if key is None:
        raise ConfigError(f"[serving] api-key-file {path} holds no key: write one key per line")
    return key
