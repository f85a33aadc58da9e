"""A heart of discs and rings without fault, and the same heart with exactly one."""

import math
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from cmrseg.cine import Cine
from cmrseg.curation import kinds
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.trust import TrustInput, check
from cmrseg.examination.trust_input import SecondOpinion
from cmrseg.labels import STRUCTURES, Label
from cmrseg.problems import Problem
from cmrseg.zoo.domain import TrainingDomain

FRAMES, SLICES, ES = 20, 10, 8
SPACING = (1.5, 1.5, 10.0)
AT_ED = np.array([0, 22, 22, 22, 20, 18, 16, 12, 7, 0])  # radius of the LV in pixels, base first
MUSCLE = 700  # pixels of the ring in every slice with LV
DOMAIN = TrainingDomain(
    data="60 patients of a scanner",
    studies=60,
    ranges={
        "pixel_mm": (1.2, 1.9),
        "slice_mm": (5, 10),
        "slices": (6, 17),
        "matrix": (100, 288),
        "heart_mm": (52, 96),
        "contrast": (36, 77),
        "contrast_to_noise": (12, 54),
        "grey_distance": (1, 24),
    },
    grey=tuple([0.05] * 9 + [0.4] * 2 + [0.8] * 8),  # half background, a little muscle, blood
    field_strengths_t=(1.5, 3.0),
    manufacturers=("SIEMENS",),
)


def heart():
    """A mask that may be changed."""
    return good_heart().copy()


@cache
def good_heart():
    """Mask ``(x, y, z, t)``: at end-systole the base has left slice 1; muscle keeps its volume."""
    x, y = np.ogrid[:110, :64]
    mask = np.zeros((110, 64, SLICES, FRAMES), np.uint8)
    shrunk = 0.85 + 0.15 * np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES * 0.5 * FRAMES / ES)
    shrunk[2 * ES :] = 1
    for z, t in np.ndindex(SLICES, FRAMES):
        radius = AT_ED[z] * shrunk[t]
        if radius and not (z == 1 and shrunk[t] < 0.75):
            squared = (x - 72) ** 2 + (y - 32) ** 2
            mask[:, :, z, t][(x - 25) ** 2 + (y - 32) ** 2 < (0.9 * radius) ** 2] = Label.RV
            mask[:, :, z, t][squared < radius**2 + MUSCLE / np.pi] = Label.MYO
            mask[:, :, z, t][squared < radius**2] = Label.LV
    return mask


def study(mask=None, **known):
    """The heart as a study; blood is bright, muscle is dark, noise is small."""
    mask = heart() if mask is None else mask
    grey = np.array([20, 180, 70, 170])[mask] + noise(mask.shape)
    times = tuple(40.0 * t for t in range(mask.shape[3]))
    grid = {"spacing": SPACING, "frame_times_ms": times if len(times) > 1 else ()}
    return TrustInput(Cine(grey, **grid), Cine(mask, **grid), ed=0, es=min(ES, mask.shape[3] - 1), **known)


@cache
def noise(shape):
    return np.random.default_rng(0).normal(0, 4, shape)


def flags(given):
    """Flags by the name of the check."""
    return {flag.check: flag for flag in check(given)}


def test_good_heart_is_green_in_every_check():
    found = check(study(domain=DOMAIN, facts=PatientFacts(field_strength_t=1.5, manufacturer="SIEMENS")))
    assert {flag.level for flag in found} == {"green"}, [f for f in found if f.level != "green"]
    assert len(found) == 16  # all but flips, curation and beats, of which no heart rate is known


def test_every_reason_is_a_sentence_with_a_number_or_says_that_nothing_was_found():
    for flag in check(study(domain=DOMAIN)):
        assert flag.reason[0].isupper() or flag.reason[0].isdigit()
        assert flag.reason.endswith(".")


