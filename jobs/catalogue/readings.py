"""Jobs that only read: administrators, services on offer, cabinet sessions, who is blocked, who is at an address."""

from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address
from typing import Final

from jobs.spec.parameters import ACCOUNT, SUBSCRIBER, Parameter, at_most
from jobs.spec.spec import JobSpec, SecondCall, Special
from texts.said import ValueRefused, counted, said

_WAY_BACK: Final = said("none is needed: it changes nothing")
_LONGEST: Final = 64
_NATIONAL: Final = 10
"""Digits of a Russian phone number after +7 or 8."""


def an_address(text: str) -> str:
    """An IPv4 address, dotted."""
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
            "{text!r} has {n} digit: a number is written as +79123456789 or 8 912 345-67-89",
            "{text!r} has {n} digits: a number is written as +79123456789 or 8 912 345-67-89",
            len(digits),
            text=text,
        )
    )


def a_session(text: str) -> str:
    """The id of a cabinet session; errors do not contain it."""
    return _short(text.strip())


_short: Final[Callable[[str], str]] = at_most(_LONGEST)

ADMINISTRATORS: Final = JobSpec(
    name="administrators",
    recipes=(9,),
    summary=said("list the administrators, whose ids are what connect-service takes as its manager"),
    model="DjangoUsersProfile",
    chain=("objects.filter",),
    example="carbon-migrate run administrators -o administrators.csv",
    writes=False,
    undo=_WAY_BACK,
)

SERVICES_ON_OFFER: Final = JobSpec(
    name="services-on-offer",
    recipes=(10,),
    summary=said("list what subscribers can connect in the cabinet, and what is connected; of one account only"),
    model="Users",
    chain=('objects.get {"id": {user_id}}', "get_or_create_dynamic_session"),
    then=SecondCall(('web_cabinet.get_usluga_list {"suid": "{suid}", "get_user_uslugas_all": 1}',)),
    special=Special.OFFERS,
    parameters=SUBSCRIBER,
    example="carbon-migrate run services-on-offer --set abonent_id=94 -o services.csv",
    writes=False,
    undo=said("none is needed: it changes nothing; a session of the cabinet is opened where there is none"),
)

SESSION_ACCOUNT: Final = JobSpec(
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
            parse=a_session,
            columns=("session", "сессия"),
            secret=True,
        ),
    ),
    example="carbon-migrate run session-account sessions.csv -o accounts.csv",
    writes=False,
    undo=_WAY_BACK,
)

BLOCKED: Final = JobSpec(
    name="blocked",
    recipes=(17,),
    summary=said("list subscribers blocked for a negative balance, with login and address"),
    model="Users",
    chain=('objects.get {"id": {user_id}}',),
    fields=("login", "ip"),
    select="blocked",
    parameters=ACCOUNT,
    example="carbon-migrate run blocked -o blocked.xlsx",
    writes=False,
    undo=_WAY_BACK,
)

AT_IP: Final = JobSpec(
    name="at-ip",
    recipes=(18,),
    summary=said("find the subscribers that have an account at an address"),
    model="Users",
    chain=('objects.filter {"ip": "{ip}"}',),
    fields=("id", "login", "abonent__name", "abonent__contract_number"),
    parameters=(Parameter("ip", said("the address, as 127.1.2.3"), parse=an_address, columns=()),),
    example="carbon-migrate run at-ip --set ip=127.1.2.3",
    writes=False,
    undo=_WAY_BACK,
)

BY_SMS: Final = JobSpec(
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
    writes=False,
    undo=_WAY_BACK,
)

READINGS: Final = (ADMINISTRATORS, SERVICES_ON_OFFER, SESSION_ACCOUNT, BLOCKED, AT_IP, BY_SMS)
