"""The built-in jobs, each declared as data: money, subscribers, services, passwords, and jobs that only read."""

from functools import partial
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Final

from billing.directory.models import OPENING_BALANCE, RECEIPT
from billing.money import KOPECK, parse_amount, wire
from jobs.catalogue.typed_call import TYPED_CALL
from jobs.spec import words
from jobs.spec.entries import (
    ADD_PAYMENT,
    KEY,
    LONGEST_TEXT,
    OPERATION,
    OPERATION_WAY,
    OPERATIONS,
    TELLING,
    UNDO_OF_IMPORT,
    UNDO_OF_OPERATIONS,
)
from jobs.spec.parameters import (
    ACCOUNT,
    FOLDER,
    SERVICE,
    SUBSCRIBER,
    Parameter,
    a_date,
    a_moment,
    a_text,
    a_whole_number,
    an_id,
    at_most,
    first_of_a_month,
    roubles,
    today,
)
from jobs.spec.spec import JobSpec, SecondCall, Special
from texts.said import ValueRefused, counted, said

_WAY_BACK: Final = said(
    "a list for the accountant, unless the undo is told how: --set way=storno --set storno_call=…, or "
    "--set way=opposite; what somebody has changed since is left alone"
)


def in_kopecks(text: str) -> str:
    """An amount for a call: always two decimals, and never "-0.00"."""
    return wire(parse_amount(text).quantize(KOPECK))


def above_zero(text: str) -> str:
    if parse_amount(text) <= 0:
        raise ValueRefused("{text} is not a payment: an amount above zero is expected", text=text)
    return in_kopecks(text)


def _object(name: str, told: str, reference: str, *columns: str) -> Parameter:
    """The id of an object that must exist, see `Parameter.refers_to`."""
    return Parameter(name, told, parse=an_id, refers_to=reference, columns=columns)


def _comment(name: str, told: str, default: str) -> Parameter:
    return Parameter(name, told, default, parse=a_text(LONGEST_TEXT), columns=(), verbatim=True)


BALANCES: Final = JobSpec(
    name="balances",
    recipes=(1, 2),
    summary=said("enter opening balances, by subscriber's id or by contract number"),
    model=OPERATIONS,
    chain=(OPERATION,),
    comment="descr",
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "amount", said("the amount in roubles, as 1 234,50 or -50.5"), parse=in_kopecks, columns=("op_summa",)
        ),
        Parameter(
            "op_type",
            said("type of the operations: 8 enters opening balances, 2 receipts, 1 acts (charges)"),
            str(OPENING_BALANCE),
            parse=an_id,
            columns=("op_type_id",),
        ),
        *TELLING,
        _comment("descr", said("comment of the operations, before their marks"), "Миграция балансов"),
        KEY,
    ),
    example="carbon-migrate run balances balances.csv",
    undo=_WAY_BACK,
    undo_parameters=UNDO_OF_OPERATIONS,
)

_OPERATION: Final = OPERATION.replace("{op_type}", str(RECEIPT))
_ADD_PAYMENT: Final = ('objects.get {"id": {abonent_id}}', 'add_payment {"SUM_IN": "{amount}"}')

PAYMENT: Final = JobSpec(
    name="payment",
    recipes=(27,),
    summary=said("enter payments, each told from others by its document or its date"),
    model=OPERATIONS,
    model_of=lambda given: "Abonents" if given["way"] == ADD_PAYMENT else OPERATIONS,
    chain=lambda given: _ADD_PAYMENT if given["way"] == ADD_PAYMENT else (_OPERATION,),
    comment="descr",
    special=Special.PAYMENT,
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "amount",
            said("the payment in roubles, as 1 234,50"),
            parse=above_zero,
            columns=("SUM_IN", "op_summa"),
        ),
        *TELLING,
        _comment("descr", said("comment of the operations, before their marks"), "Платёж"),
        Parameter(
            words.WAY,
            said(
                "operation enters an operation of the type that raises the balance, which bears a mark; add_payment "
                "makes the vendor's call of that name, which bears none: a payment whose answer is lost is always "
                "left to a person"
            ),
            OPERATION_WAY,
            (OPERATION_WAY, ADD_PAYMENT),
        ),
        KEY,
    ),
    example="carbon-migrate run payment payments.csv",
    undo=said(
        "a list for the accountant, unless the undo is told how: --set way=storno --set storno_call=…, or "
        "--set way=opposite; what somebody has changed since is left alone, and a payment that cannot be told from "
        "others as well"
    ),
    undo_parameters=UNDO_OF_OPERATIONS,
)


