"""The options of a command, each declared once: a field of a frozen dataclass with all that is said of it.

    @dataclass(frozen=True, kw_only=True)
    class Options(Command):
        epochs: int = option(1000, "at most", group="run", range=POSITIVE)

From the fields are made the parser with its help, the set of options that were given, the checks of ranges
and of options that belong to something else, and the tables of docs/options.md.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from xumx.base.cli import Parser
from xumx.base.commands import called_as
from xumx.base.console import flag
from xumx.base.errors import UsageError

Self = TypeVar("Self", bound="Command")


class Range(NamedTuple):
    """What a number may be, in words and as a test."""

    text: str
    holds: Callable[[Any], bool]


POSITIVE = Range("positive", lambda value: value > 0)
NOT_NEGATIVE = Range("0 or more", lambda value: value >= 0)
AT_LEAST_ONE = Range("1 or more", lambda value: value >= 1)
FRACTION = Range("between 0 and 1", lambda value: 0 < value < 1)


_PLACE = " by its place"
"""What argparse calls an argument without a flag: its option's name and this."""


class _HelpAll(argparse.Action):
    """Show the help of the whole parser."""

    def __init__(self, parser: Callable[[], Parser], **said: Any) -> None:
        super().__init__(nargs=0, default=argparse.SUPPRESS, **said)
        self._whole = parser

    def __call__(self, parser: Any, *_: Any) -> None:
        whole = self._whole()
        whole.print_help()
        whole.exit()


@dataclass(frozen=True)
class Option:
    """What there is to say of an option.

    Parameters
    ----------
    help : str
    default : object
        None where it depends on other options; the help says how.
    name, kind, nargs
        The field's name, type, and whether it takes several values: they follow from the field.
    group : str
        Heading in the help.
    also : tuple of str
        Other spellings.
    positional : bool
        Whether it is also given by its place, without a flag.
    basic : bool
        Whether the short help has it. Where no option of a command is basic, there is one help.
    type, metavar, choices, const, required
        As for ``argparse``; a type is needed only where the values' own class does not read them.
    exclusive : bool
        Whether one of its group excludes the others.
    range : Range, optional
    of : tuple of str
        Kinds of ``--dataset`` that it belongs to; all if empty.
    fixed : bool
        Whether a run that goes on cannot change it.
    stored : bool
        Whether it is one of the run's, in checkpoints and records, and not a matter of the command line.
    reaches : str
        The field of :class:`xumx.network.config.ModelConfig` that it becomes, if any.
    """

    help: str
    default: Any = None
    name: str = ""
    kind: Any = str
    nargs: str | None = None
    group: str = ""
    also: tuple[str, ...] = ()
    positional: bool = False
    basic: bool = False
    type: Callable[[str], Any] | None = None
    metavar: str | None = None
    choices: tuple[str, ...] | None = None
    const: Any = None
    required: bool = False
    exclusive: bool = False
    range: Range | None = None
    of: tuple[str, ...] = ()
    fixed: bool = False
    stored: bool = True
    reaches: str = ""

    def add_to(self, group: Any, hidden: bool = False) -> None:
        """Make it an argument of a parser or of a group of one, which the help may leave out."""
        told = argparse.SUPPRESS if hidden else self.help
        said: dict[str, Any] = {"help": told, "default": self.default}
        if not self.positional:
            said["required"] = self.required
        else:
            place: dict[str, Any] = {
                "metavar": self.metavar,
                "help": told,
                "nargs": "*" if self.nargs else "?",
            }
            place |= {"choices": self.choices} if self.choices else {}
            group.add_argument(self.name + _PLACE, type=self.type or self.kind, **place)
            said["help"] = argparse.SUPPRESS
        if self.kind is bool:
            said["action"] = "store_true"
        else:
            names = ("metavar", "choices", "nargs", "const")
            said |= {name: value for name in names if (value := getattr(self, name)) is not None}
            said["type"] = self.type or self.kind
            if isinstance(self.default, tuple):
                said["default"] = " ".join(self.default) or None  # as the help shows it
        group.add_argument(flag(self.name), *self.also, **said)


def option(default: Any, help: str, **said: Any) -> Any:
    """Declare an option of a :class:`Command`; what else may be said of it, :class:`Option` tells."""
    return field(default=default, metadata={"option": Option(help, **said)})


def like(command: type[Command], name: str, **changes: Any) -> Any:
    """Declare the option that another command has, with changes."""
    of = declared(command)[name]
    own = {"name": "", "kind": str, **changes}  # they follow from the field again
    return field(default=changes.get("default", of.default), metadata={"option": replace(of, **own)})


