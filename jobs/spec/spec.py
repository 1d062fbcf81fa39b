"""What a job is before it is set up: its name, its rows, its effect and its parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from checkpoints.records import Run
from jobs.access.gateway import Gateway
from jobs.effects.effect import CallEffect
from jobs.spec.parameters import Parameter, check_parameters, row_key

MakeEffect: TypeAlias = Callable[[Gateway, Mapping[str, str]], CallEffect]
"""Sets the effect up with the job's checked parameters; raises `ParameterRefused`."""

Statement: TypeAlias = str | Callable[[Mapping[str, str]], str]
"""The name of a block of `jobs/sql/recipes.sql`, or how the parameters choose one; "" where rows must be given."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One kind of job, as the catalogue lists it.

    `recipes` are its numbers in `docs/jobs.md`; `call` is what is sent, as text; `example` a command line; `way_back`
    says how an undo takes it back, and `undo_parameters` what an undo may be told. A job without `writes` reads, and
    its answers become a file. `finish` is done in a worker thread when nothing of a run is left to send, and again
    where a run is taken up at its end; it says what there is now, and raises `EngineError`. `identity` is for a
    job that does something else in every run: what this one does begins the keys of its rows.
    """

    name: str
    recipes: tuple[int, ...]
    summary: str
    effect: MakeEffect = field(repr=False)
    call: str
    example: str
    parameters: tuple[Parameter, ...] = ()
    statement: Statement = ""
    writes: bool = True
    undo_parameters: tuple[Parameter, ...] = ()
    way_back: str = "the old values are set again, where nobody has changed them since"
    finish: Callable[[Run], str] | None = field(default=None, repr=False)
    identity: str = ""

    def key(self, own: str) -> str:
        """The business key of a row, which the whole journal knows, from the one that its effect gives it."""
        return row_key((self.identity, own)) if self.identity else own


def parameters_of(kind: JobSpec, given: Mapping[str, str]) -> dict[str, str]:
    """All parameters of the job, those of `given` checked and the others at their defaults.

    One that the rows may say instead is "" where nothing is given. Raises `ParameterRefused` with everything that is
    wrong: unknown names, missing and bad values.
    """
    return check_parameters(kind.name, kind.parameters, given)
