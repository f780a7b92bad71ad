"""Lines of llama-server's log about slots, in b10068's words, and scenes made of them: who asks what of which slot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

SLOT = "0.32.243.354 I slot {function:>12}: id {slot:2d} | task {task} | {text}"
SERVER = "0.32.243.276 I srv  {function:>12}: {text}"


@dataclass
class Server:
    """Says what a llama-server would say; knows no prompts, only how much of them is alike."""

    context: int = 32768
    lines: list[str] = field(default_factory=list)
    task: int = 0

    def slot(self, slot: int, function: str, text: str, task: int | None = None) -> None:
        self.lines.append(
            SLOT.format(function=function, slot=slot, task=self.task if task is None else task, text=text)
        )

    def server(self, function: str, text: str) -> None:
        self.lines.append(SERVER.format(function=function, text=text))

    def same_beginning(self, slot: int, prompt: int, held: int, shared: int) -> None:
        alike = f"sim_best = {shared / prompt:.3f} (> 0.100 thold), f_keep = {shared / held:.3f}"
        text = f"selected slot by LCP similarity, {alike}"
        self.slot(slot, "get_availabl", text, -1)

    def asked_for(self, slot: int, prompt: int, reused: int) -> None:
        """A whole request that names its slot: the server says nothing of what is alike."""
        self.slot(slot, "get_availabl", f"selected slot by id ({slot})", -1)
        self.begin(slot, prompt)
        self.read(slot, reused)
        self.end(slot, prompt, reused)

    def longest_unused(self, slot: int, base: float = -1.0, found: float | None = None) -> None:
        self.slot(slot, "get_availabl", "selected slot by LRU, t_last = -1", -1)
        self.server("get_availabl", "updating prompt cache")
        self.server("load", f" - looking for better prompt, base f_keep = {base:.3f}, sim = 0.000")
        if found is not None:
            self.server("load", f" - found better prompt with f_keep = 0.990, sim = {found:.3f}")

    def begin(self, slot: int, prompt: int) -> None:
        self.task += 10
        self.slot(slot, "launch_slot_", "processing task, is_child = 0")
        self.slot(slot, "operator()", f"new prompt, n_ctx_slot = {self.context}, n_keep = 0, task.n_tokens = {prompt}")

    def read(self, slot: int, reused: int) -> None:
        self.slot(slot, "operator()", f"cached n_tokens = {reused}, memory_seq_rm [{reused}, end)")

    def end(self, slot: int, prompt: int, reused: int, generated: int = 40, *, truncated: bool = False) -> None:
        read, total = prompt - reused, prompt + generated - 1
        read_ms, generated_ms, rest = (
            read * 2.0,
            generated * 20.0,
            "(    2.00 ms per token,   500.00 tokens per second)",
        )
        self.slot(slot, "print_timing", f"prompt eval time = {read_ms:10.2f} ms / {read:5d} tokens {rest}")
        self.slot(slot, "print_timing", f"       eval time = {generated_ms:10.2f} ms / {generated:5d} tokens {rest}")
        all_ms, tokens = read_ms + generated_ms, read + generated
        self.slot(slot, "print_timing", f"      total time = {all_ms:10.2f} ms / {tokens:5d} tokens")
        self.slot(slot, "release", f"stop processing: n_tokens = {total}, truncated = {int(truncated)}")
        self.server("update_slots", "all slots are idle")

    def ask(
        self, slot: int, prompt: int, reused: int, *, held: int | None = None, shared: int | None = None,
        found: float | None = None, generated: int = 40, before: tuple[str, ...] = (), truncated: bool = False,
    ) -> None:  # fmt: skip
        """A whole request. `held` and `shared`: chosen for its beginning; else the slot that was unused the longest.

        `before`: what is said between the prompt's arrival and its reading.
        """
        if held is not None and shared is not None:
            self.same_beginning(slot, prompt, held, shared)
        else:
            self.longest_unused(slot, -1.0 if held is None else 0.0, found)
        self.begin(slot, prompt)
        for text in before:
            self.slot(slot, "operator()", text)
        self.read(slot, reused)
        self.end(slot, prompt, reused, generated, truncated=truncated)

    def take(self) -> Iterator[str]:
        lines, self.lines = self.lines, []
        yield from lines


def day() -> Server:
    """Two conversations on two slots, each way of reading again that a user meets, and one that is being read."""
    server = Server(context=16384)
    server.ask(0, 5000, 0)
    server.ask(0, 5300, 5039, held=5039, shared=5039, generated=320)
    server.ask(1, 9000, 0, generated=51)
    server.ask(1, 9200, 0, held=9050)
    server.ask(0, 900, 0, held=5619)
    server.ask(0, 5800, 0, held=939)
    server.same_beginning(1, 9500, 9239, 9239)
    server.begin(1, 9500)
    return server


FORCED = (
    "forcing full prompt re-processing due to lack of cache data (likely due to SWA or hybrid/recurrent memory, see "
    "https://github.com/ggml-org/llama.cpp/pull/13194#issuecomment-2868343055)"
)
ERASED = (
    "erased invalidated context checkpoint (pos_min = 900, pos_max = 1412, n_tokens = 1413, n_swa = 512, pos_next = 0, "
    "size = 12.000 MiB)"
)
EVICTED = "erasing old context checkpoint (pos_min = 0, pos_max = 511, n_tokens = 512, size = 12.000 MiB)"
SHIFT = "slot context shift, n_keep = 0, n_left = 8191, n_discard = 4095"


def checkpoint(tokens: int) -> str:
    return (
        f"restored context checkpoint (pos_min = {tokens - 512}, pos_max = {tokens - 1}, n_tokens = {tokens}, "
        f"n_past = {tokens}, size = 12.000 MiB)"
    )