def test_the_worst_comes_first_then_the_order_of_the_checks():
    mask = heart()
    mask[:, :, :, 5][mask[:, :, :, 5] == Label.LV] = 0
    mask[0:3, :30, 4] = Label.RV
    levels = [flag.level for flag in check(study(mask))]
    assert levels == sorted(levels, key=["red", "amber", "green"].index)
    assert check(study(mask))[0].check == "heart found"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "2 checks not possible: like the training data, known scanner"),
        (
            {"domain": DOMAIN, "structures": (Label.LV, Label.RV)},
            "LV inside myocardium, steady",
        ),
        ({"structures": (Label.BACKGROUND, Label.LV)}, "7 checks not possible"),
    ],
)
def test_what_the_model_does_not_allow_to_be_checked_is_not_green(known, said):
    if "structures" in known:
        mask = heart()
        known = {**known, "agreement": None}
        given = study(np.where(np.isin(mask, known["structures"]), mask, 0).astype(np.uint8), **known)
    else:
        given = study(agreement=pd.DataFrame(columns=["slice", "frame", "structure", "dice"]))
    flag = flags(given)["all checks"]
    assert flag.level == "amber"
    assert said in flag.reason


def test_one_pass_alone_is_no_reason_for_a_flag():
    assert "all checks" not in flags(study(domain=DOMAIN, agreement=None))


def fault(change):
    """The good mask, changed in place by a function."""
    mask = heart()
    change(mask)
    return mask


def no_lv(mask):
    mask[:, :, :, 4:6][mask[:, :, :, 4:6] == Label.LV] = Label.BACKGROUND


def no_rv(mask):
    mask[mask == Label.RV] = Label.BACKGROUND


def loose_lv(mask):
    mask[104:109, 2:6, 5, 3] = Label.LV


def holes_in_lv(mask):
    mask[68:76, 29:35, 2:8] = Label.BACKGROUND


def open_ring(mask):
    mask[72:, :, 5, :10][mask[72:, :, 5, :10] == Label.MYO] = Label.BACKGROUND


def ring_open_everywhere(mask):
    mask[72:][mask[72:] == Label.MYO] = Label.BACKGROUND


def gap(mask):
    mask[:, :, 5, 9][mask[:, :, 5, 9] == Label.LV] = Label.BACKGROUND


def many_gaps(mask):
    mask[:, :, 5] = Label.BACKGROUND


def bad_frame(mask):
    mask[:, :, 2:8, 9] = mask[:, :, 2:8, 0]


def two_beats(mask):
    mask[:] = mask[..., [0, 2, 4, 6, 8, 8, 6, 4, 2, 0] * 2]


def thick_at_es(mask):
    for t in range(4, 13):
        grown = np.hypot(*np.ogrid[-72:38, -32:32]) < 31
        mask[:, :, 3:7, t][grown[..., None] & (mask[:, :, 3:7, t] == Label.BACKGROUND)] = Label.MYO


def still_rv(mask):
    for t in range(1, FRAMES):
        mask[..., t][mask[..., t] == Label.RV] = Label.BACKGROUND
        mask[..., t][mask[..., 0] == Label.RV] = Label.RV


FAULTS = [
    (no_lv, "heart found", "red", "No LV in 2 of 20 frames (frames 4, 5)"),
    (no_rv, "heart found", "red", "No RV in 20 of 20 frames (frames 0, 1, 2, 3, 4, ...)"),
    (loose_lv, "pieces and holes", "green", "(20 loose pixels, 0 in holes)"),
    (holes_in_lv, "pieces and holes", "red", "(0 loose pixels, 48 in holes)"),
    (open_ring, "LV inside myocardium", "amber", "The ring is open in 10 of"),
    (ring_open_everywhere, "LV inside myocardium", "red", "% of the LV's outline touch no myocardium"),
    (
        gap,
        "slices left out",
        "amber",
        "LV missing in 1 image between slices that show it, first in slice 5, frame 9",
    ),
    (many_gaps, "slices left out", "red", "LV, MYO, RV missing in 60 images"),
    (bad_frame, "smooth volume curve", "red", "% of its EDV above the smoothed curve in frame 9"),
    (two_beats, "one contraction", "amber", "The smoothed LV curve has 2 minima"),
    (thick_at_es, "steady myocardial mass", "red", "The volume of the myocardium varies by"),
    (still_rv, "equal stroke volumes", "amber", "RV 0 ml, 200 % apart (usual: up to 40 %): a leaking valve"),
]


