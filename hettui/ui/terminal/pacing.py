"""When to write to a terminal that may be far away and slow: what is written must not pile up on the way.

A serial line at 9,600 baud takes a thousand characters a second, and between here and there lie buffers that take a
hundred thousand at once. Who only writes fills them, and a key's answer stands at their end. So the terminal is asked
for the cursor's place behind what was written (`CSI 6 n`, which every terminal answers); its answer says that all of it
has arrived. From sizes and times follows how fast the line is, and no more is sent than it carries within `QUEUE_S`.

A terminal that does not answer is written to as it always was. Times are given, in seconds; there is no clock here.
"""

from __future__ import annotations

from collections import deque

from hettui.domain.records import dataclass

QUERY = "\x1b[6n"
QUEUE_S = 0.08
"""So long what was written may wait on its way: a key's answer waits no longer."""
_MOST_BYTES = 16384
"""Under way at once, however fast the line seems to be."""
_PIECE_S = 0.2
"""So long a piece may take on a slow line, that the small that comes then need not wait for the large."""
_QUICK_BYTES_PER_S = 30_000.0
"""A line that takes a whole screen within a moment: no pieces."""
_ASK_AFTER_BYTES = 256
_FIRST_ANSWER_S = 2.0
"""A terminal that has not answered by then does not answer."""
_UNTOLD_BYTES = 32768
"""Before the first answer: the first frames shall not wait for a terminal that never gives one."""
_LATE_S = 3.0
_SLOWEST_BYTES_PER_S = 200.0
"""Assumed as long as nothing is known."""
_QUICK_S = 0.004
"""Differences below that are the machine's own."""
_SILENCES = 2
"""After so many answers that did not come none is waited for."""


@dataclass(frozen=True, slots=True)
class _Question:
    asked_s: float
    written_bytes: int
    """In all, when it was asked."""
    ahead_bytes: int
    """On the way then, with what was written just before it."""
    alone: bool
    """Nothing else was."""
    held: bool
    """There would have been more to write before it: the line is what limits."""
    arrived_bytes: int
    arrived_s: float
    """What had arrived by then, and since when that was known."""


class Pacer:
    """Decides by what was written and what was answered."""

    def __init__(self) -> None:
        self._questions: deque[_Question] = deque()
        self._written_bytes = 0
        self._arrived_bytes = 0
        self._asked_bytes = 0
        self._rates: deque[float] = deque(maxlen=8)
        self._times_s: deque[float] = deque(maxlen=64)
        self._held = False
        self._arrived_s = 0.0
        self._last_s = 0.0
        """When there last was a sign of life, or none was missing."""
        self._silences = 0
        self.answers = False
        """The terminal has answered."""
        self.mute = False
        """It does not, or no more."""

    @property
    def under_way_bytes(self) -> int:
        """Written and not known to have arrived."""
        return self._written_bytes - self._arrived_bytes

    @property
    def expects_answer(self) -> bool:
        """A question is on its way."""
        return bool(self._questions) and not self.mute

    @property
    def bytes_per_s(self) -> float | None:
        """What the line carries, by the best of the last answers; None is not known."""
        return max(self._rates) if self._rates else None

    def may_write(self, now_s: float) -> bool:
        """Whether the line has room."""
        free = self._has_room(now_s)
        self._held = self._held or not free
        return free

    def _has_room(self, now_s: float) -> bool:
        if self.mute or not self._questions:
            return True
        if self.wait_s(now_s) <= 0:
            self._give_up()
            return True
        if not self.answers:
            return self.under_way_bytes <= _UNTOLD_BYTES
        rate = self.bytes_per_s
        if rate is None:
            return False
        # What the way itself holds does not wait: only what is more than that.
        return self.under_way_bytes <= min(rate * (min(self._times_s) + QUEUE_S), _MOST_BYTES)

    def piece_bytes(self) -> int | None:
        """How much to write at once; None: all there is."""
        rate = self.bytes_per_s
        return None if self.mute or rate is None or rate > _QUICK_BYTES_PER_S else max(100, int(rate * _PIECE_S))

    def wait_s(self, now_s: float) -> float:
        """How long the next answer is waited for; then `may_write` says yes whatever happens."""
        if not self._questions:
            return 0.0
        if not self.answers:
            return self._last_s + _FIRST_ANSWER_S - now_s
        rate = max(self.bytes_per_s or 0.0, _SLOWEST_BYTES_PER_S)
        usual_s = min(self._times_s) + self._questions[0].ahead_bytes / rate
        return self._last_s + max(_LATE_S, 3 * usual_s) - now_s

    def write(self, now_s: float, size_bytes: int) -> bool:
        """So much is written now; whether `QUERY` shall stand behind it."""
        alone = not self.under_way_bytes
        self._written_bytes += size_bytes
        if self.mute or (self._questions and self._written_bytes - self._asked_bytes < _ASK_AFTER_BYTES):
            return False
        self._written_bytes += len(QUERY)
        self._asked_bytes = self._written_bytes
        if not self._questions:
            self._last_s = now_s
        if alone:
            self._arrived_s = now_s
        known = self._arrived_bytes, self._arrived_s
        self._questions.append(_Question(now_s, self._written_bytes, self.under_way_bytes, alone, self._held, *known))
        self._held = False
        return True

    def answered(self, now_s: float) -> None:
        """The terminal has told the cursor's place. An answer that nobody waits for any more is a sign of life."""
        self.answers, self.mute, self._silences = True, False, 0
        self._last_s = now_s
        if not self._questions:
            return
        question = self._questions.popleft()
        self._arrived_bytes = max(self._arrived_bytes, question.written_bytes)
        self._arrived_s = now_s
        self._learn(question, now_s)

    def _learn(self, question: _Question, now_s: float) -> None:
        took_s = now_s - question.asked_s
        best = self.bytes_per_s
        if question.alone:
            # What the way itself takes is what the quickest took, less its own bytes' part.
            self._times_s.append(max(0.0, took_s - question.ahead_bytes / best) if best else took_s)
            rate = question.ahead_bytes / max(_QUICK_S, took_s - min(self._times_s))
            counts = question.held or question.ahead_bytes >= _ASK_AFTER_BYTES
        else:
            arrived_bytes = self._arrived_bytes - question.arrived_bytes
            rate = arrived_bytes / max(_QUICK_S, now_s - question.arrived_s)
            counts = question.held
        # Where there was not more to write, the line may carry more than was seen.
        if counts or (best is not None and rate > best):
            self._rates.append(rate)

    def _give_up(self) -> None:
        self._silences += 1
        self.mute = not self.answers or self._silences >= _SILENCES
        self._questions.clear()
        self._arrived_bytes = self._written_bytes
