"""The short-axis cine among everything else, by its geometry; descriptions may say what they like."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.curation.rules import Rules
from cmrseg.curation.selection import select_short_axis
from cmrseg.curation.slices import find_slices
from cmrseg.io.dicom import NotAnImage, read_headers
from cmrseg.phantom.dicom import Acquisition, dicom_datasets, write_datasets
from cmrseg.phantom.faults import FAULTS
from cmrseg.phantom.instances import changed, find_stack
from cmrseg.phantom.other_views import NON_IMAGES, VIEWS, examination, other_series
from tests.curation.conftest import RULES

STYLES = ("siemens", "ge", "enhanced")


@pytest.fixture(scope="module")
def small(cine):
    """The phantom with less to write: every third pixel, all slices and phases."""
    array = cine.array[::3, ::3]
    affine = cine.affine.copy()
    affine[:3, :2] *= 3
    return Cine(array, (4.2, 4.8, 8.0), affine, cine.frame_times_ms)


def headers(datasets, folder):
    images = []
    for path in write_datasets(datasets, folder, np.random.default_rng(0)):
        try:
            images += read_headers(path)
        except NotAnImage:
            continue
    return find_slices(images)[0]


@pytest.fixture(scope="module", params=STYLES)
def everything(request, small, tmp_path_factory):
    """Slices of a whole examination."""
    return headers(examination(small, style=request.param), tmp_path_factory.mktemp("exam"))


@pytest.fixture(scope="module")
def exam(small, tmp_path_factory):
    """Slices of a whole examination with one series for the stack."""
    return headers(examination(small, style="ge"), tmp_path_factory.mktemp("ge"))


@pytest.fixture(scope="module")
def siemens(small, tmp_path_factory):
    """Slices of a whole examination with one series per slice."""
    return headers(examination(small, style="siemens"), tmp_path_factory.mktemp("siemens"))


def described(slices, names):
    """The slices under other descriptions: old ones to new ones."""
    return [
        replace(
            s, images=tuple(replace(i, description=names.get(i.description, i.description)) for i in s.images)
        )
        for s in slices
    ]


def assert_refused(pattern, slices, rules=RULES, **options):
    """Nothing is chosen, and the reason is told."""
    selection = select_short_axis(slices, rules, **options)
    assert selection.slices == []
    assert re.search(pattern, selection.failure)


def views(selection):
    return {s.images[0].description for s in selection.slices}


def test_the_stack_is_found_among_all_other_views(everything, small):
    selection = select_short_axis(everything, RULES)
    assert views(selection) == {"cine_sax"}
    assert len(selection.slices) == small.array.shape[2]


def test_every_series_is_told_with_a_reason(everything):
    rows = select_short_axis(everything, RULES).series.values()
    told = {row.description: row for row in rows if not row.chosen}
    assert set(told) == set(VIEWS)
    assert all(row.reason for row in rows)
    assert not set(told) & set(NON_IMAGES)
    for name in ("2ch", "3ch", "4ch", "rvot", "axial"):
        assert told[name].reason == "another view"
    for name in ("localizer", "lge"):
        assert told[name].reason == "1 phase(s), no cine"
    assert "many heart beats" in told["perfusion"].reason
    reasons = {row.reason for row in rows if row.description == "flow"}
    assert reasons == {"another view", "phase images of a flow measurement"}


def test_the_chosen_series_are_told_with_positions_phases_and_angle(exam, small):
    (row,) = [row for row in select_short_axis(exam, RULES).series.values() if row.chosen]
    assert (row.description, row.positions, row.phases) == ("cine_sax", *small.array.shape[2:])
    assert row.angle_deg == 0
    assert row.reason == "short-axis cine"


def test_angles_of_long_axis_views_are_right_angles(exam):
    rows = {row.description: row.angle_deg for row in select_short_axis(exam, RULES).series.values()}
    assert [rows[name] for name in ("2ch", "3ch", "4ch")] == pytest.approx([90, 90, 90], abs=0.1)


@pytest.mark.parametrize(
    "names",
    [
        {"4ch": "SAX", "2ch": "cine_sa", "cine_sax": ""},
        {"4ch": "cine_sax", "cine_sax": "4ch"},
        {"axial": "SAX cine", "cine_sax": ""},
        {"axial": "cine_sax", "cine_sax": "localizer"},
        {"cine_sax": "Kurzachse", "axial": "transversal", "2ch": "2-Kammer-Blick", "4ch": "4-Kammer-Blick"},
        {"cine_sax": "cine_tf2d_KA", "2ch": "Zweikammerblick", "3ch": "LVOT", "axial": "axial haste"},
        dict.fromkeys(["cine_sax", *VIEWS], "trufi"),
        dict.fromkeys(["cine_sax", *VIEWS], ""),
        {"lge": "cine_sax", "perfusion": "cine_sax", "cine_sax": ""},
    ],
)
def test_misleading_descriptions_do_not_mislead(everything, small, names):
    true = {s.images[0].name: s.images[0].description for s in everything}
    selection = select_short_axis(described(everything, names), RULES)
    assert {true[s.images[0].name] for s in selection.slices} == {"cine_sax"}
    assert len(selection.slices) == small.array.shape[2]


@pytest.mark.parametrize("name", ["103", " 103 ", "CINE_SAX_2"])
def test_a_named_series_is_used_whatever_it_is(exam, small, tmp_path, name):
    again = dicom_datasets(
        small, style="ge", description="cine_sax_2", acquisition=Acquisition(series_number=103)
    )
    slices = [*exam, *headers(again, tmp_path)]
    slices = [s for s in slices if s.images[0].series_number != 103 or "sax" in s.images[0].description]
    selection = select_short_axis(slices, RULES, series=(name,))
    assert {s.images[0].series_number for s in selection.slices} == {103}
    (row,) = [row for row in selection.series.values() if row.chosen]
    assert row.description == "cine_sax_2"
    assert {row.reason for row in selection.series.values() if not row.chosen} >= {"not named by --series"}


def test_the_axial_stack_can_be_named(exam):
    number = next(s.images[0].series_number for s in exam if s.images[0].description == "axial")
    assert views(select_short_axis(exam, RULES, series=(str(number),))) == {"axial"}


def test_a_series_can_be_named_by_its_uid(exam):
    uid = next(s.images[0].series_uid for s in exam if s.images[0].description == "axial")
    assert views(select_short_axis(exam, RULES, series=(uid,))) == {"axial"}


def test_several_series_can_be_named(siemens):
    numbers = [str(s.images[0].series_number) for s in siemens if s.images[0].description == "cine_sax"][:4]
    selection = select_short_axis(siemens, RULES, series=numbers)
    assert sorted(str(s.images[0].series_number) for s in selection.slices) == sorted(numbers)


def test_a_series_that_is_not_there_is_refused_with_those_that_are(exam):
    assert_refused(
        r"no series has a name that --series gives; there are the series 10, 101, 111",
        exam,
        RULES,
        series=("4711",),
    )


def test_a_named_series_without_a_stack_is_refused(exam):
    number = next(s.images[0].series_number for s in exam if s.images[0].description == "2ch")
    assert_refused(
        "no stack of at least 3 parallel cine slices.* among 1 cine slice", exam, RULES, series=(str(number),)
    )


def test_a_longer_axial_stack_is_not_taken_for_the_short_axis(small, siemens, tmp_path):
    """Twelve axial positions against eight of the short axis."""
    axes = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]) * 8
    affine = np.eye(4)
    affine[:3, :3] = axes
    array = np.full((12, 12, 12, small.array.shape[3]), 500.0)
    axial = Cine(array, (8.0, 8.0, 8.0), affine, small.frame_times_ms)
    more = dicom_datasets(axial, description="cine", acquisition=Acquisition(series_number=300))
    slices = [*described(siemens, {"cine_sax": "cine"}), *headers(more, tmp_path)]
    selection = select_short_axis(slices, RULES)
    assert {s.images[0].series_number for s in selection.slices} == set(range(10, 18))


def with_views(slices, *names):
    return [s for s in slices if s.images[0].description in ("cine_sax", *names)]


@pytest.mark.parametrize("names", [(), ("axial",), ("2ch", "4ch"), ("localizer", "lge")])
def test_the_stack_is_found_in_smaller_examinations(siemens, small, names):
    selection = select_short_axis(with_views(siemens, *names), RULES)
    assert views(selection) == {"cine_sax"}
    assert len(selection.slices) == small.array.shape[2]


def retagged(s, series, **details):
    return replace(
        s,
        images=tuple(
            replace(i, **{"series_number": series, "series_uid": f"s{series}", **details}) for i in s.images
        ),
    )


def test_tagging_at_the_positions_of_the_stack_is_told_apart(exam):
    stack = [s for s in exam if s.images[0].description == "cine_sax"]
    tagged = [retagged(s, 500, description="cine grid", sequence="GR/SP") for s in stack[1:5]]
    selection = select_short_axis([*exam, *tagged], RULES)
    assert {s.images[0].series_number for s in selection.slices} == {10}
    (row,) = [row for row in selection.series.values() if row.series == 500]
    assert row.reason == "another sequence (GR/SP) at a position of the stack"


def test_another_sequence_fills_positions_that_the_main_one_lacks(exam):
    stack = [s for s in exam if s.images[0].description == "cine_sax"]
    mixed = [retagged(s, 10, sequence="GR/SP") if n == 3 else s for n, s in enumerate(stack)]
    assert len(select_short_axis(mixed, RULES).slices) == len(stack)


def test_slices_seen_from_the_other_side_belong_to_the_stack(siemens, small):
    flipped = [
        replace(s, column=-s.column) if s.images[0].series_number in (11, 14) else s
        for s in with_views(siemens, "4ch")
    ]
    assert len(select_short_axis(flipped, RULES).slices) == small.array.shape[2]


def tilted_slice(s, degrees):
    angle = np.deg2rad(degrees)
    return replace(s, column=np.cos(angle) * s.column + np.sin(angle) * s.normal)


def test_a_tilted_slice_of_the_same_series_is_kept_for_the_log(exam):
    stack = with_views(exam)
    slices = [tilted_slice(s, 30) if n == 3 else s for n, s in enumerate(stack)]
    selection = select_short_axis([*slices, *[s for s in exam if s not in stack]], RULES)
    assert len(selection.slices) == len(stack)
    (row,) = [row for row in selection.series.values() if row.chosen]
    assert row.reason == "tilted against the stack"


@pytest.mark.parametrize(
    ("description", "degrees", "is_kept"),
    [
        ("cine_sax", 60, True),
        ("cine_sax_9", 60, False),
        ("", 30, True),
        ("", 50, False),
        ("cine_3ch", 30, False),
        ("LVOT", 30, False),
    ],
)
def test_a_tilted_slice_of_another_series_is_kept_if_it_was_meant(siemens, description, degrees, is_kept):
    """By the name of the stack, or by an angle below 45 degrees and no name of another view."""
    stack = with_views(siemens)
    if description == "cine_sax_9":
        stack = described(stack, {"cine_sax": "kurze Achse"})
    odd = tilted_slice(retagged(stack[4], 99, description=description), degrees)
    selection = select_short_axis([*stack, odd], RULES)
    assert (99 in {s.images[0].series_number for s in selection.slices}) == is_kept


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_the_tilted_slice_of_the_phantom_is_kept_for_the_log(small, style, tmp_path):
    out = FAULTS["orientation"](dicom_datasets(small, style=style), np.random.default_rng(0))
    assert len(select_short_axis(headers(out.datasets, tmp_path), RULES).slices) == small.array.shape[2] + 1


def test_long_axis_views_are_never_kept_as_tilted(siemens):
    selection = select_short_axis(with_views(siemens, "2ch", "3ch", "4ch", "rvot"), RULES)
    assert views(selection) == {"cine_sax"}


def test_a_study_without_a_stack_says_what_to_do(siemens):
    others = [s for s in siemens if s.images[0].description in ("2ch", "3ch", "4ch")]
    assert_refused(r"name the series with --series, or lower min_slices in the rules", others, RULES)
    assert_refused(r"no stack of at least 3 parallel cine slices.* among 3 cine slice\(s\)", others)


def test_a_study_without_a_cine_says_why(siemens):
    others = [s for s in siemens if s.images[0].description in ("localizer", "lge")]
    assert_refused(r"no cine series: \d+ slice\(s\) with 1 phase\(s\), no cine", others, RULES)


def test_nothing_at_all_is_refused():
    assert_refused("no cine series", [], RULES)


@pytest.mark.parametrize(("least", "found"), [(8, True), (9, False)])
def test_the_least_number_of_positions_is_a_rule(siemens, least, found):
    rules = Rules(min_slices=least)
    if found:
        assert len(select_short_axis(with_views(siemens), rules).slices) == 8
    else:
        assert_refused("at least 9", with_views(siemens), rules)


@pytest.mark.parametrize(("least", "found"), [(8, True), (9, False)])
def test_the_least_number_of_phases_is_a_rule(siemens, least, found):
    rules = Rules(min_phases=least)
    if found:
        assert len(select_short_axis(with_views(siemens), rules).slices) == 8
    else:
        assert_refused("no cine", with_views(siemens), rules)


def test_positions_that_collide_are_no_stack(siemens):
    first = with_views(siemens)[0]
    same = [retagged(first, 10 + n) for n in range(5)]
    assert_refused("no stack", same, RULES)


def test_phase_images_of_flow_are_no_stack(siemens):
    phase = [retagged(s, 400, kind="P", description="flow stack") for s in with_views(siemens)]
    assert_refused("phase images of a flow measurement", phase, RULES)


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_a_measured_again_stack_is_chosen_whole(small, style, tmp_path):
    out = FAULTS["repeated measurement"](dicom_datasets(small, style=style), np.random.default_rng(0))
    assert len(select_short_axis(headers(out.datasets, tmp_path), RULES).slices) == 2 * small.array.shape[2]


def test_too_few_frames_of_one_slice_are_not_lost_silently(small, tmp_path):
    """A slice of the stack with four of eight frames must reach the repairs, which log it."""
    datasets = dicom_datasets(small, style="ge")
    gone = {id(d) for d in find_stack(datasets).groups[3][4:]}
    slices = headers([d for d in datasets if id(d) not in gone], tmp_path)
    assert len(select_short_axis(slices, RULES).slices) == small.array.shape[2]


def test_the_order_of_the_slices_does_not_matter(everything):
    forward = select_short_axis(everything, RULES)
    backward = select_short_axis(everything[::-1], RULES)
    assert forward.slices == backward.slices


def test_a_view_beside_the_stack_does_not_change_it(small, tmp_path):
    """Every view alone beside the stack."""
    stack = headers(dicom_datasets(small), tmp_path / "sax")
    for name in VIEWS:
        more = headers(other_series(small, name), tmp_path / name)
        assert select_short_axis([*stack, *more], RULES).slices == stack, name


def test_images_without_a_series_number_are_found(small, tmp_path):
    datasets = [changed(d, {}) for d in dicom_datasets(small, style="ge")]
    for dataset in datasets:
        del dataset["SeriesNumber"]
    assert len(select_short_axis(headers(datasets, tmp_path), RULES).slices) == small.array.shape[2]