@pytest.mark.parametrize(("change", "name", "level", "said"), FAULTS, ids=[f[0].__name__ for f in FAULTS])
def test_a_fault_is_told_by_its_check(change, name, level, said):
    flag = flags(study(fault(change)))[name]
    assert flag.level == level, flag
    assert said in flag.reason


def test_a_check_speaks_of_its_own_fault_only():
    before, after = flags(study()), flags(study(fault(open_ring)))
    assert {n for n in before if before[n].level != after[n].level} == {"LV inside myocardium"}


@pytest.mark.parametrize(("radius", "level"), [(0.9, "green"), (0.78, "amber")])
def test_stroke_volumes_of_36_and_59_ml_are_not_green(radius, level):
    """Those of areas with 0.81 and 0.61 of the LV's are 21 and 49 % apart, as 36 ml and 59 ml are."""
    mask = heart()
    x = np.arange(mask.shape[0])[:, None, None, None]
    y = np.arange(mask.shape[1])[None, :, None, None]
    lv_radius = np.sqrt((mask == Label.LV).sum(axis=(0, 1)) / np.pi)
    mask[mask == Label.RV] = Label.BACKGROUND
    mask[(x - 25) ** 2 + (y - 32) ** 2 < (radius * lv_radius) ** 2] = Label.RV
    assert flags(study(mask))["equal stroke volumes"].level == level


def test_stroke_volumes_of_an_rv_that_is_not_whole_are_in_doubt():
    begins_inside, lost = heart()[:, :, 2:], heart()
    for z in (1, 2):
        lost[:, :, z][lost[:, :, z] == Label.RV] = Label.BACKGROUND
    for mask, why, place in (
        (begins_inside, "at end-systole the stack ends in the RV (slice 0, 100 % of its largest)", 0),
        (
            begins_inside[:, :, ::-1],
            "at end-systole the stack ends in the RV (slice 7, 100 % of its largest)",
            7,
        ),
        (lost, "slices 1, 2 show LV but hardly any RV", 1),
    ):
        flag = flags(study(mask))["equal stroke volumes"]
        assert (flag.level, flag.slice, flag.frame) == ("amber", place, ES)
        assert f"in doubt, because {why}" in flag.reason


def test_a_fault_says_where_it_shows():
    found = flags(study(fault(open_ring)))
    flag = found["LV inside myocardium"]
    assert flag.place in flag.reason
    assert found["one contraction"].place == ""


def test_mass_is_said_in_ml():
    mask = heart()
    ml = (mask[..., 0] == Label.MYO).sum() * math.prod(SPACING) / 1000
    assert ml == pytest.approx(8 * MUSCLE * math.prod(SPACING) / 1000, rel=0.02)  # the closed form
    assert f"{ml:.0f} ml at ED" in flags(study())["steady myocardial mass"].reason


@pytest.mark.parametrize(("lost", "level"), [((), "green"), ((1,), "green"), ((1, 2), "amber")])
def test_an_rv_that_is_lost_at_the_base_is_noticed(lost, level):
    mask = heart()
    for z in lost:
        mask[:, :, z][mask[:, :, z] == Label.RV] = Label.BACKGROUND
    for given in (mask, mask[:, :, ::-1]):
        assert flags(study(given))["RV at the base"].level == level
    if lost == (1, 2):
        assert "Slices 1, 2 show LV" in flags(study(mask))["RV at the base"].reason


def test_nothing_is_said_of_an_rv_that_the_model_does_not_know():
    mask = heart()
    mask[mask == Label.RV] = Label.BACKGROUND
    assert "RV at the base" not in flags(study(mask, structures=(Label.LV, Label.MYO)))


def test_stack_that_begins_in_the_ventricle_may_miss_the_base():
    flag = flags(study(heart()[:, :, 2:]))["base covered"]
    assert flag.level == "amber"
    assert "The LV in slice 0, where the stack ends, is at end-systole 100 % as large as in" in flag.reason


