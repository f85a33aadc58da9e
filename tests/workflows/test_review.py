"""A person corrects a mask: saved as that, measured at once, taught; in Chromium where there is one."""

from __future__ import annotations

import json
import shutil
import threading
import zlib
from base64 import b64encode

import numpy as np
import pandas as pd
import pytest

from cmrseg.data.catalog import read_catalog
from cmrseg.io.images import load_mask, save_image
from cmrseg.io.own_masks import origin
from cmrseg.io.review_file import read_review
from cmrseg.labels import Label
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.predict import Options
from cmrseg.problems import DataError
from cmrseg.review.server import Conflict
from cmrseg.workflows.examination import ReportOptions
from cmrseg.workflows.predict import predict_examinations
from cmrseg.workflows.review import BEFORE, ReviewDesk, examinations, review, version_of
from tests.report.browser import Browser

FAST = ReportOptions(masks=Options(flips=False, runtime="torch"))
SPEC = PhantomSpec(n_slices=8, n_frames=5, slice_spacing_mm=14.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two cines."""
    root = tmp_path_factory.mktemp("source")
    for number in range(2):
        (root / f"S{number}").mkdir()
        save_image(make_study(SPEC, SCANNERS["A"], number).cine, root / f"S{number}" / "sa.nii.gz")
    return root


@pytest.fixture(scope="module")
def finished(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    predict_examinations(source, out, options=FAST)
    return out


@pytest.fixture
def out(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "out")


@pytest.fixture
def desk(out):
    return ReviewDesk(out, examinations(out))


def mask_of(folder):
    return load_mask(folder / "seg.nii.gz", "cmrseg", image=folder / "sa.nii.gz").array


def sent(folder, array, **changes):
    packed = b64encode(zlib.compress(np.ascontiguousarray(array.transpose(3, 2, 1, 0)).tobytes())).decode()
    return {"base": version_of(folder), "ed": None, "es": None, "mask": packed, **changes}


def without_lv(folder, frame=2):
    array = mask_of(folder).copy()
    array[..., frame][array[..., frame] == Label.LV] = 0
    return array


def test_what_was_drawn_is_a_persons_mask_and_is_measured(out, desk):
    folder = out / "S0"
    before, drawn = mask_of(folder), mask_of(folder).copy()
    drawn[30:60, 30:60, 2, :] = Label.LV
    ef = pd.read_csv(out / "cohort.csv")["EF_percent"].to_list()
    told = desk.save(0, sent(folder, drawn))
    np.testing.assert_array_equal(mask_of(folder), drawn)
    np.testing.assert_array_equal(load_mask(folder / BEFORE, "cmrseg").array, before)
    assert (origin(folder / "seg.nii.gz"), origin(folder / BEFORE)) == ("changed", "ours")
    after = pd.read_csv(out / "cohort.csv")["EF_percent"].to_list()
    assert after[0] != ef[0]
    assert after[1] == ef[1]
    assert [row["LV"] for row in told["numbers"] if row["quantity"] == "EF"] == [pytest.approx(after[0])]
    assert told["corrected"]
    assert "corrected by a person" in (folder / "report.html").read_text(encoding="utf-8")


def test_predict_goes_on_with_the_corrected_mask_and_the_marks(source, out, desk):
    folder = out / "S0"
    drawn = mask_of(folder).copy()
    drawn[30:60, 30:60, 2, :] = Label.LV
    desk.save(0, sent(folder, drawn, ed=1, es=3))
    numbers = (folder / "numbers.csv").read_text()
    row = predict_examinations(source, out, options=FAST).cohort.iloc[0]
    np.testing.assert_array_equal(mask_of(folder), drawn)
    assert (row["ED_frame"], row["ES_frame"]) == (1, 3)
    assert (folder / "numbers.csv").read_text() == numbers
    assert "marked by a person" in (folder / "methods.txt").read_text()


def test_marks_alone_leave_the_mask_the_networks(out, desk):
    folder = out / "S0"
    told = desk.save(0, sent(folder, mask_of(folder), ed=1))
    assert (told["ed"], told["marks"]) == (1, {"ed": 1, "es": None})
    assert (origin(folder / "seg.nii.gz"), told["corrected"], told["reviewed"]) == ("ours", False, True)


def test_a_mask_that_changed_meanwhile_is_left_and_what_was_drawn_is_kept(out, desk):
    folder, first = out / "S0", without_lv(out / "S0", 1)
    late = sent(folder, without_lv(folder, 2))
    desk.save(0, sent(folder, first))
    with pytest.raises(Conflict, match="seg_review_1"):
        desk.save(0, late)
    np.testing.assert_array_equal(mask_of(folder), first)
    kept = load_mask(folder / "seg_review_1.nii.gz", "cmrseg").array
    assert not (kept[..., 2] == Label.LV).any()


def test_of_two_that_save_at_once_one_is_told(out, desk):
    folder, said = out / "S0", []
    both = [sent(folder, without_lv(folder, frame)) for frame in (1, 2)]

    def save(told):
        try:
            desk.save(0, told)
            said.append("saved")
        except Conflict:
            said.append("told")

    threads = [threading.Thread(target=save, args=(told,)) for told in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["saved", "told"]


@pytest.mark.parametrize(
    "changes",
    [{"mask": ""}, {"mask": 7}, {"mask": b64encode(zlib.compress(bytes(10**8))).decode()}, {"ed": -1},
     {"ed": 99}, {"es": True}, {"ed": 1, "es": 1}],
    ids=["empty", "number", "bomb", "before", "behind", "true", "the same"],
)  # fmt: skip
def test_what_is_no_correction_changes_nothing(out, desk, changes):
    folder = out / "S0"
    version = version_of(folder)
    with pytest.raises(DataError, match="nothing was saved"):
        desk.save(0, sent(folder, mask_of(folder), **changes))
    assert version_of(folder) == version


def test_only_reviewed_frames_are_trained_on(out, desk):
    assert len(read_catalog(out).with_masks().volumes()) == 10
    folder, drawn = out / "S0", mask_of(out / "S0").copy()
    drawn[40:44, 40:44, 2, 2] = Label.RV
    told = desk.save(0, sent(folder, drawn))
    volumes = read_catalog(out).with_masks().volumes()
    wanted = {2, told["ed"], told["es"]}
    assert set(read_review(folder).frames) == wanted
    assert {(v.subject, v.frame) for v in volumes} == {("S0", frame) for frame in wanted}


def test_a_folder_without_examinations_is_refused(tmp_path):
    with pytest.raises(DataError, match="cmrseg predict"):
        examinations(tmp_path)


class Served:
    """A review in a thread of its own."""

    def __init__(self, out):
        self.address, begun = "", threading.Event()

        def ready(address):
            self.address = address
            begun.set()

        threading.Thread(target=review, args=(out,), kwargs={"ready": ready}, daemon=True).start()
        assert begun.wait(60)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.mark.slow
def test_a_person_draws_undoes_copies_marks_and_saves(out, browser):
    folder = out / "S0"
    browser.open(Served(out).address + "0", size=(1400, 900))
    browser.until("document.documentElement.dataset.ready === 'true'")
    before, ed = mask_of(folder), int(browser.js("document.getElementById('phase').value")) - 1
    x, y, w, h = browser.js(
        "(() => { const r = document.getElementById('stage').getBoundingClientRect();"
        " return [r.x, r.y, r.width, r.height]; })()"
    )
    middle = (x + w / 2, y + h / 2)
    browser.press("3")
    browser.drag(middle, (middle[0] + 40, middle[1]))
    browser.until("!document.getElementById('undo').disabled")
    browser.js("document.getElementById('undo').click()")
    browser.until("document.getElementById('undo').disabled")
    browser.js("document.getElementById('redo').click()")
    browser.press("ArrowRight")
    browser.js("document.querySelector('[data-copy=\"phase -1\"]').click()")
    browser.js("document.getElementById('mark-es').click()")
    ef = browser.js("document.querySelector('[data-quantity=EF]').textContent")
    browser.js("document.getElementById('save').click()")
    browser.until("document.getElementById('said').textContent.startsWith('Saved')")
    after, there = mask_of(folder), int(browser.js("document.getElementById('slice').value")) - 1
    changed = np.argwhere((after != before).any(axis=(0, 1)))
    assert {tuple(place) for place in changed.tolist()} == {(there, ed), (there, (ed + 1) % 5)}
    painted = after[:, :, there, ed] != before[:, :, there, ed]
    assert 10 < np.count_nonzero(painted) < 400
    assert (after[:, :, there, ed][painted] == Label.RV).all()
    np.testing.assert_array_equal(after[..., there, ed], after[..., there, (ed + 1) % 5])
    assert browser.js("document.querySelector('[data-quantity=EF]').textContent") != ef
    assert json.loads((folder / "review.json").read_text())["es"] == (ed + 1) % 5
    assert browser.errors == []
