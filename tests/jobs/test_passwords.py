"""Secrets on their way, and passwords: given, made up by the billing, asked for by letter, and kept in a file."""

import base64
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from billing.api.calls import Call, ChainStep
from billing.api.client import BillingClient, ClientSettings
from billing.database.database import Database
from billing.secret import Secret
from checkpoints.journal import SealedSecret
from checkpoints.records import Item, NewItem
from engine.evidence import Accepted, Busy, Evidence, Lost, RowRefused, Seen, SystemRefused
from engine.job import Absent, CannotLook
from jobs.access.gateway import Gateway
from jobs.access.payload import Payload, encode_payload, payload_of
from jobs.access.vault import KEY_BYTES, NoVaultKey, Vault, VaultKeys, is_token, mask_secrets, unseal
from jobs.catalogue.built_in import PASSWORDS
from jobs.catalogue.catalogue import JOBS
from jobs.effects.factory import finish_of
from jobs.effects.set_password import LETTER_UNREADABLE, UNREADABLE, PasswordFile
from jobs.spec.errors import ParameterRefused, PasswordsUnwritten, SecretAltered, SecretGone, VaultFailed, VaultLocked
from jobs.spec.spec import parameters_of
from lab.mock.faults import Fault, FaultKind, FaultPlan
from lab.mock.server import MockBilling
from lab.record.recording import Recording, open_recorder
from tests.billing.api.scripted_server import answer, scripted
from tests.checkpoints.samples import sending_item
from tests.jobs.conftest import Execute
from tests.jobs.making import RUN, effect_of, job_of, planned, prepared, rows_of
from tests.jobs.whole_database import changes, whole

WORD = "Sekret-7"
HASHED = "select psw, psw_hash from users where id = 90001"


@pytest.fixture
def accounts(execute: Execute) -> None:
    for user, abonent, deleted in [(90001, 9001, 0), (90002, 9002, 0), (90003, 9002, 1)]:
        execute.put("users", id=user, abonent_id=abonent, login=f"u{user}", psw="alt", psw_hash="x", deleted=deleted)


@pytest.fixture
def sealed(gateway: Gateway, tmp_path: Path, accounts: None) -> Gateway:  # noqa: ARG001
    return Gateway(gateway.client, gateway.database, vault=Vault(tmp_path / "secrets"))


@pytest.mark.parametrize(("dontshow", "shown"), [("no", WORD), ("yes", None)])
async def test_a_password_is_set_and_is_shown_as_wanted(
    sealed: Gateway, database: Database, dontshow: str, shown: str | None
) -> None:
    rows = rows_of(f"login;psw\nu90001;{WORD}\n")
    job = job_of(sealed, "password", rows, dontshow=dontshow)
    (item,) = await planned(job)
    before = whole(database)
    assert (item.key, item.label, item.lane, item.row) == ("90001", "u90001", "account:9001", ("u90001", "•••"))
    assert is_token(str(payload_of(item).steps[1].arguments["psw"]))
    shown_call = f"Users: objects.get(id=90001) → set_password(psw=•••, dontshow={str(dontshow == 'yes').lower()})"
    assert job.effect.describe("k7m2q", item) == shown_call
    # Twice: it can be repeated.
    assert [await job.effect.send(RUN, item) for _ in range(2)] == [Accepted(), Accepted()]
    assert WORD not in repr(item)
    assert changes(before, whole(database)).keys() == {"USERS"}
    ((psw, hashed),) = database.query(HASHED)
    assert psw == shown
    assert len(hashed) == 64
    assert job.effect.repeatable


async def test_accounts_that_are_not_there_are_refused(sealed: Gateway) -> None:
    text = f"user_id;psw\n90003;{WORD}\n77777777;{WORD}\n90002;{WORD}\n"
    done = await prepared(job_of(sealed, "password", rows_of(text)))
    assert [item.key for item in done.items] == ["90002"]
    assert [(one.line, one.reason, one.row) for one in done.refusals] == [
        (2, "account 90003 (u90003) is deleted", ("90003", "•••")),
        (3, "there is no account 77777777", ("77777777", "•••")),
    ]


