"""The tally of an import on the screen and for scripts: the file beside the billing, what differs first."""

from collections.abc import Mapping
from typing import Final

from rich.console import RenderableType

from checkpoints.tally import ImportTally, Subtotal, TallyGroup
from cli.terminal.drawing import drawn
from texts.said import two_decimals

MAX_GROUPS_SHOWN: Final = 20
"""Different groups of a kind that are shown; the others are only counted."""


def tally_screen(run: str, tally: ImportTally) -> RenderableType:
    """The table of the groups, and the subscribers that are not in the file."""
    return drawn("tally.j2", run=run, tally=tally, most=MAX_GROUPS_SHOWN)


def tally_object(tally: ImportTally) -> Mapping[str, object]:
    """The tally for `--json`; of the extra subscribers the report has names."""
    return {
        "groups": [_group_object(one) for one in tally.groups],
        "different": tally.different,
        "refused": tally.refused,
        "not_in_file": tally.extra,
    }


def _group_object(group: TallyGroup) -> Mapping[str, object]:
    return {
        "kind": group.kind,
        "id": group.key,
        "name": group.name,
        "groups": group.groups,
        "different": group.is_different,
        "file": _count_object(group.file),
        "billing": _count_object(group.billing),
        "not_entered": _count_object(group.not_entered),
        "later_operations": _count_object(group.moved),
        "not_in_file": _count_object(group.extra),
    }


def _count_object(part: Subtotal) -> Mapping[str, object]:
    return {"subscribers": part.rows, "balance": two_decimals(part.amount)}
