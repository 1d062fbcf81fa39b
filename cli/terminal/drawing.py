"""Screens from templates, `cli/show/*.j2`: what a person reads stands there in the order of the screen.

A line of a template is a line of the screen, which breaks between words; one without a word is left out. Behind `¦`
stands what it is: of `head ¦body` further lines stand in as far as the head reaches, of `head ¦»body` by two;
`label¦=value` is a fact, without a label it goes on with the one before; `label¦|figure|figure` has figures, and the
values and figures of all such lines stand under each other; `¦$ text` is a command to be copied, `¦name` a table that
is given by that name, `¦` alone an empty line. Styles are markup, as `[bold]…[/]`; what values say is none.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from checkpoints.tally import summed
from cli.terminal.exits import Exit
from cli.terminal.layout import Hanging, command, one_line
from cli.terminal.names import (
    STATE_NAMES,
    TALLY_KINDS,
    groups_in_words,
    heading_of,
    name_of_command,
    name_of_holder,
    name_of_sender,
    place_of,
    title_of_group,
)
from cli.terminal.texts import JOINT, WHOLE, count, duration, moment, money, printable, rate
from texts.remedies import command_line, setting
from texts.said import Quantity, counted, in_clauses, said

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER: Final = Path(__file__).parents[1] / "show"
NO_TABLES: Final[Mapping[str, RenderableType]] = MappingProxyType({})
_MARK: Final = "¦"
_SIGNS: Final = "[\\¦»=$|"
_HIDDEN: Final = "\ue000\ue001\ue002\ue003\ue004\ue005\ue006"
"""What stands for the signs of a template within a value, until the line is taken apart."""
_HIDE: Final = str.maketrans(_SIGNS, _HIDDEN)
_SHOW: Final = str.maketrans(_HIDDEN, _SIGNS)


def bare_table(*columns: Column | str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))


def _text(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    return Markup("" if value is None else printable(value, WHOLE).translate(_HIDE))  # noqa: S704 - of no page


def environment(folder: Path, text: Callable[[Any], str]) -> "Environment":
    """The templates of a folder; `text` writes a value, as a reader of what they make has it."""
    # Imported here: what is drawn by no template need not wait for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text,
        extensions=["jinja2.ext.do"],
    )


@cache
def _environment() -> "Environment":
    made = environment(_FOLDER, _text)
    made.globals |= {
        **{one.__name__: one for one in (Exit, Quantity, command_line, counted, said, setting)},
        "STATE_NAMES": STATE_NAMES,
        "TALLY_KINDS": TALLY_KINDS,
        "some": lambda one, many, n, **values: counted(one, many, n, **values) if n else None,
    }
    named = (count, duration, heading_of, moment, money, name_of_command, name_of_holder, name_of_sender, rate)
    made.filters |= {
        **{one.__name__: one for one in named},
        "at": datetime.fromisoformat,
        "clauses": in_clauses,
        "enumerated": lambda texts: ", ".join(map(printable, texts)),
        "times": lambda number: f"{count(number)} × ".replace(" ", JOINT),
        "place": place_of,
        "short": printable,
        "number_of_groups": lambda groups: groups_in_words(groups[0].kind, summed(groups).groups),
        "signed": lambda figure, difference: f"+{figure}" if difference > 0 else figure,
        "summed": summed,
        "title_of_group": title_of_group,
        "tuple": tuple,
    }
    return made


def drawn(template: str, tables: Mapping[str, RenderableType] = NO_TABLES, /, **values: object) -> Group:
    parts: list[RenderableType] = []
    figures: dict[int, list[Text]] = {}
    facts: dict[int, tuple[str, Text]] = {}
    for line in _environment().get_template(template).render(values).splitlines():
        head, mark, body = line.partition(_MARK)
        kind, text = (body[:1], body.lstrip("»=$")) if mark else ("", line)
        if kind == "|":
            figures[len(parts)] = [_markup(head), *map(_markup, body[1:].split("|"))]
            parts.append("")
        elif mark and not head and kind not in {"$", "="}:
            parts.append(tables[text.strip()] if text.strip() else Text(""))
        elif text.strip() and (told := _markup(text)).plain.strip():
            if kind == "=":
                facts[len(parts)] = (head, told)
                parts.append("")
            elif kind == "$":
                parts.append(command(told.plain.strip()))
            else:
                before = _markup(head) if mark and head else Text()
                indent = 2 * body.count("»", 0, len(body) - len(text))
                parts.append(Hanging(before, told, indent or None))
    widths = [max(cell.cell_len for cell in column) for column in zip_longest(*figures.values(), fillvalue=Text())]
    for place, (label, *cells) in figures.items():
        label.pad_right(widths[0] - label.cell_len)
        parts[place] = one_line(
            label, *(f"  {cell.plain:>{width}}" for cell, width in zip(cells, widths[1:], strict=False))
        )
    longest = max((len(label) for label, _ in facts.values()), default=0)
    for place, (name, value) in facts.items():
        parts[place] = Hanging(Text(f"{name:<{longest}}  ", "dim"), value)
    return Group(*parts)


def _markup(text: str) -> Text:
    made = Text.from_markup(text, emoji=False) if "[" in text else Text(text)
    made.plain = made.plain.translate(_SHOW)
    return made
