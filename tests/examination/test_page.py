"""The report of a study in a browser: what a reader touches does something, and nothing leaves the page."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from cmrseg.cine import Cine
from cmrseg.examination.analyse import analyse
from cmrseg.examination.ends import INTERVAL_COLUMNS
from cmrseg.examination.facts import PatientFacts
from cmrseg.examination.findings import SENSITIVITY_COLUMNS, Findings
from cmrseg.examination.normal_ranges import AGAINST_COLUMNS
from cmrseg.examination.page import study_page
from cmrseg.examination.trust_input import TrustInput
from cmrseg.labels import Label
from cmrseg.metrics.volumes import ed_es_frames, pixel_curve
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.report.flags import Flag
from cmrseg.report.html import Picture
from tests.report.browser import Browser

FLAGS = (
    Flag("green", "Components", "All in one piece."),
    Flag("red", "Mass", "It changes by 34 %.", 3, 2),
    Flag("amber", "Base", "It may be missing."),
)
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
WIDE, NARROW = (1400, 900), (390, 844)


@cache
def phantom():
    """A heart of 5 slices and 6 frames, base first."""
    spec = PhantomSpec(n_slices=5, slices_above_base=0, slice_spacing_mm=18, n_frames=6, heart_rate_bpm=60)
    return make_study(spec, SCANNERS["A"], 0)


def analysed(image: Cine, mask: Cine, *, facts: PatientFacts | None = None, **changes) -> Findings:
    """All that the library finds in a mask, with checks of our own."""
    ed, es = ed_es_frames(pixel_curve(mask.array, Label.LV), smooth=True)
    segmented = TrustInput(image, mask, ed, es, facts=facts or PatientFacts())
    provenance = {"model": {"name": "light2d"}, "date": "today"}
    found = analyse("A study", segmented, provenance=provenance)
    return replace(found, **{"flags": FLAGS, **changes})


def analysis(**changes) -> Findings:
    return analysed(phantom().cine, phantom().mask, **changes)


def part(slices=slice(None), frames=slice(None), **changes) -> Findings:
    """Some slices and frames of the phantom; changes of its grid."""
    study = phantom()
    times = () if changes.pop("timeless", False) else tuple(np.array(study.cine.frame_times_ms)[frames])
    cines = [
        replace(c, array=c.array[:, :, slices, frames], frame_times_ms=times, **changes)
        for c in (study.cine, study.mask)
    ]
    return analysed(*cines)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(study_page(analysis()), encoding="utf-8")
    return path


def open_page(browser, path, **options):
    browser.open(path, **options)
    browser.until("document.documentElement.dataset.ready === 'true'")


@pytest.fixture
def page(browser, report):
    """The report, and no error and no request of it when the test is over."""
    open_page(browser, report, size=WIDE)
    yield browser
    assert browser.errors == []
    assert browser.requests == [report.as_uri()]


def fingerprint(browser, canvas: str) -> str:
    """Changes when a pixel of a canvas does."""
    return sha256(browser.js(f"document.getElementById('{canvas}').toDataURL()").encode()).hexdigest()


def pixels(browser) -> str:
    """Fingerprint of the viewer, once it has been drawn."""
    browser.js(SETTLED)
    return fingerprint(browser, "canvas")


def area(loop: list[tuple[float, float]]) -> float:
    """Signed area of a polygon."""
    x, y = np.array(loop).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def phase(browser) -> int:
    browser.js(SETTLED)
    return int(browser.js("document.getElementById('phase').value"))


def centre(browser, name: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """Point inside an element, in parts of its size."""
    place = browser.js(
        f"(() => {{ const e = document.getElementById('{name}'); e.scrollIntoView({{block: 'center'}});"
        "const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()"
    )
    return place[0] + x * place[2], place[1] + y * place[3]


@pytest.mark.parametrize("name", ["phase", "slice", "level", "width"])
def test_slider_moves_the_picture(page, name):
    before = pixels(page)
    page.js(f"document.querySelector('.window').open = true; document.getElementById('{name}').focus()")
    page.press("ArrowRight")
    assert pixels(page) != before


@pytest.mark.parametrize("key", ["o", "f", "m"])
def test_key_changes_the_picture_and_changes_it_back(page, key):
    before = pixels(page)
    page.press(key)
    changed = pixels(page)
    page.press(key)
    assert changed != before
    assert pixels(page) == before


def test_overlay_button_toggles_the_contours(page):
    before = pixels(page)
    page.drag(centre(page, "overlay"))
    assert pixels(page) != before
    assert page.js("document.getElementById('overlay').getAttribute('aria-pressed')") == "false"


def test_a_structure_can_be_hidden(page):
    before = pixels(page)
    page.js("document.querySelector('#structures button').click()")
    assert pixels(page) != before


def test_arrows_go_through_phases_around_the_cycle(page):
    page.press("d")
    assert phase(page) == 1
    page.press("ArrowLeft")
    assert phase(page) == 6
    page.press("ArrowRight")
    assert phase(page) == 1


def test_arrows_go_through_slices_and_stop_at_the_ends(page):
    for _ in range(6):
        page.press("ArrowDown")
    page.js(SETTLED)
    assert page.js("document.getElementById('slice-said').textContent").startswith("5 of 5")
    assert "(apex)" in page.js("document.getElementById('slice-said').textContent")


def test_click_on_the_curve_moves_the_phase(page):
    page.drag(centre(page, "curve", x=0.99))
    assert phase(page) == 6
    page.drag(centre(page, "curve", x=0.02))
    assert phase(page) == 1


def test_drag_along_the_curve_moves_the_picture(page):
    page.drag(centre(page, "curve", x=0.02))
    before = pixels(page)
    page.drag(centre(page, "curve", x=0.02), centre(page, "curve", x=0.4), centre(page, "curve", x=0.6))
    assert pixels(page) != before
    assert 1 < phase(page) < 6


def test_play_advances_and_pause_stops(page):
    start = phase(page)
    page.press(" ")
    page.until(f"document.getElementById('phase').value !== '{start}'")
    page.press(" ")
    stopped = phase(page)
    page.js("new Promise((done) => setTimeout(done, 250))")  # longer than a phase of this cine
    assert phase(page) == stopped


def test_wheel_goes_through_slices(page):
    before = page.js("document.getElementById('slice').value")
    page.wheel(centre(page, "stage"), 120)
    page.until(f"Number(document.getElementById('slice').value) === {before} + 1")


def said(browser, name: str) -> str:
    browser.js(SETTLED)
    return browser.js(f"document.getElementById('{name}').textContent")


@pytest.mark.parametrize("target", [".flags .red", ".flags .red .go"], ids=["check", "button"])
def test_click_on_a_check_goes_to_its_slice_and_phase(page, target):
    page.press("m")
    page.js(f"document.querySelector('{target}').click()")
    assert "z = 3 in the file" in said(page, "corner-left")
    assert "frame 2 in the file" in said(page, "corner-right")
    assert page.js("document.getElementById('mosaic').getAttribute('aria-pressed')") == "false"


def test_a_check_of_no_one_place_has_no_button(page):
    assert page.js("document.querySelectorAll('.flags .go').length") == 1


def test_click_on_an_end_slice_goes_there(page):
    page.js("document.querySelector('.ends').closest('details').open = true")
    last = "[...document.querySelectorAll('.ends .go')].at(-1)"
    wanted = page.js(f"[{last}.dataset.slice, {last}.dataset.frame].join()").split(",")
    page.press("m")
    page.js(f"{last}.click()")
    assert f"z = {wanted[0]} in the file" in said(page, "corner-left")
    assert f"frame {wanted[1]} in the file" in said(page, "corner-right")


def test_the_interval_of_the_ends_is_told():
    intervals = pd.DataFrame([("EF", 56.0, 51.2, 60.1, "%")], columns=list(INTERVAL_COLUMNS))
    text = study_page(analysis(intervals=intervals, sure_by="flips"))
    assert "EF 56.0 % (51.2 to 60.1)" in text
    assert "how far the flips of the image agree" in text


def test_zoom_enlarges_and_r_takes_it_back(page):
    before = pixels(page)
    page.press("+")
    larger = pixels(page)
    assert larger != before
    page.js("document.getElementById('zoom-in').click()")
    assert pixels(page) != larger
    page.press("r")
    assert pixels(page) == before
    assert page.js("document.getElementById('zoom-out').disabled")


def test_what_is_zoomed_is_moved_and_keeps_its_window(page):
    page.press("+")
    before, window = pixels(page), said(page, "corner-low")
    x, y = centre(page, "stage")
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", modifiers=8)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x - 60, y=y - 30, button="left", buttons=1)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x - 60, y=y - 30, button="left")
    assert pixels(page) != before
    assert said(page, "corner-low") == window


def test_the_wheel_with_control_zooms_and_keeps_the_slice(page):
    before, slice_before = pixels(page), said(page, "slice-said")
    x, y = centre(page, "stage")
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-100, modifiers=2)
    page.until("!document.getElementById('zoom-out').disabled")
    assert pixels(page) != before
    assert said(page, "slice-said") == slice_before


def test_dragging_on_the_image_sets_window_and_level_and_r_resets_them(page):
    before = pixels(page)
    x, y = centre(page, "stage")
    page.drag((x, y), (x + 60, y), (x + 60, y + 40))
    assert pixels(page) != before
    page.press("r")
    assert pixels(page) == before


def test_click_in_the_mosaic_opens_that_slice(page):
    page.press("m")
    page.js(SETTLED)
    page.drag(centre(page, "stage", x=0.3, y=0.2))
    page.js(SETTLED)
    assert page.js("document.getElementById('slice').value") == "1"
    assert page.js("document.getElementById('mosaic').getAttribute('aria-pressed')") == "false"


def test_swipe_moves_the_phase(browser, report):
    open_page(browser, report, size=NARROW)
    start = phase(browser)
    x, y = centre(browser, "stage")
    for kind, points in (
        ("touchStart", [x]),
        ("touchMove", [x - 40]),
        ("touchMove", [x - 120]),
        ("touchEnd", []),
    ):
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": p, "y": y} for p in points])
    assert phase(browser) != start
    assert browser.errors == []


def test_question_mark_opens_the_help_and_escape_closes_it(page):
    page.press("?")
    assert page.js("document.getElementById('help').open")
    page.press("Escape")
    page.until("!document.getElementById('help').open")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_is_wider_than_the_window(browser, report, size):
    open_page(browser, report, size=size)
    browser.js("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    browser.js(SETTLED)
    assert browser.js("document.documentElement.scrollWidth") <= size[0]


def test_everything_that_can_be_used_has_a_name(page):
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    used = [
        n
        for n in nodes
        if n.get("role", {}).get("value") in ("button", "slider", "checkbox", "combobox", "image")
    ]
    assert len(used) > 15
    assert [n for n in used if not n.get("name", {}).get("value")] == []


def test_page_is_printed_with_both_phases(page):
    assert page.pdf().startswith(b"%PDF")
    page.call("Emulation.setEmulatedMedia", media="print")
    widths = page.js("['print-ed', 'print-es', 'stage'].map((id) => document.getElementById(id).clientWidth)")
    page.call("Emulation.setEmulatedMedia", media="")
    assert min(widths[:2]) > 300
    assert widths[2] == 0
    assert fingerprint(page, "print-ed") != fingerprint(page, "print-es")


def test_outline_encloses_the_pixels_of_the_mask(page):
    """Areas by the surveyor's formula: a square of 3 x 3 pixels, whose corners are cut, and one pixel."""
    mask = [[0] * 6 for _ in range(5)]
    for y, x in [(y, x) for y in (1, 2, 3) for x in (1, 2, 3)] + [(0, 5)]:
        mask[y][x] = 1
    page.js(
        "window.drawn = []; window.Path2D = class { moveTo(...p) { drawn.push([p]); }"
        " quadraticCurveTo(a, b, ...p) { drawn.at(-1).push(p); } closePath() {} }"
    )
    flat = [value for row in mask for value in row]
    page.js(f"makeOutlines(Uint8Array.from({flat}), {{ mask_width: 6, mask_height: 5, z: [0] }})(0, 0, [1])")
    areas = sorted(abs(area(loop)) for loop in page.js("drawn"))
    assert len(areas) == 2
    assert 0 < areas[0] < 1
    assert 7 < areas[1] < 9