# ---- jobs for subscribers and their accounts ----------------------------------------------------------------------
# Pools, thresholds, operator, tariff, recalculation, blocks, deletion.


_GET_USER: Final = 'objects.get {"id": {user_id}}'

SNAT_POOL: Final = JobSpec(
    name="snat-pool",
    recipes=(6,),
    summary=said("move the accounts of a folder's subscribers to a pool of SNAT addresses"),
    model="Users",
    chain=(_GET_USER, 'set {"snatip": "", "snat_pull": "{pool}"}', "save"),
    select="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        _object("pool", said("id of the pool"), "SnatPool", "snat_pull"),
    ),
    example="carbon-migrate run snat-pool --set folder=1000 --set pool=1030",
)

IP_POOL: Final = JobSpec(
    name="ip-pool",
    recipes=(7,),
    summary=said("move accounts to a pool of addresses, and let the billing issue a new one to each"),
    model="Users",
    chain=(_GET_USER, 'set {"ip": "", "pull": "{pool}"}', "save"),
    select="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        _object("pool", said("id of the pool"), "Pool", "pull"),
    ),
    example="carbon-migrate run ip-pool --set user_id=324 --set pool=6",
)


DELETE_ACCOUNT: Final = JobSpec(
    name="delete-account",
    recipes=(22,),
    summary=said("delete accounts; their subscribers stay"),
    model="Users",
    chain=lambda given: (_GET_USER, 'delete {"clean_links": true}' if given["clean_links"] == "yes" else "delete"),
    select="users_of_folder",
    parameters=(
        FOLDER,
        *ACCOUNT,
        Parameter(
            "clean_links",
            said(
                "yes deletes first what points to an account, as its sessions; no leaves an account that is pointed "
                "to"
            ),
            "yes",
            ("yes", "no"),
        ),
    ),
    example="carbon-migrate run delete-account accounts.csv",
    undo=said("none: what the accounts were is kept, and is in the column carbon_answer of an export"),
)


_GET_ACCOUNT: Final = 'objects.get {"account_id_abonents": {abonent_id}}'

WARNING_THRESHOLD: Final = JobSpec(
    name="warning-threshold",
    recipes=(3,),
    summary=said("set the warning threshold of a folder's subscribers"),
    model="AdminAccounts",
    chain=(_GET_ACCOUNT, 'set {"limit_warning": "{amount}"}', "save"),
    select="of_folder",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("amount", said("the threshold in roubles, as -120"), parse=roubles, columns=("limit_warning",)),
    ),
    example="carbon-migrate run warning-threshold --set folder=1316 --set amount=-120",
)

TARIFF_THRESHOLD: Final = JobSpec(
    name="tariff-threshold",
    recipes=(4,),
    summary=said("set the warning threshold as in the tariff, where it differs"),
    model="AdminAccounts",
    chain=(_GET_ACCOUNT, 'set {"limit_warning": "{amount}"}', "save"),
    varying="limit_warning",
    select="tariff_thresholds",
    parameters=(
        *SUBSCRIBER,
        Parameter("amount", said("the threshold in roubles"), parse=roubles, columns=("limit_warning",)),
    ),
    example="carbon-migrate run tariff-threshold",
)

CUTOFF_LIMIT: Final = JobSpec(
    name="cutoff-limit",
    recipes=(5,),
    summary=said(
        "set the cut-off limit of a folder's subscribers to the sum of their tariff's services, plus one rouble"
    ),
    model="AdminAccounts",
    chain=(_GET_ACCOUNT, 'set {"limit": "{amount}"}', "save"),
    select="tariff_sums",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        Parameter("amount", said("the limit in roubles"), parse=roubles, columns=("limit",)),
    ),
    example="carbon-migrate run cutoff-limit --set folder=89",
)

