"""Masks against contours drawn on some images of a cine, with errors that are known."""

import math
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from cmrseg.contours.truth_check import nesting
from cmrseg.data.catalog import load_volume_mask, read_catalog
from cmrseg.evaluation.contour_studies import ContourOptions
from cmrseg.evaluation.contours import CONTOUR_COLUMNS, evaluate_contours
from cmrseg.evaluation.contours_report import volume_table
from cmrseg.evaluation.summary import METRIC_COLUMNS, SUMMARY_COLUMNS
from cmrseg.io.contours import find_contour_files, read_contour
from cmrseg.io.dicom import read_headers
from cmrseg.io.images import load_mask
from cmrseg.io.outlines import Outline, rasterise
from cmrseg.labels import Label
from cmrseg.problems import DataError
from cmrseg.workflows import evaluate

SHAPE = (64, 60, 4, 5)  # x y z t
VOXEL_ML = 1.5 * 1.5 * 8 / 1000
CENTRE = (30.3, 28.4)
ED, ES = 1, 3
ED_SLICES, ES_SLICES = (0, 1, 2), (0, 1)
RADIUS = {ED: 12, ES: 8}
WALL = 5


def instance(z, t):
    """Numbers as GE gives them: slice by slice."""
    return z * SHAPE[3] + t + 1


def predicted_labels(shift=0, radii=RADIUS):
    """Cylinders with a wall in all slices and frames."""
    x, y = np.ogrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros(SHAPE, np.uint8)
    distance = np.hypot(x - CENTRE[0] - shift, y - CENTRE[1])
    for t in range(SHAPE[3]):
        radius = radii.get(t, 10)
        image = np.where(distance < radius, Label.LV, np.where(distance < radius + WALL, Label.MYO, 0))
        labels[..., t] = image[..., None]
    return labels


def write_study(folder, name="S1", *, labels=None, series=3):
    labels = predicted_labels() if labels is None else labels
    (folder / name).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).normal(scale=9, size=SHAPE)
    image = np.choose(predicted_labels(), (60.0, 200.0, 80.0, 200.0)) + noise
    for file, array in (("sa", image.astype(np.float32)), ("seg", labels)):
        nifti = nib.Nifti1Image(array, np.diag([-1.5, -1.5, 8, 1]))
        nifti.header.set_zooms((1.5, 1.5, 8, 0.04))
        nifti.header.set_xyzt_units("mm", "sec")
        nib.save(nifti, folder / name / f"{file}.nii.gz")
    rows = [
        (name, z, t, series, f"dicom/{instance(z, t)}.dcm", 0)
        for z in range(SHAPE[2])
        for t in range(SHAPE[3])
    ]
    used = folder / "used_images.tsv"
    table = pd.DataFrame(rows, columns=["study", "slice", "frame", "series", "file", "plane"])
    known = [pd.read_csv(used, sep="\t")] if used.exists() else []
    pd.concat([*known, table]).to_csv(used, sep="\t", index=False)
    return folder