def test_name_of_a_study_cannot_become_markup(browser, tmp_path):
    name = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'>"
    path = tmp_path / "report.html"
    flags = (Flag("red", name, name),)
    path.write_text(study_page(analysis(study=name, flags=flags, provenance={name: name})), encoding="utf-8")
    open_page(browser, path)
    assert browser.js("document.querySelector('h1').textContent") == name
    assert browser.js("window.hurt") is None
    assert browser.errors == []


def test_nothing_but_the_script_of_the_page_can_run(browser, report):
    open_page(browser, report)
    inserted = "Object.assign(document.createElement('script'), { textContent: 'window.hurt = 1' })"
    browser.js(f"document.body.append({inserted})")
    assert browser.js("window.hurt") is None
    assert any("Content Security Policy" in said for said in browser.errors)


def without_mask() -> Findings:
    empty = phantom().mask.with_array(np.zeros_like(phantom().mask.array))
    return analysed(phantom().cine, empty)


def black() -> Findings:
    image = phantom().cine
    return analysed(image.with_array(np.zeros_like(image.array)), phantom().mask)


def bare() -> Findings:
    """Nothing but volumes."""
    return replace(analysis(), flags=(), segments=pd.DataFrame(), indices=pd.DataFrame(), provenance={})


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (lambda: part(frames=slice(0, 1)), "end-diastole and end-systole are the same frame"),
        (lambda: part(slices=slice(2, 3)), "Fewer than three slices hold LV"),
        (lambda: part(timeless=True), "6 phases"),
        (lambda: part(spacing=(math.nan,) * 3), "no spacing in the headers"),
        (without_mask, "no LV in the mask"),
        (black, "A study"),
        (bare, "Not checked"),
    ],
    ids=["one phase", "one slice", "no times", "no spacing", "empty mask", "black image", "nothing else"],
)
def test_page_copes_with_what_is_missing(browser, tmp_path, study, said):
    path = tmp_path / "report.html"
    path.write_text(study_page(study()), encoding="utf-8")
    open_page(browser, path)
    for key in ("ArrowRight", "ArrowDown", "m", " "):
        browser.press(key)
    browser.js(SETTLED)
    assert browser.errors == []
    assert said in browser.js("document.body.textContent")