_GET: Final = 'objects.get {"id": {abonent_id}}'
OPERATOR: Final = JobSpec(
    name="operator",
    recipes=(15,),
    summary=said("move subscribers to another operator"),
    model="Abonents",
    chain=(_GET, 'set {"operator_id": {operator}}', "save"),
    select="of_operator",
    parameters=(
        Parameter("from", said("id of the operator that they are with"), "", parse=an_id, refers_to="Operator"),
        *SUBSCRIBER,
        _object("operator", said("id of the operator that they are moved to"), "Operator", "operator_id"),
    ),
    example="carbon-migrate run operator --set from=3 --set operator=1444",
)

RECALCULATE: Final = JobSpec(
    name="recalculate",
    recipes=(20,),
    summary=said("recalculate subscribers from the first of a month, six months back at most"),
    model="Abonents",
    chain=(_GET, 'set {"need_recalc": "{since}"}', "save"),
    parameters=(
        *SUBSCRIBER,
        Parameter(
            "since",
            said("the first of a month, as 2019-06-01"),
            parse=first_of_a_month(today),
            columns=("need_recalc",),
        ),
    ),
    example="carbon-migrate run recalculate subscribers.csv",
    undo=said("none: recalculate again, once what was wrong is put right"),
)

TARIFF_NEXT: Final = JobSpec(
    name="tariff-next",
    recipes=(25,),
    summary=said("plan a change of tariff for a date"),
    model="Abonents",
    chain=(_GET, 'set {"tarif_next_id": {tariff}, "tarif_next_date": "{date}"}', "save"),
    parameters=(
        *SUBSCRIBER,
        _object("tariff", said("id of the next tariff"), "Tarif", "tarif_next_id", "tarif_id"),
        Parameter("date", said("from when it counts"), parse=a_date, columns=("tarif_next_date",)),
    ),
    example="carbon-migrate run tariff-next subscribers.csv --set tariff=7 --set date=2020-09-01",
)

TARIFF_NOW: Final = JobSpec(
    name="tariff-now",
    recipes=(26,),
    summary=said("change the tariff at once"),
    model="Abonents",
    chain=(_GET, 'set {"tarif_id": {tariff}}', "save"),
    parameters=(
        *SUBSCRIBER,
        _object("tariff", said("id of the tariff"), "Tarif", "tarif_id"),
    ),
    example="carbon-migrate run tariff-now subscribers.csv --set tariff=7",
)

VOLUNTARY_BLOCK: Final = JobSpec(
    name="voluntary-block",
    recipes=(28,),
    summary=said("block subscribers at their own wish, from one day to another"),
    model="Abonents",
    chain=(_GET, 'set {"own_disabled_start": "{start}", "own_disabled_end": "{end}"}', "save"),
    parameters=(
        *SUBSCRIBER,
        Parameter("start", said("the first day"), parse=a_date, columns=("own_disabled_start",)),
        Parameter("end", said("the last day"), parse=a_date, columns=("own_disabled_end",)),
    ),
    example="carbon-migrate run voluntary-block subscribers.csv --set start=2020-07-01 --set end=2020-07-31",
)

BLOCK_HISTORY: Final = JobSpec(
    name="block-history",
    recipes=(19,),
    summary=said("correct entries of the history of blocks"),
    model="AbonentsBlockHistory",
    chain=('objects.get {"id": {id}}', 'set {"time_changed": "{time_changed}", "time_del": "{time_del}"}', "save"),
    parameters=(
        Parameter("id", said("id of the entry"), parse=an_id, columns=()),
        Parameter("time_changed", said("when the block began"), parse=a_moment, columns=()),
        Parameter("time_del", said("when it ended"), parse=a_moment, columns=()),
    ),
    example="carbon-migrate run block-history --set id=118 --set time_changed=2019-06-01 --set time_del=2019-06-01",
)


