"""Every secret of the settings is a canary here: no error path shows one in any spelling, and nothing keeps one.

The commands run in this process, against a server that gives all that it was sent back, in the spellings of crash
pages, and against libraries that raise what they were given.
"""

import base64
import gzip
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest

from billing.api.client import BillingClient
from tests.cli.conftest import Ended, Typed

GIVEN = ("form", "token", "basic", "database")
"""What stands in the settings in all cases; an address with a password is refused, a row has its own secret."""
NAMES = (*GIVEN, "url", "row")
SECRETS = {name: f"Canary/{name} клетка&+" for name in NAMES}
ALONE = "клетка日本"
"""What no charset of the billing has letters for."""
TOML = """\
[api]
url = "{url}"
form = {{ hash_key = "{form}" }}
[api.headers]
X-Token = "{token}"
Authorization = "Basic {basic}"
"""
VERSION = b'{"result": {"version": "5.1", "time": "2026-11-26 03:00:00"}}'
CALL = ("call", "--model", "Users", "--chain", 'objects.get {"id": {id}}')
SENDING = ("--yes", "--json", "--verbose", "--no-canary", "--settle", "0")
RUNS: Sequence[Sequence[str]] = (
    ("run", *CALL, "--chain", "x.y", "--set", "id=5", *SENDING, "--record", "calls.gz"),
    ("run", *CALL, "--chain", 'set_password {"psw": "{word}"}', "rows.csv", *SENDING, "--record", "rows.gz"),
)
LOOKS: Sequence[Sequence[str]] = (
    ("doctor",),
    ("doctor", "--json"),
    ("plan", *CALL, "--chain", "x.y", "--set", "id=5", "--json"),
)
MINE = {"carbon-migrate.toml", "rows.csv"}
"""Where the secrets come from."""


@cache
def fragments(secret: str) -> Sequence[bytes]:
    """What is to be found nowhere: the parts of a secret, in the spellings of others."""
    head, tail = secret.partition(" ")[0], "клетка"
    # As it is, and in the name of a file.
    spelled = [head.encode(), head.casefold().replace("/", "_").encode(), tail.encode("unicode_escape")]
    for charset in ("utf-8", "cp1251"):
        raw = tail.encode(charset)
        quoted = quote_from_bytes(raw)
        spelled += [raw, repr(raw)[2:-1].encode(), quoted.encode(), quoted.lower().encode()]
        # Whatever stands before it, one of these stands within its base64.
        spelled += [base64.b64encode(b"." * before + secret.encode(charset))[4:-4] for before in range(3)]
    return spelled


def leaks(data: bytes) -> list[bytes]:
    return [each for secret in SECRETS.values() for each in fragments(secret) if each in data]


@dataclass(slots=True)
class Mirror:
    """A server that answers the version; any other call, or each from the start, as `answer` says."""

    url: str = ""
    answer: Callable[[str], bytes] = lambda _: b""
    always: bool = False
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    made = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.requests.append(self.path)
            if self.path.endswith("/Version/") and not made.always:
                self.wfile.write(page(VERSION, "application/json"))
            else:
                shown = "".join(f"{name}: {value}\n" for name, value in self.headers.items())
                # aiohttp writes UTF-8, and this server reads Latin-1.
                self.wfile.write(made.answer(shown.encode("latin-1").decode() + body.decode()))
            self.close_connection = True

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        server.shutdown()


def page(body: bytes, kind: str = "text/html", status: str = "200 OK", more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
    )
    return head.encode() + body


def all_spellings(seen: str) -> str:
    """The request as it came, and each secret as somebody may write it who has decoded it."""
    parts = [seen, repr(seen)]
    for secret in (SECRETS[name] for name in (*GIVEN, *(["row"] if SECRETS["row"][:10] in seen else []))):
        parts += [secret, secret.encode("unicode_escape").decode(), quote(secret), repr(secret.encode("cp1251"))]
        parts += [
            base64.b64encode(f"{name}:{secret}".encode(charset)).decode()
            for name in ("u", "us")
            for charset in ("utf-8", "cp1251")
        ]
    return "\n".join(parts)


