"""Subsets of a training set: nested, of equal size, as published."""

from itertools import pairwise

import pandas as pd
import pytest

from cmrseg.data.subsets import (
    draw_subsets,
    esed_problems,
    halvings,
    read_subsets,
    subset_names,
    subset_rows,
    subset_sizes,
    write_subsets,
)
from cmrseg.problems import DataError

HEAD = "file\tId\tframe\tslice\tv1\tesed"
ROW = "1_slice000_frame000.png\t1\t0\t0\tTRUE\tFALSE"


@pytest.fixture(scope="session")
def published(test_data):
    folder = test_data.parent / "reference" / "cmr-seg-tl" / "7T"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    return folder


@pytest.fixture(scope="session")
def theirs(published):
    return read_subsets(published / "image_subsets.tsv")


@pytest.fixture(scope="session")
def frames(published):
    return pd.read_csv(published / "esed_frames.tsv", sep="\t", dtype={"Id": str})


def rows_of(n_subjects, n_frames=4, file="{i}_slice{z:03d}_frame{t:03d}.png"):
    """Training images; later subjects have more slices."""
    places = [(f"s{i}", t, z) for i in range(n_subjects) for t in range(n_frames) for z in range(2 + i)]
    rows = [(i, t, z, f"data/{file.format(i=i, t=t, z=z)}") for i, t, z in places]
    return pd.DataFrame(rows, columns=["subject", "frame", "slice", "image"])


def ed_es(n_subjects, es=2, ed=0):
    return pd.DataFrame({"Id": [f"s{i}" for i in range(n_subjects)], "es": es, "ed": ed})


def assert_nested(table, names):
    for outer, inner in pairwise(names):
        assert table.loc[table[inner], outer].all()
        assert table[inner].sum() < table[outer].sum()


def assert_twins(table):
    """Whole subjects in the v sets, and as many images in their r sets."""
    for name in subset_names(table):
        if name.startswith("v"):
            chosen = table.groupby("Id")[name].agg(["min", "max"])
            assert (chosen["min"] == chosen["max"]).all()
            assert chosen["max"].sum() == int(name[1:])
            assert table[f"r{name[1:]}"].sum() == table[name].sum()


# Drawing


@pytest.mark.parametrize(("n", "expected"), [(14, (7, 3, 1)), (12, (6, 3, 1)), (2, (1,)), (1, ()), (0, ())])
def test_halvings_go_down_to_one_subject(n, expected):
    assert halvings(n) == expected


def test_subjects_and_images_are_nested_and_of_equal_size():
    table = draw_subsets(rows_of(6), frames=ed_es(6))
    assert subset_names(table) == ["v3", "v1", "r3", "r1", "esed", "r_esed"]
    assert_twins(table)
    assert_nested(table, ["v3", "v1"])
    assert table["r_esed"].sum() == table["esed"].sum()
    by_size = sorted(["r3", "r1", "r_esed"], key=lambda name: -table[name].sum())
    assert_nested(table, by_size)


def test_esed_holds_all_slices_of_both_frames():
    table = draw_subsets(rows_of(3), frames=ed_es(2))
    at = table["frame"].isin([0, 2]) & table["Id"].isin(["s0", "s1"])  # those of s2 are not known
    assert table["esed"].tolist() == at.tolist()


@pytest.mark.parametrize(
    ("images", "frames"), [(rows_of(3), None), (rows_of(3, 2), ed_es(3, es=1)), (rows_of(3), ed_es(0))]
)
def test_esed_is_left_out_where_it_is_unknown_everything_or_nothing(images, frames):
    assert subset_names(draw_subsets(images, frames=frames)) == ["v1", "r1"]


def test_the_order_of_the_rows_does_not_matter():
    images = rows_of(6)
    drawn = draw_subsets(images, seed=3)
    assert drawn.equals(draw_subsets(images.sample(frac=1, random_state=0), seed=3))


def test_a_draw_is_the_same_on_every_machine():
    table = draw_subsets(rows_of(4, 2), seed=0)
    assert sorted(set(subset_rows(table, "v2")["Id"])) == ["s0", "s2"]
    assert table.index[table["r1"]].tolist() == [0, 1, 5, 6, 8, 13, 17, 19]


def test_another_seed_draws_other_subjects_and_images():
    drawn = [draw_subsets(rows_of(8), seed=seed) for seed in range(5)]
    assert len({tuple(subset_rows(table, "v4")["Id"].unique()) for table in drawn}) > 1
    assert len({tuple(table["r4"]) for table in drawn}) > 1


def test_more_sizes_leave_the_others_as_they_are():
    few, many = (draw_subsets(rows_of(6), sizes=sizes) for sizes in ([3], [5, 3, 1]))
    assert few["v3"].equals(many["v3"])
    assert few["r3"].equals(many["r3"])


@pytest.mark.parametrize("sizes", [(6,), (3, 3), (1, 3), (3, 0), (7, 1)])
def test_sizes_that_do_not_decrease_below_all_subjects_are_refused(sizes):
    with pytest.raises(ValueError, match=r"sizes must decrease, from below 6 .* got "):
        draw_subsets(rows_of(6), sizes=sizes)