def rewrite(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def circle(radius, shift=(0, 0)):
    """The circle that the pixels of a mask of that radius fill on average."""
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    return np.stack(
        [CENTRE[0] + shift[0] + radius * np.cos(angles), CENTRE[1] + shift[1] + radius * np.sin(angles)], 1
    )


def write_contours(folder, *, epicardium=(0, 0), shift=(0, 0), growth=0.0):
    """Endocardium at ED and ES, epicardium at ED, as in Sunnybrook."""
    for t, slices in ((ED, ED_SLICES), (ES, ES_SLICES)):
        for z in slices:
            drawn = {"i": circle(RADIUS[t] + growth, shift)}
            if t == ED:
                drawn["o"] = circle(RADIUS[t] + WALL, epicardium)
            for kind, points in drawn.items():
                path = folder / f"{kind}-contours" / f"IM-0001-{instance(z, t):04d}-{kind}contour-manual.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savetxt(path, points, fmt="%.2f")
    return folder


@pytest.fixture
def folders(tmp_path):
    return write_study(tmp_path / "p"), write_contours(tmp_path / "c")


def with_numbers(folder, *, private):
    """The tables of a curation that calls files by numbers; only the private one tells the paths."""
    used = folder / "used_images.tsv"
    table = pd.read_csv(used, sep="\t")
    numbers = [f"file {n}" for n in range(1, len(table) + 1)]
    told = pd.DataFrame({"study": table["study"], "file": numbers, "path": table["file"]})
    instances = table["file"].str.extract(r"(\d+)")[0]
    table.assign(file=numbers, instance=-1 if private else instances).to_csv(used, sep="\t", index=False)
    if private:
        (folder / "private").mkdir()
        told.to_csv(folder / "private" / "files.tsv", sep="\t", index=False)


@pytest.mark.parametrize("private", [True, False])
def test_contours_find_images_that_are_called_by_numbers(folders, private):
    with_numbers(folders[0], private=private)
    result = evaluate_contours(*folders)
    assert value(result, "LV", "dice", ED) == pytest.approx(1, abs=0.02)
    assert result.contours["file"].str.fullmatch(r"file \d+").all()


def value(result, structure, metric, frame=None):
    table = result.evaluation.metrics.query("structure == @structure and metric == @metric")
    (found,) = table["value"] if frame is None else table.loc[table["frame"] == frame, "value"]
    return found


def measured(result, structure, measure):
    (row,) = result.evaluation.measurements.query(
        "structure == @structure and measure == @measure"
    ).itertuples()
    return row.true, row.predicted, row.predicted_all_slices


def test_contours_of_what_was_predicted_have_perfect_scores(folders):
    result = evaluate_contours(*folders)
    assert tuple(result.evaluation.metrics.columns) == METRIC_COLUMNS
    assert tuple(result.evaluation.summary.columns) == SUMMARY_COLUMNS
    assert tuple(result.contours.columns) == CONTOUR_COLUMNS
    assert value(result, "LV", "dice", ED) == pytest.approx(1, abs=0.01)
    assert value(result, "MYO", "dice_image", ED) == pytest.approx(1, abs=0.02)
    assert not result.evaluation.problems
    assert not result.evaluation.notes


def test_myocardium_is_scored_only_where_there_is_an_epicardium(folders):
    metrics = evaluate_contours(*folders).evaluation.metrics
    frames = metrics.dropna(subset="frame").groupby("structure")["frame"].unique()
    assert {name: sorted(f) for name, f in frames.items()} == {"LV": [ED, ES], "MYO": [ED]}


def test_volumes_are_those_of_the_same_images_and_of_all_slices(folders):
    result = evaluate_contours(*folders)
    disk = math.pi * np.array([12, 8]) ** 2 * VOXEL_ML
    edv, esv, ef = (measured(result, "LV", m) for m in ("EDV", "ESV", "EF"))
    assert edv == pytest.approx((3 * disk[0], 3 * disk[0], 4 * disk[0]), rel=0.03)
    assert esv == pytest.approx((2 * disk[1], 2 * disk[1], 4 * disk[1]), rel=0.03)
    ratio = (8 / 12) ** 2
    same = 100 * (1 - ratio * 2 / 3)
    assert ef == pytest.approx((same, same, 100 * (1 - ratio)), rel=0.03)
    assert measured(result, "MYO", "mass")[0] == pytest.approx(
        1.05 * math.pi * (17**2 - 12**2) * 3 * VOXEL_ML, rel=0.03
    )


def test_errors_are_predicted_minus_true(tmp_path):
    predicted = write_study(tmp_path / "p", labels=predicted_labels(radii={ED: 11, ES: 8}))
    result = evaluate_contours(predicted, write_contours(tmp_path / "c"))
    expected = math.pi * (11**2 - 12**2) * 3 * VOXEL_ML
    assert value(result, "LV", "volume_error", ED) == pytest.approx(expected, rel=0.05)
    assert value(result, "LV", "ef_error") == pytest.approx(
        100 * (8 / 12) ** 2 * 2 / 3 * (1 - (12 / 11) ** 2), rel=0.1
    )
    assert value(result, "LV", "ef_abs_error") == -value(result, "LV", "ef_error")


def test_a_missed_lv_is_an_ef_error_of_100_points(tmp_path):
    predicted = write_study(tmp_path / "p", labels=np.zeros(SHAPE, np.uint8))
    result = evaluate_contours(predicted, write_contours(tmp_path / "c"))
    assert value(result, "LV", "ef_abs_error") == 100
    assert value(result, "LV", "dice", ED) == 0


def test_every_contoured_image_is_a_row(folders):
    table = evaluate_contours(*folders).contours
    assert len(table[table["structure"] == "LV"]) == len(ED_SLICES) + len(ES_SLICES)
    row = table.query("structure == 'LV' and frame == @ES and slice == 1").iloc[0]
    assert (row["file"], row["phase"]) == (f"dicom/{instance(1, ES)}.dcm", "ES")


def test_displaced_epicardia_are_told_and_left_out(tmp_path):
    contours = write_contours(tmp_path / "c", epicardium=(0, 14))
    result = evaluate_contours(write_study(tmp_path / "p"), contours)
    problems = [p for p in result.evaluation.problems if p.resolution == "epicardium left out"]
    assert [p.image for p in problems] == [f"dicom/{instance(z, ED)}.dcm" for z in ED_SLICES]
    assert "% of the endocardial area outside" in problems[0].extra_info
    assert set(result.evaluation.metrics["structure"]) == {"LV"}
    assert value(result, "LV", "dice", ED) == pytest.approx(1, abs=0.01)
    assert not result.evaluation.failed


def test_contours_that_are_displaced_as_a_whole_are_told(tmp_path):
    contours = write_contours(tmp_path / "c", epicardium=(13, 0), shift=(13, 0))
    result = evaluate_contours(write_study(tmp_path / "p"), contours)
    assert any("displaced against the image" in p.extra_info for p in result.evaluation.problems)
    assert "13.0 pixels right and 0.0" in result.evaluation.notes[0]


def test_contours_of_matlab_count_from_one(tmp_path):
    contours = write_contours(tmp_path / "c", epicardium=(1, 1), shift=(1, 1))
    predicted = write_study(tmp_path / "p")
    (note,) = evaluate_contours(predicted, contours).evaluation.notes
    assert "1.0 pixels right and 1.0 down" in note
    assert "--first-pixel 1" in note
    counted = evaluate_contours(predicted, contours, ContourOptions(first_pixel=1))
    assert value(counted, "LV", "dice", ED) == pytest.approx(1, abs=0.01)


def test_a_bad_contour_is_a_problem_and_the_others_count(folders):
    path = folders[1] / "i-contours" / f"IM-0001-{instance(0, ED):04d}-icontour-manual.txt"
    path.write_text("1 2\n3 four\n")
    result = evaluate_contours(*folders)
    assert [(p.problem, p.image) for p in result.evaluation.problems] == [("contour unusable", path.name)]
    assert len(result.contours.query("structure == 'LV' and frame == @ED")) == len(ED_SLICES) - 1


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("IM-0001-0099-icontour-manual.txt", "1 1\n5 1\n5 5\n", "contour of an unknown image"),
        ("IM-0001-0015-icontour-manual.txt", "1 1\n500 1\n5 5\n", "contour unusable"),
    ],
)
def test_a_contour_of_another_image_is_a_problem(name, text, problem, folders):
    (folders[1] / name).write_text(text)
    assert [p.problem for p in evaluate_contours(*folders).evaluation.problems] == [problem]