def test_base_that_moves_out_of_the_first_slice_is_covered():
    flag = flags(study(heart()[:, :, 1:]))["base covered"]
    assert flag.level == "green"
    assert "is at end-systole 0 % as large as in" in flag.reason


@pytest.mark.parametrize(("last", "level"), [(8, "green"), (7, "amber"), (6, "red")])
def test_stack_that_ends_in_the_ventricle_misses_the_apex(last, level):
    flag = flags(study(heart()[:, :, :last]))["apex covered"]
    percent = int(flag.reason.partition(" % as large as in")[0].rpartition(" ")[2])
    assert flag.level == level
    assert f"in slice {last - 1}, is" in flag.reason
    assert "where the stack ends" in flag.reason
    assert percent == pytest.approx(100 * AT_ED[last - 1] ** 2 / AT_ED[1] ** 2, abs=1.5)  # pixels are no disc


def test_order_of_the_slices_does_not_matter():
    one, other = flags(study()), flags(study(heart()[:, :, ::-1]))
    assert {n: f.level for n, f in one.items()} == {n: f.level for n, f in other.items()}


@pytest.mark.parametrize(("es", "level"), [(3, "amber"), (5, "green"), (12, "green"), (14, "amber")])
def test_end_systole_has_its_time(es, level):
    flag = flags(replace(study(), es=es))["time of end-systole"]
    assert flag.level == level
    assert (
        f"End-systole (frame {es}) comes {5 * es} % of the cycle after end-diastole (frame 0)" in flag.reason
    )


def agreement(dice, worst=None):
    """A table of four flips for every image of the heart."""
    rows = [
        (z, t, s.name, worst if worst and (z, t, s) == (4, 3, Label.LV) else dice)
        for z, t, s in np.ndindex(SLICES, FRAMES, 3)
        for s in [Label(s + 1)]
    ]
    return pd.DataFrame(rows * 4, columns=["slice", "frame", "structure", "dice"])


@pytest.mark.parametrize(("dice", "level"), [(0.98, "green"), (0.96, "amber"), (0.9, "red")])
def test_masks_of_flipped_images_agree(dice, level):
    flag = flags(study(agreement=agreement(dice)))["same mask for flipped images"]
    assert flag.level == level
    assert f"a Dice of {dice:.3f} on average" in flag.reason


def second(mask, structures=STRUCTURES):
    return SecondOpinion({"name": "light3d_toy"}, Cine(mask, spacing=SPACING), structures)


def test_a_second_model_with_the_same_mask_is_green():
    flag = flags(study(second=second(heart())))["two models agree"]
    assert flag.level == "green"
    ef = re.search(
        r"agree by a Dice of 1.000 on average .* EF of the LV: (\d+) % and (\d+) %\.$", flag.reason
    )
    assert ef[1] == ef[2] != "0"


def test_a_second_model_that_does_not_see_a_heart_is_red_where_it_does_not():
    mask = heart()
    mask[:, :, 4, 3] = 0
    flag = flags(study(second=second(mask)))["two models agree"]
    assert (flag.level, flag.slice, flag.frame) == ("red", 4, 3)
    assert flag.reason.startswith("This mask and that of light3d_toy agree")
    assert "0.00 in the worst mid slice" in flag.reason


def test_what_a_second_model_cannot_segment_is_not_compared():
    mask = heart()
    mask[mask == Label.RV] = 0
    assert flags(study(second=second(mask)))["two models agree"].level == "red"
    assert flags(study(second=second(mask, (Label.LV, Label.MYO))))["two models agree"].level == "green"


def test_without_a_second_model_nothing_is_said_of_one():
    assert "two models agree" not in flags(study())


def test_images_without_the_structure_do_not_count():
    table = agreement(0.98)
    empty = table["slice"].isin([0, SLICES - 1])  # no LV there
    unknown = table.assign(dice=table["dice"].mask(empty, math.nan))
    assert flags(study(agreement=unknown)) == flags(
        study(agreement=table.assign(dice=table["dice"].mask(empty, 0)))
    )


