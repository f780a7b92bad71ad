"""Where hettui's files belong: the XDG base directories, by platformdirs. Folders are made on demand, mode 0700."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from hettui.adapters.files.atomic import has_room, make_private, replace_file
from hettui.adapters.files.bounded import read_text_file
from hettui.domain.errors import HettuiError
from hettui.domain.text import safe_identifier

_NAME = "hettui"
_PATH_BYTES = 64 * 1024
_RECORD_BYTES = 64 * 1024
"""More than the record of what runs takes."""


def config_file() -> Path:
    """`~/.config/hettui/config.toml`; not made."""
    return platformdirs.user_config_path(_NAME) / "config.toml"


def user_themes() -> Path:
    """`~/.config/hettui/themes`; not made."""
    return platformdirs.user_config_path(_NAME) / "themes"


def state_dir() -> Path:
    """Logs, and what is remembered from one start to the next."""
    folder = _made(platformdirs.user_state_path(_NAME))
    with contextlib.suppress(OSError):
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    return folder


def memory_dir() -> Path:
    """Where is kept what may as well be forgotten: the state folder, whether it could be made or not."""
    try:
        return state_dir()
    except HettuiError:
        return platformdirs.user_state_path(_NAME)


def log_dir() -> Path:
    """Where processes log: in the state folder; where that cannot be written (a read-only home), a private one in the
    temporary folder."""
    try:
        folder = state_dir() / "logs"
        return _private(folder)
    except (HettuiError, OSError):
        return _private(_temporary() / "logs")


def run_mark() -> str:
    """What the processes of this user's cluster carry: the same at every login, even where it cannot be used."""
    return os.path.realpath(platformdirs.user_state_path(_NAME) / "run")


def run_dirs() -> tuple[Path, ...]:
    """Where lock and record lie, the same in each: in the state folder, which outlives logout and reboot (below the
    machine's name: a home may be shared), and in `$XDG_RUNTIME_DIR/hettui`, else `/run/user/UID/hettui`, for a state
    folder that cannot be written, or is taken away. Where neither has room, also a private folder in the temporary one.
    Raises HettuiError when that cannot be used either."""
    places = []
    with contextlib.suppress(OSError, HettuiError):
        places.append(_private(state_dir() / "run" / safe_identifier(os.uname().nodename, "host")))
    named = [Path(name) for name in [os.environ.get("XDG_RUNTIME_DIR", "")] if name]
    for place in (*named, Path(f"/run/user/{os.getuid()}")):
        if owned(place):
            with contextlib.suppress(OSError, HettuiError):
                places.append(_private(place / _NAME))
                break
    if not any(has_room(place, _RECORD_BYTES) for place in places):
        # Full ones are kept: a record may lie there.
        try:
            places.append(_private(_temporary() / "run"))
        except OSError as error:
            if not places:
                raise HettuiError(
                    f"no folder for the state file: {error.strerror}; set XDG_RUNTIME_DIR to a folder of yours with "
                    "mode 0700"
                ) from error
    return tuple(places)


def _temporary() -> Path:
    return _private(Path(tempfile.gettempdir()) / f"{_NAME}-{os.getuid()}")


def owned(folder: Path) -> bool:
    """A folder of this user's own, and no link to one."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _private(folder: Path) -> Path:
    """A folder that only we can write, made if need be. Raises OSError, HettuiError when somebody else owns it."""
    make_private(folder)
    if not owned(folder):
        raise HettuiError(f"the folder {folder} belongs to somebody else")
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    if not has_room(folder, 0):
        raise OSError(errno.EACCES, "it cannot be written", str(folder))
    return folder


def last_config() -> Path | None:
    """The configuration that was opened last; None when there was none or it is gone."""
    try:
        path = Path(read_text_file(_last_config_note(), _PATH_BYTES))
    except (OSError, ValueError, HettuiError):
        return None
    return path if path.is_file() else None


def remember_config(path: Path) -> None:
    """What `last_config` will say. Nothing depends on it: a state folder that cannot be written is no error."""
    with contextlib.suppress(OSError, HettuiError):
        replace_file(_last_config_note(), str(path.absolute()).encode(), 0o600)


def _last_config_note() -> Path:
    return state_dir() / "last-config"


def last_model() -> str | None:
    """The model that was chosen last without a configuration; None when there was none or it is gone."""
    try:
        path = Path(read_text_file(_last_model_note(), _PATH_BYTES, "surrogateescape"))
        return str(path) if path.is_file() else None
    except (OSError, ValueError, HettuiError):
        return None


def remember_model(path: str) -> None:
    """What `last_model` will say. Nothing depends on it."""
    with contextlib.suppress(OSError, HettuiError):
        replace_file(_last_model_note(), os.path.abspath(path).encode(errors="surrogateescape"), 0o600)  # noqa: PTH100


def _last_model_note() -> Path:
    return state_dir() / "last-model"


def cache_path() -> Path:
    """As `cache_dir`, not made."""
    return platformdirs.user_cache_path(_NAME)


def cache_dir() -> Path:
    """What can be fetched again: the demo's model."""
    return _made(cache_path())


def engines_path() -> Path:
    """Where engines lie that hettui has built or installed: `~/.local/share/hettui/engines`; not made."""
    return platformdirs.user_data_path(_NAME) / "engines"


def engine_choice() -> Path:
    """What `hettui engine use` was told last; not made."""
    return engines_path() / "in-use.json"


def _made(path: Path) -> Path:
    try:
        return make_private(path)
    except OSError as error:
        raise HettuiError(f"the folder {path} cannot be made: {error.strerror}") from error
