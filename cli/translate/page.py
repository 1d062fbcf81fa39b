"""A text with one-liners in it: a line, a script, or a page of documentation, cut into what is translated apart.

What is neither a command nor a part of one is text, and passed over. A loop, a condition or a function is never cut:
what stands within it would be another call without it.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import START, LinePlace, Told, Unfinished
from cli.translate.shell import NEWLINE, is_open, lex

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


class Snippet(NamedTuple):
    """A part of a text that is read apart, and where it begins.

    `stray` is where a loop or condition ends before it whose beginning is not read.
    """

    text: str
    place: LinePlace = START
    stray: LinePlace | None = None


class _Line(NamedTuple):
    start: int
    end: int
    text: str
    place: LinePlace


def snippets(text: str) -> list[Snippet]:
    """The parts of a text that are commands, in order; the whole text if it is a single line, or one that calls."""
    if NEWLINE not in text.strip() and not _MARKUP.search(text):
        return [Snippet(text)]
    found = [snippet for lines in _blocks(text) for snippet in _of_block(text, lines)]
    return found or ([Snippet(text)] if _CALLS.search(text) else [])


def _blocks(text: str) -> Iterator[list[_Line]]:
    """The lines between marks of a page, without their prompts; a line may be cut by a mark."""
    marks = [(0, 0), *(mark.span() for mark in _MARKUP.finditer(text)), (len(text), len(text))]
    number = 1
    for (_, start), (end, behind) in pairwise(marks):
        column = start - text.rfind(NEWLINE, 0, start)
        lines: list[_Line] = []
        at = start
        for line in text[start:end].split(NEWLINE):
            prompt = len(line) - len(_PROMPT.sub("", line, count=1))
            place = LinePlace(number + len(lines), (1 if lines else column) + prompt)
            lines.append(_Line(at + prompt, at + len(line), line[prompt:], place))
            at += len(line) + 1
        yield lines
        number += text.count(NEWLINE, start, behind)


def _of_block(text: str, lines: Sequence[_Line]) -> Iterator[Snippet]:
    found: list[tuple[_Line, _Line]] = []
    stray: LinePlace | None = None
    at = 0
    while at < len(lines):
        if _starts(lines, at):
            first, at = lines[at], _end(text, lines, at)
            found.append((first, lines[at]))
        elif _CLOSES.match(lines[at].text):
            stray = stray or LinePlace(lines[at].place.line, 1)
        at += 1
    return (Snippet(text[first.start : last.end], first.place, stray) for first, last in found)


def _starts(lines: Sequence[_Line], at: int) -> bool:
    line = lines[at].text
    if line.startswith("#"):
        return False
    if _is_command(line) or at + 1 == len(lines):
        return _is_command(line)
    following = lines[at + 1].text
    return bool(_FOR.match(line) and _DO.match(following)) or bool(_GOES_ON.search(line) and _is_command(following))


def _is_command(line: str) -> bool:
    """Whether a line is one of a shell; a line that is too long for one is refused as such, and not searched."""
    return len(line) > LONGEST or any((_STARTS.match(line), _PIPED.match(line), _WITHIN.search(line)))


def _end(text: str, lines: Sequence[_Line], at: int) -> int:
    """The line with which the command ends that begins with the line `at`."""
    if lines[at].end - lines[at].start > LONGEST:
        return at
    for last in range(at, min(len(lines), at + _MOST_LINES)):
        written = text[lines[at].start : lines[last].end]
        if len(written) > LONGEST:
            break
        goes_on, in_quote = _state(written)
        if not goes_on and not in_quote:
            return last
        ends_block = last + 1 == len(lines)
        if not goes_on and (ends_block or not lines[last + 1].text.strip() or _is_command(lines[last + 1].text)):
            # A quote that is never closed takes no other command in: it is a slip in this one.
            return at
    return len(lines) - 1


def _state(written: str) -> tuple[bool, bool]:
    """Whether something more has to follow, and whether a quote is open."""
    if written.rstrip(" \t").endswith("\\"):
        return True, False
    told = Told()
    try:
        tokens = lex(written, told)
    except Unfinished:
        return True, False
    except CommandRefused:
        words = _OPENS.findall(written)
        closed = sum(word in ("done", "fi", "esac") for word in words)
        return len(words) > 2 * closed, False
    return is_open(tokens), any(one.what.template == findings.QUOTE_NOT_CLOSED.what for one in told.faults)
