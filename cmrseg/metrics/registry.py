"""The metrics of predictions: name, unit, digits, what is better, where shown. Adding one is a row here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

VOLUME, SUBJECT, SCREEN, CARD, RUN, CONTOURS = "volume", "subject", "screen", "card", "run", "contours"


@dataclass(frozen=True)
class Metric:
    """A number that compares predictions with the truth, as it stands in ``metrics.csv``.

    Attributes
    ----------
    name
        As in the tables.
    unit
        ``1`` for a ratio.
    digits
        After the point, for people.
    better
        ``more``, ``less``, or ``zero`` of a signed error (predicted minus true).
    shown
        Where: in the report per ``volume`` or per ``subject``, on the ``screen`` of `evaluate masks`, in a
        model's ``card``, in the report of a training ``run``, on the screen of `evaluate contours`.
    """

    name: str
    unit: str
    digits: int
    better: str
    shown: frozenset[str] = frozenset()


def _metric(name: str, unit: str, digits: int, better: str, *shown: str) -> tuple[str, Metric]:
    return name, Metric(name, unit, digits, better, frozenset(shown))


METRICS: Mapping[str, Metric] = MappingProxyType(
    dict(
        [
            _metric("dice", "1", 3, "more", VOLUME, SCREEN, CARD, RUN, CONTOURS),
            _metric("dice_image", "1", 3, "more", VOLUME, SCREEN, CARD, CONTOURS),
            _metric("dice_pooled", "1", 3, "more"),
            _metric("hd", "mm", 1, "less", VOLUME),
            _metric("hd95", "mm", 1, "less", VOLUME, SCREEN, CARD, RUN, CONTOURS),
            _metric("assd", "mm", 1, "less", VOLUME, SCREEN, CARD, CONTOURS),
            _metric("volume_error", "ml", 1, "zero", VOLUME, SCREEN, CONTOURS),
            _metric("edv_error", "ml", 1, "zero"),
            _metric("esv_error", "ml", 1, "zero"),
            _metric("ef_error", "points", 1, "zero", SUBJECT, SCREEN, CARD, RUN),
            _metric("ef_abs_error", "points", 1, "less", SUBJECT, SCREEN, CARD, RUN),
            _metric("mass_error", "g", 1, "zero", SUBJECT, SCREEN, CARD),
            _metric("abs_error", "1", 3, "less"),
        ]
    )
)


def shown_in(place: str) -> tuple[str, ...]:
    """Names of the metrics that are shown in a place, in the order of the registry."""
    return tuple(name for name, metric in METRICS.items() if place in metric.shown)


def unit_of(name: str) -> str:
    """Unit of a metric."""
    return METRICS[name].unit
