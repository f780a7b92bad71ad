"""Progress lines on stderr, for whoever looks on; stdout is for results."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from hettui.domain.text import clean_line
from hettui.domain.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from hettui.domain.engines.progress import Steps

_SECOND = 1.0


def show_fetch(done_bytes: int, total_bytes: int) -> None:
    """The one-line progress of the model's download, on stderr and only where somebody is looking."""
    if not sys.stderr.isatty():
        return
    part = done_bytes / total_bytes
    bar = "█" * int(part * 30)
    end = "\n" if done_bytes == total_bytes else ""
    print(
        f"\rfetching the demo model  {bar:░<30} {part:4.0%}  of {format_bytes(total_bytes)}",
        end=end,
        file=sys.stderr,
        flush=True,
    )


class StartProgress:
    """Says on stderr how far a start is, and what an engine has to say meanwhile."""

    def __init__(self, *, quiet: bool) -> None:
        self.load_s = 0.0
        """How long the last load has taken so far; 0 while none was seen."""
        self._quiet = quiet
        self._shown = ""

    def __call__(self, event: object) -> None:
        from hettui.services.events import ClusterChanged, Notice

        if isinstance(event, Notice) and event.severity != "error":
            self.say(event.text)
        elif isinstance(event, ClusterChanged):
            snapshot = event.snapshot
            if snapshot.waiting is not None:
                self.say(snapshot.waiting.text)
            elif snapshot.load is not None:
                self.load_s = snapshot.load.elapsed_s
                self.say(f"loading {int(snapshot.load.fraction * 10) * 10} %")
            elif snapshot.state.busy:
                self.say(snapshot.state.value)

    def say(self, text: str) -> None:
        """One line, unless it is what was said last."""
        if text != self._shown and not self._quiet:
            self._shown = text
            print(f"hettui: {clean_line(text)}", file=sys.stderr)


class PushProgress:
    """One line on stderr that is written over; where nobody looks, a line for each tenth."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._told = ""
        self._open = False

    def __call__(self, progress: Any) -> None:
        if self._quiet:
            return
        done, total = progress.done_bytes, progress.total_bytes
        left = "" if progress.left_s is None or done == total else f", {format_seconds(progress.left_s)} left"
        said = f"sending llama.cpp to {clean_line(progress.host, 40)}: {format_bytes(done)} of {format_bytes(total)}"
        if sys.stderr.isatty():
            self._open = done < total
            print(f"\r\x1b[K{said}{left}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif (tenth := f"{progress.host} {done * 10 // max(1, total)}") != self._told:
            self._told = tenth
            print(f"hettui: {said}{left}", file=sys.stderr, flush=True)

    def end(self, text: str) -> None:
        """What is to be said when it was broken off."""
        print(f"{chr(10) if self._open else ''}hettui: {text}", file=sys.stderr)


class BenchProgress:
    """One line on stderr that is written over; where nobody looks, a line for each step."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, progress: Any) -> None:
        left = "" if progress.left_s is None else f"  {format_seconds(progress.left_s)} left"
        if sys.stderr.isatty():
            bar = "█" * int(progress.done * 30)
            end = "\n" if progress.now == "done" else ""
            print(
                f"\r\x1b[K{bar:░<30} {progress.done:4.0%}  {progress.now}{left}", end=end, file=sys.stderr, flush=True
            )
        elif progress.now != self._last:
            print(f"{progress.done:4.0%}  {progress.now}{left}", file=sys.stderr, flush=True)
        self._last = progress.now


class SumProgress:
    """The model's sum reads the whole file: that takes a while on a large one."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and (now - self._told_at > _SECOND or done_bytes == total_bytes):
            self._told_at = now
            end = "\n" if done_bytes == total_bytes else ""
            print(f"\r\x1b[Ktaking the model's sum {done_bytes / max(1, total_bytes):4.0%}", end=end, file=sys.stderr)


class StepProgress:
    """One line on stderr that is written over; where nobody looks, a line every tenth of the way."""

    def __init__(self) -> None:
        self._what, self._tenth = "", -1

    def __call__(self, what: str, steps: Steps | None, left_s: float | None) -> None:
        if not what:
            return
        from hettui.domain.engines.progress import progress_text

        text = progress_text(what, steps, left_s)
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            return
        tenth = steps.done * 10 // steps.total if steps else 0
        if (what, tenth) != (self._what, self._tenth):
            self._what, self._tenth = what, tenth
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Takes the line away again, for what follows."""
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
