"""Trials of jobs of one's own, made of their declaration alone.

The lab has rows for jobs that set fields, enter operations, connect services, and delete services or accounts. Of any
other call nobody knows the effect, so nothing could be judged.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Final

from jobs.spec.chain import Template
from jobs.spec.chain_kind import ChainKind, kind_of
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec
from lab.crash.errors import NoTrial
from lab.crash.trials import CELLS, OBJECTS, OPERATIONS, TRIALS, By, Cell, Trial, trial_of_fields
from lab.mock.models import MODELS
from texts.said import said

_SERVICES: Final = "UsersUsluga"
_SAMPLES: Final = 20
"""Values that a parameter must all take, before it is believed to take others of their sort."""

_DELETED: Final = {_SERVICES: "delete-services", "Users": "delete-account"}
"""By model, the built-in job whose trial tries a deletion by id."""


def trial_of(job: JobSpec) -> Trial:
    """The trial of a job of one's own. Raises `NoTrial` with the reason."""
    chain = job.template()
    match kind_of(chain):
        case ChainKind.SETS_FIELDS if job.model in OBJECTS:
            return _of_fields(job, chain)
        case ChainKind.CREATES if job.model in {OPERATIONS, _SERVICES}:
            return _of_created(job, chain)
        case ChainKind.DELETES if job.model in _DELETED and tuple(chain.links[0].arguments) == ("id",):
            return replace(TRIALS[_DELETED[job.model]], job=job.name, header=chain.names, identity=job.identity)
        case ChainKind.READS:
            raise NoTrial(said("it reads, and changes nothing that could be lost or entered twice"))
    raise NoTrial(
        "the lab does not know what {methods} of {model} does to its billing",
        methods=" → ".join(chain.methods),
        model=job.model,
    )


def _of_fields(job: JobSpec, chain: Template) -> Trial:
    if unknown := [name for name in chain.links[1].arguments if name not in MODELS[job.model].fields]:
        raise NoTrial("the lab's billing has no {fields} in {model}", fields=tuple(unknown), model=job.model)
    usual, finding = trial_of_fields(job), {name for _, name in chain.links[0].places}
    if not finding or any(name not in finding for name in _needed(job, finding)):
        raise NoTrial("the lab finds its objects by the placeholders of {method} alone", method=chain.methods[0])
    drawn = dict(_drawn(job, [name for name in chain.names if name not in finding]))
    header = tuple(name for name in chain.names if name in finding or name in drawn)
    return replace(usual, header=header, drawn=tuple(drawn.values()), values=_values(job, drawn))


def _of_created(job: JobSpec, chain: Template) -> Trial:
    """The trial of what bears a mark and belongs to a subscriber: an operation of a sum, or a service."""
    whose, is_money = _named(chain, "abonent_id"), job.model == OPERATIONS
    kind = _constant(job, chain, "op_type_id") if is_money else ""
    enters = "op_summa" if is_money else "usluga_id"
    what = _named(chain, enters)
    finding = (whose,) if is_money else (whose, what)
    drawn = dict(_drawn(job, [name for name in chain.names if name not in finding]))
    return Trial(
        job=job.name,
        model=job.model,
        rows="owners" if is_money else "to_connect",
        header=(*finding, *drawn),
        drawn=tuple(drawn.values()),
        by=By.MARK,
        once=True,
        amount=enters if is_money else "",
        entered="" if is_money else enters,
        identity=job.identity,
        key_end=kind,
        kind=int(kind) if kind.isdecimal() else 0,
        enters=what,
    )


def _needed(job: JobSpec, finding: set[str]) -> Iterator[str]:
    """The placeholders of the first link whose value a row has to say."""
    return (one.name for one in job.parameters if one.name in finding and one.columns is None)


def _named(chain: Template, field: str) -> str:
    """The placeholder of a field. Raises `NoTrial` where the chain has another value there."""
    found = next((name for link in chain.links for place, name in link.places if place == field), "")
    if not found:
        raise NoTrial("its call has no placeholder for {field}", field=field)
    return found


def _constant(job: JobSpec, chain: Template, field: str) -> str:
    """The value that a field has in all rows. Raises `NoTrial` where there is none."""
    places = dict(chain.links[0].places)
    value = _default(job, places[field]) if field in places else chain.links[0].arguments.get(field)
    if value in {None, ""}:
        raise NoTrial("its call has no one value for {field}", field=field)
    return str(value)


def _default(job: JobSpec, name: str) -> str | None:
    return next((one.default for one in job.parameters if one.name == name), None)


def _values(job: JobSpec, drawn: Mapping[str, Cell]) -> dict[str, str]:
    """The values of all rows: the defaults of what is not drawn."""
    return {one.name: one.default for one in job.parameters if one.default is not None and one.name not in drawn}


def _drawn(job: JobSpec, names: list[str]) -> Iterator[tuple[str, Cell]]:
    """The cells that are drawn; what has a default keeps it. Raises `NoTrial` for a parameter that takes no value."""
    parameters = {one.name: one for one in job.parameters}
    for name in names:
        parameter = parameters[name]
        if parameter.default is not None:
            continue
        if parameter.columns is None:
            raise NoTrial("{name} is to be given for all rows, and the lab gives values in rows", name=name)
        yield name, _cell(parameter)


def _cell(parameter: Parameter) -> Cell:
    """A cell whose values the parameter takes, in its own spelling."""
    for cell in CELLS[parameter.refers_to] if parameter.refers_to in CELLS else _choices(parameter):
        if _takes(parameter, cell):
            return _spelled(parameter.parse, cell)
    raise NoTrial("the lab finds no values that {name} takes", name=parameter.name)


def _choices(parameter: Parameter) -> Iterator[Cell]:
    if parameter.choices:
        yield lambda draw: draw.choice(parameter.choices)
    elif not parameter.refers_to:
        yield from CELLS[""]


def _takes(parameter: Parameter, cell: Cell) -> bool:
    try:
        return all(parameter.parse(cell(Random(seed))) for seed in range(_SAMPLES))
    except ValueError:
        return False


def _spelled(parse: Callable[[str], str], cell: Cell) -> Cell:
    return lambda draw: parse(cell(draw))
