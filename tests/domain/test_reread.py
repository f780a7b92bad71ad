"""Why a prompt was read again: scenes in llama-server's own words, and the reason that each of them has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.slots.request import Cause
from hettui.domain.slots.request_log import MOST_REQUESTS, RequestLog
from hettui.domain.slots.reread import Lost, Reading, Traits, judge
from hettui.domain.slots.server_log import read_line
from tests.slot_scenes import ERASED, EVICTED, FORCED, SHIFT, Server, checkpoint

DENSE, WINDOWS, HYBRID = Traits(), Traits(windows=True), Traits(recurrent=True)


@dataclass
class Scene:
    """What happens; the reason of its last request."""

    play: Callable[[Server, RequestLog], None]
    cause: Cause | None
    traits: Traits = DENSE


def _goes_on(server: Server, log: RequestLog) -> None:
    server.ask(0, 5000, 0)
    server.ask(0, 5300, 5039, held=5039, shared=5039)


def _thoughts_left_out(server: Server, log: RequestLog) -> None:
    # The template drops what was thought: a little of the end is read again.
    server.ask(0, 5000, 0, generated=100)
    server.ask(0, 5200, 5010, held=5099, shared=5010)


def _date_in_front(server: Server, log: RequestLog) -> None:
    server.ask(0, 8000, 0)
    server.ask(0, 8200, 0, held=8039)


def _middle_changed(server: Server, log: RequestLog) -> None:
    server.ask(0, 12000, 0)
    server.ask(0, 12400, 3100, held=12039, shared=3100)


def _beginning_in_another_slot(server: Server, log: RequestLog) -> None:
    server.ask(0, 9000, 0)
    server.ask(1, 9200, 0)


def _measured_without_the_cache(server: Server, log: RequestLog) -> None:
    # As a bench does: each prompt another one, on one slot.
    server.asked_for(0, 512, 0)
    server.asked_for(0, 560, 0)


def _asked_for_and_changed(server: Server, log: RequestLog) -> None:
    server.asked_for(0, 6000, 0)
    server.asked_for(0, 6300, 900)


def _second_client_comes(server: Server, log: RequestLog) -> None:
    # Nothing of it was read before: it reads what it has to read.
    server.ask(0, 12000, 0)
    server.ask(0, 900, 0, held=12039)


def _shares_a_system_prompt(server: Server, log: RequestLog) -> None:
    server.ask(0, 20000, 0)
    server.ask(0, 9000, 8000, held=20039, shared=8000)


def _taken_by_another(server: Server, log: RequestLog) -> None:
    server.ask(0, 12000, 0)
    server.ask(0, 900, 0, held=12039)
    server.ask(0, 12300, 0, held=939)


def _taken_with_a_shared_beginning(server: Server, log: RequestLog) -> None:
    server.ask(0, 20000, 0)
    server.ask(0, 9000, 8000, held=20039, shared=8000)
    server.ask(0, 20400, 8000, held=9039, shared=8000)


def _taken_with_three_clients_and_two_slots(server: Server, log: RequestLog) -> None:
    server.ask(1, 6000, 0)
    server.ask(0, 14000, 0)
    server.ask(1, 3000, 0, held=6039)
    server.ask(0, 6300, 0, held=14039)


def _came_back_from_host_memory(server: Server, log: RequestLog) -> None:
    server.ask(0, 12000, 0)
    server.ask(0, 900, 0, held=12039)
    server.ask(0, 12300, 12039, held=939, found=0.98)


def _window_forces_all(server: Server, log: RequestLog) -> None:
    server.ask(0, 6000, 0)
    server.ask(0, 6300, 0, held=6039, shared=5990, before=(FORCED,))


def _window_goes_back_to_a_checkpoint(server: Server, log: RequestLog) -> None:
    server.ask(0, 6000, 0)
    server.ask(0, 6300, 4096, held=6039, shared=5990, before=(checkpoint(4096),))


def _hybrid_erases_what_it_goes_back_behind(server: Server, log: RequestLog) -> None:
    server.ask(0, 6000, 0)
    server.ask(0, 5800, 0, held=6039, shared=5800, before=(FORCED, ERASED))


def _hybrid_goes_back(server: Server, log: RequestLog) -> None:
    server.ask(0, 6000, 0)
    server.ask(0, 6300, 0, held=6039, shared=5990, before=(FORCED,))


def _checkpoints_erased(server: Server, log: RequestLog) -> None:
    # A shorter branch erases what the longer one would have gone on from.
    server.ask(0, 6000, 0)
    server.ask(0, 6010, 512, held=6039, shared=900, before=(ERASED, checkpoint(512)))
    server.ask(0, 6300, 0, held=6049, shared=5990, before=(FORCED,))


def _checkpoint_made_room(server: Server, log: RequestLog) -> None:
    server.ask(0, 6000, 0)
    server.ask(0, 6300, 6039, held=6039, shared=6039, before=(EVICTED,))
    server.ask(0, 6400, 0, held=6339, shared=900, before=(FORCED,))


def _context_full(server: Server, log: RequestLog) -> None:
    server.context = 8192
    server.same_beginning(0, 9000, 8000, 8000)
    server.begin(0, 9000)
    server.server(
        "send_error", f"task id = {server.task}, error: request (9000 tokens) exceeds the available context size"
    )
    server.slot(0, "release", "stop processing: n_tokens = 8000, truncated = 0")


def _context_was_shifted(server: Server, log: RequestLog) -> None:
    server.context = 8192
    server.ask(0, 7900, 0, generated=200, before=(SHIFT,), truncated=True)
    server.ask(0, 8100, 0, held=8099)


def _thrown_out_of_a_unified_context(server: Server, log: RequestLog) -> None:
    server.ask(0, 9000, 0)
    server.ask(1, 20000, 0)
    server.server("try_clear_id", "purging slot 0 with 9039 tokens")
    server.ask(2, 4000, 0)
    server.ask(3, 9200, 0)


def _restarted(server: Server, log: RequestLog) -> None:
    server.ask(0, 12000, 0)
    for line in server.take():
        log.feed(line)
    log.restart()
    server.ask(0, 12300, 0)


def _restarted_in_the_middle_of_an_answer(server: Server, log: RequestLog) -> None:
    server.longest_unused(0)
    server.begin(0, 12000)
    server.read(0, 0)
    for line in server.take():
        log.feed(line)
    log.restart()
    server.ask(1, 12000, 0)


def _restarted_and_read_back(server: Server, log: RequestLog) -> None:
    server.ask(0, 12000, 0)
    for line in server.take():
        log.feed(line)
    log.restart()
    log.restored(0, 12039)
    server.ask(0, 12300, 12039, held=12039, shared=12039)


def _read_back_and_of_no_use(server: Server, log: RequestLog) -> None:
    _restarted_and_read_back(server, log)
    for line in server.take():
        log.feed(line)
    log.restart()
    log.restored(0, 12339)
    server.ask(0, 12500, 0, held=12339, shared=12339, before=(FORCED,))


def _prompts_put_aside_are_gone_with_the_server(server: Server, log: RequestLog) -> None:
    server.ask(0, 12000, 0)
    server.ask(0, 900, 0, held=12039)
    for line in server.take():
        log.feed(line)
    log.restart()
    log.restored(0, 939)
    server.ask(1, 12300, 0)


SCENES = {
    "the conversation goes on": Scene(_goes_on, None),
    "thoughts are left out": Scene(_thoughts_left_out, None),
    "a date in front": Scene(_date_in_front, Cause.BEGINNING),
    "the middle has changed": Scene(_middle_changed, Cause.BEGINNING),
    "another slot has what it was": Scene(_beginning_in_another_slot, Cause.BEGINNING),
    "a measurement": Scene(_measured_without_the_cache, None),
    "a slot that was asked for": Scene(_asked_for_and_changed, Cause.BEGINNING),
    "a second client comes": Scene(_second_client_comes, None),
    "a second client with the same system prompt": Scene(_shares_a_system_prompt, None),
    "the slot was taken": Scene(_taken_by_another, Cause.TAKEN),
    "the slot was taken, the system prompt is shared": Scene(_taken_with_a_shared_beginning, Cause.TAKEN),
    "three clients, two slots": Scene(_taken_with_three_clients_and_two_slots, Cause.TAKEN),
    "it came back from the host's memory": Scene(_came_back_from_host_memory, None),
    "a window forces all": Scene(_window_forces_all, Cause.WINDOW, WINDOWS),
    "a window goes back": Scene(_window_goes_back_to_a_checkpoint, Cause.WINDOW, WINDOWS),
    "a hybrid goes back": Scene(_hybrid_goes_back, Cause.STATE, HYBRID),
    "a hybrid goes back and erases": Scene(_hybrid_erases_what_it_goes_back_behind, Cause.STATE, HYBRID),
    "checkpoints were erased": Scene(_checkpoints_erased, Cause.CHECKPOINT, WINDOWS),
    "a checkpoint had made room": Scene(_checkpoint_made_room, Cause.CHECKPOINT, HYBRID),
    "the context is full": Scene(_context_full, Cause.OVERFLOW),
    "the context was shifted": Scene(_context_was_shifted, Cause.OVERFLOW),
    "thrown out of a unified context": Scene(_thrown_out_of_a_unified_context, Cause.OVERFLOW),
    "a restart": Scene(_restarted, Cause.RESTART),
    "a restart in the middle of an answer": Scene(_restarted_in_the_middle_of_an_answer, Cause.RESTART),
    "read back after a restart": Scene(_restarted_and_read_back, None),
    "read back, with a window": Scene(_read_back_and_of_no_use, Cause.WINDOW, WINDOWS),
    "read back, of a hybrid": Scene(_read_back_and_of_no_use, Cause.STATE, HYBRID),
    "what was put aside is gone": Scene(_prompts_put_aside_are_gone_with_the_server, Cause.RESTART),
}


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
def test_the_reason(scene: Scene) -> None:
    log, server = RequestLog(scene.traits), Server()
    scene.play(server, log)
    for line in server.take():
        log.feed(line)
    last = log.all[-1]
    assert last.ended
    assert (last.reason.cause if last.reason else None) == scene.cause
    if last.reason is not None:
        assert last.reason.remedy
        assert last.reason.words


def test_the_figures_of_one_request() -> None:
    log, server = RequestLog(), Server(context=8192)
    server.ask(1, 5000, 0)
    server.ask(1, 5300, 5039, held=5039, shared=5039, generated=51)
    for line in server.take():
        log.feed(line)
    request = log.past[-1]
    assert (request.slot, request.prompt_tokens, request.reused_tokens, request.read_tokens) == (1, 5300, 5039, 261)
    assert (request.generated_tokens, request.used_tokens, request.slot_tokens) == (51, 5350, 8192)
    assert request.seconds == pytest.approx(0.522 + 1.02)
    assert request.per_second == pytest.approx(50 / 1.02)
    assert request.context_part == pytest.approx(5350 / 8192)
    assert log.held() == {1: (5350, 2)}


def test_what_runs_is_followed() -> None:
    log, server = RequestLog(), Server()
    server.longest_unused(0)
    server.begin(0, 400)
    for line in server.take():
        log.feed(line)
    assert log.busy
    assert log.live[0].prompt_tokens == 400
    log.seen({0: (server.task, 7), 1: (3, 9)})
    assert log.live[0].generated_tokens == 7
    version = log.version
    server.read(0, 0)
    server.end(0, 400, 0)
    for line in server.take():
        log.feed(line)
    assert not log.busy
    assert [r.prompt_tokens for r in log.since(version)] == [400]
    assert log.since(log.version) == ()


def test_words_of_b11434_are_understood() -> None:
    line = read_line(
        "1.02.3.4 I slot get_availabl: id  3 | task -1 | selected slot by LCP similarity, f_sim_best = 0.976 (> 0.100 "
        "thold), f_keep = 0.990"
    )
    assert line is not None
    assert (line.what, line.slot, line.numbers) == ("chosen", 3, (0.976, 0.99))


@given(st.lists(st.text(max_size=80), max_size=20))
def test_any_text_is_borne(rows: list[str]) -> None:
    log = RequestLog()
    for row in rows:
        log.feed(f"0.1.2.3 I slot   operator(): id  0 | task 1 | {row}")
        log.feed(f"srv {row} prompt")
    assert log.all == ()


def test_a_log_without_end_takes_no_more_room() -> None:
    log, server = RequestLog(), Server()
    for number in range(MOST_REQUESTS + 50):
        server.ask(number % 7, 500 + number, 0)
        for line in server.take():
            log.feed(line)
    assert len(log.past) == MOST_REQUESTS
    log.feed("0.1.2.3 I slot launch_slot_: id 999999 | task 1 | processing task, is_child = 0")
    assert not log.busy


@given(
    st.integers(0, 50_000), st.integers(0, 50_000), st.integers(0, 50_000),
    st.sampled_from(["", "same beginning", "longest unused", "asked for"]), st.booleans(),
    st.lists(st.builds(Lost, st.integers(0, 50_000), st.sampled_from(["taken", "purged", "restart"])), max_size=4),
)  # fmt: skip
def test_what_was_reused_whole_needs_no_reason(
    prompt: int, reused: int, held: int, choice: str, forced: bool, lost: list[Lost]
) -> None:
    reused = min(prompt, reused)
    found = judge(Reading(prompt, reused, held, choice, None, forced), lost, DENSE)  # type: ignore[arg-type]
    if prompt - reused < 64:
        assert found.reason is None
    assert found.came_back is None or found.came_back in lost
