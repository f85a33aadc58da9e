"""Every data set layout, built tiny: what is recognised, and what its names say."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cmrseg.data import layouts
from cmrseg.data.layouts import ALL, find_layout, list_images, pseudo_label_notes
from cmrseg.problems import DataError


def nifti(path, shape=(4, 4, 2)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4))
    image.header.set_zooms((1.5, 1.5, 8.0, 0.05)[: len(shape)])
    nib.save(image, path)
    return path


def png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    return path


def read(root):
    return list(find_layout(root).read(root))


def name_of(root):
    return find_layout(root).name


def catalog_csv(root, **columns):
    pd.DataFrame(columns).to_csv(root / "catalog.csv", index=False)
    return root


def test_a_folder_of_other_files_names_the_known_layouts(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no known data layout .*ACDC.*see README"):
        find_layout(tmp_path)


# cmrseg's own table


def test_catalog_csv_needs_only_subject_and_image(tmp_path):
    (file,) = read(catalog_csv(tmp_path, subject=["007"], image=["a.nii.gz"]))
    assert (file.subject, file.image, file.mask) == ("007", tmp_path / "a.nii.gz", None)
    assert (file.frame, file.slice, file.phase, file.split, file.labels) == (ALL, ALL, "", "", "cmrseg")
    assert np.isnan(file.spacing).all()


def test_catalog_csv_may_say_everything(tmp_path):
    (file,) = read(
        catalog_csv(
            tmp_path,
            subject=["s"],
            frame=[3],
            phase=["ES"],
            slice=[2],
            image=["a.png"],
            mask=["m.png"],
            dx=[1.4],
            dy=[1.5],
            dz=[8.0],
            split=["train"],
            labels=["acdc"],
        )
    )
    assert (file.frame, file.slice, file.phase, file.split, file.labels) == (3, 2, "ES", "train", "acdc")
    assert file.mask == tmp_path / "m.png"
    assert file.spacing == (1.4, 1.5, 8.0)


def test_empty_cells_of_catalog_csv_are_what_is_not_said(tmp_path):
    nothing = [np.nan, "x"]
    _ = catalog_csv(
        tmp_path,
        subject=["a", "b"],
        image=["a.png", "b.png"],
        mask=nothing,
        phase=nothing,
        split=nothing,
        labels=[np.nan, "acdc"],
        frame=[np.nan, 1],
        slice=[np.nan, 1],
        dx=[np.nan, 1.0],
        dy=[np.nan, 1.0],
        dz=[np.nan, 1.0],
    )
    file, other = read(tmp_path)
    assert (file.mask, file.phase, file.split, file.labels) == (None, "", "", "cmrseg")
    assert (file.frame, file.slice) == (ALL, ALL)
    assert np.isnan(file.spacing).all()
    assert (other.frame, other.slice) == (1, 1)


@pytest.mark.parametrize("lacking", ["subject", "image"])
def test_a_missing_column_is_named(tmp_path, lacking):
    columns = {"subject": ["a"], "image": ["a.png"]}
    del columns[lacking]
    with pytest.raises(DataError, match=f"catalog.csv lacks the column {lacking}"):
        read(catalog_csv(tmp_path, **columns, other=["x"]))


@pytest.mark.parametrize("lacking", ["subject", "image"])
def test_a_row_without_subject_or_image_is_told(tmp_path, lacking):
    columns = {"subject": ["a", "b"], "image": ["a.png", "b.png"]}
    columns[lacking][1] = np.nan
    with pytest.raises(DataError, match=rf"catalog\.csv.*{lacking}"):
        read(catalog_csv(tmp_path, **columns))


@pytest.mark.parametrize(
    "content",
    [b"", b"subject,image,dx\na,a.png,wide\n", b"subject,image\na,a.png\nb,b.png,x,y\n", b"\xff\xfe\x00"],
)
def test_a_catalog_csv_that_is_no_table_is_told(tmp_path, content):
    (tmp_path / "catalog.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"catalog\.csv cannot be read") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


# nnU-Net

OLD_LABELS = {"0": "background", "1": "RV cavity", "2": "myocardium", "3": "LV cavity"}
NEW_LABELS = {"background": 0, "RV": 1, "MLV": 2, "LVC": 3}


def nnunet(root, labels, **header):
    nifti(root / "imagesTr" / "patient001_frame07_0000.nii.gz")
    nifti(root / "labelsTr" / "patient001_frame07.nii.gz")
    nifti(root / "imagesTs" / "A1_sa_ES_0000.nii.gz")
    (root / "dataset.json").write_text(json.dumps({"labels": labels, **header}))
    return root


def test_nnunet_cases_are_subjects_and_frames(tmp_path):
    train, test = read(nnunet(tmp_path, OLD_LABELS))
    assert (train.subject, train.frame, train.split) == ("patient001", 7, "")
    assert train.mask == tmp_path / "labelsTr" / "patient001_frame07.nii.gz"
    assert (test.subject, test.phase, test.split, test.mask) == ("A1", "ES", "test", None)


@pytest.mark.parametrize(
    "labels",
    [
        OLD_LABELS,
        {"background": 0, "right ventricle": 1, "LV myocardium": 2, "left ventricle": 3},
        {"background": 0, "RV": 1, "MYO": 2, "LV": 3},
        NEW_LABELS,
    ],
    ids=["version 1", "version 2", "short", "ACDC of nnU-Net"],
)
def test_nnunet_label_names_become_a_scheme(tmp_path, labels):
    files = read(nnunet(tmp_path, labels))
    assert {f.labels for f in files} == {"RV=1,MYO=2,LV=3"}


def test_nnunet_without_left_ventricle_has_no_scheme(tmp_path):
    assert {f.labels for f in read(nnunet(tmp_path, {"background": 0, "tumour": 1}))} == {""}


def test_nnunet_structures_that_count_as_background_are_told(tmp_path):
    nnunet(tmp_path, {**NEW_LABELS, "left atrium": 4, "scar": 5})
    assert {f.labels for f in read(tmp_path)} == {"RV=1,MYO=2,LV=3,BACKGROUND=4,BACKGROUND=5"}
    assert "structures that count as background: left atrium, scar" in list_images(tmp_path)[1]


def test_nnunet_header_that_is_no_json_is_named(tmp_path):
    nnunet(tmp_path, OLD_LABELS)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"dataset\.json"):
        read(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"labels": 3},
        {"labels": {"background": 0, "LV": 1, "x": 10**11}},
        {"labels": {"LV": -1}},
        {"labels": {"1" * 5000: "LV"}},
        {"labels": {"LV": 1}, "file_ending": 7},
        {"labels": {"LV": 1}, "file_ending": "/../../*"},
    ],
)
def test_nnunet_header_of_another_kind_is_named(tmp_path, header):
    nnunet(tmp_path, OLD_LABELS)
    (tmp_path / "dataset.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match=r"dataset\.json"):
        read(tmp_path)


def test_nnunet_file_ending_is_honoured(tmp_path):
    nnunet(tmp_path, OLD_LABELS, file_ending=".nii")
    nifti(tmp_path / "imagesTr" / "case_0000.nii")
    (file,) = read(tmp_path)
    assert (file.subject, file.frame, file.mask) == ("case", ALL, None)


# ACDC


def acdc(root, info="ED: 1\nES: 12\nGroup: DCM\n"):
    for frame in (1, 12):
        nifti(root / "patient001" / f"patient001_frame{frame:02d}.nii.gz")
        nifti(root / "patient001" / f"patient001_frame{frame:02d}_gt.nii.gz")
    nifti(root / "patient001" / "patient001_4d.nii.gz", (4, 4, 2, 3))
    if info is not None:
        (root / "patient001" / "Info.cfg").write_text(info)
    return root


def test_acdc_phases_come_from_info_cfg(tmp_path):
    files = read(acdc(tmp_path))
    assert [(f.subject, f.frame, f.phase, f.labels) for f in files] == [
        ("patient001", 1, "ED", "acdc"),
        ("patient001", 12, "ES", "acdc"),
    ]
    assert files[0].mask.name == "patient001_frame01_gt.nii.gz"


@pytest.mark.parametrize("info", [None, "", "ED: ?\nES\n"])
def test_acdc_without_info_has_no_phases(tmp_path, info):
    assert [f.phase for f in read(acdc(tmp_path, info))] == ["", ""]


# M&Ms


def test_mnms_single_frames(tmp_path):
    for name in ("A1_sa_ED", "A1_sa_ED_gt", "A1_SA_ES", "B2_sa_ED"):
        nifti(tmp_path / "A1" / f"{name}.nii.gz")
    ed, es, other = sorted(read(tmp_path), key=lambda f: (f.subject, f.phase))
    assert (ed.subject, ed.frame, ed.phase, ed.labels) == ("A1", 0, "ED", "mnms")
    assert ed.mask.name == "A1_sa_ED_gt.nii.gz"
    assert (es.frame, es.phase, es.mask) == (1, "ES", None)
    assert other.subject == "B2"


def test_mnms_cine_with_masks(tmp_path):
    for name in ("A1_sa", "A1_sa_gt"):
        nifti(tmp_path / f"{name}.nii.gz", (4, 4, 2, 3))
    (file,) = read(tmp_path)
    assert (file.subject, file.frame, file.mask.name) == ("A1", ALL, "A1_sa_gt.nii.gz")


def test_mnms_single_frames_win_over_the_cine_beside_them(tmp_path):
    for name in ("A1_sa", "A1_sa_ED", "A1_sa_ES", "B2_sa"):
        nifti(tmp_path / f"{name}.nii.gz")
    files, notes = list_images(tmp_path)
    assert [(f.subject, f.phase) for f in files] == [("A1", "ED"), ("A1", "ES"), ("B2", "")]
    assert notes[1:] == ["1 file(s) are left out, as this layout does not name them: A1_sa.nii.gz"]


@pytest.mark.parametrize("name", ["A1_sa_ED", "patient001_frame01"])
def test_folders_named_as_splits_are_splits(tmp_path, name):
    for folder in ("Training/Labeled", "validation", "TESTING/x"):
        nifti(tmp_path / folder / f"{name}.nii.gz")
    assert sorted(f.split for f in read(tmp_path)) == ["test", "train", "val"]


def test_folders_are_no_splits_where_a_file_lies_elsewhere(tmp_path):
    for folder in ("training", "more"):
        nifti(tmp_path / folder / "A1_sa_ED.nii.gz")
    assert {f.split for f in read(tmp_path)} == {""}


# cmrseg's studies and plain folders


def test_curated_studies_are_named_by_their_folders(tmp_path):
    nifti(tmp_path / "s1" / "sa.nii.gz")
    nifti(tmp_path / "s1" / "truth.nii.gz")
    nifti(tmp_path / "s2" / "sa.nii.gz")
    first, second = read(tmp_path)
    assert (first.subject, first.mask.name) == ("s1", "truth.nii.gz")
    assert (second.subject, second.mask) == ("s2", None)


def test_without_truth_the_mask_of_a_curated_study_is_its_pseudo_label(tmp_path):
    for name in ("s1/sa", "s1/seg", "s1/truth", "s2/sa", "s2/seg"):
        nifti(tmp_path / f"{name}.nii.gz")
    files, notes = list_images(tmp_path)
    assert [(f.image.name, f.mask.name) for f in files] == [
        ("sa.nii.gz", "truth.nii.gz"),
        ("sa.nii.gz", "seg.nii.gz"),
    ]
    assert notes == ["data layout: curated studies (<study>/sa.nii.gz)"]
    assert pseudo_label_notes(files) == ["1 of 2 masks are pseudo-labels (seg.nii.gz), no expert drew them"]


@pytest.mark.parametrize(
    ("record", "labels"),
    [('{"structures": ["LV", "MYO"]}', "LV=1,MYO=2"), ('{"structures": ["LA"]}', "cmrseg"), ("{", "cmrseg")],
)
def test_pseudo_labels_hold_the_structures_that_their_teacher_knew(tmp_path, record, labels):
    for name in ("s1/sa", "s1/seg", "s2/sa", "s2/truth"):
        nifti(tmp_path / f"{name}.nii.gz")
    (tmp_path / "teacher.json").write_text(record)
    assert [f.labels for f in read(tmp_path)] == [labels, "cmrseg"]


def test_masks_of_ukbb_cardiac_beside_the_cine_are_no_images(tmp_path):
    for name in ("sa", "seg_sa", "seg_sa_ED", "seg_sa_ES"):
        nifti(tmp_path / "s1" / f"{name}.nii.gz")
    files, notes = list_images(tmp_path)
    assert [(f.subject, f.image.name, f.mask) for f in files] == [("s1", "sa.nii.gz", None)]
    assert len(notes) == 1


def test_plain_nifti_files_are_subjects(tmp_path):
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / "deeper" / "b.nii")
    assert [f.subject for f in read(tmp_path)] == ["a", "b"]


def test_plain_files_of_one_name_in_two_folders_are_two_subjects(tmp_path):
    nifti(tmp_path / "p1" / "cine.nii.gz")
    nifti(tmp_path / "p2" / "cine.nii.gz")
    assert len({f.subject for f in read(tmp_path)}) == 2


def test_png_files_of_one_name_in_two_folders_are_two_subjects(tmp_path):
    for folder in ("p1", "p2"):
        png(tmp_path / folder / "img_01.png")
    png(tmp_path / "p1" / "img_02.png")
    assert [(f.subject, f.slice) for f in read(tmp_path)] == [("p1-img", 1), ("p1-img", 2), ("p2-img", 1)]


@pytest.mark.parametrize("mask", ["out/a/a_seg.nii.gz", "out/a/seg.nii.gz", "._a.nii.gz"])
def test_masks_of_an_earlier_prediction_and_hidden_files_are_no_images(tmp_path, mask):
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / mask)
    assert [f.subject for f in read(tmp_path)] == ["a"]


def test_files_that_the_layout_does_not_name_are_counted_in_one_note(tmp_path):
    acdc(tmp_path)
    for name in ("copy_SA_CINE", "patient001_frame01_seg", "seg", "._patient001_frame01"):
        nifti(tmp_path / f"{name}.nii.gz")
    note = "2 file(s) are left out, as this layout does not name them: copy_SA_CINE.nii.gz"
    assert list_images(tmp_path)[1][1:] == [note]


def test_nothing_is_noted_where_all_files_are_named(tmp_path):
    acdc(tmp_path)
    (tmp_path / "patient001" / "patient001_4d.nii.gz").unlink()
    png(tmp_path / "report" / "figure.png")
    assert list_images(tmp_path)[1] == ["data layout: ACDC"]


LAYOUT_FILES = {
    "nnU-Net": "imagesTr/{}b_0000.nii.gz",
    "paper": "images/train/{}b.png",
    "ACDC": "{}patient001_frame12.nii.gz",
    "M&Ms": "{}B_sa_ED.nii.gz",
    "curated": "{}b/sa.nii.gz",
    "NIfTI": "{}b.nii",
    "PNG": "{}b.png",
}


@pytest.mark.parametrize("layout", LAYOUT_FILES)
def test_hidden_files_and_folders_of_such_names_are_no_images(tmp_path, layout):
    if layout == "nnU-Net":
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": NEW_LABELS}))
    (tmp_path / "masks").mkdir()
    names = [tmp_path / LAYOUT_FILES[layout].format(prefix) for prefix in ("", "._")]
    for path in names:
        (png if path.suffix == ".png" else nifti)(path)
    (names[0].with_name("patient009_frame01.nii") / "C_sa_ED.nii").mkdir(parents=True)
    assert [f.image for f in list_images(tmp_path)[0]] == names[:1]
    assert len(list_images(tmp_path)[1]) == 1


def test_plain_names_that_only_look_like_mnms_are_read(tmp_path):
    nifti(tmp_path / "mouse_sample1.nii.gz")
    assert [f.subject for f in read(tmp_path)] == ["mouse_sample1"]


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda r: catalog_csv(r, subject=["a"], image=["a.png"]), "catalog.csv"),
        (lambda r: nnunet(r, OLD_LABELS), "nnU-Net raw (dataset.json)"),
        (lambda r: (png(r / "images" / "a.png"), (r / "masks").mkdir()), "images/ + masks/ PNG pairs"),
        (acdc, "ACDC"),
        (lambda r: nifti(r / "A_sa_ED.nii.gz"), "M&Ms"),
        (lambda r: nifti(r / "s" / "sa.nii.gz"), "curated studies (<study>/sa.nii.gz)"),
        (lambda r: nifti(r / "s" / "x.nii.gz"), "NIfTI files"),
        (lambda r: png(r / "x.png"), "PNG files"),
    ],
)
def test_each_layout_is_recognised_by_its_files(tmp_path, build, name):
    build(tmp_path)
    assert name_of(tmp_path) == name


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that is installed and registers what its module defines as LAB."""
    layouts._installed_layouts.cache_clear()

    def install(code: str) -> None:
        (tmp_path / "our_lab.py").write_text(code)
        told = tmp_path / "our_lab-1.dist-info"
        told.mkdir()
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: our-lab\nVersion: 1\n")
        (told / "entry_points.txt").write_text("[cmrseg.layouts]\nlab = our_lab:LAB\n")
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    layouts._installed_layouts.cache_clear()
    sys.modules.pop("our_lab", None)


def test_an_installed_package_registers_its_layout(package, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "add-a-layout.md").read_text(encoding="utf-8")
    package(page.split("```python\n")[1].split("```")[0])
    image = tmp_path / "data" / "scans" / "a_cine.nii.gz"
    image.parent.mkdir(parents=True)
    image.touch()
    assert layouts.find_layout(tmp_path / "data").name == "our lab (scans/, contours/)"


@pytest.mark.parametrize("code", ["LAB = 1 / 0", "LAB = 'scans'", ""])
def test_a_layout_that_cannot_be_loaded_is_named(package, tmp_path, code):
    package(code)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"uninstall the package of the layout 'lab' \(our_lab:LAB\)"):
        layouts.find_layout(tmp_path / "data")