# ---- jobs for services, attributes and operations -----------------------------------------------------------------
# Connect, change and delete them.


ATTRIBUTE: Final = JobSpec(
    name="attribute",
    recipes=(29,),
    summary=said("give subscribers a custom attribute; a value that is there already is never changed"),
    model="AttributeValues",
    chain=('objects.create {"abonent_id": {abonent_id}, "attribute_id": {attribute}, "attribute_value": "{value}"}',),
    parameters=(
        *SUBSCRIBER,
        _object("attribute", said("id of the attribute"), "Attribute", "attribute_id"),
        Parameter("value", said("the value"), parse=a_text(255), columns=("attribute_value",), verbatim=True),
    ),
    example="carbon-migrate run attribute attributes.csv --set attribute=7",
    undo=said("the values are deleted by their ids, where nobody has changed them since"),
)

SERVICE_OPERATOR: Final = JobSpec(
    name="service-operator",
    recipes=(23,),
    summary=said("set the operator of services"),
    model="Usluga",
    chain=('objects.get {"id": {usluga_id}}', 'set {"operator_id": "{operator}"}', "save"),
    parameters=(
        Parameter("usluga_id", said("id of the service"), parse=an_id, columns=("id",)),
        _object("operator", said("id of the operator"), "Operator", "operator_id"),
    ),
    example="carbon-migrate run service-operator --set usluga_id=105 --set operator=3",
)

NEXT_CHARGE: Final = JobSpec(
    name="next-charge",
    recipes=(24,),
    summary=said("set the date of the next charge of a connected service"),
    model="UsersUsluga",
    chain=(
        'objects.get {"abonent_id": {abonent_id}, "usluga_id": {usluga_id}}',
        'set {"next_date": "{next_date}"}',
        'save {"allow_set_none_manager": true}',
    ),
    parameters=(
        *SUBSCRIBER,
        SERVICE,
        Parameter("next_date", said("the date of the next charge"), parse=a_moment, columns=("date",)),
    ),
    example="carbon-migrate run next-charge --set abonent_id=94 --set usluga_id=127 --set next_date=2020-09-13",
)

PASSED_TO_1C: Final = JobSpec(
    name="passed-to-1c",
    recipes=(30,),
    summary=said("mark finance operations as passed to 1C, with their code there"),
    model="FinanceOperations",
    chain=('objects.get {"pk": {op_id}}', 'set {"sync1c": 1, "code1c": "{code1c}"}', "save"),
    parameters=(
        Parameter("op_id", said("id of the operation"), parse=an_id, columns=("pk", "id")),
        Parameter("code1c", said("its code in 1C"), parse=at_most(64), columns=("code",)),
    ),
    example="carbon-migrate run passed-to-1c operations.csv",
)

CONNECT_SERVICE: Final = JobSpec(
    name="connect-service",
    recipes=(8,),
    summary=said("connect a service, as a promised payment, to subscribers"),
    model="UsersUsluga",
    chain=(
        (
            'objects.create {"abonent_id": {abonent_id}, "usluga_id": {usluga}, "manager_id": {manager}, '
            '"comment": "{comment}"}'
        ),
    ),
    comment="comment",
    select="of_folder",
    parameters=(
        FOLDER,
        *SUBSCRIBER,
        _object("usluga", said("id of the service"), "Usluga", "usluga_id"),
        _object(
            "manager",
            said("id of the administrator in whose name it is done; the job `administrators` lists them"),
            "Manager",
            "manager_id",
        ),
        _comment("comment", said("comment of the service, before its mark"), ""),
    ),
    example="carbon-migrate run connect-service subscribers.csv --set usluga=240 --set manager=33",
    undo=said("the services are deleted by their ids, where nobody has changed them since"),
)

