"""A text with one-liners in it: a line, a script, or a page of documentation, cut into what is translated apart.

What is neither a command nor a part of one is text, and passed over. A loop, a condition or a function is never cut:
what stands within it would be another call without it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import Finding, FindingKind, LinePlace, Unfinished
from cli.translate.grammar import depth_of, goes_on
from cli.translate.shell import lex
from cli.translate.words import NEWLINE

LONGEST: Final = 20_000
"""Characters of a one-liner; the vendor's longest has about 600."""
_MOST_LINES: Final = 100
"""Lines after which nothing is expected to end what begins here."""

_MARKUP: Final = re.compile(
    r"\{(?:code|noformat|panel|note|quote|tip|info|warning)(?::[^}\n]*)?\}|^[ \t]*```[^\n]*$|</?(?:pre|code)>",
    re.MULTILINE,
)
_PROMPT: Final = re.compile(r"[ \t]*(?:\$[ \t]+)?")
_STARTS: Final = re.compile(
    r"""(?:/\S+/)?(?:
        (?:curl|wget)[ ]+(?:[-'"$\\]|https?:|\S+/rest_api)
      | sqlexec[ ]+["'$-]
      | (?:curl|wget|sqlexec|xargs|parallel)[ ]*\\$
      | (?:parallel|xargs)[ ].*\b(?:curl|wget|sh)\b
      | while[ ]+(?:IFS=|read\b|\[|true\b|:|\()
      | until[ ]+(?:\[|test\b|!|curl\b)
      | for[ ]+\w+[ ]+in[ ].*;[ ]*do\b
      | for[ ]*\(\(
      | if[ ]+(?:\[|!|test\b|grep\b|curl\b|wget\b|\()
      | case[ ]+["'$]\S*[ ]+in\b
      | [A-Za-z_][\w-]*[ ]*\(\)
      | function[ ]+[A-Za-z_]
      | (?:export[ ]+)?[A-Za-z_]\w*=(?:"[^"]*"|\$?'[^']*'|[^\s;&|<>"'()])*(?:\$\(.*\))?[ ]*(?:;|\#|$)
      | [({][ ]*$
    )""",
    re.VERBOSE,
)
_FOR: Final = re.compile(r"for[ ]+\w+[ ]+in[ ]")
_DO: Final = re.compile(r"[ \t]*do\b")
_WITHIN: Final = re.compile(r"\|[ ]*(?:while|xargs|parallel)\b|\b(?:curl|wget)[ ]+.*(?:/rest_api/v2/|\bmethod1=)")
"""What makes a line a command, whatever it begins with."""
_PIPED: Final = re.compile(r"(?:cat|tail|head|sed|grep|awk|cut|sort|seq|echo|printf|tr|uniq)[ ].*(?:\||\\$)")
_CALLS: Final = re.compile(r"\b(?:curl|wget|sqlexec)\b")
_CLOSES: Final = re.compile(r"[ \t]*(?:done|fi|esac|\})(?![\w=])")
_OPENS: Final = re.compile(r"(?:^|[;&|\n]|\bdo\b|\bthen\b|\belse\b)[ \t]*(while|until|for|if|case|done|fi|esac)\b")
_GOES_ON: Final = re.compile(r"(?:\\|\||&&)[ \t]*$")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text that is read apart: its characters stand where they stand in the whole text.

    `stray` is where a loop or condition ends in it whose beginning is no part of it.
    """

    text: str
    stray: LinePlace | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str
    number: int


def snippets(text: str) -> list[Snippet]:
    """The parts of a text that are commands, in order; the whole text if it is a single line, or one that calls."""
    if NEWLINE not in text.strip() and not _MARKUP.search(text):
        return [Snippet(text)]
    found = [snippet for lines in _blocks(text) for snippet in _of_block(text, lines)]
    return found or ([Snippet(text)] if _CALLS.search(text) else [])


def _blocks(text: str) -> Iterator[list[_Line]]:
    """The lines between marks of a page; a line may be cut by one."""
    start, number = 0, 1
    for mark in (*_MARKUP.finditer(text), None):
        end = mark.start() if mark else len(text)
        yield list(_lines(text, start, end, number))
        if mark:
            number += text.count(NEWLINE, start, mark.end())
            start = mark.end()


def _lines(text: str, start: int, end: int, number: int) -> Iterator[_Line]:
    for line in text[start:end].split(NEWLINE):
        prompt = _PROMPT.match(line)
        begins = start + (prompt.end() if prompt else 0)
        yield _Line(begins, start + len(line), text[begins : start + len(line)], number)
        start += len(line) + 1
        number += 1


def _of_block(text: str, lines: Sequence[_Line]) -> list[Snippet]:
    spans: list[tuple[_Line, _Line]] = []
    stray: _Line | None = None
    at = 0
    while at < len(lines):
        if not _starts(lines, at):
            if _CLOSES.match(lines[at].text):
                stray = stray or lines[at]
            at += 1
            continue
        last = _end(text, lines, at)
        spans.append((lines[at], lines[last]))
        at = last + 1
    place = LinePlace(stray.number, 1) if stray else None
    return [Snippet(_alone(text, first, last), place) for first, last in spans]


def _alone(text: str, first: _Line, last: _Line) -> str:
    """The characters of some lines, with nothing but line ends and spaces before them."""
    line_start = text.rfind(NEWLINE, 0, first.start) + 1
    return NEWLINE * (first.number - 1) + " " * (first.start - line_start) + text[first.start : last.end]


def _starts(lines: Sequence[_Line], at: int) -> bool:
    """Whether a command begins with a line."""
    line = lines[at].text
    if line.startswith("#"):
        return False
    if _is_command(line) or at + 1 == len(lines):
        return _is_command(line)
    following = lines[at + 1].text
    return bool(_FOR.match(line) and _DO.match(following)) or bool(_GOES_ON.search(line) and _is_command(following))


def _is_command(line: str) -> bool:
    """Whether a line is one of a shell; a line that is too long for one is refused as such, and not searched."""
    if len(line) > LONGEST:
        return True
    return any(found is not None for found in (_STARTS.match(line), _PIPED.match(line), _WITHIN.search(line)))


# ---- where a command ends ----------------------------------------------------------------------------------------


def _end(text: str, lines: Sequence[_Line], at: int) -> int:
    """The line with which the command ends that begins with the line `at`."""
    is_quote = False
    if lines[at].end - lines[at].start > LONGEST:
        return at
    for last in range(at, min(len(lines), at + _MOST_LINES)):
        written = text[lines[at].start : lines[last].end]
        if len(written) > LONGEST:
            break
        is_open, is_quote = _state(written)
        if not is_open and not is_quote:
            return last
        ends_block = last + 1 == len(lines)
        if not is_open and (ends_block or not lines[last + 1].text.strip() or _is_command(lines[last + 1].text)):
            # A quote that is never closed takes no other command in: it is a slip in this one.
            return at
    return len(lines) - 1


def _state(written: str) -> tuple[bool, bool]:
    """Whether something more has to follow, and whether a quote is open."""
    if written.rstrip(" \t").endswith("\\"):
        return True, False
    try:
        tokens, faults = lex(written)
    except Unfinished:
        return True, False
    except CommandRefused:
        words = _OPENS.findall(written)
        closed = sum(word in ("done", "fi", "esac") for word in words)
        return len(words) > 2 * closed, False
    return depth_of(tokens) > 0 or goes_on(tokens), any(map(_is_open, faults))


def _is_open(fault: Finding) -> bool:
    if fault.kind is not FindingKind.UNBALANCED_QUOTE:
        return False
    return any(fault == findings.QUOTE_NOT_CLOSED.at(fault.place, quote=quote) for quote in "'\"")
