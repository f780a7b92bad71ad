"""`python -m hettui.adapters.hosts.hold NAME HOST SSH PORT …`: holds one worker on another machine, as a local process.

It starts the worker there, brings its port here, writes its log to stdout, and ends as the worker ended, by the same
signal or with the same code. SIGTERM ends the worker. A line that is lost is reached again for as long as the worker's
lease runs, and the port comes back here under the same number. What it has to say stands in the log, as lines that
begin with `hettui`; `domain/cluster/causes.py` reads them.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from hettui.adapters.hosts.complaints import Missing, complain
from hettui.adapters.hosts.identity import worker_id
from hettui.adapters.hosts.session import Session
from hettui.adapters.hosts.ssh import Line, far_script, new_marker, why
from hettui.adapters.hosts.worker_log import say, write
from hettui.adapters.processes.said import TooLong, TooMuch, run_for_words
from hettui.domain.errors import HostError
from hettui.domain.hosts.far_side import script
from hettui.domain.hosts.refusal import refused, without_ssh
from hettui.domain.hosts.worker import RemoteWorker, exit_in_signals
from hettui.domain.text import clean_line

START_S = 28.0
"""From the start of ssh to the worker's first word: slow logins, jump hosts, a driver that wakes up."""
BEAT_S = 2.0
LOOPBACK = "127.0.0.1"
_GONE_BEATS = 1
SILENT_S = 8.0
"""Without an answer for so long the line is said to be silent."""
ORDER_S = 6.0
END_S = 3.0
"""How long a line that may be lost is given to end the worker, before another one is made for it."""
ANOTHER_END_S = 14.0
PAUSES_S = (0.2, 1.0, 2.0, 3.0, 5.0)
"""Between attempts to reach a host again; the last one goes on."""
NOT_REACHED, NOT_ENDED, NOT_FOUND = 69, 75, 127
"""Exit codes of our own (EX_UNAVAILABLE, EX_TEMPFAIL), and a shell's."""


class Asked(Exception):
    """Somebody wants the worker to end."""