def test_worst_flag_comes_first_and_words_say_what_colours_say():
    text = study_page(analysis())
    assert (
        text.index("Look before use")
        < text.index("It changes by")
        < text.index("It may be")
        < text.index("All in one")
    )
    assert "1 red, 1 amber, 1 green" in text


def test_what_is_not_known_says_why():
    text = study_page(analysis())
    assert "indexed values: no height and weight in the headers" in text
    assert "beats per minute" not in text
    assert "cardiac output: no heart rate in the headers" in text


def test_indexed_values_stand_below_their_value():
    text = study_page(analysis(facts=PatientFacts(height_m=1.8, weight_kg=80, heart_rate_bpm=60)))
    assert "<small>ml/m²</small>" in text
    assert "Not known" not in text
    assert "at end-diastole and end-systole of the LV" in text
    assert "60 beats per minute" in text
    assert "2.00 m² (Mosteller)" in text  # sqrt(180 * 80 / 3600)


def test_pictures_files_and_provenance_are_shown():
    pictures = [Picture(Figure((1, 1)), "Bull's eye", "segments")]
    text = study_page(analysis(), pictures=pictures, files={"seg.nii.gz": "mask"}, cohort="../index.html")
    assert text.count('src="data:image/png;base64,') == 1
    assert '<a href="seg.nii.gz">' in text
    assert 'href="../index.html"' in text
    assert "light2d" in text


