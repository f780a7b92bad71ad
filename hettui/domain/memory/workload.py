"""What is to be run: a model, its settings, and the build of llama.cpp that runs it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from hettui.domain.llama.build import NEWEST_BUILD
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.model.companions import ALONE, Companions
from hettui.domain.model.shape import ModelShape
from hettui.domain.records import dataclass

_MOST_RELATIVES = 64
_AS_USUAL = RuntimeParams()

_Rest = ParamSpec("_Rest")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Workload:
    """Everything but the devices that memory and speed follow from. Equal ones need the same.

    What was worked out for it (`remembered`) is kept with it and dies with it.
    """

    shape: ModelShape
    params: RuntimeParams = _AS_USUAL
    build: int = NEWEST_BUILD
    """llama.cpp's build number."""
    extra_args: tuple[str, ...] = ()
    """What is said to llama-server besides: it may reserve more for that, or compute elsewhere."""
    draft: ModelShape | None = None
    """The draft model of the settings; None: there is none, or nobody has read it."""
    companions: Companions = ALONE
    """What was read of the files that the settings load beside the model."""
    _relatives: dict[RuntimeParams, Workload] = field(default_factory=dict, compare=False, repr=False)
    """The same model and build with other settings: sliders and searches come back to them."""
    _known: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    def having(self, params: RuntimeParams) -> Workload:
        """The same with these settings; the one made before where there was one."""
        if params == self.params:
            return self
        # Relatives know each other, so that what one of them worked out is found from all of them.
        self._relatives.setdefault(self.params, self)
        found = self._relatives.get(params)
        if found is None:
            more = self.extra_args, self.draft, self.companions
            found = Workload(self.shape, params, self.build, *more, self._relatives)
            self._relatives[params] = found
            # Threads may search side by side: one that another has just dropped is made again, which costs time only.
            while len(self._relatives) > _MOST_RELATIVES:
                self._relatives.pop(next(iter(self._relatives), params), None)
        return found


def remembered(
    function: Callable[Concatenate[Workload, _Rest], _Answer],
) -> Callable[Concatenate[Workload, _Rest], _Answer]:
    """The answer to the same question is kept with the workload. Everything asked besides must be hashable."""

    @wraps(function)
    def answer(workload: Workload, /, *rest: _Rest.args, **named: _Rest.kwargs) -> _Answer:
        key = (function, rest, *named.items())
        try:
            known: _Answer = workload._known[key]
        except KeyError:
            known = workload._known[key] = function(workload, *rest, **named)
        return known

    return answer
