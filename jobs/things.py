"""Objects of the billing as they are now: from the database in bulk, or through the API, a call a key."""

from collections.abc import Collection, Mapping, Sequence

from billing.things import Key, Thing, call_for, from_database, known_to_database, of_answer, plain
from jobs.payloads import ACCOUNT
from jobs.services import Services, told_to_engine


async def find(services: Services, model: str, keys: Sequence[Key], fields: Collection[str]) -> list[list[Thing]]:
    """What each key finds, none to several objects, with these fields at least. Raises `LookUpFailed`."""
    if services.database is not None and known_to_database(model, keys, fields):
        return await services.read(lambda database: from_database(database, model, keys))
    answers = await services.ask([call_for(model, key, fields) for key in keys])
    with told_to_engine():
        return [of_answer(model, key, fields, answer) for key, answer in zip(keys, answers, strict=True)]


def lane_of(model: str, key: Mapping[str, str], thing: Thing) -> str:
    """What allows one write at a time: the account, or the object itself where nobody's account is behind it."""
    if thing.account_id is not None:
        return f"{ACCOUNT}{thing.account_id}"
    return f"{model}:{'/'.join(key.values())}"


def differences(wanted: Mapping[str, str | None], thing: Thing) -> dict[str, str | None]:
    """The fields that are not as wanted, each with what it is now."""
    return {name: thing.values.get(name) for name, value in wanted.items() if thing.values.get(name) != value}


def in_words(values: Mapping[str, str | None]) -> str:
    """Values for a sentence, as `pull 6, ip nothing`."""
    return ", ".join(f"{name} {'nothing' if value is None else value}" for name, value in values.items())


def spelled(arguments: Mapping[str, object]) -> dict[str, str | None]:
    """The arguments of a call, each in its one plain spelling. Raises ValueError for money that is no number."""
    return {name: plain(name, value) for name, value in arguments.items()}
