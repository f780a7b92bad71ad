"""What a screen can ask of other machines. Every method blocks, and is called on a thread of its own, but `log_in`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hettui.domain.devices.device import Host
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.push import Progress, Pushed
from hettui.domain.session.session import Session


class HostDesk(Protocol):
    def offered(self, session: Session) -> tuple[Host, ...]:
        """The configured ones, and behind them those that ~/.ssh/config names. Nothing is asked of them."""

    def named(self, destination: str) -> Host:
        """For where ssh goes, as it was typed. Raises UsageError."""

    def ask(self, host: Host) -> HostFacts:
        """What it is. Raises HostError with the reason, and whether a login that may ask would help."""

    def log_in(self, host: Host) -> bool:
        """With the questions of ssh, on the terminal, which must be nobody else's meanwhile. Whether it got there."""

    def push(self, session: Session, host: Host, tell: Callable[[Progress], None]) -> Pushed:
        """This machine's llama.cpp goes there. Raises HettuiError."""

    def with_host(self, session: Session, host: Host, facts: HostFacts) -> Session:
        """The session with the devices of one more host. Raises HettuiError where it has a configuration already, or
        nothing there could be used."""
