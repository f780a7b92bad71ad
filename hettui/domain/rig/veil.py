"""What does not leave this machine in a report: home, user, names of machines, UUIDs, keys."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hettui.domain.patterns import late_pattern
from hettui.domain.recording.private import HIDDEN, Veil

_UUID = late_pattern(r"(?:(?:GPU|MIG)-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PATH = late_pattern(r"(?<![\w/])~?/(?:[^\s/'\":,;]+/)+[^\s/'\":,;]*")
_SOMEBODY = late_pattern(r"[\w.+-]+@[\w.-]+")
_FEWEST_CHARS = 2


class ReportVeil:
    """Applied to every free text of a report. Texts that the program chooses by itself need none."""

    def __init__(self, home: str, names: Iterable[str], keys: Iterable[str] = ()) -> None:
        """`names`: of the user, of machines, and where ssh goes."""
        self._veil = Veil(home)
        for key in keys:
            self._veil.hide(key)
        private = sorted({n.lower() for n in names if len(n) >= _FEWEST_CHARS}, key=len, reverse=True)
        said = "|".join(map(re.escape, private))
        self._names = re.compile(rf"(?<![^\W_])(?:{said})(?![^\W_])", re.IGNORECASE) if private else None

    def __call__(self, text: str) -> str:
        text = _UUID.sub(HIDDEN, self._veil(text))
        if self._names is not None:
            text = self._names.sub(HIDDEN, text)
        # A path or an address that is left may name somebody else.
        return _SOMEBODY.sub(HIDDEN, _PATH.sub(HIDDEN, text))
