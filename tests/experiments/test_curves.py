"""Training logs, smoothing, and the paper's starting points and peaks from the published log."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cmrseg.experiments.curves import (
    LOG_COLUMNS,
    join_logs,
    loess,
    read_training_log,
    run_table,
    seed_table,
    smooth,
    with_smoothed,
)
from cmrseg.experiments.printed import beside, read_printed
from cmrseg.problems import DataError

PAPER = Path(__file__).parents[2] / "benchmarks" / "ankenbrand2021_fig6.tsv"

HEADER = "epoch,train_loss,valid_loss,acc_seg,diceComb,diceLV,diceMY,time,model"
SUBSETS = "file\tId\tframe\tslice\tv1\n" + "".join(
    f"{n}_slice000_frame000-image.png\t{n}\t0\t0\t{str(n == 1).upper()}\n" for n in range(1, 5)
)


@pytest.fixture(scope="session")
def published(test_data):
    """Published log and table of subsets."""
    folder = test_data.parent / "reference" / "cmr-seg-tl" / "7T"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    return folder / "train_log_combined.csv", folder / "image_subsets.tsv"


@pytest.fixture(scope="session")
def log(published):
    return read_training_log(*published)


@pytest.fixture(scope="session")
def runs(log):
    return run_table(log).set_index(["start", "subset", "structure"]).sort_index()


@pytest.fixture
def read(tmp_path):
    """A function of the rows of a log in the published form, with a full set of 4 images and v1 of 1."""
    (tmp_path / "subsets.tsv").write_text(SUBSETS)

    def call(*rows, header=HEADER, subsets=True):
        (tmp_path / "log.csv").write_text("\n".join([header, *rows]) + "\n")
        return read_training_log(tmp_path / "log.csv", tmp_path / "subsets.tsv" if subsets else None)

    return call


def row(epoch=0, lv="0.8", my="0.6", model="plainLearn", loss="0.1"):
    return f"{epoch},{loss},0.1,0.9,0.7,{lv},{my},06:11,{model}"


def made_up(dice, *, images=10, seed=0):
    """A log of one run of the full set."""
    epochs = np.arange(len(dice))
    run = pd.DataFrame({"epoch": epochs, "images_seen": (epochs + 1) * images, "dice_LV": dice})
    run = run.assign(start="R", subset="full", seed=seed, images=images)
    return run.reindex(columns=list(LOG_COLUMNS))


def test_the_published_log_holds_three_starts_on_nine_sets(log):
    models = log.groupby("start")["subset"].nunique()
    assert models.to_dict() == {"R": 9, "TL": 9, "TL2": 9}
    assert log[["start", "subset"]].drop_duplicates().shape[0] == 27


def test_twenty_epochs_of_the_full_set_show_101520_images(runs):
    full = runs.loc[("R", "full", "LV")]
    assert (full["epochs"], full["images"], full["images_seen"]) == (20, 5076, 101_520)


@pytest.mark.parametrize(
    ("start", "starting_points", "peaks"),
    [
        ("R", ("0.57", "0.25"), ("0.89", "0.77")),
        ("TL", ("0.77", "0.51"), ("0.91", "0.79")),
        ("TL2", ("0.90", "0.78"), ("0.92", "0.81")),
    ],
)
def test_starting_points_and_peaks_of_the_full_set_are_those_of_the_paper(
    runs, start, starting_points, peaks
):
    full = runs.loc[(start, "full")].loc[["LV", "MYO"]]
    assert tuple(f"{dice:.2f}" for dice in full["starting_point"]) == starting_points
    assert tuple(f"{dice:.2f}" for dice in full["peak"]) == peaks
    assert tuple(f"{dice:.2f}" for dice in full["smoothed_peak"]) == peaks


def test_transfer_raises_starting_point_and_peak_of_every_subset_of_the_published_log(runs):
    random, twice = runs.loc["R"], runs.loc["TL2"]
    assert (twice["starting_point"] > random["starting_point"]).all()
    assert (twice["peak"] > random["peak"]).all()


def test_every_run_of_the_published_log_sees_about_as_many_images(runs):
    assert runs["images_seen"].between(0.98 * 101_520, 1.01 * 101_520).all()


def test_starts_come_in_order_and_large_subsets_first(log):
    assert list(log["start"].unique()) == ["R", "TL", "TL2"]
    assert list(log["subset"].unique()) == ["full", "v7", "r7", "v3", "r3", "esed", "r_esed", "v1", "r1"]


def test_images_seen_are_epochs_times_the_size_of_the_subset(read):
    log = read(row(0), row(1), row(0, model="doubleTransferLearn_v1"))
    assert log["images_seen"].tolist() == [4, 8, 1]
    assert log["start"].tolist() == ["R", "R", "TL2"]


def test_our_own_log_needs_no_table_of_subsets_and_may_skip_epochs(read):
    header = "epoch,diceLV,diceMY,diceRV,model,images_seen,start,subset,seed"
    log = read(
        "3,0.5,,0.4,x,48,TL2,v3,1",
        "7,0.6,,0.5,x,96,TL2,v3,1",
        header=header,
        subsets=False,
    )
    assert log[["start", "subset", "seed", "images"]].iloc[0].tolist() == ["TL2", "v3", 1, 12]
    table = run_table(log)
    assert table["structure"].tolist() == ["LV", "RV"]
    assert table["starting_at"].tolist() == [48, 48]


def test_a_loss_that_is_no_number_does_not_hide_the_dice(read):
    log = read(row(0, loss="nan"), row(1))
    assert np.isnan(log.loc[0, "train_loss"])
    assert log.loc[0, "dice_LV"] == 0.8


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no rows"),
        ([row(model="plainLern")], "unknown model 'plainLern'.*did you mean plainLearn"),
        ([row(model="plainLearn_v9")], r"subsets\.tsv lacks the subset 'v9'"),
        ([row(lv="high")], r"diceLV must hold numbers .* row 2 \(high\)"),
        ([row(), row(1, lv="")], "row 3"),
        ([row(lv="83.5")], "between 0 and 1, got 83.5"),
        ([row(epoch="first")], "epoch must hold whole numbers"),
        ([row(), row()], "R full seed 0 has epoch 0 more than once"),
    ],
)
def test_a_bad_log_is_refused(read, rows, message):
    with pytest.raises(DataError, match=message):
        read(*rows)


@pytest.mark.parametrize("column", ["epoch", "diceLV", "model"])
def test_a_missing_column_is_named(read, column):
    with pytest.raises(DataError, match=f"lacks the column {column}"):
        read(row(), header=HEADER.replace(column, "other"))


def test_the_published_log_needs_the_table_of_subsets(read):
    with pytest.raises(DataError, match=r"no column images_seen.*--subsets"):
        read(row(), subsets=False)


def test_a_straight_line_stays_as_it_is_up_to_both_ends():
    seen = np.linspace(10, 1000, 40)
    np.testing.assert_allclose(smooth(seen, 0.2 + 0.0005 * seen), 0.2 + 0.0005 * seen)


def test_the_starting_point_is_not_smoothed():
    seen, rising = np.arange(1, 101) * 10, 1 - np.exp(-np.arange(1, 101) / 5)
    assert smooth(seen, rising)[0] == rising[0]


def test_a_bend_stays_where_it_is():
    seen = np.arange(1, 201)
    bend = np.minimum(seen, 100) / 100
    mirrored = smooth(seen, bend)[[79, 99, 119]] - bend[[79, 99, 119]]
    assert mirrored[0] == pytest.approx(mirrored[2], abs=1e-6)  # a lag would make them differ
    assert abs(mirrored[1]) > abs(mirrored[0])


def test_noise_becomes_less():
    noise = np.random.default_rng(0).normal(size=300)
    assert smooth(np.arange(1, 301), noise)[50:].std() < noise.std() / 3


def test_a_single_value_is_its_own_curve():
    assert smooth(np.array([5.0]), np.array([0.4])).tolist() == [0.4]


def test_a_span_of_nothing_is_refused():
    with pytest.raises(ValueError, match="span must be positive"):
        smooth(np.array([1.0]), np.array([1.0]), span=0)


# Speed (mph) and stopping distance (ft) of R's data set cars up to 25 mph.
CARS_SPEED = np.repeat(
    [4.0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25],
    [2, 2, 1, 1, 3, 2, 4, 4, 4, 3, 2, 3, 4, 3, 5, 1, 1, 4, 1],
)
CARS_DISTANCE = np.array([
    2.0, 10, 4, 22, 16, 10, 18, 26, 34, 17, 28, 14, 20, 24, 28, 26, 34, 34, 46, 26, 36, 60, 80, 20, 26, 54,
    32, 40, 32, 40, 50, 42, 56, 76, 84, 36, 46, 68, 32, 48, 52, 56, 64, 66, 54, 70, 92, 93, 120, 85,
])  # fmt: skip


def test_loess_is_that_of_the_manual_of_r():
    # ?predict.loess prints the fit of loess(dist ~ speed, cars) at 5, 6, 7 ... mph.
    at_7_to_10 = [12.499786, 15.281082, 18.446568, 21.865315]
    fitted = dict(zip(CARS_SPEED, loess(CARS_SPEED, CARS_DISTANCE), strict=True))
    assert [fitted[speed] for speed in (7, 8, 9, 10)] == pytest.approx(at_7_to_10, abs=1e-6)


def test_loess_leaves_a_parabola_as_it_is():
    seen = np.arange(1, 21) * 50.0
    np.testing.assert_allclose(
        loess(seen, 0.1 + 0.001 * seen - 4e-7 * seen**2), 0.1 + 0.001 * seen - 4e-7 * seen**2
    )


def test_loess_needs_seven_values():
    assert np.isnan(loess(np.arange(6), np.ones(6))).all()
    np.testing.assert_allclose(loess(np.arange(7), np.ones(7)), 1)


def test_loess_gives_20_of_the_22_printed_peaks_and_the_log_the_other_two(runs):
    table = beside(runs.reset_index(), read_printed(PAPER))
    wrong = table[(table["quantity"] == "loess_peak") & ~table["agrees"]]
    assert len(table[table["quantity"] == "loess_peak"]) == 22
    assert wrong[["start", "subset", "structure"]].agg(" ".join, axis=1).tolist() == [
        "TL2 v3 LV",
        "TL2 v3 MYO",
    ]
    raw = table[table["quantity"] == "peak"].set_index(["start", "subset", "structure"])["agrees"]
    assert raw[[("TL2", "v3", "LV"), ("TL2", "v3", "MYO")]].all()


def test_runs_are_smoothed_one_by_one():
    first, second = made_up(np.zeros(20)), made_up(np.ones(20), seed=1)
    curves = with_smoothed(join_logs([first, second]))["smooth_LV"]
    np.testing.assert_allclose(curves, [0.0] * 20 + [1.0] * 20)


def test_the_plateau_begins_within_a_hundredth_of_the_smoothed_peak():
    seen = np.arange(1, 101) * 10
    (row,) = run_table(made_up(0.9 - 0.9 * np.exp(-seen / 100))).itertuples()
    assert (row.peak, row.peak_at) == (pytest.approx(0.9, abs=1e-4), 1000)
    assert row.plateau == pytest.approx(100 * np.log(90), abs=30)


def test_seeds_are_summarised_by_mean_and_range():
    log = join_logs([made_up([0.1 + s / 10, 0.8 + s / 10], seed=s) for s in (0, 1)])
    (row,) = seed_table(run_table(log)).itertuples()
    assert (row.seeds, row.starting_point, row.starting_point_low) == (2, pytest.approx(0.15), 0.1)
    assert (row.peak, row.peak_high) == (pytest.approx(0.85), 0.9)


def test_a_log_that_is_given_twice_is_refused():
    with pytest.raises(DataError, match="R full seed 0; name every log once"):
        join_logs([made_up([0.5]), made_up([0.6])])