def test_normal_ranges_stand_there_only_where_somebody_asked():
    assert "Against normal ranges" not in study_page(analysis())
    row = ("LV", "EF", 40.0, "%", 48.2, 67.8, "below", "men, 45 to 74 years", "Book, page 1")
    normal = pd.DataFrame([row], columns=list(AGAINST_COLUMNS))
    text = study_page(analysis(normal=normal))
    assert "<strong>below</strong>" in text
    assert "48.2 to 67.8" in text
    assert "<li>Book, page 1</li>" in text
    nobody = study_page(analysis(normal=normal.iloc[:0], not_normal_known="no sex and age"))
    assert "No number could be compared: no sex and age." in nobody


def test_page_refers_to_nothing_outside():
    text = study_page(analysis())
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == text.count("http-equiv")
    assert "Research use only." in text


def test_changes_by_the_end_slices_are_summed_up():
    left_out = pd.DataFrame(
        [
            ["nothing", 100, 40, 60, 0, 0],
            ["most basal slice", 88.2, 37, 58, -11.8, -2.04],
            ["both", 89, 41, 54, -11, -6],
        ],
        columns=list(SENSITIVITY_COLUMNS),
    )
    text = study_page(analysis(sensitivity=left_out))
    assert "changes the EDV by up to 11.8 ml and the EF by up to 6.0 points" in text
    assert "−11.8" in text


def test_one_phase_has_no_ejection_fraction_without_its_end_slices_either():
    text = study_page(part(frames=slice(0, 1)))
    assert "changes the EDV by up to" in text
    assert "points" not in text.split('id="data"')[0]