ANSWERS: Mapping[str, Callable[[str], bytes]] = {
    "a page of no rights": lambda seen: page(seen.encode(), status="401 No"),
    "a crash page": lambda seen: page(f"<pre>{all_spellings(seen)}</pre>".encode(), status="500 No"),
    "a crash page in CP1251": lambda seen: page(
        all_spellings(seen).encode("cp1251"), "text/html; charset=windows-1251", "500 No"
    ),
    "bytes of CP1251 that are called UTF-8": lambda seen: page(
        all_spellings(seen).encode("cp1251"), "text/html; charset=utf-8", "400 No"
    ),
    "no JSON": lambda seen: page(all_spellings(seen).encode(), "application/json"),
    "an error of the billing": lambda seen: page(
        b'{"error": "%s"}' % seen.replace("\n", " ").replace('"', "'").encode(), "application/json"
    ),
    "somewhere else": lambda seen: page(b"", status="302 No", more=f"Location: /?{seen.splitlines()[-1]}\r\n"),
    "a result that is none": lambda seen: page(
        b'{"result": "%s"}' % seen.replace("\n", " ").replace('"', "'").encode(), "application/json"
    ),
    "no HTTP": lambda seen: all_spellings(seen).encode(),
    "a header that is none": lambda seen: f"HTTP/1.1 200 OK\r\n{seen.splitlines()[-1]}\r\n\r\n".encode(),
    "half an answer": lambda seen: (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99999\r\n\r\n" + seen.encode()
    ),
    "nothing": lambda _: b"",
}


@dataclass(frozen=True, slots=True)
class Cage:
    """Types commands with all canaries in the settings, and looks wherever one could have flown."""

    folder: Path
    typed: Typed
    environment: pytest.MonkeyPatch

    def settings(self, url: str, **other: str) -> None:
        basic = base64.b64encode(f"user:{SECRETS['basic']}".encode()).decode()
        text = TOML.format(**(SECRETS | {"url": url, "basic": basic} | other))
        (self.folder / "carbon-migrate.toml").write_text(text, encoding="utf-8")
        (self.folder / "carbon-migrate.toml").chmod(0o600)
        (self.folder / "rows.csv").write_text(f"id;word\n5;{SECRETS['row']}\n", encoding="utf-8")

    def __call__(self, *arguments: str) -> Ended:
        ended = self.typed(*arguments)
        said = (ended.out + ended.err).encode("utf-8", "surrogateescape")
        assert leaks(said) == [], f"{arguments}\n{ended.out}\n{ended.err}"
        assert {str(path): found for path in self.files() if (found := leaks(contents(path)))} == {}, arguments
        return ended

    def files(self) -> Iterator[Path]:
        """All files that are kept, but for the vault, in which a row's secret waits for its call."""
        for path in self.folder.rglob("*"):
            assert leaks(str(path).encode()) == []
            if path.is_file() and path.name not in MINE and not path.name.endswith("-secrets"):
                yield path


