"""The tolerances of curation, and the file in which a data set states its own."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import get_type_hints

from cmrseg.problems import DataError

_RANGE = re.compile(r"(.*?)(\d+)\.\.\1(\d+)")


@dataclass(frozen=True)
class Measurement:
    """One of two measurements of the same stack in one examination, found by hand.

    Attributes
    ----------
    study
        Name of the study.
    series
        Its series: names of their folders, descriptions or numbers; ``sax_12..sax_22`` is a range.
    suffix, rest
        What is added to the name of the study for these series, and for all others.
    """

    study: str
    series: tuple[str, ...]
    suffix: str = "_b"
    rest: str = "_a"

    def __post_init__(self) -> None:
        if (
            not self.series
            or not isinstance(self.series, tuple)
            or not all(isinstance(s, str) for s in self.series)
        ):
            raise ValueError(f"series of study {self.study} must be a list of names, got {self.series!r}")
        if not self.names:
            raise ValueError(f"series of study {self.study} is a range without members: {self.series}")

    @property
    def names(self) -> frozenset[str]:
        """The names of the series, ranges expanded."""
        return frozenset(name for entry in self.series for name in _expanded(entry))


@dataclass(frozen=True)
class Rules:
    """How a stack is found and repaired; the defaults are those of the published curation.

    Attributes
    ----------
    min_slices, min_phases
        Fewer parallel positions, or images at a position, are no short-axis cine.
    parallel_cosine
        Slices whose normal deviates further from the stack's (1 - cosine; 0.001 is 2.6 degrees) are removed.
    split_repeats, repeat_coverage
        Whether a stack that was measured twice becomes two studies, and the share of the slice positions
        that each of the two must hold.
    measurements
        Repeated measurements that were found by hand; they are split whatever ``split_repeats`` says.
    collision_mm
        Of slices that are closer than this, the one of the later series, then the later file, stays.
    collision_phase_fraction
        A slice with a smaller share of the usual number of phases was aborted: any other one stays.
    min_phase_fraction
        Slices with a smaller share of the usual number of phases are removed.
    orientation_tolerance
        Direction cosines that differ by more mean a slice rotated in its plane (0.01 is 0.6 degrees).
    spacing_tolerance
        Relative difference of pixel sizes that is no difference.
    shift_mm
        Slices that lie further off the stack's axis are moved back.
    slice_tolerance_mm
        Deviation from the usual distance of slices (or from twice that) that is accepted.
    outlier_spacings
        What lies further than this many distances away does not belong to the stack.
    max_outlier_fraction
        If more of the slices than this would have to go, the study has failed.
    edge_tolerance_mm
        Deviation of the distance to the first and last slice that is accepted.
    max_uneven_spacings
        If a slice lies further from its place in an evenly spaced stack (in distances), the study has failed.
    full_tolerance_spacing_mm
        Below this distance of slices (animals) the tolerances in mm shrink in proportion.
    missing_slice
        ``copy`` (of the slice before), ``interpolate`` or ``leave``.
    missing_frame
        ``previous`` (is copied) or ``resample`` (in time).
    max_size
        Larger images are scaled down, pixels; 0 leaves them.
    rotate_landscape
        Whether a study with more columns than rows is written a second time as ``<study>_rot90``, rotated.
    study_pattern
        Regular expression that finds the study's name in a file's path (its first group); only for data whose
        headers do not tell, and together with ``keep_ids``.
    keep_ids
        Whether the data set is public, so that names and paths may be told.

    References
    ----------
    Ankenbrand et al. (2021), doi:10.1101/2020.06.15.20131656; the numbers are those of the authors' script.
    """

    min_slices: int = 3
    min_phases: int = 5
    parallel_cosine: float = 0.001
    split_repeats: bool = True
    repeat_coverage: float = 0.8
    measurements: tuple[Measurement, ...] = ()
    collision_mm: float = 1.0
    collision_phase_fraction: float = 0.8
    min_phase_fraction: float = 0.5
    orientation_tolerance: float = 0.01
    spacing_tolerance: float = 0.001
    shift_mm: float = 1.0
    slice_tolerance_mm: float = 1.0
    outlier_spacings: float = 2.5
    max_outlier_fraction: float = 0.34
    edge_tolerance_mm: float = 2.5
    max_uneven_spacings: float = 0.5
    full_tolerance_spacing_mm: float = 4.0
    missing_slice: str = "copy"
    missing_frame: str = "previous"
    max_size: int = 256
    rotate_landscape: bool = False
    study_pattern: str = ""
    keep_ids: bool = False

    def __post_init__(self) -> None:
        _check_choice("missing_slice", self.missing_slice, ("copy", "interpolate", "leave"))
        _check_choice("missing_frame", self.missing_frame, ("previous", "resample"))
        for rule in fields(self):
            value = getattr(self, rule.name)
            if isinstance(value, (int, float)) and not value >= 0:
                raise ValueError(f"{rule.name} must not be negative, got {value}")
        if self.min_slices < 2 or self.min_phases < 2:
            raise ValueError(
                f"min_slices and min_phases must be at least 2, got {self.min_slices} and {self.min_phases}"
            )
        if 0 < self.max_size < 16:
            raise ValueError(f"max_size must be 0 (off) or at least 16 pixels, got {self.max_size}")
        _check_pattern(self.study_pattern)

    def scaled_to(self, spacing_mm: float) -> Rules:
        """The rules with tolerances along the stack that suit its distance of slices; nan leaves them."""
        if not spacing_mm < self.full_tolerance_spacing_mm:
            return self
        factor = spacing_mm / self.full_tolerance_spacing_mm
        names = ("collision_mm", "slice_tolerance_mm", "edge_tolerance_mm")
        return replace(self, **{name: getattr(self, name) * factor for name in names})


def load_rules(path: Path) -> Rules:
    """Read the rules of a data set.

    Parameters
    ----------
    path
        TOML file with any fields of `Rules`, and ``[[measurements]]`` tables with those of `Measurement`.

    Raises
    ------
    DataError
        If the file is missing or no TOML, or a rule is unknown or has a wrong value.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"rules {path} cannot be read: {error}") from None
    try:
        measurements = tuple(_record(Measurement, entry) for entry in _list(table.pop("measurements", [])))
        return _record(Rules, {**table, "measurements": measurements})
    except (TypeError, ValueError) as error:
        raise DataError(f"rules {path}: {error}") from None


