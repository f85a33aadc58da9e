"""What a curve says in words."""

import pandas as pd
import pytest

from cmrseg.data.distortions import DISTORTIONS
from cmrseg.evaluation.robustness_card import card_block, robustness_sentences


def summary(name, lv, myo=None):
    """Mean Dice of the LV, and of a MYO that loses nothing, at every level."""
    d = DISTORTIONS[name]
    rows = [
        {"sweep": name, "level": float(level), "unit": d.unit, "structure": s, "mean": value, "n": 10}
        for s, values in (("LV", lv), ("MYO", myo or [0.8] * len(d.levels)))
        for level, value in zip(d.levels, values, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("name", "lv", "said"),
    [
        ("rotation", [0.9, 0.9, 0.5, 0.92, 0.94, 0.93, 0.919, 0.9, 0.9], "from -20 to 20 degrees."),
        ("noise", [0.9, 0.9, 0.89, 0.8, 0.9, 0.9, 0.9], "up to 10 %."),
        ("noise", [0.9] * 7, "over all that was tested, up to 40 %."),
        ("resolution", [0.9, 0.87, 0.9, 0.9, 0.9, 0.9, 0.9], "the mildest level tested costs a structure"),
        ("contrast", [0.5, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5], "from gamma 0.5 to 1.5."),
        ("zoom", [0.5, 0.5, 0.88, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5], "from 0.7 to 1.4 times."),
    ],
)
def test_the_range_ends_where_a_structure_loses_more_than_two_hundredths(name, lv, said):
    (sentence,) = robustness_sentences(summary(name, lv))
    assert said in sentence


def test_the_worst_structure_counts():
    table = summary("noise", [0.9] * 7, [0.8, 0.8, 0.7, 0.7, 0.7, 0.7, 0.7])
    assert "up to 5 %" in robustness_sentences(table)[0]


def test_the_card_has_a_line_per_sweep():
    table = pd.concat([summary("noise", [0.9] * 6 + [0.6]), summary("rotation", [0.9] * 9)])
    rows = card_block(table).splitlines()
    assert rows[2].startswith(
        "| Rotation: rotation in the plane | from -180 to 180 degrees | from -180 to 180"
    )
    assert rows[3].endswith("| up to 30 % | 40: 0.60, 0.80 |")
    assert rows[-1].startswith("10 subjects; untouched images: LV 0.900, MYO 0.800")
    assert card_block(table.assign(n=1)).splitlines()[-1].startswith("1 subject; ")
