"""The report of a curation is one page: what was wrong, with pictures, nothing from data as markup."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from cmrseg.cine import Cine
from cmrseg.curation.report import cine_mosaic, mosaic_figure, repair_figure
from cmrseg.curation.rules import Rules
from cmrseg.curation.run import Options
from cmrseg.phantom.dicom import Identity, dicom_datasets, write_datasets
from cmrseg.phantom.faults import inject
from cmrseg.problems import DataError
from cmrseg.workflows.curate import curate

IDS = Options(keep_ids=True)


def datasets(patient: str = "P1", **options) -> list[Dataset]:
    x, y, z, t = np.ogrid[0:28, 0:24, 0:6, 0:6]
    array = 1500 + 700 * np.sin(x / 4 + t / 3) * np.cos(y / 3 + z) + 40 * z
    affine = np.array([[-1.4, 0, 0, 9.5], [0, -1.28, 4.8, -3.25], [0, -0.96, -6.4, 70], [0, 0, 0, 1]])
    cine = Cine(array, (1.4, 1.6, 8.0), affine, tuple(100.0 * t for t in range(6)))
    return dicom_datasets(cine, identity=Identity(patient_id=patient), **options)


def report(folder: Path, *studies: list[Dataset], options: Options = IDS) -> str:
    """The page about some studies."""
    for number, study in enumerate(studies):
        write_datasets(study, folder / "source" / str(number), np.random.default_rng(0))
    curate(folder / "source", folder / "out", options=options)
    return (folder / "out" / "report.html").read_text(encoding="utf-8")


def faulty(*names: str, patient: str = "P1", seed: int = 0) -> list[Dataset]:
    return inject(datasets(patient, seed=seed), names, np.random.default_rng(0)).datasets


def pictures(page: str) -> list[Image.Image]:
    found = re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_a_clean_study_has_one_picture_of_its_result(tmp_path):
    page = report(tmp_path, datasets())
    assert page.count("<img") == len(pictures(page)) == 1
    assert re.search(r"\b1 of 1 .*\b0 failed", page)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("collision", "Collision"), ("rotation", "Rotation"), ("image size, padded", "Image size"),
     ("slice spacing: interspersed", "Slice spacing: interspersed")],
)  # fmt: skip
def test_a_repaired_slice_is_shown_before_and_after(tmp_path, fault, kind):
    page = report(tmp_path, faulty(fault))
    assert page.count("<img") == 2
    assert f"{kind}: the slice as it was measured" in page


def test_every_kind_of_repair_has_one_picture(tmp_path):
    page = report(tmp_path, faulty("rotation"), faulty("collision", patient="P2", seed=2))
    assert page.count("<img") == 3


def test_pictures_are_not_empty(tmp_path):
    for picture in pictures(report(tmp_path, faulty("rotation"))):
        assert np.asarray(picture.convert("L")).std() > 10


def test_problems_are_counted_by_kind_and_study(tmp_path):
    page = report(
        tmp_path, faulty("collision"), faulty("collision", patient="P2", seed=2), datasets("P3", seed=3)
    )
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    row = cells[cells.index("collision") :][:4]
    assert row == ["collision", "slice removed", "2", "2"]


def test_a_failed_study_is_a_warning_with_its_reason(tmp_path):
    page = report(tmp_path, datasets(), datasets("P2", seed=2)[:12])
    assert re.search(r'class="warning">P2: no stack of at least 3', page)
    assert re.search(r"\b1 of 2 .*\b1 failed", page)


def test_series_and_the_reasons_for_them_are_listed(tmp_path):
    page = report(tmp_path, datasets(description="cine_sax"))
    assert "cine_sax" in page
    assert "short-axis cine" in page


def test_the_page_refers_to_nothing_outside(tmp_path):
    page = report(tmp_path, faulty("rotation"))
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_the_page_is_well_formed(tmp_path):
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("img", "meta", "br", "link", "hr"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(report(tmp_path, faulty("rotation")))
    assert open_tags == []


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a & b"])
def test_a_description_is_not_taken_for_markup(tmp_path, text):
    page = report(tmp_path, datasets(description=text))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("<img") == 1


def test_a_description_with_signs_of_mathematics_breaks_no_picture(tmp_path):
    page = report(tmp_path, inject(datasets("P$_{x", description="$\\frac{1}$ $"), ["collision"],
                                   np.random.default_rng(0)).datasets)  # fmt: skip
    assert page.count("<img") == 2


def test_a_file_name_with_signs_of_mathematics_breaks_no_picture(tmp_path):
    instances = faulty("collision")
    write_datasets(instances, tmp_path / "source" / "$x_{a$ $\\frac$", np.random.default_rng(0))
    curate(tmp_path / "source", tmp_path / "out", options=IDS)
    assert (tmp_path / "out" / "report.html").read_text().count("<img") == 2


def test_the_rules_are_told(tmp_path):
    page = report(tmp_path, datasets(), options=Options(keep_ids=True, rules=Rules(collision_mm=0.75)))
    assert "rules.collision_mm" in page
    assert "0.75" in page


def test_a_damaged_picture_file_costs_only_the_picture(tmp_path):
    report(tmp_path, faulty("rotation"))
    (saved,) = (tmp_path / "out" / ".curation").glob("*.npz")
    saved.write_bytes(saved.read_bytes()[:100])
    assert report(tmp_path).count("<img") == 0


def test_the_same_run_gives_the_same_page(tmp_path):
    assert report(tmp_path, faulty("rotation")) == report(tmp_path)


def test_only_damaged_files_make_a_page_too(tmp_path):
    for path in write_datasets(datasets(), tmp_path / "source", np.random.default_rng(0)):
        path.write_bytes(path.read_bytes()[:-9])
    page = report(tmp_path)
    assert "0 of 0 studies" in page
    assert "unreadable" in page


@pytest.mark.slow  # eight studies
def test_many_studies_make_a_short_page(tmp_path):
    """Pictures are few per kind, whatever the number of studies."""
    page = report(tmp_path, *(faulty("rotation", patient=f"P{n}", seed=n) for n in range(8)))
    assert page.count("<img") == 2
    assert "of 8 studies" in page


def test_the_repairs_of_a_study_are_a_figure(tmp_path):
    report(tmp_path, faulty("rotation"), faulty("collision", patient="P2", seed=2))
    rotated, removed = (repair_figure(tmp_path / "out", study).axes for study in ("P1", "P2"))
    assert [ax.get_title().partition("\n")[0] for ax in rotated] == ["P1", "repaired"]
    assert np.ptp(rotated[1].images[0].get_array()) > 100
    assert [ax.get_title().partition("\n")[0] for ax in removed] == ["P2", "removed"]
    assert [len(ax.images) for ax in removed] == [1, 0]


def test_a_study_without_repairs_has_no_figure(tmp_path):
    report(tmp_path, datasets())
    with pytest.raises(DataError, match=r"no picture of a repair of study 'P1'; see problems\.tsv"):
        repair_figure(tmp_path / "out", "P1")


def test_a_cine_is_shown_by_slices_or_by_frames():
    array = np.arange(4 * 5 * 3 * 2, dtype=float).reshape(4, 5, 3, 2)
    cine = Cine(array, (1.0, 1.0, 8.0), frame_times_ms=(0.0, 50.0))
    slices, frames = cine_mosaic(cine, t=1).axes, cine_mosaic(cine, z=2).axes
    assert [ax.get_title() for ax in slices] == ["slice 0", "slice 1", "slice 2"]
    assert [ax.get_title() for ax in frames] == ["0 ms", "50 ms"]
    np.testing.assert_array_equal(slices[2].images[0].get_array(), array[:, :, 2, 1].T)
    np.testing.assert_array_equal(frames[1].images[0].get_array(), array[:, :, 2, 1].T)


def test_frames_without_times_have_numbers():
    cine = Cine(np.ones((4, 5, 1, 2)), (1.0, 1.0, 8.0))
    assert [ax.get_title() for ax in cine_mosaic(cine, z=0).axes] == ["frame 0", "frame 1"]


def test_images_of_a_mosaic_share_their_window():
    dark, bright = mosaic_figure([("a", np.full((4, 4), 10.0)), ("b", np.full((4, 4), 90.0))]).axes
    assert dark.images[0].get_clim() == bright.images[0].get_clim() == (0, 90)
