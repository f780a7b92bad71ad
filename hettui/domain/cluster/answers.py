"""llama-server's log as answers: which request was decoded when, how fast, and whether it had the server to itself.

Any client's requests are in it. Lines as b10068 and b11434 print them:

    0.10.148.444 I slot launch_slot_: id  0 | task 0 | processing task, is_child = 0
    0.13.440.870 I slot print_timing: id  0 | task 0 | n_gen =    115, tg =  37.85 t/s, tg_3s =  38.18 t/s
    0.16.453.723 I slot print_timing: id  0 | task 0 |        eval time =    2286.89 ms /   137 tokens (…)
    0.16.453.729 I slot      release: id  0 | task 0 | stop processing: n_tokens = 151, truncated = 0
"""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

_TASK = late_pattern(r"\| task (\d+) \|")
_EVAL = late_pattern(r"(?<!prompt )eval time =\s*([\d.]+) ms /\s*(\d+) (?:tokens|runs)")
_PROGRESS = late_pattern(r"n_(?:gen|decoded) =\s*(\d+), tg =\s*([\d.]+) t/s")
_HELD = late_pattern(r"n_tokens = (\d+)")
_PREFIX = late_pattern(r"^(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) ")
_MOST_TASKS = 4096


@dataclass(frozen=True, slots=True)
class Decoded:
    """One answer that was generated while no other was."""

    end_s: float
    """By the clock of whoever reads the log: about a quarter of a second late at most."""
    generated_s: float
    tokens: int
    context_tokens: int = 0
    """In its slot at the end; 0 where it is not told."""

    @property
    def depth(self) -> float:
        """Tokens in its context in the middle of the answer."""
        return max(0.0, self.context_tokens - self.tokens / 2)

    @property
    def token_s(self) -> float:
        """The first token takes no part of `generated_s`: it came with the prompt."""
        return self.generated_s / (self.tokens - 1)


class AnswerLog:
    """Follows one master's log line by line."""

    def __init__(self) -> None:
        self._active: dict[int, bool] = {}
        """Requests that are being answered, and whether another one was meanwhile."""
        self._timing: int | None = None
        """Whose timings the next lines are: older builds print them on lines of their own."""
        self._ended: dict[int, Decoded] = {}
        """Whose timings were told, but not yet that it is done."""
        self._behind_s: float | None = None
        """What to add to the log's own times: the least that was ever seen, for a line is read late, never early."""
        self.heard = False
        """This server prints what is needed."""

    def feed(self, line: str, now_s: float) -> Decoded | None:
        """One complete line, read at `now_s`. What was just answered alone, when the line tells the end of it."""
        at_s = self._time(line, now_s)
        found = _TASK.search(line)
        task = int(found[1]) if found else None
        if task is not None and "processing task" in line:
            self._launched(task)
        elif task is not None and "stop processing" in line:
            together = self._active.pop(task, True)
            answered, held = self._ended.pop(task, None), _HELD.search(line)
            if together or answered is None:
                return None
            return replace(answered, context_tokens=int(held[1])) if held else answered
        elif task is not None and "print_timing" in line:
            self._timing = task
        self._take_timings(line, at_s)
        return None

    def _launched(self, task: int) -> None:
        self.heard = True
        if len(self._active) >= _MOST_TASKS:
            self._active.clear()
        together = bool(self._active)
        if together:
            self._active = dict.fromkeys(self._active, True)
        self._active[task] = together

    def _take_timings(self, line: str, at_s: float) -> None:
        if self._timing is None or self._timing not in self._active:
            return
        if progress := _PROGRESS.search(line):
            # Of an answer that is cut it is all that is ever told.
            tokens, rate = int(progress[1]), float(progress[2])
            if tokens and rate:
                self._ended[self._timing] = Decoded(at_s, tokens / rate, tokens + 1)
        elif timing := _EVAL.search(line):
            generated_s, tokens = float(timing[1]) / 1e3, int(timing[2])
            if tokens > 1 and generated_s > 0:
                self._ended[self._timing] = Decoded(at_s, generated_s, tokens)
        elif "draft acceptance" in line:
            # Several tokens came at once: their time is not that of one.
            self._ended.pop(self._timing, None)

    def _time(self, line: str, now_s: float) -> float:
        """When the line was written, by the reader's clock."""
        stamp = _PREFIX.match(line)
        if stamp is None:
            return now_s
        minutes, seconds, millis, micros = (int(x) for x in stamp.groups())
        said_s = 60 * minutes + seconds + millis / 1e3 + micros / 1e6
        late_s = now_s - said_s
        self._behind_s = late_s if self._behind_s is None else min(self._behind_s, late_s)
        return said_s + self._behind_s
