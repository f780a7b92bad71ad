"""Process states: which may follow which."""

from __future__ import annotations

from itertools import product

import pytest

from hettui.domain.process import ProcessState, advance

S = ProcessState
LEGAL = {
    (S.STOPPED, S.STARTING), (S.STARTING, S.READY), (S.STARTING, S.STOPPING), (S.STARTING, S.EXITED),
    (S.READY, S.STOPPING), (S.READY, S.EXITED), (S.STOPPING, S.STOPPED), (S.EXITED, S.STARTING),
    (S.EXITED, S.STOPPED),
}  # fmt: skip


@pytest.mark.parametrize(("now", "to"), list(product(S, S)))
def test_every_pair(now: ProcessState, to: ProcessState) -> None:
    if (now, to) in LEGAL:
        assert advance(now, to) is to
    else:
        with pytest.raises(ValueError, match="cannot go"):
            advance(now, to)