async def test_it_cannot_be_read_back_nor_taken_back_and_says_so(sealed: Gateway, tmp_path: Path) -> None:
    for kind, text, more in [
        (JOBS["password"], f"user_id;psw\n90001;{WORD}\n", {}),
        (JOBS["random-password"], "user_id\n90001\n", {"to": str(tmp_path / "out.csv")}),
    ]:
        job = job_of(sealed, kind, rows_of(text), **more)
        (item,) = await planned(job)
        assert await job.effect.look_up(RUN, [item]) == {item.item_id: Absent()}
        assert await job.effect.read_back(RUN, [item]) == {item.item_id: CannotLook(UNREADABLE)}
        back = job.effect.undo({})
        assert isinstance(back, str)
        assert "what the passwords were is kept nowhere" in back


async def test_a_password_is_made_up_and_goes_into_the_file_alone(
    mock_billing: MockBilling, sealed: Gateway, database: Database, tmp_path: Path
) -> None:
    out, recording = tmp_path / "out.csv", tmp_path / "recording.gz"
    settings = ClientSettings(mock_billing.url)
    async with open_recorder(recording, settings) as recorder, BillingClient(settings, listener=recorder) as client:
        job = job_of(
            Gateway(client, sealed.database), JOBS["random-password"], rows_of("login\nu90001\nu90002\n"), to=str(out)
        )
        items = await planned(job)
        assert not out.exists()
        assert [await job.effect.send(RUN, item) for item in items] == [Accepted(), Accepted()]
    ((one, hashed),) = database.query(HASHED)
    ((two,),) = database.query("select psw from users where id = 90002")
    assert len({"alt", one, two}) == 3
    assert len(hashed) == 64
    assert out.read_text("utf-8-sig").splitlines() == [
        "user_id;login;password;run k7m2q",
        f"90001;u90001;{one}",
        f"90002;u90002;{two}",
    ]
    with Recording(recording) as exchanges:
        kept = repr(list(exchanges))
    assert kept.count('"psw":"•••"') == 2
    assert one not in kept
    assert two not in kept
    assert job.effect.describe("k7m2q", items[0]) == (
        'Users: objects.get(id=90001) → set(psw="") → save() | id; '
        "Users: objects.get(id=90001) → save() | id, login, psw"
    )


@pytest.mark.usefixtures("accounts")
async def test_an_answer_that_is_lost_costs_another_password(
    mock_billing: MockBilling, client: BillingClient, database: Database, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    job = job_of(Gateway(client, database), "random-password", rows_of("user_id\n90001\n"), to=str(out))
    (item,) = await planned(job)
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.RESET_AFTER, times=1),)))
    assert isinstance(await job.effect.send(RUN, item), Lost)
    ((cleared,),) = database.query("select psw from users where id = 90001")
    assert cleared is None
    assert await job.effect.send(RUN, item) == Accepted()
    assert await job.effect.send(RUN, item) == Accepted()
    ((last,),) = database.query("select psw from users where id = 90001")
    assert out.read_text("utf-8-sig").count("90001;u90001;") == 2
    finish = finish_of(JOBS["random-password"])
    assert finish is not None
    told, missing = finish(replace(RUN, parameters={"to": str(out)}), [item])
    assert (told, missing) == (f"1 password is in {out}", "")
    assert out.read_text("utf-8-sig").splitlines()[1:] == [f"90001;u90001;{last}"]


def account(**fields: object) -> object:
    return {"pk": 5, "model": "Users", "fields": {"id": 5, **fields}}


def refusal(text: str) -> web.Response:
    return web.json_response({"call": "x", "error": text})


CLEARED = "the password is cleared, and no new one is known: "
HALF = "HTTP 200, but not the billing's JSON; what it says is not shown, for a secret may be in it"
ANOTHER = Lost("the password is cleared, and there is an answer that is not about account 5")
NONE_SHOWN = RowRefused(
    "its password is cleared, and the billing has generated none that it shows: set one with the job `password`"
)
NO_LINE = RowRefused("the billing has generated a password that no line can hold: set one with `password`")


