"""What a model file says of itself, for a person: origin, training data, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from cmrseg.zoo import manifest
from cmrseg.zoo.domain import DOMAIN, FEATURES, TrainingDomain, read_domain
from cmrseg.zoo.resolved import ResolvedModel

_UNKNOWN = "not known"


def model_card(name_or_path: str) -> str:
    """The card of a model, Markdown; of one outside the zoo the card beside its file and what it holds.

    Parameters
    ----------
    name_or_path
        Name of the zoo or of an imported model, model file, or folder of a training run.

    Raises
    ------
    DataError
        If there is no such model, or its file cannot be read.
    """
    if name_or_path in manifest.read_manifest():
        return manifest.read_card(name_or_path)
    model = manifest.resolve(name_or_path)
    card = model.path.with_name("card.md")
    text = f"{card.read_text(encoding='utf-8').rstrip()}\n\n" if card.exists() else ""
    return text + describe_file(model)


def describe_file(model: ResolvedModel) -> str:
    """What a model file holds: data, subjects, scanners, licence, base, recipe, labels, preprocessing.

    Parameters
    ----------
    model
        From `cmrseg.zoo.manifest.resolve`.

    Returns
    -------
    Markdown.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    path, spec, domain = model.path, model.spec, read_domain(model)
    training = {key: value for key, value in spec.training.items() if key != DOMAIN}
    rows = {
        "file": f"{path.name}, {path.stat().st_size / 1e6:.1f} MB",
        "sha256": model.sha256,
        "labels": ", ".join(spec.labels),
        "licence": spec.licence,
        "base": training.pop("base", "none"),
        "recipe": spec.recipe,
        "architecture": _settings({"": spec.architecture, **spec.arguments}),
        "preprocessing": _settings(asdict(spec.preprocessing)),
        "training": _settings(training),
        **dict(_domain_rows(domain)),
    }
    for role, member in model.members.items():
        rows[f"member {role}"] = f"{member.spec.name}, {member.path.name}, sha256 {member.sha256}"
    return "\n".join([f"# {spec.name}", "", *(f"- **{key}**: {value}" for key, value in rows.items())])


def _domain_rows(domain: TrainingDomain | None) -> Iterator[tuple[str, str]]:
    """What is known of the images that it was trained on."""
    if domain is None:
        yield "data", f"{_UNKNOWN}: studies cannot be compared with the training, and no report is green"
        return
    yield "data", f"{domain.data} ({domain.studies} measured)"
    fields = [f"{tesla:g} T" for tesla in domain.field_strengths_t]
    yield "scanners", ", ".join([*domain.manufacturers, *fields]) or _UNKNOWN
    said = (
        f"{FEATURES[name][0]} {low:.3g} to {high:.3g} {FEATURES[name][1]}".rstrip()
        for name, (low, high) in domain.ranges.items()
        if name in FEATURES
    )
    yield "images", "; ".join(said)


def _settings(values: Mapping[str, Any]) -> str:
    """Names and values as one line; nested ones in brackets."""
    shown = (
        f"{name.replace('_', ' ')} {f'({_settings(value)})' if isinstance(value, Mapping) else value}".strip()
        for name, value in values.items()
    )
    return ", ".join(shown) or _UNKNOWN
