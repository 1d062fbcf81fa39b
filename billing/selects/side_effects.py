"""Side effects of a select: all that a read-only transaction does not stop; an operator's SQL has none.

Tried on Firebird 3 and 5. A read-only transaction refuses every change of a row, also within a stored procedure, in
an autonomous transaction and on an external data source. It does not stop a generator, which changes outside of all
transactions, whether the select names it or a view, a computed column, a procedure or a function does; nor what a
procedure executes as text, where nobody sees what it names; nor a library, which can do anything.

So the words of the select are judged (`check_words`), and what it reaches is looked up in the database's own tables
(`check_reached`). What cannot be shown to change nothing is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from billing.database.sql_blocks import Sort, Token, spot, sql_block, tokens_of
from billing.errors import NotASelect
from texts.said import Quantity, said, wording

if TYPE_CHECKING:
    from billing.database.database import Database
    from billing.database.reader import DatabaseRow

_sql: Final = partial(sql_block, "side_effects", folder="billing.selects")

_GENERATOR: Final = 14
"""Firebird's number for a generator in `rdb$dependencies`."""
_PACKAGES: Final = frozenset({18, 19})
"""The numbers of a package, its head and its body."""
_LIBRARIES: Final = frozenset({"ib_udf", "fbudf"})
"""Firebird's own libraries, whose functions only calculate."""
_MOST: Final = 5_000
"""Objects that are followed; a select that reaches more is not read through."""


# ---- the words --------------------------------------------------------------------------------------------------


def check_words(tokens: Sequence[Token], text: str) -> None:
    """Raise `NotASelect`, with line and column, for words that change something in a read-only transaction."""
    for number, token in enumerate(tokens):
        after = tokens[number + 1 :]
        texts, words = [one.text for one in after[:3]], [one.word for one in after[:2]]
        if token.word == "next" and words == ["value", "for"]:
            why = said(
                "'next value for' changes a generator, and a select here must change nothing: gen_id({name}, 0) "
                "reads it",
                name=texts[2] if texts[2:] else "NAME",
            )
        elif token.word == "gen_id" and not _only_looks(after, token.depth):
            why = said(
                "gen_id changes its generator unless its step is 0, and a select here must change nothing: "
                "gen_id({name}, 0) reads it",
                name=texts[1] if texts[1:] else "NAME",
            )
        elif token.word == "with" and words[:1] == ["lock"] and words != ["lock", "as"]:
            why = said("'with lock' locks the rows for others, and a select here must change nothing: leave it out")
        elif token.word == "q" and after and after[0].sort is Sort.TEXT and after[0].start == token.end:
            # Its end is another one than that of a text as all Firebirds know it, so what follows would not be seen.
            why = said("a text is written in single quotes here, a quote in it twice: 'it''s'")
        elif token.name and texts[:1] == ["."] and texts[2:] == ["("]:
            why = said(
                "what {function} changes cannot be seen, since it is of a package: read the tables themselves "
                "instead",
                function=f"{token.text}.{texts[1]}",
            )
        else:
            continue
        raise NotASelect("{place}: {why}", place=spot(text, token.start), why=why)


def _only_looks(after: Sequence[Token], depth: int) -> bool:
    """Whether a call of gen_id with these arguments has the step 0."""
    end = next((place for place, token in enumerate(after) if token.text == ")" and token.depth == depth), 0)
    return [token.text for token in after[max(end - 2, 0) : end]] == [",", "0"]


# ---- what it reaches --------------------------------------------------------------------------------------------


def check_reached(database: "Database", text: str) -> None:
    """Raise `NotASelect` for a select that reaches something that may change the database.

    That is a generator, a library, or a text that is executed. Raises `DatabaseAway`.
    """
    named = frozenset(_objects(tokens_of(text)))
    known, left = set(named), sorted(named)
    through: dict[str, str] = {}
    while left and len(known) < _MOST:
        found = list(_rows(database, "reached", left))
        for owner, part, kind in found:
            if part not in known:
                through.setdefault(part, owner)
            if kind == _GENERATOR:
                raise NotASelect(
                    "{object} may change the generator {generator}, which no read-only transaction stops: read "
                    "the tables themselves instead",
                    object=_way(owner, through),
                    generator=part,
                )
            if kind in _PACKAGES:
                raise NotASelect(
                    "{object} uses the package {package}, and what that changes cannot be seen: read the tables "
                    "themselves instead",
                    object=_way(owner, through),
                    package=part,
                )
        left = sorted({part for _, part, _ in found} - known)
        known |= set(left)
    if left:
        raise NotASelect(
            "the select reaches more than {most} objects, and what that changes cannot be seen: read the tables "
            "themselves instead",
            most=Quantity(_MOST),
        )
    _check_routines(database, sorted(known), through)


def _check_routines(database: "Database", names: Sequence[str], through: Mapping[str, str]) -> None:
    libraries: dict[str, str | None] = dict(_rows(database, "library_functions", names))
    for name, module in libraries.items():
        if module is not None and module.casefold() not in _LIBRARIES:
            raise NotASelect(
                "{object} is a function of the library {library}, and what that changes cannot be seen: read the "
                "tables themselves instead",
                object=_way(name, through),
                library=module,
            )
    stored = [name for name, module in libraries.items() if module is None]
    for name, source in [*_rows(database, "procedures", names), *_rows(database, "stored_functions", stored)]:
        if source is None:
            template = wording(
                "{object} has no text in the database, and what that changes cannot be seen: read the tables "
                "themselves instead"
            )
        elif _executes_text(str(source)):
            template = wording(
                "{object} executes a text as a statement, and what that changes cannot be seen: read the tables "
                "themselves instead"
            )
        else:
            continue
        raise NotASelect(template, object=_way(name, through))


def _rows(database: "Database", name: str, names: Sequence[str]) -> Iterator["DatabaseRow"]:
    from billing.database.database import chunks  # noqa: PLC0415 - it loads Firebird

    for chunk in chunks(names):
        yield from database.query(_sql(name), {"names": chunk})


def _objects(tokens: Sequence[Token]) -> Iterator[str]:
    """The names of tables, views, procedures, functions and domains in a select, and perhaps a few more."""
    for number, token in enumerate(tokens):
        before = tokens[number - 1] if number else None
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        is_source = before is not None and (before.word in {"from", "join"} or before.text in {",", "("})
        # `cast(VALUE as DOMAIN)`: an alias is at the end of no bracket.
        is_domain = before is not None and before.word == "as" and after is not None and after.text == ")"
        if token.name and (is_source or is_domain or (after is not None and after.text == "(")):
            yield token.name


def _executes_text(source: str) -> bool:
    try:
        words = [token.word for token in tokens_of(source)]
    except NotASelect:
        return True
    return "post_event" in words or ("execute", "statement") in pairwise(words)


def _way(name: str, through: Mapping[str, str]) -> str:
    """An object, and the way to it from the select: "GET_NEXT, which V_ABONENTS uses,"."""
    way = [name]
    while way[-1] in through and through[way[-1]] not in way:
        way.append(through[way[-1]])
    return way[0] if len(way) == 1 else said("{object}, which {user} uses,", object=way[0], user=way[-1])
