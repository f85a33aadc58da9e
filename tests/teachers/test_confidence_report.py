"""The files that `cmrseg confidence` leaves behind."""

import pandas as pd
import pytest

from cmrseg.teachers.confidence import confidence
from cmrseg.teachers.confidence_report import distribution_figure, headline, under_represented, volume_figure
from cmrseg.workflows.confidence import confidence as write_confidence


@pytest.fixture
def tables(tmp_path):
    """Examinations 1 and 2 agree, 3 does not, and 9 has no truth."""
    volumes = tmp_path / "summary.csv"
    rows = ["1,100,40,60", "2,110,42,62", "3,150,60,60", "9,100,40,60"]
    volumes.write_text("\n".join(["study,EDV_ml,ESV_ml,EF_percent", *rows]))
    (tmp_path / "validate.csv").write_text("Id,Systole,Diastole\n1,40,100\n2,40,100\n3,40,100\n")
    return volumes, tmp_path / "validate.csv", tmp_path / "out"


@pytest.mark.slow  # draws two figures
def test_all_files_are_written(tables):
    found = write_confidence(*tables)
    out = tables[-1]
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {
        "confidence.tsv", "sets.csv", "members.csv", "cancellation.csv", "representation.csv",
        "problems.tsv", "report.html", "figures/deviation.png", "figures/distribution.png",
    }  # fmt: skip
    assert pd.read_csv(out / "sets.csv").to_numpy().tolist() == [["p5", 5, 1], ["p10", 10, 2], ["p15", 15, 2]]
    assert pd.read_csv(out / "members.csv")["Id"].tolist() == [1, 1, 2, 1, 2]
    assert pd.read_csv(out / "cancellation.csv")["Id"].tolist() == [3]
    read = pd.read_csv(out / "confidence.tsv", sep="\t", dtype={"Id": str})
    pd.testing.assert_frame_equal(read, found.table, check_dtype=False, rtol=0, atol=0)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Of 3 examinations 1 in p5, 2 in p10, 2 in p15." in page


@pytest.mark.slow
def test_an_empty_set_and_one_threshold_can_be_shown(tables):
    found = write_confidence(tables[0], tables[1], tables[2], thresholds=["0.001"])
    assert headline(found) == "Of 3 examinations 1 in p0.001."
    tables[0].write_text("study,EDV_ml,ESV_ml\n1,200,80\n")
    assert headline(write_confidence(*tables)) == "Of 1 examinations 0 in p5, 0 in p10, 0 in p15."


def test_extremes_that_a_set_lacks_are_said():
    rows = {"set": ["all", "p5", "p10"]}
    for extreme in ("EF_below_40", "EF_above_70", "EDV_below_100_ml", "EDV_above_250_ml"):
        rows |= {f"{extreme}_percent": [10.0, 10.0, 10.0], f"p_{extreme}": [1.0, 0.5, 0.5]}
    table = pd.DataFrame(rows).assign(EF_above_70_percent=[8, 2, 7.0], p_EF_above_70=[1, 0.01, 0.4])
    assert under_represented(table) == ["Fewer examinations with EF above 70 %: p5 2.0 %; all 8.0 %."]


def test_volumes_are_drawn_with_the_borders_of_the_sets(tables):
    edv, esv = volume_figure(confidence(*tables[:2])).axes
    assert [len(ax.lines) for ax in (edv, esv)] == [6, 6]
    assert sorted(line.get_slope() for line in edv.lines) == pytest.approx([0.85, 0.9, 0.95, 1.05, 1.1, 1.15])
    assert [len(points.get_offsets()) for points in esv.collections] == [3, 2, 2, 1]  # all, p15, p10, p5
    assert edv.collections[0].get_offsets().tolist() == [[100, 100], [100, 110], [100, 150]]


def test_examinations_whose_ef_differs_by_rounding_alone_have_a_figure(tmp_path):
    truth, volumes = ["Id,Systole,Diastole"], ["study,EDV_ml,ESV_ml,EF_percent"]
    for study, edv in enumerate((180, 114, 167, 109, 172, 116, 102, 179)):
        truth.append(f"{study},{edv * 0.4:.1f},{edv}")
        volumes.append(f"{study},{edv * 1.03:.1f},{edv * 0.42:.1f},59")
    (tmp_path / "truth.csv").write_text("\n".join(truth))
    (tmp_path / "volumes.csv").write_text("\n".join(volumes))
    figure = distribution_figure(confidence(tmp_path / "volumes.csv", tmp_path / "truth.csv"))
    low, high = figure.axes[0].get_xlim()
    assert low < 60 < high


def test_more_examinations_have_more_bins(tmp_path):
    def bins(n):
        rows = pd.DataFrame({"study": range(n), "EDV_ml": range(100, 100 + n), "ESV_ml": range(40, 40 + n)})
        rows.to_csv(tmp_path / "volumes.csv", index=False)
        truth = rows.set_axis(["Id", "Diastole", "Systole"], axis=1)
        truth.to_csv(tmp_path / "truth.csv", index=False)
        found = confidence(tmp_path / "volumes.csv", tmp_path / "truth.csv", thresholds=[5])
        return len(distribution_figure(found).axes[1].patches) - 1  # the set is one line

    assert (bins(1), bins(30), bins(1140)) == (1, 7, 21)