class Holder:
    """One worker's life, seen from here."""

    def __init__(self, worker: RemoteWorker, mark: str, line: Line) -> None:
        self._worker = worker
        self._line = line
        # A line that is lost in a month is reached again by these, whatever was installed meanwhile.
        self._common, self._hold_script, self._warden = map(far_script, ("common", "hold", "warden"))
        self._id = worker_id(mark, worker.name)
        self._what = clean_line(f"{worker.name} of {os.uname().nodename}", 120)
        self._run_mark = new_marker()
        self._session: Session | None = None
        self._log_bytes = 0
        self._there = 0
        """The worker's port there."""
        self._begun = self._asked = False
        read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wake = read

    # -- signals -------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """From here on SIGTERM, SIGINT and SIGHUP end the worker."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def _check(self) -> None:
        if self._asked:
            raise Asked

    # -- the life ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Returns the exit code as Python has it: negative for a signal."""
        try:
            try:
                return self._hold()
            except Asked:
                return self._end()
        except HostError as error:
            say(f"{error}", hopeless=error.hopeless)
            return NOT_FOUND if isinstance(error, Missing) else NOT_REACHED
        finally:
            self._drop_session()
            self._tidy()

    def _hold(self) -> int:
        code = self._start()
        while code is None:
            code = self._serve()
            if code is None:
                code = self._reach_again()
        return code

    def _start(self) -> int | None:
        """None: it runs. Its exit code when it has ended at once."""
        worker, self._begun = self._worker, True
        environment = [f"{key}={value}" for key, value in worker.env.items()]
        arguments = [
            worker.bin or "", str(worker.lease_s), str(worker.port), str(int(worker.fixed)),
            str(worker.cache_bytes >> 20), self._what, str(worker.kept_bytes >> 20),
            ",".join(map(str, worker.kept_sizes)), *environment, "--", *worker.options,
        ]  # fmt: skip
        self._open("start", arguments)
        return self._bring_port() if self._await_worker() else self._end_in_log()

    def _open(self, op: str, arguments: Sequence[str], forward: tuple[int, int] | None = None) -> None:
        self._drop_session()
        mark = new_marker()
        warden, address = f"{self._common}\n{self._warden}", self._worker.address or LOOPBACK
        settings = {"M": mark, "N": self._run_mark, "G": warden, "A": address}
        text = script([self._common, self._hold_script], [op, self._id, *arguments], settings)
        try:
            self._session = Session(
                self._line.session(forward=forward), self._line.environment, text, mark, self._run_mark
            )
        except OSError as error:
            raise without_ssh(self._line.host, error.strerror or str(error)).error from None
        self._session.watch(self._wake)

    def _await_worker(self) -> bool:
        """Until the far side says what became of it; False: it has ended there, its log tells how. Raises HostError."""
        session = self._need()
        deadline = time.monotonic() + START_S
        while True:
            while (words := session.said()) is not None:
                match words:
                    case ["worker", _, _, port, *build]:
                        self._there = int(port)
                        self._tell_build(build)
                        return True
                    case ["ended", *_]:
                        return False
                    case _:
                        complain(self._line.host, words)
            if session.over or time.monotonic() > deadline:
                late = not session.over
                code = None if late else session.close()
                raise why(self._line, list(session.noise), code, late=late).error
            self._check()
            session.wait(deadline - time.monotonic())

    def _tell_build(self, words: Sequence[str]) -> None:
        if words and words != ["again"]:
            say(f"the worker on {self._line.host} is of build {clean_line(words[0], 40)}")

    def _bring_port(self) -> int | None:
        """As `_start`: the worker's port becomes one here, over the shared connection or with a session of its own."""
        here, there = self._worker.port, self._there
        if self._worker.address is not None:
            return None  # llama.cpp goes there by itself.
        if self._line.socket is not None:
            if self._order("forward", here, there) == 0:
                return None
            if self._order("check") == 0:
                raise HostError(
                    f"port {here} of this machine cannot be opened for the worker on {self._line.host}; start again"
                )
            # This ssh shares no connections.
            self._line = replace(self._line, shared=False)
        return None if self._attach() else self._end_in_log()

    def _attach(self) -> bool:
        """A session with the worker that runs there; with the port, where each session brings its own. False: it has
        ended."""
        shared = self._line.socket is not None or self._worker.address is not None
        forward = None if shared else (self._worker.port, self._there)
        self._drop_session()
        self._open("attach", [str(self._log_bytes + 1)], forward)
        return self._await_worker()

    def _order(self, what: str, here: int = 0, there: int = 0) -> int:
        argv = self._line.forward(what, here, there) if here else self._line.order(what)
        try:
            return run_for_words(argv, self._line.environment, ORDER_S, 64 * 1024).returncode
        except (OSError, TooLong, TooMuch):
            return NOT_REACHED

    # -- while it lives --------------------------------------------------------------------------------------

    def _serve(self) -> int | None:
        """Until the worker ends: its exit code; None: the line is lost."""
        session = self._need()
        beat_s = heard_s = time.monotonic()
        silent = frozen = False
        gone = 0
        while True:
            now_s = time.monotonic()
            if now_s >= beat_s:
                session.write(b"b\n")
                beat_s = now_s + BEAT_S
            session.wait(beat_s - now_s)
            self._pass_on()
            if session.end is not None:
                return self._ended(session.end)
            while (words := session.said()) is not None:
                heard_s = time.monotonic()
                gone = gone + 1 if words == ["beat", "gone"] else 0
                if gone > _GONE_BEATS:
                    # Whoever would have told us was killed, too.
                    return self._end_in_log()
                frozen = self._tell_frozen(words, frozen)
            if (time.monotonic() - heard_s > SILENT_S) != silent:
                silent = not silent
                say(f"{self._line.host} has said nothing for {SILENT_S:.0f} s" if silent else self._there_again)
            if session.over:
                return None
            self._check()

    def _tell_frozen(self, words: Sequence[str], before: bool) -> bool:
        if words[0] != "beat":
            return before
        frozen = words[1:2] in (["T"], ["t"])
        if frozen != before:
            host = self._line.host
            say(f"the worker on {host} is stopped by a signal there" if frozen else f"the worker on {host} goes on")
        return frozen

    @property
    def _there_again(self) -> str:
        return f"{self._line.host} is there again"

    def _pass_on(self) -> None:
        """The log to our stdout, which is a file."""
        write(self._need().take_log())

    def _ended(self, words: Sequence[str]) -> int:
        """How the worker ended, from the last line of its log."""
        code = exit_in_signals(int(words[1])) if len(words) > 1 and words[1].isdigit() else 1
        host = self._line.host
        if words[2:3] == ["lease"]:
            say(
                f"the worker on {host} was ended there when its lease of {self._worker.lease_s} s was over; start again"
            )
            return NOT_REACHED
        if code == -signal.SIGKILL:
            say(f"the worker on {host} was killed by SIGKILL; if nobody there did it, {host}'s memory was full")
        return code

    # -- a lost line -----------------------------------------------------------------------------------------

    def _reach_again(self) -> int | None:
        """None: it is reached and its worker lives. Its exit code when it has ended meanwhile."""
        session = self._need()
        lost_s = time.monotonic()
        reason = refused(self._line.host, self._line.ssh, list(session.noise), session.close())
        say(f"the line to {self._line.host} was lost: {reason.what}; it is being reached again")
        self._drop_session()
        told, attempt = reason.what, 0
        while True:
            self._pause(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
            attempt += 1
            try:
                code = None if self._attach() else self._end_in_log()
                if code is None and self._line.socket is not None:
                    code = self._bring_port()
            except HostError as error:
                if str(error) != told:
                    told = str(error)
                    say(told)
                lease_s = self._worker.lease_s
                if lease_s and time.monotonic() - lost_s > lease_s:
                    say(f"{self._line.host} was not reached for {lease_s} s: its worker has ended; start again")
                    return NOT_REACHED
            else:
                if code is None:
                    say(self._there_again)
                return code

    def _end_in_log(self) -> int:
        """The rest of the log, which says how it ended."""
        session = self._need()
        self._says_its_end(session)
        self._pass_on()
        if session.end is not None:
            return self._ended(session.end)
        host = self._line.host
        say(f"the worker on {host} is gone, killed or with that machine; start again, and see whether {host} was, too")
        return NOT_REACHED

    @staticmethod
    def _says_its_end(session: Session) -> bool:
        return session.until(lambda: session.end is not None, END_S)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left_s, 0.2))
        self._check()

    # -- the end ---------------------------------------------------------------------------------------------

    def end(self) -> int:
        """Of a worker that nobody holds any more: 0, or what it says in a line of ours."""
        self._asked = False
        return 0 if self._end() == -signal.SIGTERM else NOT_ENDED

    def _end(self) -> int:
        """Asks for it on the line that is there, then on one of its own."""
        session = self._session
        if session is not None and not session.over:
            session.unwatch(self._wake)
            session.write(b"end\n")
            if self._says_its_end(session):
                return -signal.SIGTERM
        self._drop_session()
        self._line = replace(self._line, shared=False)
        try:
            self._open("end", ["own" if self._begun else "other"])
            session = self._need()
            session.unwatch(self._wake)
            if session.until(lambda: ["gone"] in session.not_heard, ANOTHER_END_S):
                return -signal.SIGTERM
            said = refused(self._line.host, self._line.ssh, list(session.noise), session.returncode, late=True).what
        except HostError as error:
            said = str(error)
        lease_s = self._worker.lease_s
        rest = f"ends there by itself within {lease_s} s" if lease_s else "runs on there: hettui hosts clean ends it"
        say(f"{said}: its worker could not be asked to end and {rest}")
        return NOT_ENDED

    def _tidy(self) -> None:
        """The shared connection gives our port back; soon after its last session it ends."""
        if self._line.socket is not None and self._there and self._worker.address is None:
            self._order("cancel", self._worker.port, self._there)

    def _drop_session(self) -> None:
        session = self._session
        if session is not None:
            self._pass_on()
            self._log_bytes += session.log_bytes
            self._session = None
            session.close()

    def _need(self) -> Session:
        assert self._session is not None  # noqa: S101 - opened before
        return self._session


def main(words: Sequence[str]) -> int:
    mark = os.environ.get("HETTUI_RUN") or secrets.token_hex(8)
    only_end = words[:1] == ["--end"]
    try:
        worker = RemoteWorker.of(words[only_end:])
    except ValueError as error:
        say(f"{error}")
        return 2
    holder = Holder(worker, mark, Line(worker.host, worker.ssh, patience_s=worker.patience_s))
    holder.listen()
    return holder.end() if only_end else holder.run()


def leave(code: int) -> None:
    """Ends as the worker did, so that whoever waits for us sees what it would see of the worker."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
