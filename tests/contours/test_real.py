"""Sunnybrook's own contours become masks with the volumes that its readers published."""

from __future__ import annotations

import pandas as pd
import pytest

from cmrseg.curation.rules import Rules
from cmrseg.curation.run import Options
from cmrseg.data.catalog import load_volume_mask, read_catalog
from cmrseg.labels import Label
from cmrseg.metrics.volumes import volume_curve
from cmrseg.workflows.curate import curate_with_contours

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Invalid value for VR UI")]


def test_real_contours_have_the_published_volumes(test_data, tmp_path):
    source = test_data / "sunnybrook_dicom"
    if not source.is_dir():
        pytest.skip(f"no studies at {source}")
    options = Options(rules=Rules(keep_ids=True))
    _, drawn = curate_with_contours(source, tmp_path, source, options=options)
    assert not drawn.complaints
    volumes = {}
    for study in read_catalog(tmp_path).with_masks().studies():
        mask = load_volume_mask(*study)
        for t, ref in enumerate(study):
            frame = mask.array[..., t : t + 1]
            volumes.setdefault(ref.subject, []).append(volume_curve(frame, ref.spacing, Label.LV)[0])
            known = {"SCD0000101": {18: "cmrseg:LV,MYO"}}.get(ref.subject, {}).get(ref.frame, "cmrseg:LV")
            assert ref.labels == known
    assert sorted(volumes["SCD0000101"]) == pytest.approx([141, 191], abs=1)
    assert sorted(volumes["SCD0000501"]) == pytest.approx([161, 216], abs=1)
    problems = pd.read_csv(tmp_path / "problems.tsv", sep="\t")
    assert set(problems["study"]) == {"SCD0000501"}  # whose epicardia are displaced
    assert set(problems["problem"]) == {"truth displaced"}