def test_a_single_subject_has_no_subsets():
    table = draw_subsets(rows_of(1))
    assert subset_sizes(table).to_numpy().tolist() == [["full", 1, 8, 1.0]]


def test_images_of_their_own_keep_their_names():
    table = draw_subsets(rows_of(2))
    assert table["file"].tolist()[:3] == [f"s0_slice000_frame00{t}.png" for t in range(3)]


@pytest.mark.parametrize("file", ["{i}_sa.nii.gz", "{i}/{z}-{t}.png", "{z}-{t}.png"])
def test_every_image_has_a_name_of_its_own(file):
    table = draw_subsets(rows_of(3, file=file))
    assert table["file"].is_unique
    assert "s0_slice001_frame003" in set(table["file"])


# Reading


def test_a_table_comes_back_as_it_was_written_and_spelled_as_published(tmp_path):
    table = draw_subsets(rows_of(4).replace({"subject": {"s0": "017"}}), frames=ed_es(4))
    path = write_subsets(table, tmp_path / "subsets.tsv")
    assert read_subsets(path).equals(table.astype({"Id": str}))
    assert "TRUE" in path.read_text()
    assert "True" not in path.read_text()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEAD], "holds no rows"),
        (["file\tId\tframe\tv1", "a\t1\t0\tTRUE"], "lacks the column slice"),
        (
            [HEAD, ROW.replace("FALSE", "yes")],
            r"esed must hold TRUE or FALSE.*1_slice000_frame000.png \(yes\)",
        ),
        ([HEAD, ROW.replace("FALSE", "")], "esed must hold TRUE or FALSE"),
        ([HEAD, ROW], "the subset esed is empty"),
        ([HEAD.replace("v1", "full"), ROW], "'full' names all images"),
        ([HEAD, ROW, ROW], "names 1_slice000_frame000.png more than once"),
        ([HEAD, ROW, ROW.replace("1_", "x_")], "names x_slice000_frame000.png more than once"),
        ([HEAD, ROW.replace("\t0\t0", "\tfirst\t0")], "frame must hold whole numbers"),
        ([HEAD, ROW.replace("\t1\t", "\t\t")], "without a file or an Id"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, lines, message):
    path = tmp_path / "subsets.tsv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=message):
        read_subsets(path)


def test_full_is_every_image():
    table = draw_subsets(rows_of(3))
    assert subset_rows(table, "full").equals(table[["Id", "frame", "slice"]])


def test_an_unknown_subset_is_told_with_near_matches():
    with pytest.raises(ValueError, match="unknown subset 'v2'; did you mean v1"):
        subset_rows(draw_subsets(rows_of(3)), "v2")


def test_a_subject_with_other_esed_images_is_a_problem():
    table = draw_subsets(rows_of(3), frames=ed_es(3))
    frames = ed_es(2).replace({"es": {2: 3}}).assign(es=[2, 3])  # s1 differs, s2 is not known
    told = [(p.study, p.problem, p.extra_info) for p in esed_problems(table, frames)]
    assert told == [
        ("s1", "esed differs for 6 image(s)", "esed has frames 0, 2; ES and ED are 3, 0"),
        ("s2", "esed differs for 8 image(s)", "esed has frames 0, 2; ES and ED are unknown"),
    ]


# The published table


def test_the_published_counts_are_found(theirs):
    sizes = subset_sizes(theirs).set_index("subset")
    expected = {"full": 5076, "v7": 2626, "v3": 1001, "v1": 306, "r7": 2626, "r3": 1001, "r1": 306}
    assert sizes["images"].to_dict() == expected | {"esed": 448, "r_esed": 448}
    assert sizes.loc[["full", "v7", "v3", "v1", "esed"], "subjects"].tolist() == [14, 7, 3, 1, 14]
    assert sizes.loc["esed", "fraction"] == pytest.approx(448 / 5076)


def test_the_published_subsets_are_nested(theirs):
    assert_twins(theirs)
    assert_nested(theirs, ["v7", "v3", "v1"])
    assert_nested(theirs, ["r7", "r3", "r_esed", "r1"])


def test_the_published_esed_is_that_of_the_published_frames(theirs, frames):
    assert esed_problems(theirs, frames) == []


def test_our_draw_of_the_published_images_has_their_form(theirs, frames):
    images = theirs.rename(columns={"Id": "subject", "file": "image"})
    ours = draw_subsets(images, sizes=(7, 3, 1), frames=frames)
    assert list(ours) == list(theirs)
    assert set(ours["file"]) == set(theirs["file"])
    assert_twins(ours)
    assert_nested(ours, ["v7", "v3", "v1"])
    assert_nested(ours, ["r7", "r3", "r1"])
    both = ours[["file", "esed"]].merge(theirs[["file", "esed"]], on="file")
    assert (both["esed_x"] == both["esed_y"]).all()
    assert ours["r_esed"].sum() == 448