def test_worst_mid_slice_is_named():
    flag = flags(study(agreement=agreement(0.99, worst=0.75)))["same mask for flipped images"]
    assert flag.level == "amber"
    assert "0.75 in the worst mid slice (LV, slice 4, frame 3;" in flag.reason


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        (
            {"heart_mm": (100.0, 110.0)},
            "amber",
            "Diameter of the LV with its wall 79.8 mm (training: 100 to 110).",
        ),
        (
            {"heart_mm": (50.0, 65.0)},
            "red",
            "Diameter of the LV with its wall 79.8 mm (training: 50 to 65).",
        ),
        ({"slices": (12, 17)}, "amber", "Number of slices 10 (training: 12 to 17)."),
        ({"slices": (10.5, 17)}, "green", "8 of 8 features are in the range of 60 patients of a scanner"),
        ({"pixel_mm": (0.5, 0.7)}, "amber", "Pixels 1.5 mm (training: 0.5 to 0.7)."),
        ({"contrast_to_noise": (100.0, 200.0)}, "red", "Blood-myocardium contrast over noise"),
        ({"contrast_to_noise": (2.0, 4.0)}, "amber", "Blood-myocardium contrast over noise"),
        ({"contrast": (80.0, 90.0)}, "amber", "Myocardium darker than blood by"),
        ({"grey_distance": (0.1, 1.0)}, "amber", "Distance of the grey values from the training mean"),
    ],
)
def test_study_unlike_the_training_data(change, level, said):
    domain = replace(DOMAIN, ranges={**DOMAIN.ranges, **change})
    flag = flags(study(domain=domain))["like the training data"]
    assert flag.level == level, flag
    assert said in flag.reason


def test_unknown_training_data_is_no_finding():
    assert "like the training data" not in flags(study())


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        (PatientFacts(field_strength_t=7.0), "amber", "not trained on 7 T (training: 1.5, 3 T)."),
        (PatientFacts(manufacturer="GE MEDICAL SYSTEMS"), "amber", "not trained on GE MEDICAL SYSTEMS"),
        (PatientFacts(field_strength_t=1.494), "green", "1.494 T is in the training data."),
        (
            PatientFacts(manufacturer="Siemens Healthineers"),
            "green",
            "Siemens Healthineers is in the training",
        ),
    ],
)
def test_scanner_is_known_or_not(facts, level, said):
    flag = flags(study(domain=DOMAIN, facts=facts))["known scanner"]
    assert (flag.level, said in flag.reason) == (level, True), flag


def test_scanner_that_nothing_is_known_of_is_no_matter():
    assert "known scanner" not in flags(study(domain=DOMAIN))
    assert "known scanner" not in flags(study(facts=PatientFacts(field_strength_t=7.0)))


@pytest.mark.parametrize(
    ("kind", "level"),
    [(kinds.MISSING_FRAME, "amber"), (kinds.ROTATION, "green"), (kinds.FAILED, "red")],
)
def test_what_curation_reports_is_passed_on(kind, level):
    flag = flags(study(problems=[Problem("a", kind, "left out")] * 2))["curation"]
    assert flag.level == level
    assert f"Reported by curation: 2 x {kind} (left out)." == flag.reason


def test_end_diastole_and_end_systole_alone_can_be_checked():
    given = study(heart()[..., [0, ES]])
    found = flags(replace(given, es=1, domain=DOMAIN))
    assert {n for n, f in found.items() if f.level != "green"} == {"complete input"}
    assert "2 frames" in found["complete input"].reason
    assert {"smooth volume curve", "one contraction", "time of end-systole"}.isdisjoint(found)
    assert "between ED and ES" in found["steady myocardial mass"].reason


def test_single_frame_has_no_ejection_to_check():
    found = flags(study(heart()[..., :1]))
    assert "one frame" in found["complete input"].reason.lower()
    assert {"equal stroke volumes", "steady myocardial mass", "base covered"}.isdisjoint(found)


