"""Folders that nobody named: safe names, never a folder that is there, and one line that says where."""

import multiprocessing
import os
from pathlib import Path

import pytest

from cmrseg.cli.out_folder import RUNS, _remove_empty, out_folder
from cmrseg.problems import DataError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)


def test_a_folder_that_was_named_is_kept_as_it_is(capsys):
    assert out_folder(Path("mine"), "r34_CE_p5_s2") == Path("mine")
    assert capsys.readouterr().out == ""
    assert not RUNS.exists()


def test_a_new_folder_is_told_in_one_line(capsys):
    assert out_folder(None, "r34_CE_p5_s2") == Path("runs/r34_CE_p5_s2")
    assert capsys.readouterr().out == "· results: runs/r34_CE_p5_s2 (another folder: --out)\n"


def test_a_name_that_is_taken_gets_a_number_whatever_it_is():
    (RUNS / "a").mkdir(parents=True)
    (RUNS / "a-2").write_text("a file")
    (RUNS / "a-3").symlink_to("nowhere")
    assert out_folder(None, "a") == RUNS / "a-4"


def test_resume_goes_on_with_the_newest_of_the_name(capsys):
    for name in ("a", "a-2", "a-10", "ab"):
        (RUNS / name).mkdir(parents=True)
    assert out_folder(None, "a", resume=True) == RUNS / "a-2"
    assert "runs/a-2, which goes on" in capsys.readouterr().out
    assert out_folder(None, "b", resume=True) == RUNS / "b"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("7t", "7t"),
        ("deep/er/7t/", "7t"),
        ("counts.tsv.xz", "counts"),
        ("run1/model.safetensors", "run1"),
        ("curated/summary.csv", "curated"),
        ("light2d_hybrid_acdc_s3", "light2d_hybrid_acdc_s3"),
        ("-rf", "rf"),
        ("two words; rm", "two_words_rm"),
        ("line\nbreak\x1b[31m", "line_break_31m"),
        ("Röntgen", "Röntgen"),
        ("/", "data"),
        ("..hidden..", "data"),
        ("x" * 300, "x" * 100),
        ("心" * 300, "心" * 33),
    ],
)
def test_names_from_paths_are_plain(path, name):
    assert out_folder(None, "kind", Path(path)) == RUNS / f"kind-{name}"


def test_the_working_directory_and_the_one_above_have_names(tmp_path):
    (tmp_path / "7t" / "inner").mkdir(parents=True)
    os.chdir(tmp_path / "7t" / "inner")
    assert [out_folder(None, Path(path)).name for path in (".", "..")] == ["inner", "7t"]


def test_a_folder_with_dots_in_its_name_keeps_them():
    Path("7t.v2").mkdir()
    assert out_folder(None, Path("7t.v2")) == RUNS / "7t.v2"


def test_a_folder_in_which_nothing_was_written_goes_again(tmp_path):
    folder = out_folder(None, "a").resolve()
    kept = out_folder(None, "b").resolve()
    (kept / "model").write_text("")
    for made in (folder, kept):
        _remove_empty(made)
    assert [path.name for path in RUNS.iterdir()] == ["b"]


def test_runs_that_is_a_file_is_one_sentence():
    RUNS.write_text("")
    with pytest.raises(DataError, match=r"runs cannot be written \(File exists\); name a folder with --out"):
        out_folder(None, "a")


def _choose(told):
    told.put(str(out_folder(None, "a")))


def test_two_commands_at_a_time_get_a_folder_each():
    fork = multiprocessing.get_context("fork")
    told = fork.SimpleQueue()
    both = [fork.Process(target=_choose, args=(told,)) for _ in range(4)]
    for process in both:
        process.start()
    assert len({told.get() for _ in both}) == 4
    for process in both:
        process.join()
