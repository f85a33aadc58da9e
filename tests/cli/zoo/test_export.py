"""``cmrseg zoo export --monai`` and ``--hf``."""

import pytest

from tests.cli.conftest import assert_one_sentence

NAME = "light2d_hybrid_acdc_s3"


def test_several_models_and_two_formats_are_refused(cmrseg, tmp_path):
    out = ("--out", tmp_path / "out")
    assert_one_sentence(cmrseg("zoo", "export", NAME, NAME, "--monai", *out), "holds one model")
    assert_one_sentence(cmrseg("zoo", "export", NAME, "--monai", "--onnx", *out), "name one of them")
    assert_one_sentence(cmrseg("zoo", "export", NAME, "--monai", "--hf", *out), "name one of them")


@pytest.mark.slow  # traces the embedded network
def test_the_bundle_of_a_zoo_model_holds_its_card_and_licence(cmrseg, tmp_path):
    code, said, _ = cmrseg("zoo", "export", NAME, "--monai", "--out", tmp_path / "bundle")
    assert code == 0
    assert "python -m monai.bundle run" in said
    assert "trained on ACDC alone" in (tmp_path / "bundle" / "docs" / "README.md").read_text()
    assert "ACDC" in (tmp_path / "bundle" / "docs" / "data_license.txt").read_text()
    assert "CC BY-NC-SA 4.0" in (tmp_path / "bundle" / "LICENSE").read_text()


def test_a_hugging_face_folder_is_written(cmrseg, tmp_path):
    code, said, _ = cmrseg("zoo", "export", NAME, "--hf", "--out", tmp_path / "hf")
    assert code == 0
    assert "hf upload" in said
    assert {"README.md", "model.safetensors", "LICENSE"} <= {
        path.name for path in (tmp_path / "hf").iterdir()
    }