DELETE_SERVICES: Final = JobSpec(
    name="delete-services",
    recipes=(11,),
    summary=said("delete connected services, found by their comment or named by their ids"),
    model="UsersUsluga",
    chain=('objects.get {"id": {id}}', "delete"),
    select=lambda parameters: "services_by_comment" if parameters["comment"] else "",
    parameters=(
        Parameter(
            "comment",
            said("comment of the services, % stands for anything: 'Автоматический%предоплате%2017-12-31%'"),
            "",
        ),
        Parameter(
            "id", said("id of the connected service, users_usluga.id"), parse=an_id, columns=("users_usluga_id",)
        ),
    ),
    example="carbon-migrate run delete-services --set comment='Автоматический%предоплате%2017-12-31%'",
    undo=said("services like them are created with the kept fields, and with new ids"),
)


# ---- jobs for passwords of accounts -------------------------------------------------------------------------------
# Set them, have them generated, or send letters with a link to set them.


def a_file(text: str) -> str:
    """An absolute path, so that the run can be resumed from any folder."""
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueRefused("{text!r} names a home folder that does not exist", text=text) from None
    if not text.strip() or path.name in {"", ".", ".."}:
        raise ValueRefused("{text!r} is not a file", text=text)
    return str(path)


def an_address_of_pages(text: str) -> str:
    """The address of a site, such as http://lk.example.org/."""
    from yarl import URL  # noqa: PLC0415 - the list of jobs needs none

    try:
        url = URL(text.strip())
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueRefused("{text!r} is not an address such as http://lk.example.org/", text=text)
    return text.strip()


_GIVE: Final = 'set_password {"psw": "{psw}", "dontshow": %s}'

PASSWORD: Final = JobSpec(
    name="password",
    recipes=(12,),
    summary=said("set passwords of accounts"),
    model="Users",
    chain=lambda given: (_GET_USER, _GIVE % ("true" if given["dontshow"] == "yes" else "false")),
    special=Special.GIVEN_PASSWORD,
    parameters=(
        *ACCOUNT,
        Parameter(
            "psw",
            said(
                "the password, kept out of journal and logs; by --ask psw or a column of the rows, for others can "
                "see a command line"
            ),
            parse=at_most(255),
            columns=("password", "пароль", "новый пароль"),
            secret=True,
        ),
        Parameter(
            "dontshow",
            said("yes keeps the password out of the administrators' sight, no shows it"),
            "no",
            ("yes", "no"),
        ),
    ),
    example="carbon-migrate run password passwords.csv",
    undo=said(
        "none: what the passwords were is kept nowhere; set new ones. Nor can they be read back: verify says so"
    ),
)

RANDOM_PASSWORD: Final = JobSpec(
    name="random-password",
    recipes=(13,),
    summary=said("have the billing generate passwords of accounts, and write them to a file"),
    model="Users",
    chain=(_GET_USER, 'set {"psw": ""}', "save"),
    fields=("id",),
    then=SecondCall((_GET_USER, "save"), ("id", "login", "psw")),
    special=Special.GENERATED_PASSWORD,
    parameters=(
        *ACCOUNT,
        Parameter(
            "to",
            said(
                "the file that is made for them, user_id;login;password: its owner's alone, and they go nowhere else"
            ),
            parse=a_file,
            makes_file=True,
        ),
    ),
    example="carbon-migrate run random-password accounts.csv --set to=passwords.csv",
    undo=said("none: what the passwords were is kept nowhere; the job password sets others"),
)

PASSWORD_RECOVERY: Final = JobSpec(
    name="password-recovery",
    recipes=(14,),
    summary=said(
        "send letters by which subscribers set their password; a lost one is left to a person, never sent again"
    ),
    model="Users",
    chain=('web_cabinet.reset_password {"login": "{login}", "base_url": "{base_url}"}',),
    special=Special.RECOVERY_LETTER,
    parameters=(
        Parameter("login", said("login of the account, or the subscriber's e-mail"), columns=("email",)),
        Parameter(
            "base_url",
            said("address of the page that the link in the letter leads to, as http://lk.example.org/"),
            parse=an_address_of_pages,
        ),
    ),
    example="carbon-migrate run password-recovery logins.csv --set base_url=http://lk.example.org/",
    undo=said("none: a letter that has left is not called back; a password stays until its link is followed"),
)

