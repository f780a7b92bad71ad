"""One question to a server, without a screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, field

from hettui.adapters.llama.http import HttpLlamaClient
from hettui.domain.chat.figures import ClientClock, figure_lines
from hettui.domain.chat.wire import ChatTurn, Timings
from hettui.domain.records import dataclass
from hettui.services.chat.session import ChatSession
from hettui.services.events import ChatEnded, ChatProgressed, Event
from hettui.wiring.bench import Target
from hettui.wiring.engine import SystemClock


@dataclass
class OneAnswer:
    """What came, and how fast."""

    pieces: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    end: ChatEnded | None = None

    @property
    def problem(self) -> str | None:
        return self.end.problem if self.end else "no answer came"

    @property
    def lines(self) -> tuple[str, ...]:
        """The figures, for people."""
        end = self.end
        return figure_lines(end.timings, end.clock, end.context_tokens) if end else ()

    def as_json(self) -> dict[str, object]:
        timings = (self.end.timings if self.end else None) or Timings()
        clock = (self.end.clock if self.end else None) or ClientClock()
        return {
            "answer": "".join(self.pieces),
            "reasoning": "".join(self.reasoning) or None,
            "problem": self.problem,
            "at_limit": self.end.at_limit if self.end else False,
            "server": asdict(timings),
            "client": asdict(clock) | {"tokens_per_second": clock.tokens_per_second},
            "context_tokens": self.end.context_tokens if self.end else None,
        }


def ask(
    where: Target, text: str, *, raw: bool, system: str | None, options: dict[str, object],
    show: Callable[[str], None] | None,
) -> OneAnswer:  # fmt: skip
    """Blocks until the answer has ended; `show` gets its text as it comes."""
    answer = OneAnswer()

    def heard(event: Event) -> None:
        if isinstance(event, ChatProgressed):
            answer.pieces.append(event.text)
            answer.reasoning.append(event.reasoning)
            if show is not None:
                show(event.text)
        elif isinstance(event, ChatEnded):
            answer.end = event

    async def run() -> None:
        client = HttpLlamaClient(where.url, where.key, model=where.model)
        session = ChatSession(SystemClock(), heard)
        try:
            if raw:
                limit = options.pop("max_tokens", None)
                session.complete(client, text, options | ({} if limit is None else {"n_predict": limit}))
            else:
                turns = [ChatTurn("system", system)] if system else []
                session.send(client, [*turns, ChatTurn("user", text)], options)
            await session.ended()
        finally:
            await session.cancel()
            await client.close()

    asyncio.run(run())
    return answer