@pytest.mark.parametrize(
    ("made", "evidence"),
    [
        (answer(account(login="ivanov", psw="neu-1")), Accepted()),
        (web.Response(text='{"result": {"fields": {"psw": "neu-1'), Lost(f"{CLEARED}{HALF}")),
        (web.Response(status=502, text='psw="neu-1" !'), Lost(f'{CLEARED}HTTP 502 Bad Gateway: psw=•••" !')),
        (refusal("Объект уже удалён, psw: neu-1"), RowRefused(f"{CLEARED}Объект уже удалён, psw: •••")),
        (refusal("Превышена лицензия"), SystemRefused(f"{CLEARED}Превышена лицензия")),
        (refusal("Слишком частые запросы"), Busy(f"{CLEARED}Слишком частые запросы", halfway=True)),
        (answer({"pk": 6, "fields": {"id": 6, "psw": "neu-1"}}), ANOTHER),
        (answer(["neu-1"]), ANOTHER),
        (answer(account(login="ivanov", psw=None)), NONE_SHOWN),
        (answer(account(login="ivanov", psw="neu-1\nx")), NO_LINE),
    ],
)  # fmt: skip
async def test_what_comes_of_the_second_request(made: web.Response, evidence: Evidence, tmp_path: Path) -> None:
    seen, methods = await answered(tmp_path, lambda method: answer(account()) if method == "set" else made)
    assert (seen, methods) == ([evidence], ["set", "save"])
    assert (tmp_path / "out.csv").exists() == (evidence == Accepted())


async def answered(
    folder: Path, answers: Callable[[str], web.Response], times: int = 1
) -> tuple[list[Seen], list[str]]:
    """What comes of so many calls, and the methods that were asked for."""

    async def script(_: web.Request, form: dict[str, str]) -> web.Response:
        return answers(form["method2"])

    async with scripted(script) as server, BillingClient(ClientSettings(server.url)) as client:
        effect = effect_of(Gateway(client), "random-password", to=str(folder / "out.csv"))
        seen = [await effect.send(RUN, item_of()) for _ in range(times)]
        return seen, [form["method2"] for form in server.forms]


async def test_without_an_answer_to_the_first_request_the_second_is_not_made(tmp_path: Path) -> None:
    answers = [web.json_response({"error": "Слишком частые запросы"}), answer({"pk": 6, "fields": {}})]
    seen, methods = await answered(tmp_path, lambda _: answers.pop(0), 2)
    assert seen == [Busy("Слишком частые запросы"), Lost("an answer that is not about account 5")]
    assert methods == ["set", "set"]


async def test_while_the_billing_is_busy_with_the_clearing_only_the_second_request_goes_again(tmp_path: Path) -> None:
    busy = [refusal("Абонент обрабатывается, попробуйте позже") for _ in range(3)]
    made = answer(account(login="ivanov", psw="neu-1"))
    seconds = [busy[0], busy[1], web.Response(status=502), busy[2], made]
    seen, methods = await answered(
        tmp_path, lambda method: answer(account()) if method == "set" else seconds.pop(0), 5
    )
    # Once an answer was lost, nobody knows whether there is a password: it is cleared once more.
    assert methods == ["set", "save", "save", "save", "set", "save", "save"]
    assert [type(one) for one in seen] == [Busy, Busy, Lost, Busy, Accepted]
    # What keeps the billing busy is our own clearing, once for each.
    assert [one.halfway for one in seen if isinstance(one, Busy)] == [True, False, True]


