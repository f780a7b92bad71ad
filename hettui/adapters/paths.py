"""Where hettui's files belong: the XDG base directories, by platformdirs. Folders are made on demand, mode 0700."""

from __future__ import annotations

import contextlib
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


def last_config() -> Path | None:
    """The configuration that was opened last; None when there was none or it is gone."""
    try:
        path = Path(_last_config_note().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return path if path.is_file() else None


def remember_config(path: Path) -> None:
    """What `last_config` will say. Nothing depends on it: a state folder that cannot be written is no error."""
    with contextlib.suppress(OSError):
        _last_config_note().write_text(str(path.absolute()), encoding="utf-8")


def _last_config_note() -> Path:
    return state_dir() / "last-config"


def cache_dir() -> Path:
    """What can be fetched again: the demo's model."""
    return _made(platformdirs.user_cache_path(_NAME))


def _made(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HettuiError(f"the folder {path} cannot be made: {error.strerror}") from error
    return path
