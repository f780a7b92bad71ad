"""Where hettui's files belong: the XDG base directories, by platformdirs. Folders are made on demand, mode 0700."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

from hettui.domain.errors import HettuiError

_NAME = "hettui"


def config_file() -> Path:
    """`~/.config/hettui/config.toml`; not made."""
    return platformdirs.user_config_path(_NAME) / "config.toml"


def user_themes() -> Path:
    """`~/.config/hettui/themes`; not made."""
    return platformdirs.user_config_path(_NAME) / "themes"


def state_dir() -> Path:
    """Logs, and what is remembered from one start to the next."""
    return _made(platformdirs.user_state_path(_NAME))


def cache_dir() -> Path:
    """What can be fetched again: the demo's model."""
    return _made(platformdirs.user_cache_path(_NAME))


def runtime_dir() -> Path:
    """What must not outlive the login; without XDG_RUNTIME_DIR a private folder among the temporary files."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base:
        return _made(Path(base) / _NAME)
    path = _made(Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}")
    if path.stat().st_uid != os.getuid():
        raise HettuiError(f"{path} belongs to somebody else: remove it, or set XDG_RUNTIME_DIR")
    return path


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HettuiError(f"the folder {path} cannot be made: {error.strerror}") from error
    return path