@pytest.mark.usefixtures("accounts")
async def test_a_file_that_cannot_be_written_stops_the_run(client: BillingClient, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine", encoding="utf-8")
    job = job_of(Gateway(client), "random-password", rows_of("user_id\n90001\n"), to=f"{tmp_path}/out.csv")
    (item,) = await planned(job)
    evidence = await job.effect.send(RUN, item)
    assert isinstance(evidence, SystemRefused)
    assert "is not the file of this run" in evidence.text
    assert (tmp_path / "out.csv").read_text("utf-8") == "mine"


def item_of() -> Item:
    steps = (ChainStep("objects.get", {"id": 5}), ChainStep("set", {"psw": ""}), ChainStep("save"))
    return sending_item(NewItem("5", "ivanov", "account:7", encode_payload(Payload("Users", steps, key={"id": "5"}))))


async def test_a_letter_is_asked_for_once_and_a_lost_one_is_left_to_a_person(
    mock_billing: MockBilling, sealed: Gateway, database: Database
) -> None:
    rows = rows_of("login\nu90001\nnobody\n")
    job = job_of(sealed, "password-recovery", rows, base_url="http://lk.example.org/")
    item, nobody = await planned(job)
    assert not job.effect.repeatable
    mock_billing.faults.set(FaultPlan((Fault(FaultKind.RESET_AFTER, times=1),)))
    assert isinstance(await job.effect.send(RUN, item), Lost)
    (sighting,) = (await job.effect.look_up(RUN, [item])).values()
    assert isinstance(sighting, CannotLook)
    assert await job.effect.read_back(RUN, [item]) == {item.item_id: CannotLook(LETTER_UNREADABLE)}
    assert await job.effect.send(RUN, item) == Accepted()
    assert await job.effect.send(RUN, nobody) == RowRefused("Users matching query does not exist.")
    found = list(database.query("select user_id, base_url from password_recoveries order by id"))
    assert [tuple(row) for row in found] == [(90001, "http://lk.example.org/")] * 2
    back = job.effect.undo({})
    assert isinstance(back, str)
    effect = effect_of(sealed, "password-recovery", base_url="http://lk.example.org/")
    assert "left for a person" in effect.cautions[0]


HEADER = "\ufeffuser_id;login;password;run k7m2q\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def opened(path: Path) -> PasswordFile:
    return PasswordFile(path, "k7m2q")


def text_of(path: Path) -> str:
    return path.read_bytes().decode()


def test_the_last_line_of_an_account_holds_and_stands_where_it_was_written(path: Path) -> None:
    file = opened(path)
    lines = (5, "a", "1st"), (6, "b", "2nd"), (5, "a", "3rd"), (7, "с;о", 'qu"o;te'), (6, "b", "=4")
    for user, login, word in lines:
        file.add(user, login, word)
    assert text_of(path).count("\r\n") == 6
    before = path.stat().st_ino
    # What a killed rewriting has left is in nobody's way.
    path.with_name(".out.csv.new").write_text("half", encoding="utf-8")
    assert file.finish().accounts == 3
    assert text_of(path) == f'{HEADER}5;a;3rd\r\n7;"с;о";"qu""o;te"\r\n6;b;=4\r\n'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_ino != before
    assert [entry.name for entry in path.parent.iterdir()] == ["out.csv"]


def test_a_file_with_one_line_an_account_is_left_as_it_is(path: Path) -> None:
    assert opened(path).finish().accounts == 0
    assert not path.exists(), "without a file there is nothing to finish"
    opened(path).add(5, "a", "x")
    before = path.stat().st_ino
    assert opened(path).finish().accounts == 1
    assert path.stat().st_ino == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


WHOLE_LINE = f"{HEADER}5;a;whole\r\n".encode()


@pytest.mark.parametrize(
    "left",
    [
        *(HEADER.encode()[:length] for length in (0, 1, 7, len(HEADER.encode()) - 1)),
        *(WHOLE_LINE + torn for torn in (b"", b"6;b;ha", b"8;" + b"\xd0" * 200_000)),
    ],
    ids=lambda left: f"{len(left)} bytes",
)
def test_half_a_line_is_taken_out_when_the_run_goes_on(path: Path, left: bytes) -> None:
    path.write_bytes(left)
    opened(path).add(7, "c", "next")
    before = WHOLE_LINE.decode() if left.startswith(WHOLE_LINE) else HEADER
    assert text_of(path) == f"{before}7;c;next\r\n"
    # At the end it is no other: half a letter, and the longest of lines.
    with path.open("ab") as file:
        file.write(b"8;" + b"\xd0" * 200_000)
    assert opened(path).finish().accounts == before.count("whole") + 1
    assert text_of(path) == f"{before}7;c;next\r\n"


@pytest.mark.parametrize("there", ["mine", "x" * 100, HEADER.replace("k7m2q", "aaaaa")])
def test_a_file_of_another_is_never_touched(path: Path, there: str) -> None:
    path.write_bytes(there.encode())
    for work in (lambda: opened(path).add(5, "a", "x"), opened(path).finish):
        with pytest.raises(PasswordsUnwritten, match="not the file of this run"):
            work()
    assert text_of(path) == there


def test_neither_a_link_is_followed_nor_a_missing_folder_made(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.symlink_to(elsewhere)
    with pytest.raises(PasswordsUnwritten, match="cannot be written"):
        opened(path).add(5, "a", "x")
    assert not elsewhere.exists()
    with pytest.raises(PasswordsUnwritten, match="cannot be written"):
        opened(path.with_name("nowhere") / "out.csv").add(5, "a", "x")


def test_many_at_one_time(path: Path) -> None:
    file = opened(path)

    def add(first: int) -> None:
        for user in range(first, first + 25):
            file.add(user, f"user{user}", f"word{user}")

    threads = [threading.Thread(target=add, args=(first,)) for first in range(0, 100, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert file.finish().accounts == 100
    lines = text_of(path).removeprefix(HEADER).split("\r\n")
    assert sorted(lines) == sorted(["", *(f"{user};user{user};word{user}" for user in range(100))])


def test_passwords_are_secret_and_their_file_is_new() -> None:
    assert [one.name for kind in PASSWORDS for one in kind.parameters if one.secret] == ["psw"]
    assert [one.name for kind in PASSWORDS for one in kind.parameters if one.makes_file] == ["to"]


def test_what_is_wrong_with_a_password_is_told_without_it() -> None:
    for word in ("Sekret-7" * 40, "Sekret-7\nx"):
        with pytest.raises(ParameterRefused) as refused:
            parameters_of(JOBS["password"], {"user_id": "5", "psw": word})
        assert "psw: the text has" in str(refused.value)
        assert "Sekret" not in str(refused.value)


def test_the_file_is_required_and_is_found_again_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parameters_of(JOBS["random-password"], {"to": "out.csv"})["to"] == str(tmp_path / "out.csv")
    with pytest.raises(ParameterRefused, match="to: is required"):
        parameters_of(JOBS["random-password"], {})
    for text in ("", " ", ".."):
        with pytest.raises(ParameterRefused, match="is not a file"):
            parameters_of(JOBS["random-password"], {"to": text})


@pytest.mark.parametrize("text", ["lk.example.org", "ftp://lk/", "http://", "/recover", "http://[x"])
def test_the_page_of_a_letter_is_an_address(text: str) -> None:
    with pytest.raises(ParameterRefused, match=r"base_url: .*is not an address"):
        parameters_of(JOBS["password-recovery"], {"login": "a", "base_url": text})
    good = parameters_of(JOBS["password-recovery"], {"login": "a", "base_url": " https://lk.example.org/x "})
    assert good["base_url"] == "https://lk.example.org/x"


HARD_WORD = "Пароль\"7'\\"


@pytest.fixture
def vault_file(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def test_what_is_sealed_is_opened_by_another_process_s_vault_too(vault_file: Path) -> None:
    tokens = Vault(vault_file, "a" * 16).seal([HARD_WORD, "zwei", HARD_WORD])
    assert len(set(tokens)) == 3
    assert Vault(vault_file, "b" * 16).open(tokens) == dict(zip(tokens, [HARD_WORD, "zwei", HARD_WORD], strict=True))
    assert stat.S_IMODE(vault_file.stat().st_mode) == 0o600


def test_a_token_says_nothing_and_is_known_as_one() -> None:
    (token,) = Vault().seal([HARD_WORD])
    assert is_token(token)
    assert HARD_WORD not in token
    assert mask_secrets(f"psw={token} dontshow=no") == "psw=••• dontshow=no"
    assert not is_token("•••")
    assert not is_token(f"{token}x")


def test_no_file_is_made_where_there_is_nothing_to_keep(vault_file: Path) -> None:
    vault = Vault(vault_file)
    vault.keep({})
    vault.forget([])
    with pytest.raises(SecretGone):
        vault.open(["•••"])
    assert not vault_file.exists()
    # Nor is anything kept without a path.
    vault = Vault()
    assert not vault.keeps
    with pytest.raises(SecretGone):
        vault.open(vault.seal([HARD_WORD]))


def test_what_is_forgotten_is_gone_from_the_bytes_of_the_file(vault_file: Path) -> None:
    mine, other = Vault(vault_file, "a" * 16), Vault(vault_file, "b" * 16)
    tokens = mine.seal([f"{HARD_WORD}{number}" for number in range(500)])
    (kept,) = other.seal(["andere"])
    assert HARD_WORD.encode() in vault_file.read_bytes()
    mine.forget(["b" * 16])
    assert HARD_WORD.encode() not in vault_file.read_bytes()
    assert [entry.name for entry in vault_file.parent.iterdir()] == [vault_file.name]
    with pytest.raises(SecretGone):
        mine.open(tokens[:1])
    assert other.open([kept]) == {kept: "andere"}


def test_what_no_run_claims_is_wiped_once_it_is_old(vault_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan, needed, mine = Vault(vault_file, "a" * 16), Vault(vault_file, "b" * 16), Vault(vault_file, "c" * 16)
    (lost,) = orphan.seal(["eins"])
    (waits,) = needed.seal(["zwei"])
    mine.forget(["b" * 16])
    # Its process may be about to enter its run.
    assert orphan.open([lost]) == {lost: "eins"}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 3600)
    mine.forget(["b" * 16])
    assert needed.open([waits]) == {waits: "zwei"}
    with pytest.raises(SecretGone):
        orphan.open([lost])


def test_a_file_that_is_no_vault_is_a_sentence(vault_file: Path) -> None:
    vault_file.write_text("this is no database, and it is long enough to be taken for one" * 20, encoding="utf-8")
    with pytest.raises(VaultFailed, match="cannot be used"):
        Vault(vault_file).seal([HARD_WORD])
    with pytest.raises(VaultFailed, match="cannot be kept"):
        Vault(vault_file / "below").seal([HARD_WORD])


async def test_a_call_gets_its_secrets_wherever_their_tokens_stand(vault_file: Path) -> None:
    vault = Vault(vault_file)
    one, two = vault.seal([HARD_WORD, "1234"])
    call = Call(
        "Users", (ChainStep("a", {"psw": one, "n": 5}), ChainStep("b", {"in": [{"x": f"<{two}>"}, True, None]}))
    )
    opened = await unseal(vault, call)
    assert [step.arguments for step in opened.steps] == [
        {"psw": HARD_WORD, "n": 5},
        {"in": [{"x": "<1234>"}, True, None]},
    ]
    plain = Call("Users", (ChainStep("a", {"psw": ""}),))
    assert await unseal(None, plain) is plain
    with pytest.raises(SecretGone):
        await unseal(None, call)


# The same in each process: xdist compares the names of the tests.
OLD, NEW = (base64.urlsafe_b64encode(letter * KEY_BYTES).decode() for letter in (b"o", b"n"))
TOKEN, BATCH = "•••" + "a" * 16 + "." + "b" * 16, "a" * 16

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=3000)


@given(TEXTS)
def test_a_secret_of_any_size_and_characters_comes_back(text: str) -> None:
    sealed = VaultKeys.parse(OLD).seal(TOKEN, BATCH, Secret(text))
    assert VaultKeys.parse(f"{NEW}\n{OLD}\n").open(sealed) == text
    if len(text.encode()) >= KEY_BYTES:
        assert text.encode() not in base64.b64decode(sealed.sealed)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.data())
def test_a_secret_that_is_changed_or_stands_elsewhere_is_refused(text: str, data: st.DataObject) -> None:
    keys = VaultKeys.parse(OLD)
    one = keys.seal(TOKEN, BATCH, Secret(text))
    kept = bytearray(base64.b64decode(one.sealed))
    kept[data.draw(st.integers(0, len(kept) - 1))] ^= data.draw(st.integers(1, 255))
    short = kept[: data.draw(st.integers(0, len(kept) - 1))]
    for row in (
        SealedSecret(TOKEN, BATCH, one.key_id, base64.b64encode(kept).decode()),
        SealedSecret(TOKEN, BATCH, one.key_id, base64.b64encode(short).decode()),
        SealedSecret(TOKEN, BATCH, one.key_id, f"{one.sealed}!"),
        SealedSecret(f"{TOKEN[:-1]}c", BATCH, one.key_id, one.sealed),
        SealedSecret(TOKEN, "c" * 16, one.key_id, one.sealed),
    ):
        with pytest.raises(SecretAltered):
            keys.open(row)


def test_the_first_key_encrypts_and_a_secret_names_the_key_that_it_needs() -> None:
    both, old, new = (VaultKeys.parse(text) for text in (f"# of June\n{NEW} {OLD}", OLD, NEW))
    assert both.ids == (new.first, old.first)
    sealed = both.seal(TOKEN, BATCH, Secret("x"))
    assert sealed.key_id == new.first
    with pytest.raises(VaultLocked, match=new.first):
        old.open(sealed)
    # One secret twice is not the same twice.
    assert both.seal(TOKEN, BATCH, Secret("x")).sealed != sealed.sealed
    assert OLD not in repr(both)


def test_what_is_no_key_is_refused_without_being_shown() -> None:
    for text, why in (
        ("", "it is empty"),
        ("# only a remark", "it is empty"),
        ("geheim", "not Base64"),
        (base64.b64encode(b"x" * 16).decode(), "not a key of 32 bytes"),
        (f"{NEW}\npassword", "a word that is not"),
    ):
        with pytest.raises(NoVaultKey, match=why) as refused:
            VaultKeys.parse(text)
        assert not text or text not in str(refused.value)
