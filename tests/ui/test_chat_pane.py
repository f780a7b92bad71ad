"""The chat pane by keys: what is asked, what is shown, and that nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

import pytest
from textual.containers import VerticalScroll
from textual.strip import Strip
from textual.widgets import Checkbox, Input, OptionList, TextArea
from textual.widgets._toast import Toast, ToastRack

from hettui.domain.chat.conversation import Conversation, Exchange
from hettui.domain.chat.figures import ClientClock
from hettui.domain.chat.parallel import ParallelRow
from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState, LoadProgress
from hettui.domain.llama.params import RuntimeParams
from hettui.ports import KeptPrompts
from hettui.services.events import ChatEnded, ChatProgressed, ChatWaiting, ClusterChanged, Notice, ParallelChanged
from hettui.ui.dialogs.chat_list import ChatListScreen
from hettui.ui.dialogs.chat_settings import ChatSettingsScreen
from hettui.ui.widgets.key_footer import KeyFooter
from hettui.ui.widgets.markdown_view import MarkdownView
from hettui.ui.widgets.prompt import Prompt
from hettui.ui.widgets.turn import Answer
from tests.ui.stage import MemoryStore, Stage, session, stage

DONE = Timings(prompt_tokens=9, generated_tokens=21, generated_per_second=41.5)


@asynccontextmanager
async def chatting(store: MemoryStore | None = None, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Stage]:
    """The pane in front, on a running cluster."""
    async with stage(size=size, store=store) as s:
        await s.run_plan()
        await s.press("c")
        yield s


async def ask(s: Stage, question: str, answer: str, **end: object) -> None:
    await s.type(question)
    await s.press("enter")
    if answer:
        await s.emit(ChatProgressed(answer, "", 2, 0.1))
    await s.emit(ChatEnded(**({"timings": DONE} | end)))  # type: ignore[arg-type]


def prompt(s: Stage) -> Prompt:
    return s.screen.query_one(Prompt)


async def test_markdown_is_rendered_and_hostile_text_is_text() -> None:
    async with chatting() as s:
        await ask(s, "code?", "# Title\n\nSome **bold** [/] [Q4_K_M] <b>html</b>\n\n```python\ndef f(): pass\n```\n")
        text = s.text()
        assert "Title" in text
        assert "# Title" not in text
        assert "Some bold [/] [Q4_K_M] <b>html</b>" in text
        assert "```" not in text
        assert "def f(): pass" in text


def inks(row: Strip) -> list[object]:
    """The colour of every character that is seen."""
    return [style.color if style else None for text, style, _ in row for letter in text if letter.strip()]


async def test_the_lines_of_an_open_fence_are_highlighted_as_they_will_stay() -> None:
    async with chatting() as s:
        await s.type("code?")
        await s.press("enter")
        await s.emit(ChatProgressed("So:\n\n```python\ndef f():\n    pa", "", 5, 0.1))
        view = s.screen.query_one(MarkdownView)
        written = [view._row(y) for y in range(view._height)]
        assert [row.text.rstrip() for row in written] == ["So:", "", "  def f():", "      pa"]
        assert len(set(inks(written[2]))) > 1
        await s.emit(ChatProgressed("ss\n```\n", "", 7, 0.2))
        after = [view._row(y) for y in range(view._height)]
        assert [row.text.rstrip() for row in after] == ["So:", "", "  def f():", "      pass"]
        assert inks(after[2]) == inks(written[2])
        assert len(set(inks(after[3]))) == 1
        assert "```" not in s.text()


async def test_a_long_fence_grows_without_a_gap_where_it_is_cut() -> None:
    """Whatever the pieces are: what stands while it grows is the beginning of what stands at its end."""
    lines = [f"x{n} = 'a line of code' * {n}" for n in range(90)]
    async with chatting() as s:
        await s.type("code?")
        await s.press("enter")
        text = "```python\n" + "\n".join(lines) + "\n```"
        for start in range(0, len(text), 700):
            await s.emit(ChatProgressed(text[start : start + 700], "", 5, 0.1))
            view = s.screen.query_one(MarkdownView)
            shown = [view._row(y).text.strip() for y in range(view._height)]
            assert shown[:-1] == lines[: len(shown) - 1]
        await s.emit(ChatEnded(DONE))
        assert [view._row(y).text.strip() for y in range(view._height)] == lines


async def test_thinking_is_folded_and_can_be_opened() -> None:
    async with chatting() as s:
        await s.type("why?")
        await s.press("enter")
        await s.emit(ChatProgressed("", "first of all I consider\n" * 3, 3, 0.1))
        assert "thinking …" in s.text()
        await s.emit(ChatProgressed("Because.", "", 5, 0.2))
        await s.emit(ChatEnded(DONE))
        assert "15 words of thinking" in s.text()
        assert "first of all" not in s.text()
        await s.press("ctrl+l")
        assert s.text().count("first of all") == 3
        await s.press("ctrl+l")
        assert "first of all" not in s.text()


async def test_figures_of_both_clocks_stand_under_the_answer() -> None:
    async with chatting() as s:
        clock = ClientClock.of(0.0, [0.2 + i / 50 for i in range(30)])
        timings = Timings(prompt_tokens=9, prompt_per_second=90.0, generated_tokens=30, generated_per_second=100.0)
        await ask(s, "fast?", "yes", timings=timings, clock=clock, context_tokens=4096)
        text = s.text()
        assert "answer 30 tok, 100.0 tok/s · first token 200 ms" in text
        assert "context 39 of 4096" in text
        assert "by our clock 50.0 tok/s: 48% less" in text


async def test_the_articles_test_is_one_key() -> None:
    async with chatting() as s:
        await s.press("ctrl+t")
        assert s.engine.prompts == ["def fibonacci(n):"]
        assert s.engine.options == [{"n_predict": 100, "temperature": 0.1}]
        await s.emit(ChatProgressed("\n    **not bold**", "", 4, 0.1))
        await s.emit(ChatEnded(DONE))
        assert "**not bold**" in s.text()
        await ask(s, "hello", "hi")
        assert [t.content for t in s.engine.chats[-1]] == ["hello"]


@pytest.mark.parametrize("width", [80, 120])
async def test_a_model_with_a_projector_is_said_to_take_pictures(width: int) -> None:
    async with chatting(size=(width, 30)) as s:
        assert "/image" not in s.text()
        applied = s.engine.snapshot.applied
        assert applied is not None
        sees = replace(applied, params=RuntimeParams(mmproj="mmproj.gguf"))
        await s.emit(ClusterChanged(replace(s.engine.snapshot, applied=sees)))
        assert "⏎ sends · ctrl+j new line · /image PATH for a picture" in s.text(), "in one row"
        await s.emit(ClusterChanged(s.engine.snapshot))
        assert "/image" not in s.text()


async def test_retry_edit_and_continue() -> None:
    async with chatting() as s:
        await ask(s, "one", "first answer")
        await ask(s, "two", "second ans", timings=None, cancelled=True)
        assert "stopped" in s.text()
        await s.press("ctrl+r")
        assert [t.content for t in s.engine.chats[-1]] == ["one", "first answer", "two"]
        await s.emit(ChatProgressed("other ans", "", 2, 0.1))
        await s.emit(ChatEnded(DONE, at_limit=True))
        assert "second ans" not in s.text()
        assert "the limit of tokens was reached" in s.text()
        assert "⏎ goes on with the answer" in s.text()
        await s.press("x")
        assert "⏎ goes on with" not in s.text(), "with text in the prompt Enter sends it"
        assert "⏎ sends" in s.text()
        await s.press("backspace")
        assert "⏎ goes on with the answer" in s.text()

        await s.press("enter")
        assert [t.content for t in s.engine.chats[-1]] == ["one", "first answer", "two", "other ans"]
        await s.emit(ChatProgressed("wer", "", 1, 0.0))
        await s.emit(ChatEnded(DONE))
        assert "other answer" in s.text()
        assert len(s.screen.query(Answer)) == 2

        await s.press("ctrl+b")
        assert prompt(s).text == "two"
        assert "other answer" not in s.text()
        await s.press("enter")
        assert [t.content for t in s.engine.chats[-1]] == ["one", "first answer", "two"]


async def test_a_generation_cut_off_by_a_crash_is_marked_and_sent_again_by_one_key() -> None:
    async with chatting() as s:
        await ask(s, "colours?", "Red, bl", timings=None, problem="the connection to llama-server broke off")
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem="master ended")))
        assert "cut off: the connection to llama-server broke off" in s.text()
        assert "Red, bl" in s.text()
        await s.press("ctrl+r")
        assert len(s.engine.chats) == 1
        assert "the cluster has failed: Esc, then s starts it" in s.text()
        await s.run_plan()
        assert "ctrl+r asks again" in s.text()
        await s.press("ctrl+r")
        assert [t.content for t in s.engine.chats[-1]] == ["colours?"]
        (kept,) = s.backend.store.kept.values()
        assert [e.question for e in kept.exchanges] == ["colours?"]


async def test_loading_is_told_with_its_progress() -> None:
    async with stage() as s:
        await s.press("c")
        load = LoadProgress(0.4, 1000, 2.0)
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.LOADING, load=load)))
        assert "the model is loading, 40%, 3.0 s left" in s.text()


async def test_the_queue_is_told_while_nothing_comes() -> None:
    async with chatting() as s:
        await s.type("hello")
        await s.press("enter")
        await s.emit(ChatWaiting("all 2 slots are busy, place 3 in the queue"))
        assert "place 3 in the queue" in s.text()


async def test_everything_is_kept_and_comes_back() -> None:
    store = MemoryStore()
    async with chatting(store) as s:
        await ask(s, "first talk", "fine")
        await s.press("ctrl+n")
        assert "first talk" not in s.text()
        await ask(s, "second talk", "good")
        await s.type("half a ques")
        await s.until(lambda: any(p.draft == "half a ques" for p in store.typed.values()))
    async with chatting(store) as s:
        await s.until(lambda: prompt(s).text == "half a ques")
        assert "second talk" in s.text()
        assert "good" in s.text()
        await s.press("ctrl+o")
        await s.pilot.pause()
        assert isinstance(s.app.screen, ChatListScreen)
        assert s.app.screen.query_one(OptionList).option_count == 2
        await s.press("down", "enter")
        await s.pilot.pause()
        assert "first talk" in s.text()
        assert prompt(s).text == "half a ques"


async def test_conversations_are_filtered_renamed_and_deleted() -> None:
    store = MemoryStore()
    async with chatting(store) as s:
        for question in ("about cats", "about dogs"):
            await ask(s, question, "fine")
            await s.press("ctrl+n")
        await s.press("ctrl+o")
        await s.pilot.pause()
        dialog = s.app.screen
        assert isinstance(dialog, ChatListScreen)
        await s.type("cat")
        assert dialog.query_one(OptionList).option_count == 1
        assert "/cat" in s.text()
        await s.press("f2", *"pets", "enter")
        await s.press("escape")
        assert dialog.query_one(OptionList).option_count == 2
        assert "pets" in s.text()
        await s.until(lambda: sorted(c.title for c in store.kept.values()) == ["about dogs", "pets"])
        await s.type("dogs")
        await s.press("delete")
        assert "Del again deletes it for good" in s.text()
        await s.press("down", "delete")
        assert len(store.kept) == 2, "another key keeps it"
        await s.press("delete")
        await s.until(lambda: [c.title for c in store.kept.values()] == ["pets"])
        await s.press("escape", "escape")
        assert not isinstance(s.app.screen, ChatListScreen)


async def test_history_by_arrows_keeps_what_was_being_typed() -> None:
    store = MemoryStore(typed={session().title: KeptPrompts("", ("older", "two\nlines"))})
    async with chatting(store) as s:
        await s.until(lambda: bool(prompt(s).asked))
        await s.type("draft")
        await s.press("up")
        assert prompt(s).text == "two\nlines"
        await s.press("up", "up")
        assert prompt(s).text == "older"
        await s.press("up", "down", "down")
        assert prompt(s).text == "draft"


async def test_settings_are_used_and_wrong_ones_are_named() -> None:
    async with chatting() as s:
        await s.press("ctrl+g")
        await s.pilot.pause()
        screen = s.app.screen
        assert isinstance(screen, ChatSettingsScreen)
        screen.query_one(TextArea).text = "Be brief."
        screen.query_one("#s-temperature", Input).value = "eleven"
        await s.press("ctrl+s")
        assert "temperature is a number from 0 to 10" in s.text()
        screen.query_one("#s-temperature", Input).value = "0.3"
        screen.query_one("#s-max_tokens", Input).value = "32"
        await s.press("ctrl+s")
        await s.pilot.pause()
        await ask(s, "hello", "hi")
        assert [t.role for t in s.engine.chats[-1]] == ["system", "user"]
        assert s.engine.options[-1] == {"temperature": 0.3, "max_tokens": 32}
        await s.press("ctrl+g")
        await s.pilot.pause()
        s.app.screen.query_one(Checkbox).value = True
        await s.press("ctrl+s")
        await s.pilot.pause()
        await ask(s, "def f", "(x)")
        assert s.engine.prompts == ["def f"]
        assert s.engine.options[-1] == {"temperature": 0.3, "n_predict": 32}


async def test_copy_and_save() -> None:
    store = MemoryStore()
    async with chatting(store) as s:
        await s.press("ctrl+y")
        assert "no answer to copy" in s.text()
        await ask(s, "hello", "hi **you**")
        await s.press("ctrl+y")
        assert s.app.clipboard == "hi **you**"
        await s.until(lambda: "/state/last-copy.txt" in s.text())
        assert store.exported["copy"] == "hi **you**"
        await s.press("ctrl+s")
        await s.until(lambda: "/home/me/hettui-hello-" in s.text())
        assert any("## User\n\nhello" in text for text in store.exported.values())


async def test_a_parallel_test_is_a_table() -> None:
    async with chatting() as s:
        await s.press("f5")
        assert s.engine.calls[-1] == "parallel def fibonacci(n):"
        await s.emit(ParallelChanged((ParallelRow(11, 0.1, 1.1), ParallelRow()), done=False))
        assert "waiting" in s.text()
        await s.press("enter", "escape")
        assert s.engine.calls[-1] == "cancel"
        await s.emit(ParallelChanged((ParallelRow(11, 0.1, 1.1, ended=True), ParallelRow()), done=True))
        assert "2 at once: 10.0 tok/s in all" in s.text()
        await ask(s, "and now", "fine")
        assert len(s.engine.chats) == 1


async def test_the_tail_is_followed_until_one_scrolls_up() -> None:
    async with chatting(size=(80, 24)) as s:
        transcript = s.screen.query_one("#transcript", VerticalScroll)
        await s.type("long?")
        await s.press("enter")
        await s.emit(ChatProgressed("line\n\n" * 60, "", 60, 1.0))
        assert transcript.scroll_y == transcript.max_scroll_y > 0
        await s.press("pageup")
        await s.pilot.pause()
        held = transcript.scroll_y
        assert held < transcript.max_scroll_y
        await s.emit(ChatProgressed("line\n\n" * 60, "", 120, 2.0))
        assert transcript.scroll_y == held
        for _ in range(20):
            await s.press("pagedown")
        await s.emit(ChatProgressed("line\n\n" * 60, "", 180, 3.0))
        await s.pilot.pause()
        assert transcript.scroll_y == transcript.max_scroll_y


async def test_a_long_conversation_shows_its_end_and_says_so() -> None:
    exchanges = tuple(Exchange(f"question {n}", f"answer {n}") for n in range(60))
    kept = Conversation("k", session().title, "2026-01-01", exchanges=exchanges)
    async with chatting(MemoryStore({"k": kept})) as s:
        await s.until(lambda: "question 59" in s.text())
        assert len(s.screen.query(Answer)) == 40
        await ask(s, "one more", "yes")
        assert len(s.screen.query(Answer)) == 40
        assert len(s.engine.chats[-1]) == 121
        s.screen.query_one("#transcript", VerticalScroll).scroll_home(animate=False)
        await s.pilot.pause()
        assert "21 earlier questions" in s.text()


async def test_a_long_answer_is_laid_out_anew_at_another_width() -> None:
    async with chatting() as s:
        await ask(s, "long?", "Many **words** that go on and on.\n\n" * 300 + "The end.")
        await s.pilot.resize_terminal(100, 40)
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert "The end." in s.text()
        assert "Many words that go on and on." in s.text()


async def test_the_limit_of_tokens_is_to_be_seen_and_one_key_steps_it() -> None:
    async with chatting(size=(80, 24)) as s:
        assert "token limit as the server's (f6)" in s.text()
        await s.press("f6", "f6")
        assert "token limit 1024 (f6)" in s.text()
        await ask(s, "hi", "ho")
        assert s.engine.options[-1] == {"max_tokens": 1024}
        await s.press("f6", "f6", "f6")
        assert "no token limit (f6)" in s.text()
        await s.press("f6")
        assert "token limit as the server's (f6)" in s.text()
        await ask(s, "hi", "ho")
        assert s.engine.options[-1] == {}


async def test_two_keys_open_the_prompt_in_ones_own_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chatting() as s:
        asked: list[str] = []
        monkeypatch.setattr(s.app, "suspend", nullcontext)
        await s.type("so")
        await s.press("ctrl+x", "ctrl+e")
        await s.until(lambda: s.toasts() == ["no editor is set"])
        assert prompt(s).text == "so"

        def edited(text: str) -> str:
            asked.append(text)
            return f"{text} far\nand on"

        s.backend.edits = edited
        await s.press("ctrl+x", "ctrl+e")
        await s.until(lambda: prompt(s).text == "so far\nand on")
        assert asked == ["so"]
        # One of the two alone is what it always was.
        await s.press("ctrl+x", "x", "ctrl+e")
        assert prompt(s).text == "so far\nand onx"
        assert asked == ["so"]


@pytest.mark.matrix
@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40)])
async def test_toasts_never_lie_on_the_prompt(size: tuple[int, int]) -> None:
    async with stage(size=size, toasts=True) as s:
        await s.run_plan()
        await s.press("c")
        for n in range(4):
            await s.emit(Notice(f"something happened, the {n}th time, with many words " * 2, "warning"))
        rack = s.screen.get_child_by_type(ToastRack)
        await s.until(lambda: all(toast.region for toast in rack.walk_children(Toast)))
        assert len(list(rack.walk_children(Toast))) == 4
        seen = [toast.region.intersection(rack.region) for toast in rack.walk_children(Toast)]
        await s.until(lambda: "3th time" in s.text())
        assert not any(toast.overlaps(prompt(s).region) for toast in seen)
        assert not any(toast.overlaps(s.screen.query_one(KeyFooter).region) for toast in seen)
