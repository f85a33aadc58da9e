"""What the names of labels, cases and slices say."""

import pytest

from cmrseg.data.names import case_name, nnunet_scheme, slice_name, structure

STRUCTURES = {
    "LV": ["LV", "LVC", "LV cavity", "left ventricle", "left_ventricular_blood_pool", "LVBP", "blood pool"],
    "MYO": ["MLV", "MYO", "LVM", "LV myocardium", "LV_Myo", "myocardium of the left ventricle"],
    "RV": ["RV", "RVC", "RV cavity", "right ventricle", "right ventricle blood cavity", "RV_endo"],
    None: [
        "LA",
        "RA",
        "left atrium",
        "left atrium blood cavity",
        "lung",
        "liver",
        "RV myocardium",
        "LV scar",
        "",
    ],
}


@pytest.mark.parametrize(("name", "target"), [(n, t) for t, names in STRUCTURES.items() for n in names])
def test_structures_are_known_by_the_names_that_data_sets_use(name, target):
    assert structure(name) == target


def test_the_first_name_of_a_structure_is_used():
    assert nnunet_scheme({"background": 0, "LV": 3, "LV cavity": 1}) == ("LV=3,BACKGROUND=1", ["LV cavity"])


def test_regions_of_several_labels_are_no_labels():
    assert nnunet_scheme({"background": 0, "heart": [1, 2], "LV": 1}) == ("LV=1", [])


def test_cases_are_subject_frame_and_phase():
    assert case_name("patient001_frame12") == ("patient001", 12, "")
    assert case_name("A1_sa_es") == ("A1", 1, "ES")
    assert case_name("heart") == ("heart", None, "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("12_slice003_frame010-image", ("12", 3, 10)),
        ("SC-HF-I-1-IM-0001-0059", ("SC-HF-I-1", 59, 0)),
        ("mouse_07", ("mouse", 7, 0)),
        ("12-07", ("12", 7, 0)),
        ("heart", ("heart", 0, 0)),
        ("001", ("", 1, 0)),
        ("_12", ("", 12, 0)),
    ],
)
def test_slices_are_subject_slice_and_frame(name, expected):
    assert slice_name(name) == expected