PASSWORDS: Final = (PASSWORD, RANDOM_PASSWORD, PASSWORD_RECOVERY)


# ---- jobs that only read ------------------------------------------------------------------------------------------
# Administrators, services on offer, cabinet sessions, who is blocked, who is at an address.


_NATIONAL: Final = 10
"""Digits of a Russian phone number after +7 or 8."""


def an_address(text: str) -> str:
    try:
        return str(IPv4Address(text.strip()))
    except AddressValueError:
        raise ValueRefused("{text!r} is not an address such as 127.1.2.3", text=text) from None


def a_phone(text: str) -> str:
    """A phone number as +79123456789; 8 912 345-67-89 and 912 345-67-89 are the same one."""
    plain = "".join(letter for letter in text if letter not in " -–()\u00a0\u202f.\t")
    digits = plain.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueRefused("{text!r} is not a phone number such as +79123456789", text=text)
    if len(digits) == _NATIONAL and plain[0] == "9":
        return f"+7{digits}"
    if len(digits) == _NATIONAL + 1 and plain.startswith(("7", "8", "+7")):
        return f"+7{digits[1:]}"
    if plain.startswith("+") and digits[0] != "7":
        return plain
    raise ValueError(
        counted(
            "{text!r} has {n} digit[s]: a number is written as +79123456789 or 8 912 345-67-89",
            len(digits),
            text=text,
        )
    )


_reads: Final = partial(JobSpec, writes=False, undo=said("none is needed: it changes nothing"))

ADMINISTRATORS: Final = _reads(
    name="administrators",
    recipes=(9,),
    summary=said("list the administrators, whose ids are what connect-service takes as its manager"),
    model="DjangoUsersProfile",
    chain=("objects.filter",),
    example="carbon-migrate run administrators -o administrators.csv",
)

SERVICES_ON_OFFER: Final = _reads(
    name="services-on-offer",
    recipes=(10,),
    summary=said("list what subscribers can connect in the cabinet, and what is connected; of one account only"),
    model="Users",
    chain=(_GET_USER, "get_or_create_dynamic_session"),
    then=SecondCall(('web_cabinet.get_usluga_list {"suid": "{suid}", "get_user_uslugas_all": 1}',)),
    special=Special.OFFERS,
    parameters=SUBSCRIBER,
    example="carbon-migrate run services-on-offer --set abonent_id=94 -o services.csv",
    undo=said("none is needed: it changes nothing; a session of the cabinet is opened where there is none"),
)

SESSION_ACCOUNT: Final = _reads(
    name="session-account",
    recipes=(16,),
    summary=said("find the accounts that sessions of the cabinet belong to"),
    model="Users",
    chain=('get_user_by_suid {"suid": "{suid}"}',),
    fields=("id", "login", "ip", "abonent_id", "abonent__name", "abonent__contract_number"),
    parameters=(
        Parameter(
            "suid",
            said(
                "id of the session; it opens a cabinet, so it is kept out of journal and logs. What is typed with "
                "--set others on this machine can see: better a column of the rows"
            ),
            # Its errors do not contain it.
            parse=lambda text: at_most(64)(text.strip()),
            columns=("session", "сессия"),
            secret=True,
        ),
    ),
    example="carbon-migrate run session-account sessions.csv -o accounts.csv",
)

BLOCKED: Final = _reads(
    name="blocked",
    recipes=(17,),
    summary=said("list subscribers blocked for a negative balance, with login and address"),
    model="Users",
    chain=(_GET_USER,),
    fields=("login", "ip"),
    select="blocked",
    parameters=ACCOUNT,
    example="carbon-migrate run blocked -o blocked.xlsx",
)

AT_IP: Final = _reads(
    name="at-ip",
    recipes=(18,),
    summary=said("find the subscribers that have an account at an address"),
    model="Users",
    chain=('objects.filter {"ip": "{ip}"}',),
    fields=("id", "login", "abonent__name", "abonent__contract_number"),
    parameters=(Parameter("ip", said("the address, as 127.1.2.3"), parse=an_address, columns=()),),
    example="carbon-migrate run at-ip --set ip=127.1.2.3",
)

