"""The vendor's commonest chain, get → set → save, written in one go."""

from collections.abc import Mapping

from billing.api.calls import NOTHING, Call, ChainStep, get


def get_set_save(
    model: str, key: Mapping[str, object], values: Mapping[str, object], /, *, save: Mapping[str, object] = NOTHING
) -> Call:
    """Find an object, assign values, and save it. `save` holds arguments of the saving."""
    return get(model, key, ChainStep("set", values), ChainStep("save", save))
