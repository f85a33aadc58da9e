"""Methods in sentences: they say what was run, and nothing else."""

from dataclasses import replace

import pandas as pd

from cmrseg.examination.methods_text import methods_text
from cmrseg.examination.normal_ranges import AGAINST_COLUMNS
from tests.examination.test_page import analysis, part

RUN = {
    "cmrseg": "0.1.0",
    "mask": "by the model",
    "model": {"name": "light2d", "sha256": "0123456789abcdef"},
    "settings": {"flips": True, "pieces": "heart"},
}


def test_the_text_says_what_was_run():
    text = methods_text(analysis(provenance=RUN))
    assert "5 slices and 6 cardiac phases" in text
    assert "by the model light2d (SHA-256 0123456789ab)" in text
    assert "mirror images were averaged and of every mask the one heart was kept" in text
    assert "not corrected by hand" in text
    assert "3 automatic checks of the masks were made (1 red, 1 amber)" in text
    assert "normal ranges" not in text
    assert "indexed" not in text


def test_other_settings_and_a_corrected_mask_are_told():
    run = RUN | {"mask": "corrected by a person", "settings": {"flips": False, "pieces": "all"}}
    text = methods_text(analysis(provenance=run))
    assert "The masks were corrected by a person." in text
    assert "averaged" not in text
    assert "all pieces were kept" in text


def test_one_phase_has_no_end_systole():
    text = methods_text(part(frames=slice(0, 1)))
    assert "One phase was measured as end-diastole." in text
    assert "1 cardiac phase " in text


def test_ranges_are_told_by_their_source():
    row = ("LV", "EF", 50.0, "%", 48.0, 68.0, "within", "men", "Book, doi:1, abstract (page 1): 58 ± 5")
    normal = pd.DataFrame([row], columns=list(AGAINST_COLUMNS))
    assert "normal ranges by sex and age (Book, doi:1)." in methods_text(replace(analysis(), normal=normal))
