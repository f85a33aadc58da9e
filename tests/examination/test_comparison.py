"""Two examinations of one patient: changes against the interval of two scans."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from cmrseg.examination.comparison import change_table, compare_visits, read_variability
from cmrseg.examination.comparison_report import headline, visits_report
from cmrseg.examination.files import FILES, write_study
from cmrseg.examination.result import MASK, ExaminationResult, read_result, write_result
from cmrseg.io.images import save_image, save_mask
from cmrseg.problems import DataError
from tests.examination.test_page import analysis

COV = pd.DataFrame([("LV", "EDV", 5.0, "Book")], columns=["ventricle", "quantity", "cov_percent", "source"])


def numbers(**values):
    rows = [("LV", name, value, "ml") for name, value in values.items()]
    return pd.DataFrame(rows, columns=["ventricle", "quantity", "value", "unit"])


@pytest.mark.parametrize(("after", "verdict"), [(110.0, "within"), (110.5, "beyond"), (90.0, "beyond")])
def test_a_change_is_held_against_1_96_cov_of_the_mean(after, verdict):
    """Half of the width is 1.96 x 5 % of 105.0 = 10.29, of 105.25 = 10.31 and of 95 = 9.31."""
    table = change_table(numbers(EDV=100.0), numbers(EDV=after), COV)
    assert table["interval"].item() == pytest.approx(1.96 * 0.05 * (100 + after) / 2)
    assert table["verdict"].item() == verdict
    assert table["change_percent"].item() == pytest.approx(after - 100)


def test_without_an_interval_there_is_no_verdict():
    table = change_table(numbers(EDV=100.0, SV=50.0), numbers(EDV=100.0, SV=90.0), COV)
    assert table["verdict"].tolist() == ["within", ""]
    assert math.isnan(table["interval"][1])


def test_what_one_does_not_know_is_left_out():
    assert len(change_table(numbers(EDV=math.nan), numbers(EDV=100.0), COV)) == 0


def test_the_shipped_intervals_are_the_largest_of_their_source():
    table = read_variability()
    assert {"EDV", "ESV", "EF"} <= set(table.loc[table["ventricle"] == "RV", "quantity"])
    largest = table["source"].str.extract(r": [\d.]+ to ([\d.]+) %")[0].astype(float)
    assert largest.tolist() == table["cov_percent"].tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ventricle,quantity,source\nLV,EF,x", "lacks the column cov_percent"),
        ("ventricle,quantity,cov_percent,source\nLV,EF,-1,x", "must hold numbers above 0"),
        ("ventricle,quantity,cov_percent,source\nLV,EF,1,x\nLV,EF,2,y", "names a quantity twice"),
    ],
)
def test_a_table_that_makes_no_sense_is_one_sentence(tmp_path, text, said):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_variability(tmp_path / "mine.csv")


def visit(folder, name, *, made_by="light2d (0123)", **changes):
    """A finished study in a folder."""
    found = analysis(**changes)
    folder = folder / name
    folder.mkdir(parents=True)
    save_image(found.image, folder / "sa.nii.gz")
    save_mask(found.mask, folder / MASK)
    write_study(found, folder)
    row = {"study": name, "level": "green", "ED_frame": found.ed_frame, "ES_frame": found.es_frame}
    write_result(ExaminationResult("d", "m", cohort=row, made_by=made_by), folder)
    return folder


@pytest.mark.slow  # writes a study twice
def test_two_examinations_are_told_side_by_side(tmp_path):
    before = visit(tmp_path, "before")
    table = analysis().numbers
    larger = table.assign(value=table["value"] * table["quantity"].eq("EDV").map({True: 1.3, False: 1.0}))
    after = visit(tmp_path / "run", "after", made_by="other (4567)", numbers=larger)
    found = compare_visits(before, tmp_path / "run")  # a run of one study is that study
    assert found.after.name == after.name
    verdicts = found.changes.set_index(["ventricle", "quantity"])["verdict"]
    assert verdicts[("LV", "EDV")] == verdicts[("RV", "EDV")] == "beyond"
    assert verdicts[("LV", "ESV")] == "within"
    assert "Beyond the scan-rescan interval: LV EDV +" in headline(found)
    assert any("two models, light2d (0123) and other (4567)" in note for note in found.notes)
    report = visits_report(found, provenance={})
    assert [p.name for s in report.sections for p in s.pictures] == [
        "overlay_before",
        "overlay_after",
        "curves",
    ]
    assert set(report.tables) == {"changes.csv", "segments.csv"}
    failed = replace(read_result(before), failed="no slices")
    write_result(failed, before)
    with pytest.raises(DataError, match="has no numbers: no slices"):
        compare_visits(before, after)
    assert "methods.txt" in FILES


def test_what_is_no_study_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"no result.json"):
        compare_visits(tmp_path, tmp_path)
    for name in ("a", "b"):
        (tmp_path / "run" / name).mkdir(parents=True)
        write_result(ExaminationResult("d", "m", cohort={}), tmp_path / "run" / name)
    with pytest.raises(DataError, match=r"holds 2 studies \(a, b\)"):
        compare_visits(tmp_path / "run", tmp_path)
    with pytest.raises(DataError, match="named twice"):
        compare_visits(tmp_path / "run" / "a", tmp_path / "run" / "a")
