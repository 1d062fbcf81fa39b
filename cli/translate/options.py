"""The options of the programs of a line: a table for each, by what an option means, and one reader for all."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from cli.translate.findings import Refusal, Told
from cli.translate.shell import Command, Letter, Quote, Text
from texts.said import Said, said, wording

LEFT_OUT: Final = wording("{option} is left out: {why}")
_NOT_READ: Final = wording("{program}'s {option} is not translated")
_NO_VALUE: Final = wording("{program}'s {option} has no value")


class Option(NamedTuple):
    """An option by its long name; a sentence as its meaning says why it is left out, "" passes over it."""

    name: str
    means: str
    takes: str


OptionTable = Mapping[str, Option]


def _table(*rows: tuple[str, str]) -> OptionTable:
    """A table of rows: a meaning, and its options; `=` marks one with a value, `?` one whose value is attached."""
    found: dict[str, Option] = {}
    for means, options in rows:
        for option in options.split():
            names = option.rstrip("=?").split("/")
            for name in names:
                found[name] = Option(names[-1], means, option[len("/".join(names)) :])
    return found


_CREDENTIALS: Final = said("credentials belong into the settings")
_TIMEOUT: Final = said("--timeout says how long an answer may take")
_TRIED_AGAIN: Final = said("what was provably not done is tried again by itself")
_CERTIFICATE: Final = said("the certificate of an https address is checked")
_DIRECTLY: Final = said("the address of the settings is called directly")
_RATE: Final = said("--rate paces the run")
_IN_FLIGHT: Final = said("--in-flight says how many calls go at a time")
SHOWN: Final = said("the run shows its progress and keeps each row")

CURL: Final = _table(
    ("data", "-d/--data= --data-ascii= --data-binary="),
    ("raw", "--data-raw="),
    ("encoded", "--data-urlencode="),
    ("method", "-X/--request="),
    ("header", "-H/--header="),
    ("url", "--url="),
    ("get", "-G/--get"),
    (_CREDENTIALS, "-u/--user= -b/--cookie="),
    (_TIMEOUT, "-m/--max-time= --connect-timeout="),
    (_TRIED_AGAIN, "--retry= --retry-delay="),
    (_DIRECTLY, "-x/--proxy="),
    (_CERTIFICATE, "-k/--insecure"),
    (said("a call that is sent elsewhere is not followed: it might be done twice"), "-L/--location"),
    ("", "-D/--dump-header= -o/--output= -w/--write-out= -A/--user-agent= -e/--referer="),
    ("", "-s/--silent -S/--show-error -i/--include -v/--verbose -f/--fail --fail-with-body -g/--globoff"),
    ("", "-N/--no-buffer -4/--ipv4 -6/--ipv6 --compressed --no-progress-meter --progress-bar"),
)
WGET: Final = _table(
    ("raw", "--post-data= --body-data="),
    ("method", "--method="),
    ("header", "--header="),
    (_CREDENTIALS, "--user= --password= --http-user= --http-password="),
    (_TIMEOUT, "-T/--timeout= --read-timeout= --connect-timeout="),
    (_TRIED_AGAIN, "-t/--tries= --waitretry="),
    (_RATE, "-w/--wait="),
    (_DIRECTLY, "--no-proxy"),
    (_CERTIFICATE, "--no-check-certificate"),
    ("", "-O/--output-document= -o/--output-file= -a/--append-output= -U/--user-agent= --referer="),
    ("", "-q/--quiet -v/--verbose -nv/--no-verbose -S/--server-response -4/--inet4-only -6/--inet6-only"),
    ("", "--content-on-error --no-cache"),
)
XARGS: Final = _table(
    ("mark", "-I= -i? --replace?"),
    ("several", "-n/--max-args= -L="),
    ("file", "-a/--arg-file="),
    ("delimiter", "-d/--delimiter="),
    (_IN_FLIGHT, "-P= --max-procs="),
    ("", "-t --verbose -r --no-run-if-empty -x"),
)
PARALLEL: Final = _table(
    ("several", "-n= -N= --max-args= -L="),
    ("file", "-a/--arg-file="),
    ("cells", "-C/--colsep="),
    ("quoted", "-q/--quote"),
    (_IN_FLIGHT, "-j= -P= --jobs= --max-procs="),
    (_RATE, "--delay="),
    (_TRIED_AGAIN, "--retries="),
    (_TIMEOUT, "--timeout="),
    (said("--stop-after-errors says when the run stops"), "--halt="),
    (SHOWN, "--joblog= --bar --eta --progress"),
    ("", "-k --keep-order -u --ungroup --lb --line-buffer --will-cite --tag -r"),
)
AWK: Final = _table(("delimiter", "-F/--field-separator="))
ISQL: Final = _table(("", "-u= -user= -p= -pass= -password= -ch= -charset= -r= -role= -q -quiet -b -bail -nod -now"))


def options_of(
    command: Command, table: OptionTable, told: Told, *, joins: bool = True, stops: bool = False
) -> tuple[list[tuple[Option, Text]], list[Text]]:
    """The options of a command that mean something, each with its value, and its other words.

    An option without a value has itself as one. With `joins` a long option and its value may be one word, with =
    between them; with `stops` the first other word ends the options. Raises `CommandRefused` for an unknown option.
    """
    found: list[tuple[Option, Text]] = []
    rest: list[Text] = []
    words = iter(command.words[1:])
    for word in words:
        if not word.plain.startswith("-") or word.plain == "-":
            rest += [word, *words] if stops else [word]
            continue
        for name, attached in _names(word, table):
            option = table.get(name)
            is_joined = attached is not None and name.startswith("--")
            if option is None or (attached and not option.takes) or (is_joined and not joins):
                raise Refusal(_NOT_READ, word, program=command.program, option=name)
            value = attached or word
            if option.takes == "=" and attached is None and (value := next(words, word)) is word:
                raise Refusal(_NO_VALUE, word, program=command.program, option=option.name)
            if option.takes == "?" and attached is None:
                value = word.having(Letter(char, word.place, Quote.SINGLE) for char in "{}")
            if isinstance(option.means, Said):
                its = said("{program}'s {option}", program=command.program, option=option.name)
                told.notes.append(said(LEFT_OUT, option=its if stops else option.name, why=option.means))
            elif option.means:
                found.append((option, value))
    return found, rest


def _names(word: Text, table: OptionTable) -> Iterator[tuple[str, Text | None]]:
    """The names of the options in one word, as `-sS`; the last may have its value attached, as in `-XPOST`."""
    text = word.plain
    name, equals, _ = text.partition("=")
    if text in table or text.startswith("--"):
        yield name, word[len(name) + 1 :] if equals else None
        return
    for at in range(1, len(text)):
        name = f"-{text[at]}"
        if name in table and table[name].takes and at + 1 < len(text):
            yield name, word[at + 1 :]
            return
        yield name, None
