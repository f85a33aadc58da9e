"""A MONAI bundle as a teacher: the same masks as its own network gives, on the native grid."""

import json

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from cmrseg.cine import Cine
from cmrseg.labels import Label
from cmrseg.problems import DataError
from cmrseg.teachers.monai_bundle import BundleFormat, monai_teacher, read_format, segment_with

LABELS = (Label.BACKGROUND, Label.LV, Label.MYO, Label.RV)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch):
    monkeypatch.setattr("cmrseg.teachers.monai_bundle.default_device", lambda: torch.device("cpu"))


class Threshold(nn.Module):
    """Four channels by grey value: below 0.25, 0.25 to 0.5, ...; notes what it was given."""

    def __init__(self, low=0.0, high=1.0):
        super().__init__()
        self.low, self.high, self.seen = low, high, []

    def forward(self, x):
        self.seen.append((tuple(x.shape), float(x.min()), float(x.max())))
        centres = self.low + (self.high - self.low) * torch.tensor([0.0, 1 / 3, 2 / 3, 1.0])
        return -(x - centres.view(1, 4, *(1,) * (x.ndim - 2))).abs()


def truth(x, y, z, t):
    """Ids of all four classes, another pattern in every slice and frame, none of it symmetric."""
    return np.random.default_rng(0).integers(0, 4, (x, y, z, t)).astype(np.uint8)


def test_the_masks_are_those_of_the_bundles_network(bundle):
    folder = bundle()
    image = np.random.default_rng(1).random((32, 32, 2, 3)).astype(np.float32)
    mask = monai_teacher(folder).segment((), Cine(image, (1.4, 1.4, 8.0))).array
    net = json.loads((folder / "configs" / "inference.json").read_text())["network_def"]
    net = UNet(**{k: v for k, v in net.items() if k != "_target_"}).eval()
    net.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    scaled = (image - image.min()) / (image.max() - image.min())
    with torch.inference_mode():
        expected = net(torch.from_numpy(scaled[None, None, :, :, 1, 2])).argmax(1)[0].numpy()
    np.testing.assert_array_equal(mask[:, :, 1, 2], expected)


@pytest.mark.parametrize("size", [(32, 32), (20, 27), (50, 41), (20, 60)])
def test_no_pixel_is_lost_whatever_the_size(size):
    ids = truth(*size, 2, 2)
    form = BundleFormat((32, 32), (0.0, 1.0), LABELS)
    found = segment_with(Threshold(), form, Cine(ids * 100.0, (1.4, 1.4, 8.0)))
    np.testing.assert_array_equal(found.array, ids)
    assert found.array.dtype == np.uint8


def test_a_3d_network_sees_whole_stacks():
    ids = truth(20, 27, 5, 2)
    net = Threshold()
    form = BundleFormat((32, 32, 0), (0.0, 1.0), LABELS)
    np.testing.assert_array_equal(segment_with(net, form, Cine(ids * 1.0, (1.4, 1.4, 8.0))).array, ids)
    assert net.seen[0][0] == (1, 1, 32, 32, 32)


def test_grey_values_have_the_range_of_the_metadata():
    net = Threshold(-1, 1)
    form = BundleFormat((32, 32), (-1.0, 1.0), LABELS)
    segment_with(net, form, Cine(truth(32, 32, 1, 1) * 7.0 + 5, (1.4, 1.4, 8.0)))
    assert net.seen[0][1:] == (-1.0, 1.0)


def test_an_image_without_contrast_has_no_nan():
    form = BundleFormat((32, 32), (0.0, 1.0), LABELS)
    assert not segment_with(Threshold(), form, Cine(np.full((8, 8, 1, 1), 3.0), (1, 1, 8.0))).array.any()


def test_channels_are_labels_by_name():
    channels = {"0": "Background", "1": "RV", "2": "left atrium", "3": "LV myocardium", "4": "left ventricle"}
    form = {"inputs": {"image": {"spatial_shape": [64, "*"]}}, "outputs": {"seg": {"channel_def": channels}}}
    found = read_format({"network_data_format": form}, "b")
    assert found.labels == (Label.BACKGROUND, Label.RV, Label.BACKGROUND, Label.MYO, Label.LV)
    assert found.scheme == "RV=1,MYO=3,LV=4"
    assert found.window == (64, 0)


def test_a_teacher_says_what_it_is(bundle, list_hash):
    teacher = monai_teacher(list_hash(bundle()))
    assert (teacher.kind, teacher.labels, teacher.structures) == (
        "monai",
        "LV=1,MYO=2,RV=3",
        ("LV", "MYO", "RV"),
    )
    assert teacher.notes == ()


def test_an_unverified_bundle_is_told(bundle):
    assert "no checksum" in monai_teacher(bundle()).notes[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": (32,)}, "2 or 3 sides"),
        ({"values": (1, 0)}, "value_range"),
        ({"channels": {"0": "background", "1": "spleen"}}, "no left ventricle: background, spleen"),
        ({"channels": {"1": "lv"}}, "does not name the channels"),
        ({"channels": {"0": "background", "1": "lv"}}, "its metadata says"),
        ({"window": (32, 32, 32)}, "does not take the input"),
        ({"state": {"a": torch.ones(1)}}, "do not fit its network_def"),
    ],
)
def test_a_bundle_that_contradicts_itself_is_told(bundle, change, said):
    with pytest.raises(DataError, match=said):
        monai_teacher(bundle(**change))


@pytest.mark.parametrize("form", [None, {}, {"inputs": 3}, {"inputs": {"a": {}, "b": {}}}])
def test_metadata_without_a_format_is_told(form):
    with pytest.raises(DataError, match="does not describe"):
        read_format({"network_data_format": form}, "b")


def test_several_input_channels_are_told():
    form = {"inputs": {"image": {"num_channels": 2}}, "outputs": {"pred": {}}}
    with pytest.raises(DataError, match="2 input channels"):
        read_format({"network_data_format": form}, "b")
