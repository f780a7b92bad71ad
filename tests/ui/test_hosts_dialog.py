"""Other machines on the screen: asked, logged in to on the terminal, given llama.cpp, taken into the plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from textual.widgets import Static

from hettui.domain.errors import HostError
from hettui.domain.hosts.facts import FarCard, FarDevice, HostFacts
from hettui.domain.units import GIB
from hettui.ui.dialogs.hosts import HostsScreen
from hettui.ui.dialogs.welcome import WelcomeScreen
from tests.ui.stage import Stage, stage
from tests.ui.test_model_picker import bare

CARD = FarDevice("CUDA0", "NVIDIA RTX 3060", 12 * GIB, 11 * GIB)
ATTIC = HostFacts("attic", server="/opt/llama/rpc-server", devices=(CARD,), round_trip_s=0.0004)
BARE = HostFacts("shed", looked="the PATH there", cards=(FarCard("NVIDIA", "RTX 3060", total_bytes=12 * GIB),))
SHED = HostFacts("shed", server="/x/rpc-server", devices=(CARD,), round_trip_s=0.02)
ASKS = HostError("cellar: lets no key of yours in and would ask for a password; let it in", asks=True)
GONE = HostError("barn (10.0.0.9:22) is not reached: No route to host; is it up?")


async def opened(s: Stage, *keys: str) -> HostsScreen:
    s.backend.others.answers = {"attic": ATTIC, "cellar": ASKS, "shed": BARE, "barn": GONE}
    await s.press(*keys)
    await s.until(lambda: isinstance(s.app.screen, HostsScreen) and "barn" in s.text())
    assert isinstance(s.app.screen, HostsScreen)
    return s.app.screen


async def says(s: Stage, *words: str) -> None:
    await s.until(lambda: all(word in " ".join(s.text().split()) for word in words))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_from_the_welcome_to_a_plan_over_another_machine(size: tuple[int, int]) -> None:
    async with stage(bare(), size=size, fresh=True) as s:
        await s.until(lambda: isinstance(s.app.screen, WelcomeScreen))
        count = len(s.main.body.devices.cards)
        await opened(s, "h")
        await s.press("enter")
        await says(s, "1 card, 12.0 GiB · 0.4 ms", "⏎ takes its devices into the plan")
        await s.press("enter")
        await says(s, "in the plan: NVIDIA RTX 3060")
        await s.press("escape")
        await s.until(lambda: isinstance(s.app.screen, WelcomeScreen))
        await s.press("escape")
        await s.until(lambda: s.app.screen is s.main)
        assert len(s.main.body.devices.cards) == count + 1
        assert [host.name for host in s.main.known.session.config.hosts] == ["attic"]
        assert s.engine.calls.count("begin") == 1


async def test_nothing_taken_leaves_the_screen_as_it_is() -> None:
    async with stage(bare(), fresh=True) as s:
        main = s.main
        await opened(s, "h")
        await s.press("escape", "escape")
        assert s.main is main
        assert s.app.screen is main


async def test_a_question_of_ssh_gets_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(bare(), fresh=True) as s:
        aside: list[str] = []

        @contextmanager
        def suspended() -> Iterator[None]:
            aside.append("begin")
            yield
            aside.append("end")

        monkeypatch.setattr(s.app, "suspend", suspended)
        s.backend.others.after_login = {"cellar": ATTIC}
        await opened(s, "h")
        await s.press("down", "enter")
        await says(s, "would ask for a password", "⏎ gives the terminal to ssh")
        # The step comes first: on 80 columns the reason takes all lines, and more.
        assert str(s.app.screen.query_one("#detail", Static).content).startswith("⏎ gives the terminal to ssh")
        await s.press("enter")
        await says(s, "1 card, 12.0 GiB")
        assert aside == ["begin", "end"]
        assert s.backend.others.calls == ["ask cellar", "log in to cellar", "ask cellar"]


async def test_a_bare_machine_gets_llama_cpp_and_a_missing_one_its_sentence() -> None:
    async with stage(bare(), fresh=True) as s:
        s.backend.others.after_login = {"shed": SHED}
        await opened(s, "h")
        await s.press("down", "down", "enter")
        await says(s, "no llama.cpp there · 1 card", "p brings this machine's there")
        await s.press("p")
        await says(s, "20.0 ms", "⏎ takes its devices into the plan")
        assert s.backend.others.calls[-2:] == ["push to shed", "ask shed"]
        await s.press("down", "enter")
        await says(s, "is not reached: No route to host", "⏎ asks again")


async def test_a_destination_is_typed() -> None:
    async with stage(bare(), fresh=True) as s:
        screen = await opened(s, "h")
        await s.press("tab")
        await s.type("-oX")
        await s.press("enter")
        await says(s, "-oX is no destination")
        screen._field.value = ""
        await s.type("me@loft")
        await s.press("enter")
        await says(s, "loft is not there; switch it on")


async def test_a_configured_session_can_ask_and_not_take() -> None:
    async with stage() as s:
        await s.screen.run_action("hosts")
        screen = await opened(s)
        screen._session = type(screen._session)(**{
            **{name: getattr(screen._session, name) for name in screen._session.__dataclass_fields__},
            "config": type(screen._session.config)(path="/home/me/c.toml"),
        })  # fmt: skip
        await s.press("enter")
        await says(s, "1 card, 12.0 GiB")
        assert "takes its devices" not in s.text()
        await s.press("enter", "escape")
        assert s.app.screen is s.main


def test_work_is_done_aside_only_when_the_terminal_has_answered() -> None:
    from hettui.ui.terminal.slow_line import SlowLineApp

    class App(SlowLineApp[None]):
        def __init__(self) -> None:
            super().__init__()
            self.timers: list[Callable[[], None]] = []
            self.done: list[str] = []

        @contextmanager
        def suspend(self) -> Iterator[None]:
            yield

        def set_timer(self, delay: float, callback: Callable[[], None], **_: object) -> None:  # type: ignore[override]
            self.timers.append(callback)

        def call_after_refresh(self, callback: Callable[..., object], *a: object, **k: object) -> bool:
            return True

    app = App()
    app._pacer.write(0.0, 100)
    assert app._pacer.expects_answer
    app.step_aside(lambda: app.done.append("done"))
    assert app.done == []
    app._pacer.answered(0.1)
    app.timers.pop()()
    assert app.done == ["done"]
    assert not app._leaving