def test_unknown_spacing_is_said_and_volumes_are_voxels():
    given = study()
    unknown = {"spacing": (math.nan,) * 3}
    given = replace(given, image=replace(given.image, **unknown), mask=replace(given.mask, **unknown))
    found = flags(replace(given, domain=DOMAIN))
    assert "Spacing unknown" in found["complete input"].reason
    assert "voxels at ED" in found["steady myocardial mass"].reason
    assert "voxels" in found["equal stroke volumes"].reason
    assert found["like the training data"].level == "green"


def test_missing_times_are_said():
    given = study()
    found = flags(replace(given, mask=replace(given.mask, frame_times_ms=())))
    assert "No times of the frames" in found["complete input"].reason


def test_model_without_rv_is_not_blamed_for_it():
    mask = heart()
    mask[mask == Label.RV] = Label.BACKGROUND
    found = flags(study(mask, structures=(Label.BACKGROUND, Label.LV, Label.MYO)))
    assert found["heart found"].level == "green"
    assert "equal stroke volumes" not in found


def test_empty_mask_is_red_and_nothing_else_fails():
    found = check(study(np.zeros((32, 32, 5, 12), np.uint8), domain=DOMAIN))
    assert found[0].level == "red"
    assert "No LV in 12 of 12 frames" in found[0].reason
    assert "Fewer than 3 slices with LV" in " ".join(f.reason for f in found)


ONE = "one heart beat"


def twice(mask):
    """Two beats, the second as long as the first."""
    return np.concatenate([mask, mask], axis=3)


@pytest.mark.parametrize(
    ("rate", "level"), [(75, "green"), (85, "green"), (60, "green"), (95, "red"), (150, "red")]
)
def test_frames_may_cover_1_2_beats(rate, level):
    """20 frames of 40 ms are one beat at 75 per minute."""
    assert flags(study(facts=PatientFacts(heart_rate_bpm=rate)))[ONE].level == level


def test_what_is_told_of_several_beats_are_the_numbers():
    flag = flags(study(facts=PatientFacts(heart_rate_bpm=150)))[ONE]
    assert flag.reason.startswith(
        "Frames cover 2.0 beats (800 ms at 150 beats per minute); slices need not be"
    )


@pytest.mark.parametrize("rate", [math.nan, 37.5])
def test_two_contractions_in_most_slices_are_two_beats_whatever_the_headers_say(rate):
    found = flags(study(twice(heart()), facts=PatientFacts(heart_rate_bpm=rate)))[ONE]
    assert found.level == "red"
    assert found.reason.startswith("The LV contracts more than once in most slices")


def test_the_heart_rate_of_the_headers_goes_before_one_that_a_user_tells():
    """A pulse that was counted at another time makes no second beat of 20 frames of 40 ms."""
    told = PatientFacts(heart_rate_bpm=150)
    assert flags(study(facts=told, header_rate_bpm=75))[ONE].level == "green"


def test_nothing_is_said_of_beats_where_nothing_is_known():
    assert ONE not in flags(study())


def test_no_beat_lasts_longer_than_3_seconds():
    given = study()
    slow = replace(given.mask, frame_times_ms=tuple(160.0 * t for t in range(FRAMES)))
    assert flags(replace(given, mask=slow))[ONE].reason.startswith("Frames cover 3.2 s, longer than any")


def shifted(*slices):
    """Some slices begin half a beat later."""
    mask = heart()
    for z in slices:
        mask[:, :, z] = np.roll(mask[:, :, z], FRAMES // 2, axis=-1)
    return mask


@pytest.mark.parametrize(
    ("slices", "level"), [((), "green"), ((4,), "green"), ((3, 5), "red"), ((2, 3, 4, 5), "red")]
)
def test_slices_that_do_not_contract_together_are_red(slices, level):
    assert flags(study(shifted(*slices)))["slices contract together"].level == level


def test_how_many_slices_are_late_is_told():
    reason = flags(study(shifted(3, 5)))["slices contract together"].reason
    assert reason.startswith("2 of 6 middle slices are smallest at another time than the others")