def test_one_contoured_frame_has_no_phase_and_no_ef(folders):
    for path in (folders[1] / "i-contours").iterdir():
        if int(path.name[8:12]) in {instance(z, ES) for z in ES_SLICES}:
            path.unlink()
    result = evaluate_contours(*folders).evaluation
    assert result.measurements.empty
    assert set(result.summary["group"]) == {"all"}


def test_several_studies_are_matched_by_their_names(tmp_path):
    predicted = tmp_path / "p"
    for name in ("S1", "S2"):
        write_study(predicted, name)
    write_contours(tmp_path / "c" / "S2")
    result = evaluate_contours(predicted, tmp_path / "c")
    assert [study.name for study in result.studies] == ["S2"]
    assert [(p.study, p.problem) for p in result.evaluation.problems] == [("S1", "no contours")]


def test_contours_without_a_name_are_matched_by_hand(tmp_path):
    predicted = tmp_path / "p"
    for name in ("S1", "S2"):
        write_study(predicted, name)
    contours = write_contours(tmp_path / "c")
    with pytest.raises(DataError, match="--study"):
        evaluate_contours(predicted, contours)
    result = evaluate_contours(predicted, contours, ContourOptions(study="S2"))
    assert [study.name for study in result.studies] == ["S2"]


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda p, c: (p / "S1" / "seg.nii.gz").unlink(), "predict the study first"),
        (lambda p, c: (p / "used_images.tsv").unlink(), "--curated"),
        (lambda p, c: (p / "used_images.tsv").write_text("study\tfile\nS1\tx\n"), "lacks the column slice"),
        (lambda p, c: (p / "used_images.tsv").write_text(""), "cannot be read as a table"),
        (
            lambda p, c: rewrite(p / "used_images.tsv", "S1\t2\t", "S1\ttwo\t"),
            "slice must hold whole numbers",
        ),
        (lambda p, c: rewrite(p / "used_images.tsv", "S1\t2\t", "S1\t9\t"), "that its mask does not have"),
        (lambda p, c: c.rename(c.with_name("d")), "do not exist"),
        (lambda p, c: shutil.rmtree(c / "i-contours"), "no contour of an LV or RV cavity"),
        (lambda p, c: (p / "S1").rename(p / "S9"), "does not know the study S9"),
    ],
)
def test_what_is_missing_is_one_sentence(break_it, words, folders):
    break_it(*folders)
    with pytest.raises(DataError, match=words):
        evaluate_contours(*folders)