def _expanded(entry: str) -> list[str]:
    """The names of a range such as ``sax_12..sax_22``."""
    match = _RANGE.fullmatch(entry)
    if not match:
        return [entry]
    prefix, start, stop = match.groups()
    return [f"{prefix}{number:0{len(start)}}" for number in range(int(start), int(stop) + 1)]


def _record(kind: type, table: Mapping[str, object]):
    """A dataclass from a table of TOML."""
    if not isinstance(table, dict):
        raise ValueError(f"measurements must be [[measurements]] tables, got {table!r}")
    hints = get_type_hints(kind)
    for name, value in table.items():
        if name not in hints:
            near = get_close_matches(name, hints, 1)
            raise ValueError(f"there is no rule '{name}'{f', did you mean {near[0]}?' if near else ''}")
        if isinstance(value, bool) != (hints[name] is bool) or (
            hints[name] is str and not isinstance(value, str)
        ):
            raise ValueError(f"{name} cannot be {value!r}")
        if hints[name] in (int, float) and not isinstance(value, int if hints[name] is int else (int, float)):
            raise ValueError(f"{name} must be a number, got {value!r}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in table.items()})


def _list(value: object) -> list:
    """A list, whatever stands there."""
    return value if isinstance(value, list) else [value]


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """One of a few words."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got '{value}'")


def _check_pattern(pattern: str) -> None:
    """A regular expression with one group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"study_pattern is no regular expression ({error}): '{pattern}'") from None
    if pattern and groups != 1:
        raise ValueError(f"study_pattern must hold one group, got '{pattern}'")
