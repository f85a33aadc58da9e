"""``cmrseg zoo import`` and ``export``: what they say to a wrong file."""

import pytest

from tests.cli.conftest import assert_one_sentence


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.safetensors", b"weights", "is no readable model file"),
        ("m.zip", b"no archive", "no whole ZIP archive"),
        ("m.pkl", b"no pickle", "no readable pickle"),
        ("m.pkl", b"", "is empty"),
        ("m.zip", None, "does not exist"),
    ],
)
def test_a_wrong_file_is_one_sentence(cmrseg, tmp_path, monkeypatch, name, content, said):
    monkeypatch.setenv("CMRSEG_HOME", str(tmp_path / "home"))
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert_one_sentence(cmrseg("zoo", "import", tmp_path / name), said, tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("light2d_hybrid_acdc_s3", "--out", "m.tar"), "ends in .zip"),
        (("light2d_hybrid_acdc", "--out", "m.zip"), "did you mean light2d_hybrid_acdc_s3"),
        (("a", "b", "--onnx", "--out", "m.onnx"), "--onnx writes one model"),
    ],
)
def test_a_wrong_export_is_one_sentence(cmrseg, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert_one_sentence(cmrseg("zoo", "export", *arguments), said)
    assert list(tmp_path.iterdir()) == []
