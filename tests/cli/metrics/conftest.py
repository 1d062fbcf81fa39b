"""What a scraper sees: the text, parsed by Prometheus's own parser."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(text: str) -> Samples:
    """The samples of a text by name and labels; the run and the job are left out, which all of them have to say."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    assert text.endswith("\n")
    for family in text_string_to_metric_families(text):
        assert family.type in {"gauge", "counter"}
        assert family.documentation
        for name, labels, value, *_ in family.samples:
            rest = {key: word for key, word in labels.items() if key not in {"run", "job"}}
            assert len(rest) == len(labels) - 2, f"{name} does not say of which run and job it is"
            key = (name, frozenset(rest.items()))
            assert key not in found, f"{name} stands twice"
            found[key] = value
    return found


def of(samples: Samples, name: str, **labels: str) -> float:
    """One value."""
    return samples[f"carbon_migrate_{name}", frozenset(labels.items())]
