"""Dataclasses that cost little until they are used: `from hettui.domain.records import dataclass`.

The standard library writes `__init__`, `__repr__`, `__eq__`, `__hash__` and two more as text for every class, and
compiles that at import; it also looks at each annotation three times to see whether it is one of its own marks: 0.5 to
0.9 ms a class in Python 3.11, a third of what hettui's own modules took. Here the fields are the library's, so that
what reads them (`replace`, `fields`, `asdict`, `match`) is too; `__init__` is compiled when the first instance is made,
and the others need no text. Of the library's options there are those that hettui uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["dataclass"]

if TYPE_CHECKING:
    # To the type checker it is the library's.
    from dataclasses import dataclass
else:
    import dataclasses
    from operator import attrgetter
    from reprlib import recursive_repr

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True):
        """As `dataclasses.dataclass` with these options."""

        def made(body):
            own = set(body.__dict__)
            fields = _fields(body)
            if "__match_args__" not in own:
                body.__match_args__ = tuple(fields)
            made = _with_slots(body, fields) if slots else body
            for name, method in _methods(made, list(fields.values()), frozen, slots, eq).items():
                if name not in own:
                    setattr(made, name, method)
            return made

        return made if cls is None else made(cls)

    @dataclasses.dataclass(init=False, repr=False, eq=False)
    class _Plain:
        """Whose parameters every class of ours has: the methods are not the library's."""

    def _fields(cls):
        """By name, those of its bases first; leaves in the class what the library leaves there."""
        found = {}
        for base in cls.__mro__[-1:0:-1]:
            found |= base.__dict__.get("__dataclass_fields__", {})
        for name, kind in cls.__annotations__.items():
            if "ClassVar" in str(kind):
                continue
            default = cls.__dict__.get(name, dataclasses.MISSING)
            field = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
            if field.default.__class__.__hash__ is None:
                raise ValueError(f"mutable default {field.default!r} for field {name}: use default_factory")
            field.name, field.type, field.kw_only = name, kind, False
            field._field_type = dataclasses._FIELD
            found[name] = field
            if default is field:
                if field.default is dataclasses.MISSING:
                    delattr(cls, name)
                else:
                    setattr(cls, name, field.default)
        cls.__dataclass_fields__, cls.__dataclass_params__ = found, _Plain.__dataclass_params__
        return found

    def _with_slots(cls, fields):
        """The same class once more: slots cannot be given to one that stands."""
        body, above = dict(cls.__dict__), set()
        for base in cls.__mro__[1:-1]:
            slots = base.__dict__.get("__slots__", ())
            above |= {slots} if isinstance(slots, str) else set(slots)
        for name in ("__dict__", "__weakref__", *fields):
            body.pop(name, None)
        body["__slots__"] = tuple(name for name in fields if name not in above)
        made = type(cls)(cls.__name__, cls.__bases__, body)
        made.__qualname__ = cls.__qualname__
        return made

    def _methods(cls, fields, frozen, slots, eq):
        found = {"__init__": _first_init(cls, frozen), "__repr__": _said_of}
        if frozen:
            found |= {"__setattr__": _assign, "__delattr__": _delete}
        if frozen and slots:
            found |= {"__getstate__": _state, "__setstate__": _restore}
        if eq:
            values = _values(tuple(f.name for f in fields if f.compare))
            found["__eq__"] = _eq(values)
            found["__hash__"] = _hash(values) if frozen else None
        return found

    def _first_init(cls, frozen):
        def first(self, *args, **kwargs):
            # Whoever comes at the same time, on another thread, makes the same.
            init = _init(cls, frozen)
            cls.__init__ = init
            init(self, *args, **kwargs)

        return first

    def _init(cls, frozen):
        known = {"_set": object.__setattr__, "_NOT_GIVEN": dataclasses.MISSING}
        parameters, lines = ["self"], []
        for field in dataclasses.fields(cls):
            name, value = field.name, field.name
            if field.default is not dataclasses.MISSING:
                known[f"_default_{name}"] = field.default
                parameters.append(f"{name}=_default_{name}")
            elif field.default_factory is not dataclasses.MISSING:
                known[f"_make_{name}"] = field.default_factory
                parameters.append(f"{name}=_NOT_GIVEN")
                value = f"_make_{name}() if {name} is _NOT_GIVEN else {name}"
            else:
                parameters.append(name)
            lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
        if hasattr(cls, "__post_init__"):
            lines.append("self.__post_init__()")
        text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"])
        exec(text, known)  # noqa: S102 - of field names, as the library does it
        init = known["__init__"]
        init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
        return init

    def _values(names):
        """Of an instance, as a tuple."""
        if not names:
            return lambda self: ()
        if len(names) == 1:
            value = attrgetter(names[0])
            return lambda self: (value(self),)
        return attrgetter(*names)

    def _eq(values):
        def equals(self, other):
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        return equals

    def _hash(values):
        return lambda self: hash(values(self))

    # One for all classes: hundreds of each would be a megabyte.

    @recursive_repr()
    def _said_of(self):
        said = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
        return f"{self.__class__.__qualname__}({said})"

    def _assign(self, name, value):
        _refuse(type(self), name, "assign to")
        object.__setattr__(self, name, value)

    def _delete(self, name):
        _refuse(type(self), name, "delete")
        object.__delattr__(self, name)

    def _refuse(cls, name, what):
        # A class below may have attributes of its own.
        if "__dataclass_fields__" in cls.__dict__ or name in cls.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot {what} field {name!r}")

    def _state(self):
        """For copies: what is frozen cannot be filled by assignments."""
        return [getattr(self, f.name) for f in dataclasses.fields(self)]

    def _restore(self, state):
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)
