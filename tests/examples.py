"""How many random cases a property is tried with: as many as it says, and a fifth of them in `make test-fast`.

There they are others every time, and whoever finds a counterexample keeps it: from then on it is tried first.
"""

from __future__ import annotations

from hypothesis import settings

_USUAL = 100
"""Of a property that says nothing, in `make test`."""
_LEAST = 5


def register() -> None:
    """`daily` is for `--hypothesis-profile`."""
    # No assertion on times: beside other work one example takes as long as it takes.
    settings.register_profile("whole", deadline=None, max_examples=_USUAL)
    settings.register_profile("daily", deadline=None, max_examples=_USUAL // 5)
    settings.load_profile("whole")


def of(count: int) -> int:
    """Where that many are tried when there is time: as large a share of them as of all the others."""
    profile = settings.default
    assert profile is not None
    return max(_LEAST, count * profile.max_examples // _USUAL)