def contents(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


@pytest.fixture
def cage(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cage:
    cage = Cage(tmp_path, typed, monkeypatch)
    cage.settings("http://127.0.0.1:1")
    return cage


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_a_server_gives_back(answer: str, cage: Cage, mirror: Mirror) -> None:
    cage.settings(mirror.url)
    cage.environment.setenv("CARBON_MIGRATE_DATABASE_PASSWORD", SECRETS["database"])
    mirror.answer = ANSWERS[answer]
    for arguments in RUNS:
        assert cage(*arguments).exit in {0, 1, 3, 4}
    assert any("Users" in path for path in mirror.requests)
    cage("status")
    mirror.always = True
    for arguments in (*LOOKS, ("resume", "--json"), ("mock", "diff", "calls.gz")):
        cage(*arguments)


SETTINGS: Mapping[str, Mapping[str, str]] = {
    "an address with a password": {"url": f"http://user:{SECRETS['url']}@127.0.0.1:1"},
    "an address that cannot be read": {"url": f"http://user:{SECRETS['url']}@127.0.0.1:99999"},
    "an address that is none": {"url": f"user:{SECRETS['url']}@127.0.0.1"},
    "a header with a line break": {"token": f"{SECRETS['token']}\\r\\nX: y"},
    "a form field that is the billing's own": {"form": f'x", arg1 = "{SECRETS["form"]}'},
    "text that is no TOML": {"form": f'x" }} {SECRETS["form"]} "'},
    "a key that is none": {"basic": f'x"\n[database]\npasword = "{SECRETS["database"]}'},
    "a list in place of a text": {"basic": f'x"\n[database]\npassword = ["{SECRETS["database"]}"]\nuser = "x'},
    "an address of a database with a password": {
        "basic": f'x"\n[database]\naddress = "sysdba:{SECRETS["url"].split()[0]}@127.0.0.1/1:/x'
    },
    "nobody there": {},
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_cannot_be_used(case: str, cage: Cage) -> None:
    cage.settings(**{"url": "http://127.0.0.1:1", **SETTINGS[case]})
    # The billing's own journal then has a name that is made of the address.
    cage.environment.delenv("CARBON_MIGRATE_JOURNAL")
    for arguments in (*LOOKS, RUNS[0], ("status",), ("mock", "diff", "rows.csv")):
        assert cage(*arguments).exit in {0, 2, 3}, arguments
    assert cage("doctor").exit == 2


@pytest.mark.parametrize(
    ("password", "database", "charset"),
    [
        (SECRETS["database"], "127.0.0.1/1:/x.fdb", "UTF8"),
        (SECRETS["database"], "nowhere.fdb", "UTF8"),
        (SECRETS["database"], "rows.csv", "WIN1251"),
        (ALONE, "127.0.0.1/1:/x.fdb", "WIN1251"),
        (ALONE, "rows.csv", "WIN1251"),
        (ALONE, "rows.csv", "ASCII"),
        (SECRETS["database"].encode("cp1251").decode("utf-8", "surrogateescape"), "127.0.0.1/1:/x.fdb", "UTF8"),
        (SECRETS["database"].encode("cp1251").decode("utf-8", "surrogateescape"), "rows.csv", "UTF8"),
    ],
)
def test_a_database_that_cannot_be_opened(
    password: str, database: str, charset: str, cage: Cage, mirror: Mirror
) -> None:
    cage.settings(mirror.url)
    for name, value in (("", database), ("_PASSWORD", password), ("_CHARSET", charset)):
        cage.environment.setenv(f"CARBON_MIGRATE_DATABASE{name}", value)
    assert cage("doctor").exit == 2
    assert cage(*RUNS[0]).exit in {2, 3}


@pytest.mark.parametrize("kind", [RuntimeError, OSError, ValueError, LookupError])
def test_what_a_library_raises_or_logs(
    kind: type[Exception], cage: Cage, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    cage.settings(mirror.url)
    given = [SECRETS[name] for name in GIVEN]

    async def broken(*_: Any, **__: Any) -> Any:
        logging.getLogger("a.library").warning("it failed with %r", given, exc_info=kind(all_spellings("")))
        raise kind(all_spellings("")) from KeyError(*given)

    cage.environment.setenv("CARBON_MIGRATE_DATABASE_PASSWORD", SECRETS["database"])
    monkeypatch.setattr(BillingClient, "health", broken)
    for arguments in (*LOOKS[:2], *RUNS, LOOKS[2], ("mock", "diff", "rows.csv")):
        assert cage(*arguments).exit in {2, 70}, arguments
    reports = list((cage.folder / "state" / "carbon-migrate").glob("fault-*"))
    assert reports
    assert [text for report in reports if "•••" not in (text := report.read_text(encoding="utf-8"))] == []


def test_nothing_of_an_environment_is_a_command_line(cage: Cage) -> None:
    """What others see in the list of processes: the flags, so no secret may be one."""
    for arguments in (
        ("status", "--database-password", SECRETS["database"]),
        ("doctor", "--api-url", f"http://user:{SECRETS['url']}@127.0.0.1:1"),
        ("run", "password", "--set", "user_id=5", "--set", f"psw={SECRETS['row']}"),
    ):
        assert cage(*arguments).exit == 2
    assert os.environ.get("CARBON_MIGRATE_DATABASE_PASSWORD") is None
