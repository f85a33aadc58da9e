"""Ensembles of configurations: chosen by all subjects, and by one half for the other."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cmrseg.cli import app
from cmrseg.experiments.ensembles import read_predictions, search_ensembles, second_halves
from cmrseg.problems import DataError

NAMES = ("cavity_area_mm2", "myocardium_area_mm2")


def predicted(errors, *, subjects=12, frames=4, seed=0):
    """Values of methods whose areas are wrong by a share of a common error, and noise of their own."""
    rng, parts = np.random.default_rng(seed), []
    n = subjects * frames
    place = pd.DataFrame(
        {"subject": np.repeat([f"s{i:02d}" for i in range(subjects)], frames),
         "frame": np.tile(range(frames), subjects), "slice": 3}
    )  # fmt: skip
    true, common = rng.normal(2000, 500, (n, 2)), rng.normal(0, 100, (n, 2))
    phase = (rng.random(n) < 0.4).astype(float)
    for name, (share, noise) in errors.items():
        part = place.assign(method=name, phase_true=phase)
        part["phase"] = np.clip(phase * 0.4 + 0.3 + rng.normal(0, noise / 200, n), 0, 1)
        for i, index in enumerate(NAMES):
            part[f"{index}_true"] = true[:, i]
            part[index] = true[:, i] + share * common[:, i] + rng.normal(0, noise, n)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


OPPOSED = {"up": (1, 5), "down": (-1, 5), "noise": (0, 80)}


def test_configurations_whose_errors_cancel_are_chosen():
    found = search_ensembles(predicted(OPPOSED))
    areas = found.members[
        (found.members["group"] == "areas") & (found.members["ensemble"] == "Ensemble Optimal")
    ]
    assert areas["method"].tolist() == ["up", "down"]
    errors = found.evaluation.errors.set_index(["method", "name"])["mae"]
    assert errors["Ensemble Optimal", "areas"] < 6
    assert errors["Ensemble Optimal*", "areas"] < 6  # also on subjects that did not choose
    assert errors["Ensemble Average", "areas"] > 15
    tests = found.evaluation.tests.set_index(["first", "group"])
    assert tests.loc[("Ensemble Average*", "areas"), "p_subjects"] < 0.05
    assert set(found.evaluation.tests["first"]) == {"Ensemble Average", "Ensemble Average*"}


def test_every_group_and_the_phase_have_members_of_their_own():
    found = search_ensembles(predicted(OPPOSED))
    assert set(found.members["group"]) == {"areas", "phase"}
    assert found.sizes.groupby("group")["members"].max().to_dict() == {"areas": 3, "phase": 3}
    by_hand = found.sizes[found.sizes["group"] == "areas"]["error"]
    errors = found.evaluation.errors.set_index(["method", "name"])["mae"]
    assert by_hand.iloc[1] == pytest.approx(errors["Ensemble Optimal", "areas"])
    assert by_hand.iloc[2] == pytest.approx(errors["Ensemble Average", "areas"])


def test_only_the_best_are_looked_at():
    found = search_ensembles(predicted({**OPPOSED, "worst": (3, 300)}), most=3)
    assert "worst" not in set(found.members["method"])
    assert found.sizes["members"].max() == 3


def test_starred_rows_are_of_subjects_that_did_not_choose():
    values = predicted(OPPOSED)
    second = second_halves(values["subject"].unique(), {}, 0)
    assert len(second) == 6
    errors = search_ensembles(values).evaluation.errors.set_index(["method", "name"])
    assert errors.loc[("Ensemble Average*", "areas"), "n"] == 6 * 4
    part = values[values["subject"].isin(second)]
    mean = part.groupby(["subject", "frame"])[[*NAMES, *(f"{n}_true" for n in NAMES)]].mean()
    by_hand = sum((mean[n] - mean[f"{n}_true"]).abs().mean() for n in NAMES) / 2
    assert errors.loc[("Ensemble Average*", "areas"), "mae"] == pytest.approx(by_hand)


def test_every_fold_is_halved():
    folds = {f"s{i}": i % 3 for i in range(12)}
    second = second_halves(list(folds), folds)
    assert [sum(folds[name] == fold for name in second) for fold in range(3)] == [2, 2, 2]


def test_an_image_that_one_does_not_answer_is_left_out_and_told():
    values = predicted(OPPOSED)
    found = search_ensembles(values.drop(index=0))
    assert found.notes[0] == "areas: 1 image(s) are not answered by all"


def test_one_configuration_is_no_ensemble():
    with pytest.raises(DataError, match="no two configurations"):
        search_ensembles(predicted({"up": (1, 5)}))


def test_the_command_reads_what_evaluate_indices_wrote(tmp_path):
    predicted(OPPOSED).to_csv(tmp_path / "values.csv", index=False)
    pd.DataFrame({"subject": [f"s{i:02d}" for i in range(12)], "fold": [0, 1] * 6}).to_csv(
        tmp_path / "folds.csv", index=False
    )
    out = tmp_path / "out"
    told = CliRunner().invoke(app, ["study", "ensemble", str(tmp_path), "--out", str(out)])
    assert told.exit_code == 0, told.output
    assert {path.name for path in out.iterdir()} == {
        "table1.csv", "errors.csv", "tests.csv", "members.csv", "sizes.csv", "figures", "report.html"
    }  # fmt: skip
    rows = pd.read_csv(out / "table1.csv")["method"].tolist()
    assert rows == [
        *OPPOSED, "Ensemble Average", "Ensemble Optimal", "Ensemble Average*", "Ensemble Optimal*"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "told"),
    [(None, "has neither predictions.csv nor values.csv"), (["method"], "no column subject")],
)
def test_a_folder_without_predictions_is_told(tmp_path, columns, told):
    if columns:
        pd.DataFrame([["a"]], columns=columns).to_csv(tmp_path / "values.csv", index=False)
    with pytest.raises(DataError, match=told):
        read_predictions(tmp_path)
