"""The files that scores of confusion counts leave behind."""

import pandas as pd
import pytest

from cmrseg.evaluation.confusion_report import dice_table
from cmrseg.workflows import evaluate


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "net.csv"
    rows = ["1_slice000_frame000,test,90,2,2,6", "1_slice001_frame000,test,100,0,0,0", "x,test,1,1,1,1"]
    path.write_text("\n".join(["image,set,bg_bg,bg_lv,lv_bg,lv_lv", *rows]))
    return path


def test_all_files_are_written(table, tmp_path):
    out = tmp_path / "out"
    evaluate.confusion([table], out)
    assert pd.read_csv(out / "metrics.csv")["value"].tolist() == [0.75, 1]
    assert pd.read_csv(out / "subjects.csv")["dice_image"].tolist() == [0.875]
    assert pd.read_csv(out / "summary.csv")["metric"].tolist() == ["dice_image", "dice_pooled"]
    assert pd.read_csv(out / "problems.tsv", sep="\t")["study"].tolist() == ["x"]
    assert (out / "figures" / "dice_image.png").stat().st_size > 0
    assert "net, test: LV 0.875" in (out / "report.html").read_text(encoding="utf-8")


def test_the_table_has_both_kinds_of_dice(table, tmp_path):
    (row,) = dice_table(evaluate.confusion([table], tmp_path / "out")).to_dict("records")
    assert (row["method"], row["set"], row["Dice"], row["pooled"], row["images"]) == (
        "net", "test", 0.875, 0.75, 2,
    )  # fmt: skip
