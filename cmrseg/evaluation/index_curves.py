"""Indices of the left ventricle over the cycle, as a network answers them and as masks measure them.

A network answers every slice; those of the base and the apex it has not learnt. Here one slice of a cine is
shown, the middle one of those where masks measure the indices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmrseg.metrics.index_errors import GROUPS, PHASE, UNITS, group_errors
from cmrseg.metrics.indices import DIMENSIONS, THICKNESSES
from cmrseg.report.figures import blank_figure
from cmrseg.report.html import Picture, Section, Table
from cmrseg.report.write import Report
from cmrseg.tasks.quantification.truth import PLACE

_SHORT = {**DIMENSIONS, **THICKNESSES}
FEWEST_FRAMES = 5  # of a cine whose curve says something
_TEXT = (
    "Lines: what the network answers; dashed: the same index measured on masks. Shaded: systole, as the "
    "network answers the phase, or else as the masks tell it. Neither is a truth: where they differ, look at "
    "the images."
)
_TABLE = "Mean absolute difference between network and masks, over the images of which both tell the indices."


@dataclass(frozen=True)
class IndexCurves:
    """Curves of some cines.

    Attributes
    ----------
    network, masks
        Columns subject, frame, slice, the phase and indices, as far as they are known.
    subjects
        Who is shown.
    """

    network: pd.DataFrame
    masks: pd.DataFrame
    subjects: Sequence[str]

    def differences(self) -> pd.DataFrame:
        """Mean absolute difference of every group (mm2, mm) and of the phase (%), a row per subject."""
        both = self.network.merge(self.masks, on=list(PLACE), suffixes=("", "_masks"))
        names = [name for name in self.network if f"{name}_masks" in both]
        other = both[[f"{name}_masks" for name in names]].set_axis(names, axis=1)
        errors = group_errors(both[names], other)
        if PHASE in errors:
            errors[PHASE] *= 100
        means = errors.groupby(both["subject"], sort=False).mean().reset_index()
        return means.rename(columns={name: f"{name} ({UNITS[name]})" for name in errors})

    def shown(self, subject: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows of one slice of a subject, by frame: of the network, of the masks."""
        measured = sorted(self.masks.loc[self.masks["subject"] == subject, "slice"].unique())
        answered = sorted(self.network.loc[self.network["subject"] == subject, "slice"].unique())
        places = measured or answered
        here = {"subject": subject, "slice": places[len(places) // 2]}
        network, masks = (
            table[(table[list(here)] == pd.Series(here)).all(axis=1)].sort_values("frame")
            for table in (self.network, self.masks)
        )
        return network, masks


def curves_report(found: IndexCurves, provenance: Mapping[str, object]) -> Report:
    """A figure for every cine, and how far network and masks are apart.

    Parameters
    ----------
    found
        Of at least one cine.
    provenance
        What it was made of.
    """
    pictures = []
    for number, subject in enumerate(found.subjects, start=1):
        network, masks = found.shown(subject)
        title = f"{subject}, slice {int(network['slice'].iloc[0])}"
        pictures.append(Picture(curves_figure(network, masks), title, f"curves_{number}"))
    parity = Section("Network and masks", [_TABLE], [Table(found.differences().round(2), "By study")])
    sections = [parity, Section("Over the cycle", [_TEXT], pictures=pictures)]
    summary = f"Indices of the left ventricle over the cycle, of {len(found.subjects)} cine(s)."
    return Report("Indices over the cycle", sections, provenance, summary, figures=None)


def curves_figure(network: pd.DataFrame, masks: pd.DataFrame) -> Figure:
    """Areas, dimensions and wall thicknesses of one slice over the frames.

    Parameters
    ----------
    network, masks
        Columns frame, phase and indices, as far as they are known; rows in the order of the frames.
    """
    groups = {group: names for group, names in GROUPS.items() if any(name in network for name in names)}
    figure = blank_figure(10, 3.2)
    axes = figure.subplots(1, max(len(groups), 1), squeeze=False)[0]
    told = network if PHASE in network else masks
    for ax, (group, names) in zip(axes, groups.items(), strict=False):
        for number, name in enumerate(names):
            label = _SHORT.get(name, name.rsplit("_", 1)[0].replace("_", " "))
            ax.plot(network["frame"], network[name], color=f"C{number}", label=label)
            if name in masks:
                ax.plot(masks["frame"], masks[name], "--", color=f"C{number}", lw=1)
        ax.set_ylabel(f"{group} ({UNITS[group]})")
        ax.legend(fontsize=6, frameon=False)
    if not groups:
        axes[0].plot(network["frame"], network[PHASE], label="probability of systole")
        axes[0].legend(fontsize=6, frameon=False)
    for ax in axes:
        ax.set_xlabel("frame")
        _shade(ax, told)
    return figure


def _shade(ax: Axes, told: pd.DataFrame) -> None:
    """The frames of systole."""
    if PHASE not in told:
        return
    for frame in told.loc[told[PHASE] >= 0.5, "frame"].to_numpy(float):
        ax.axvspan(frame - 0.5, frame + 0.5, color="0.9", lw=0, zorder=0)
    ax.set_xlim(np.min(told["frame"]) - 0.5, np.max(told["frame"]) + 0.5)