BY_SMS: Final = _reads(
    name="by-sms",
    recipes=(21,),
    summary=said("find subscribers by the phone number that their messages go to"),
    model="Abonents",
    chain=('objects.filter {"sms": "{sms}"}',),
    fields=("id", "name", "contract_number", "sms"),
    parameters=(
        Parameter(
            "sms",
            said("the number; 8 912 345-67-89 and 912 345-67-89 are read as +79123456789, and the row says so"),
            parse=a_phone,
            columns=("phone",),
        ),
    ),
    example="carbon-migrate run by-sms --set sms='+7 912 345-67-89'",
)

READINGS: Final = (ADMINISTRATORS, SERVICES_ON_OFFER, SESSION_ACCOUNT, BLOCKED, AT_IP, BY_SMS)


# ---- the import ---------------------------------------------------------------------------------------------------
# The one job whose rows make several calls, its steps; the chain of its spec is the call that creates a subscriber.
# So no call that somebody types is recognised as an import, and its rows are read by `jobs/import_job.py`.


_TABLES: Final = {
    "accounts": said("a table of their accounts, with a row an account; joined by contract number"),
    "services": said("a table of their services, with a row a service; joined by contract number"),
    "attributes": said("a table of their attributes, with a row a value; joined by contract number"),
}

IMPORT: Final = JobSpec(
    name=words.IMPORT,
    summary=said(
        "create subscribers from a table, each with its folder, account, tariff, services, attributes, limits and "
        "opening balance; what is there already is left as it is"
    ),
    model="Abonents",
    chain=('objects.create {"contract_number": "{contract_number}", "name": "{name}"}',),
    special=Special.IMPORT,
    parameters=(
        Parameter(
            words.MAP,
            said(
                "a file that says which column holds which field; without it columns are found by their usual names"
            ),
            "",
            reads_file=True,
        ),
        Parameter(
            words.DICTIONARY,
            said("a checked dictionary: the names of tariffs, services and folders in the table, and their ids here"),
            "",
            reads_file=True,
        ),
        *(Parameter(name, _TABLES[name], "", reads_file=True) for name in words.TABLES),
        Parameter(
            words.FOLDER,
            said(
                "id or name of one folder for all subscribers, whatever the table says, as for a trial run; a name "
                "that is not there is created"
            ),
            "",
            parse=at_most(255),
        ),
        Parameter(
            words.SAMPLE,
            said("import only so many subscribers, chosen to cover every tariff, folder and kind of row"),
            "",
            parse=a_whole_number,
        ),
        Parameter(
            words.CHANGE,
            said("whether what is there already and differs is changed to what the table has"),
            "no",
            ("no", words.YES),
        ),
        Parameter(
            words.ALIKE,
            said("whether contract numbers that only look alike are right as they are"),
            "no",
            ("no", words.YES),
        ),
    ),
    undo_parameters=UNDO_OF_IMPORT,
    undo=said(
        "what the run has created is deleted by its ids, the last first; what others have changed since is left "
        "alone and named"
    ),
    example="carbon-migrate run import subscribers.csv",
)

ALL: Final = (
    *(
        BALANCES,
        PAYMENT,
        IMPORT,
        WARNING_THRESHOLD,
        TARIFF_THRESHOLD,
        CUTOFF_LIMIT,
        OPERATOR,
        RECALCULATE,
        TARIFF_NEXT,
    ),
    *(TARIFF_NOW, VOLUNTARY_BLOCK, BLOCK_HISTORY, SNAT_POOL, IP_POOL, SERVICE_OPERATOR, NEXT_CHARGE, PASSED_TO_1C),
    *(CONNECT_SERVICE, ATTRIBUTE, DELETE_SERVICES, DELETE_ACCOUNT, *READINGS, *PASSWORDS, TYPED_CALL),
)
"""The built-in jobs, in the order in which people read them."""
