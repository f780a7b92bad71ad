"""The bench pane: the standard measurement of what runs now, and those of before."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from textual import work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from hettui.domain.bench.run import BenchOutcome, BenchPlan, BenchProgress, BenchResult, BenchRun
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.devices.colours import colours
from hettui.domain.errors import HettuiError
from hettui.domain.session.session import Session
from hettui.domain.text import clean, shorten_middle
from hettui.domain.units import UNKNOWN, format_bytes, format_ms, format_seconds
from hettui.services.backend import Backend
from hettui.services.events import BenchChanged, BenchEnded
from hettui.ui.drawing.gauges import progress_bar
from hettui.ui.keys import keymap_of
from hettui.ui.messages import NoticeArrived
from hettui.ui.widgets.reading import Reading

STANDARD = BenchPlan()
DEEP = BenchPlan(depths=(0, 1024, 4096))
_BAR_CELLS = 24
_LEAST_NAME_CELLS = 8
_FIGURES_CELLS = 40
"""Of a device's figures in the table, beside its name."""
_HINT = "{bench.run} measures what runs · {bench.deep} with depths too · {bench.copy} copies as Markdown"


class BenchPane(VerticalScroll, Reading):
    """Starts, shows and keeps runs. The engine's events come back through `take`."""

    DEFAULT_CSS = """
    BenchPane { height: 1fr; padding: 1 1 0 1; }
    BenchPane > Static { height: auto; margin-bottom: 1; }
    BenchPane > #bench-status { color: $hettui-muted; }
    BenchPane > #bench-history { color: $hettui-muted; }
    """

    def __init__(self, backend: Backend, *, id: str) -> None:
        super().__init__(id=id)
        self._status, self._results, self._history = (
            Static(id=f"bench-{part}", markup=False) for part in ("status", "results", "history")
        )
        self._hints = True
        """The status says what can be done, not what is."""
        self._backend = backend
        self._session: Session | None = None
        self._cluster = ClusterSnapshot()
        self._measured: ClusterSnapshot | None = None
        """What ran when the bench was started; None while none runs."""
        self._why_not: str | None = "the cluster is not running: Esc, then {cluster.start} starts it"
        self._run: BenchRun | None = None
        self._runs: list[BenchRun] = []
        """Of this model, the oldest first."""
        self._unread = True
        """They are read when somebody looks: not while the first frame is made."""

    def compose(self) -> ComposeResult:
        yield from (self._status, self._results, self._history)

    def on_mount(self) -> None:
        if self._hints:
            self._hint()

    def on_resize(self) -> None:
        self._draw()

    def on_show(self) -> None:
        self._read_once()

    @property
    def busy(self) -> bool:
        return self._measured is not None

    @property
    def measured(self) -> bool:
        """There is a run to be copied."""
        return self._run is not None

    def use_session(self, session: Session) -> None:
        """The model may be another: its runs are shown when they have been read."""
        self._session = session
        self._run, self._runs, self._unread = None, [], True
        if self.is_on_screen:
            self._read_once()

    def _read_once(self) -> None:
        if self._unread and self._session is not None:
            self._unread = False
            self._read(self._session)

    @work(thread=True, group="bench runs", description="bench runs", exclusive=True, exit_on_error=False)
    def _read(self, session: Session) -> None:
        runs = self._backend.bench_runs(session)
        self.app.call_later(self._have_read, session, runs)

    def _have_read(self, session: Session, runs: list[BenchRun]) -> None:
        if session is self._session:
            self._runs = runs
            self._run = runs[-1] if runs else None
            self._draw()
            self.refresh_bindings()

    def allow(self, cluster: ClusterSnapshot, why_not: str | None) -> None:
        """The cluster has changed; `why_not` is None when it can be measured."""
        self._cluster, changed, self._why_not = cluster, why_not != self._why_not, why_not
        if changed and not self.busy:
            self._hint()

    def _hint(self) -> None:
        self.status(keymap_of(self).fill(self._why_not or _HINT))
        self._hints = True

    def status(self, text: str) -> None:
        """One line over the results: what it does, or why not."""
        self._hints = False
        self._status.update(Content(text))

    # -- running -------------------------------------------------------------------------------------------

    def action_run(self, deep: bool) -> None:
        self._measured = self._cluster
        self.status("starting …")
        later = self.app.call_later

        def begun(future: Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                later(self._refused, clean(str(error)))

        self._backend.engine.bench(DEEP if deep else STANDARD).add_done_callback(begun)

    def _refused(self, reason: str) -> None:
        self._measured = None
        self.status(reason)

    def take(self, event: BenchChanged | BenchEnded) -> None:
        """How far a run is, or its end."""
        if isinstance(event, BenchChanged):
            self._show_progress(event)
        else:
            self._show_end(event)

    def _show_progress(self, event: BenchChanged) -> None:
        progress = event.progress
        self.status(f"{_bar(progress)}\n{progress.now} · Esc stops")
        self._results.update(Content("\n".join(_result_lines(progress.results))))

    def _show_end(self, event: BenchEnded) -> None:
        measured, self._measured = self._measured, None
        self._hint()
        if measured is not None and self._session is not None:
            self.status("keeping the run; the model's sum is taken the first time …")
            self._keep(self._session, measured, event.outcome)

    @work(thread=True, group="keep bench", description="keep bench", exit_on_error=False)
    def _keep(self, session: Session, measured: ClusterSnapshot, outcome: BenchOutcome) -> None:
        try:
            run = self._backend.keep_bench(session, measured, outcome)
        except HettuiError as error:
            self.screen.post_message(NoticeArrived(str(error), "warning"))
        else:
            self.app.call_later(self._kept, session, run)

    def _kept(self, session: Session, run: BenchRun) -> None:
        if session is self._session:
            self._run = run
            if any(result.samples for result in run.results):
                self._runs.append(run)
            self._draw()
            self._hint()
            self.refresh_bindings()

    def action_copy(self) -> None:
        if self._run is None:
            return
        from hettui.domain.bench.report import markdown

        self.app.copy_to_clipboard(markdown(self._run))
        self.status(f"run {self._run.key} was sent to the terminal's clipboard as Markdown")

    # -- drawing -------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        run = self._run
        parts: list[str | tuple[str, str]] = []
        if run is not None:
            from hettui.domain.bench.report import article_lines, remarks

            head = [f"{run.started[:16].replace('T', ' ')}  {run.key}", "", *_result_lines(run.results)]
            parts = ["\n".join(head), *self._of_devices(run)]
            parts.append("\n".join(["", "", *article_lines(run), *remarks(run)]))
        self._results.update(Content.assemble(*parts))
        self._history.update(Content("\n".join(self._history_lines())))

    def _of_devices(self, run: BenchRun) -> list[str | tuple[str, str]]:
        """Each row with its device's colour before it."""
        known = {} if self._session is None else colours(self._session.devices)
        parts: list[str | tuple[str, str]] = []
        lines = _device_lines(run, self.scrollable_content_region.width - 2) if run.devices else []
        for name, line in zip(("", *(d.name for d in run.devices)), lines, strict=False):
            edge = ("▌", f"$hettui-device-{known[name]}") if name in known else " "
            parts += ["\n" if parts else "\n\n", edge, f" {line}"]
        return parts

    def _history_lines(self) -> list[str]:
        if len(self._runs) < 2:
            return []
        from hettui.domain.bench.compare import compare
        from hettui.ui.drawing.bench_plot import history_plot

        lines: list[str] = []
        last, before = self._runs[-1], self._runs[-2]
        for row in compare(before, last):
            if row.change is not None:
                verdict = row.verdict.replace("B", "this one").replace("A", "the one before")
                lines.append(f"{row.test} against the run before: {row.change:+.1%}, {verdict}")
        name = next((r.test.name for r in last.results if r.test.generate), None)
        rates = [r.rate.mean for run in self._runs if (r := run.result(name or "")) is not None and r.rate]
        if name and len(rates) > 1:
            width = max(20, self.size.width - 4)
            lines += ["", f"{name}, tok/s, {len(rates)} runs with this model", *history_plot(rates, width)]
        return lines


def _bar(progress: BenchProgress) -> str:
    filled = int(progress.done * _BAR_CELLS)
    left = "" if progress.left_s is None else f", {format_seconds(progress.left_s)} left"
    return f"{progress_bar(filled, _BAR_CELLS)} {progress.done:.0%}{left}"


def _result_lines(results: Sequence[BenchResult]) -> list[str]:
    if not results:
        return []
    from hettui.domain.tables import table

    rows: list[tuple[str, ...]] = [("test", "tok/s", "runs", "first", "p50", "p99", "")]
    for result in results:
        rate, first = result.rate, result.first_token
        rows.append(
            (
                result.test.name,
                UNKNOWN if rate is None else rate.text(1),
                str(len(result.samples)),
                format_ms(first.mean if first else None),
                format_ms(result.between_p50_s),
                format_ms(result.between_p99_s),
                result.note,
            )
        )
    return table(rows)


def _device_lines(run: BenchRun, width: int) -> list[str]:
    from hettui.domain.tables import table

    room = max(_LEAST_NAME_CELLS, width - _FIGURES_CELLS)
    rows: list[tuple[str, ...]] = [("device", "peak memory", "peak °C", "W", "J/token", "")]
    for device in run.devices:
        numbers = (
            (device.peak_temperature_c, ".0f"),
            (device.mean_power_w, ".0f"),
            (device.joules_per_token, ".3g"),
        )
        cells = (UNKNOWN if value is None else format(value, how) for value, how in numbers)
        name = shorten_middle(device.name, room)
        rows.append((name, format_bytes(device.peak_used_bytes), *cells, "; ".join(device.throttled)))
    return table(rows)
