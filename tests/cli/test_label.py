"""``cmrseg label``: what it says, and one sentence for everything that a user can mend."""

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cmrseg.cine import Cine
from cmrseg.cli.label import label
from cmrseg.io.images import save_image, save_mask

SPACING = (1.5, 1.5, 8.0)


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(label)
    return lambda *arguments: CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(a) for a in arguments])


@pytest.fixture
def folders(tmp_path):
    """A curated study with a name as `cmrseg curate` gives them, and its mask made elsewhere."""
    mask = np.zeros((16, 16, 2, 3), np.uint8)
    mask[4:10, 4:10] = 2
    mask[5:9, 5:9] = 1
    mask[5, 5:9, :, 1] = 2
    save_image(Cine(mask.astype(np.float32), SPACING), tmp_path / "data" / "Sf4bacdf990" / "sa.nii.gz")
    save_mask(Cine(mask, SPACING), tmp_path / "masks" / "Sf4bacdf990" / "seg_sa.nii.gz")
    return tmp_path / "data", tmp_path / "masks"


def test_it_shows_volumes_and_frames_in_80_columns(run, folders):
    data, masks = folders
    result = run(data, "--teacher", f"precomputed:{masks}")
    assert result.exit_code == 0, result.output
    table = [line for line in result.output.splitlines() if line[:1] in "┏┃┡│└"]
    assert "Sf4bacdf990" in result.output
    assert max(map(len, table)) <= 80
    assert (data / "Sf4bacdf990" / "seg.nii.gz").exists()


def test_the_embedded_model_is_a_teacher_by_that_word(run, folders):
    data, _ = folders
    run(data, "--teacher", "embedded", "--fast")
    assert (data / "Sf4bacdf990" / "seg.nii.gz").exists()


def test_a_study_without_mask_ends_with_code_1_and_names_the_list(run, folders, tmp_path):
    data, masks = folders
    save_image(Cine(np.ones((8, 8, 1, 2), np.float32), SPACING), data / "other" / "sa.nii.gz")
    result = run(data, "--teacher", f"precomputed:{masks}", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert (tmp_path / "out" / "problems.tsv").exists()
    assert "1 of 2 studies have no mask" in result.output


def test_the_screen_ends_after_20_studies_and_says_so(run, tmp_path):
    mask = np.ones((8, 8, 1, 2), np.uint8)
    for i in range(22):
        save_image(Cine(mask.astype(np.float32), SPACING), tmp_path / "data" / f"s{i:02}" / "sa.nii.gz")
        save_mask(Cine(mask * (i > 0), SPACING), tmp_path / "masks" / f"s{i:02}" / "seg_sa.nii.gz")
    result = run(tmp_path / "data", "--teacher", f"precomputed:{tmp_path / 'masks'}")
    assert "and 2 more" in result.output
    assert "s19" in result.output
    assert "s20" not in result.output
    assert "NA" not in result.output  # s00 has no LV
    assert result.exit_code == 1


def test_a_bad_argument_is_a_value_error_for_the_command(run, folders):
    data, _ = folders
    result = run(data, "--teacher", "precomputd:x")
    assert isinstance(result.exception, ValueError)
    assert "did you mean precomputed" in str(result.exception)


def test_a_teacher_has_to_be_named(run, folders):
    assert run(folders[0]).exit_code == 2
