"""The base of all jobs on the billing."""

from collections.abc import Sequence

from billing.profile import unconfirmed
from checkpoints.records import Item
from engine.errors import InputRefused
from engine.job import Job
from jobs.access.gateway import Gateway
from jobs.access.payload import payload_of
from jobs.effects.effect import CallEffect, Irreversible
from jobs.spec.columns import Assigned


class BillingJob(Job):
    """The base of all jobs on the billing: a name, and an effect made of calls."""

    effect: CallEffect

    def __init__(self, name: str, gateway: Gateway, effect: CallEffect) -> None:
        self.name = name
        self.effect = effect
        self._gateway = gateway

    def assigned(self, header: Sequence[str]) -> Assigned:
        """The columns of a header by the names of the job; none for a job that is not asked of its columns.

        The input itself is not read. Raises `InputRefused`.
        """
        return Assigned({}, ())

    def assumptions(self, items: Sequence[Item]) -> Sequence[str]:
        """The assumptions of these items that no probe has confirmed, each a sentence."""
        rests_on = self.effect.rests_on([payload_of(item) for item in items])
        return unconfirmed(self._gateway.profile, rests_on) if rests_on else ()

    async def try_out(self) -> None:
        """Try the look-ups of the effect and of its undo once, with ids that no object has.

        Raises `InputRefused`, `LookUpFailed`.
        """
        await self.effect.try_out()
        back = self.effect.undo({})
        if not isinstance(back, Irreversible):
            try:
                await back.try_out()
            except InputRefused as error:
                raise InputRefused("what this run does could not be taken back: {error}", error=error) from error
