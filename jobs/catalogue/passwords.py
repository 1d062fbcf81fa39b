"""Jobs for passwords of accounts: set them, have them generated, or send letters with a link to set them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jobs.spec.parameters import ACCOUNT, Parameter, at_most
from jobs.spec.spec import JobSpec, SecondCall, Special
from texts.said import ValueRefused, said

_LONGEST: Final = 255


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


_GET: Final = 'objects.get {"id": {user_id}}'


def _set_password(parameters: Mapping[str, str]) -> tuple[str, ...]:
    hidden = "true" if parameters["dontshow"] == "yes" else "false"
    return (_GET, f'set_password {{"psw": "{{psw}}", "dontshow": {hidden}}}')


PASSWORD: Final = JobSpec(
    name="password",
    recipes=(12,),
    summary=said("set passwords of accounts"),
    model="Users",
    chain=_set_password,
    special=Special.GIVEN_PASSWORD,
    parameters=(
        *ACCOUNT,
        Parameter(
            "psw",
            said(
                "the password, kept out of journal and logs; by --ask psw or a column of the rows, for others can "
                "see a command line"
            ),
            parse=at_most(_LONGEST),
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
    chain=(_GET, 'set {"psw": ""}', "save"),
    fields=("id",),
    then=SecondCall((_GET, "save"), ("id", "login", "psw")),
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