def declared(command: type[Command]) -> Mapping[str, Option]:
    """The options of a command by name, those without a heading first."""
    hints, found = get_type_hints(command), {}
    for one in fields(command):
        if "option" in one.metadata:
            kind, nargs = _taken(hints[one.name])
            said = one.metadata["option"]
            said = replace(said, name=one.name, default=one.default, kind=kind, nargs=said.nargs or nargs)
            found[one.name] = said
    return dict(sorted(found.items(), key=lambda item: item[1].group != ""))


def add_options(parser: Parser, options: Iterable[Option], *, basic: bool = False) -> None:
    """Give a parser these options, under their headings; ``basic``: its help has the basic ones alone."""
    groups: dict[str, Any] = {"": parser}
    for one in options:
        if one.group not in groups:
            group = parser.add_argument_group(one.group)
            groups[one.group] = group.add_mutually_exclusive_group() if one.exclusive else group
        one.add_to(groups[one.group], hidden=basic and not one.basic)


@dataclass(frozen=True, kw_only=True)
class Command:
    """The options of a command: a subclass declares them, and an instance has a value for each.

    Raises
    ------
    UsageError
        For a value out of its range.
    """

    PROG: ClassVar[str]
    ABOUT: ClassVar[str]
    USAGE: ClassVar[str] = "[options]"
    EXAMPLES: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, one in declared(type(self)).items():
            value = getattr(self, name)
            if one.range is not None and value is not None and not one.range.holds(value):
                raise UsageError(f"`{name}` must be {one.range.text}, not {value}")

    @classmethod
    def parser(cls, whole: bool = False) -> Parser:
        """Make the parser of the command; its help has the basic options, or the ``whole`` of them."""
        prog, options = called_as(cls.PROG), declared(cls).values()
        basic = not whole and any(one.basic for one in options)
        examples = [f"  {prog} {line}" for line in cls.EXAMPLES]
        parser = Parser(
            prog=prog,
            usage=f"{prog} {cls.USAGE}",
            description=cls.ABOUT,
            epilog="\n".join(["examples:", *examples]) if examples else None,
        )
        if any(one.basic for one in options):
            shown = partial(cls.parser, True)
            parser.add_argument("--help-all", action=_HelpAll, parser=shown, help="show all options and exit")
        add_options(parser, options, basic=basic)
        return parser

    @classmethod
    def given(cls, argv: Sequence[str] | None) -> dict[str, Any]:
        """The options that a command line gives, with their values. Ends the process for wrong ones."""
        parser = cls.parser()
        args, given = parser.parse_given(argv)
        values = {name: value for name, value in vars(args).items() if name in given}
        values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        for name, one in declared(cls).items():
            place = values.pop(name + _PLACE, None) if one.positional else None
            if place:
                values[name] = (*values.get(name, ()), *place) if one.nargs else place
        values = cls.arranged(values)
        for name, one in declared(cls).items():
            if one.positional and one.required and name not in values:
                several = [name for name in values if declared(cls)[name].nargs == "+"]
                hint = f"; after {flag(several[-1])}, which takes several, write -- first" if several else ""
                parser.error(f"the following arguments are required: {one.metavar}{hint}")
        return values

    @classmethod
    def arranged(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Put what was given where it is meant, if that can be told better than by its place."""
        return values

    @classmethod
    def parse(cls: type[Self], argv: Sequence[str] | None) -> Self:
        """All options, from a command line. Ends the process, or raises UsageError, for wrong ones."""
        given = cls.given(argv)
        options = cls(**given)
        options.validate(given.keys())
        return options

    def validate(self, given: Collection[str]) -> None:
        """Refuse what does not go together; ``given`` are the names of options that would say so in vain."""

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The value of each option that is not given."""
        return {one.name: one.default for one in fields(cls)}

    def argv(self) -> list[str]:
        """A command line that gives these options, as far as they are no defaults and ``str`` spells them."""
        found: list[str] = []
        for name, one in declared(type(self)).items():
            value = getattr(self, name)
            if value != one.default:
                several = value if isinstance(value, tuple) else () if one.kind is bool else (value,)
                found += [flag(name), *map(str, several)]
        return found

    @classmethod
    def check_kind(cls, given: Iterable[str], kind: str) -> None:
        """Refuse options that belong to other kinds of ``--dataset``.

        Raises
        ------
        UsageError
        """
        options = declared(cls)
        for name in given:
            kinds = options[name].of
            if kinds and kind not in kinds:
                raise UsageError(f"`{name}` is for `dataset` {' or '.join(kinds)}, not for {kind}")


def _taken(hint: Any) -> tuple[Any, str | None]:
    """The class of each value that an option takes, and ``nargs`` of several."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (kind for kind in get_args(hint) if kind is not types.NoneType)
    return (get_args(hint)[0], "+") if get_origin(hint) is tuple else (hint, None)