def test_a_study_that_was_resampled_needs_its_source(folders):
    (folders[0] / "problems.tsv").write_text("study\tproblem\nS1\tin-plane shift\n")
    with pytest.raises(DataError, match="--dicom"):
        evaluate_contours(*folders)


@pytest.mark.slow  # draws the figures of a report
def test_the_contours_become_a_data_set(folders, tmp_path):
    out = tmp_path / "out"
    result = evaluate.contours(*folders, out)
    assert (load_mask(out / "S1" / "truth.nii.gz", "cmrseg").array == result.studies[0].truth.array).all()
    (volume,) = read_catalog(out).volumes()  # the images in which everything is contoured
    assert (volume.subject, volume.frame, volume.slices) == ("S1", ED, ED_SLICES)
    assert set(np.unique(load_volume_mask(volume).array)) == {0, Label.LV, Label.MYO}
    assert "Examples" in (out / "report.html").read_text()
    assert volume_table(result)["measurement"].tolist() == ["LV EDV", "LV ESV", "LV EF", "MYO mass"]


@pytest.fixture
def sunnybrook(test_data):
    """A function of a study: contours by frame, and the volume of a pixel in ml."""

    def read(study):
        folder = test_data / "sunnybrook_dicom" / study
        (header,) = read_headers(folder / "dicom" / "59.dcm")
        ml = header.spacing[0] * header.spacing[1] * header.slice_spacing_mm / 1000
        frames: dict[int, list] = {}
        for (number, kind), path in find_contour_files(folder / "contours").items():
            if kind == Outline.ENDOCARDIUM:
                frames.setdefault((number.instance - 1) % 20, []).append((path, read_contour(path)))
        return frames, ml

    return read


@pytest.mark.parametrize(("study", "edv", "esv"), [("SCD0000101", 191, 141), ("SCD0000501", 216, 161)])
def test_the_contours_of_sunnybrook_have_their_published_volumes(study, edv, esv, sunnybrook):
    frames, ml = sunnybrook(study)
    volumes = [sum(rasterise(p, (256, 256)).sum() for _, p in drawn) * ml for drawn in frames.values()]
    assert max(volumes) == pytest.approx(edv, abs=0.6)
    assert min(volumes) == pytest.approx(esv, abs=0.6)
    assert 100 * (1 - min(volumes) / max(volumes)) == pytest.approx(26, abs=0.5)


@pytest.mark.parametrize(("study", "displaced"), [("SCD0000101", 0), ("SCD0000501", 9)])
def test_only_the_displaced_epicardia_of_sunnybrook_are_noticed(study, displaced, sunnybrook):
    frames, _ = sunnybrook(study)
    found = []
    for path, endocardium in (pair for drawn in frames.values() for pair in drawn):
        other = path.parents[1] / "o-contours" / path.name.replace("icontour", "ocontour")
        if other.exists():
            found.append(nesting(endocardium, read_contour(other)).is_sound)
    assert (len(found), found.count(False)) == (9, displaced)
