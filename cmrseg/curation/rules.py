"""The tolerances of curation, and the file in which a data set states its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

from cmrseg.io.settings import read_toml, record, told_of

_RANGE = re.compile(r"(.*?)(\d+)\.\.\1(\d+)")
_MOST_NAMES = 10_000  # of one measurement
_MOST_LETTERS = 200  # of a name or a range
_REMEDY = "correct the rules"


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
        if too_long := next((entry for entry in self.series if len(entry) > _MOST_LETTERS), None):
            raise ValueError(f"series of study {self.study}: no name is as long as {too_long[:40]}...")
        expanded = sum(max(0, ns.stop - ns.start) for _, _, ns in map(_expanded, self.series))
        if not 0 < expanded <= _MOST_NAMES:
            raise ValueError(
                f"series of study {self.study} must name 1 to {_MOST_NAMES} series, "
                f"the ranges in it name {expanded}"
            )

    @property
    def names(self) -> frozenset[str]:
        """The names of the series, ranges expanded."""
        ranges = map(_expanded, self.series)
        return frozenset(
            f"{prefix}{n:0{digits}}" if digits else prefix for prefix, digits, ns in ranges for n in ns
        )


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
    table = read_toml(path, _REMEDY)
    with told_of(path, _REMEDY):
        if isinstance(table.get("measurements"), dict):  # one table of that name
            table["measurements"] = [table["measurements"]]
        return record(Rules, table)


def _expanded(entry: str) -> tuple[str, int, range]:
    """What the names of a range such as ``sax_12..sax_22`` begin with, their digits, and their numbers.

    A name that is no range has no digits and one number.
    """
    match = _RANGE.fullmatch(entry)
    if not match:
        return entry, 0, range(1)
    prefix, start, stop = match.groups()
    return prefix, len(start), range(int(start), int(stop) + 1)


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
