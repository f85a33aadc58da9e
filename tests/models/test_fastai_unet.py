"""fastai's U-Net as a plain module, and ImageNet weights for its encoder."""

from pathlib import Path

import pytest
import torch

from cmrseg.models import get_architecture, parameter_groups
from cmrseg.models.fastai_unet import build_fastai_unet, load_imagenet
from cmrseg.problems import DataError

pytest.importorskip("fastai")


@pytest.fixture(scope="module")
def r18():
    torch.manual_seed(0)
    return build_fastai_unet(3, 3, backbone="r18").eval()


@pytest.fixture(scope="module")
def sq11():
    torch.manual_seed(0)
    return build_fastai_unet(3, 3, backbone="sq11").eval()


@pytest.fixture
def encoder_before(r18):
    return {k: v.clone() for k, v in r18.layers[0].state_dict().items()}


def test_logits_have_the_size_of_the_image(r18):
    with torch.inference_mode():
        assert r18(torch.zeros(1, 3, 96, 160)).shape == (1, 3, 96, 160)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (96, 160), (224, 192)], ids=str)
def test_squeezenet_whose_pools_round_up_keeps_the_size(sq11, size):
    with torch.inference_mode():
        assert sq11(torch.zeros(1, 3, *size)).shape == (1, 3, *size)


def test_squeezenet_has_a_skip_connection_at_every_halving(sq11):
    assert [type(layer).__name__ for layer in sq11.layers].count("UnetBlock") == 3


@pytest.mark.slow
def test_vgg_has_a_skip_connection_at_every_halving():
    vgg = get_architecture("v16")
    net = vgg.build(3, 3, **vgg.arguments).eval()
    assert [type(layer).__name__ for layer in net.layers].count("UnetBlock") == 5
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, 64, 96)).shape == (1, 3, 64, 96)


@pytest.mark.slow
def test_a_vgg_that_says_nothing_is_that_of_unet_learner_without_skip_connections():
    from fastai.vision.learner import create_unet_model
    from torchvision.models import vgg16_bn

    theirs = create_unet_model(vgg16_bn, 3, (64, 64), pretrained=False)
    ours = get_architecture("v16").build(3, 3)
    assert [type(layer).__name__ for layer in ours.layers].count("UnetBlock") == 0
    shapes = [[v.shape for v in net.state_dict().values()] for net in (ours, theirs)]
    assert shapes[0] == shapes[1]


def test_a_plain_tensor_comes_out(r18):
    assert "ToTensorBase" not in {type(layer).__name__ for layer in r18.layers}
    with torch.inference_mode():
        assert type(r18(torch.zeros(1, 3, 32, 32))) is torch.Tensor


def test_groups_partition_all_parameters(r18):
    encoder, rest = parameter_groups(r18, get_architecture("r18"))
    ids = [id(p) for p in (*encoder, *rest)]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {id(p) for p in r18.parameters()}
    assert encoder[0].shape == (64, 3, 7, 7)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["r18", "sq11"])
def test_it_can_be_exported(request, backbone):
    net, image = request.getfixturevalue(backbone), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        exported = torch.export.export(net, (image,))
        torch.testing.assert_close(exported.module()(image), net(image))


def test_weights_of_a_file_are_in_the_encoder(tmp_path, r18):
    from torchvision.models import resnet18

    torch.manual_seed(1)
    state = resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "w.pth")
    sentence = load_imagenet(r18, "r18", tmp_path / "w.pth")
    assert f"w.pth: {len(state)} of {len(state)} tensors fit" in sentence
    encoder = r18.layers[0].state_dict()
    torch.testing.assert_close(encoder["0.weight"], state["conv1.weight"])
    torch.testing.assert_close(encoder["7.1.bn2.weight"], state["layer4.1.bn2.weight"])


def test_a_partial_file_is_taken_as_far_as_it_fits(tmp_path, r18):
    state = {"conv1.weight": torch.full((64, 3, 7, 7), 0.5), "fc.weight": torch.zeros(2, 2), "epoch": 3}
    torch.save(state, tmp_path / "w.pth")
    assert "1 of 2 tensors fit" in load_imagenet(r18, "r18", tmp_path / "w.pth")
    assert (r18.layers[0].state_dict()["0.weight"] == 0.5).all()


def test_a_file_of_another_network_is_refused(tmp_path, r18):
    torch.save({"features.0.weight": torch.zeros(4)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match=r"no tensor of .*other\.pth fits the encoder r18"):
        load_imagenet(r18, "r18", tmp_path / "other.pth")


def test_a_missing_file_is_named(tmp_path, r18):
    with pytest.raises(DataError, match=r"nowhere\.pth do not exist"):
        load_imagenet(r18, "r18", tmp_path / "nowhere.pth")


class Trap:
    """Pickles as a call that makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_run(tmp_path, r18, encoder_before):
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, tmp_path / "evil.pth")
    with pytest.raises(DataError, match=r"evil\.pth is no readable file of tensors"):
        load_imagenet(r18, "r18", tmp_path / "evil.pth")
    assert not (tmp_path / "sprung").exists()
    for key, tensor in r18.layers[0].state_dict().items():
        assert torch.equal(tensor, encoder_before[key])


@pytest.mark.parametrize("content", [b"", b"no tensors", b"PK\x03\x04 cut"])
def test_a_damaged_file_is_told_in_one_sentence(tmp_path, r18, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"w\.pth is no readable file of tensors") as caught:
        load_imagenet(r18, "r18", tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2)], ids=["list", "tensor"])
def test_tensors_without_names_are_refused(tmp_path, r18, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth"):
        load_imagenet(r18, "r18", tmp_path / "w.pth")


def test_real_imagenet_weights_fit(test_data, r18):
    file = test_data / "imagenet" / "resnet18_imagenet1k_stem-layer3_bnfolded.pth"
    assert "ImageNet encoder from resnet18" in load_imagenet(r18, "r18", file)
    state = torch.load(file, weights_only=True)
    torch.testing.assert_close(r18.layers[0].state_dict()["0.weight"], state["conv1.weight"])


def test_all_squeezenet_weights_are_in_the_encoder(test_data, sq11):
    file = test_data / "imagenet" / "squeezenet1_1_imagenet_caffe_notop_unit.pth"
    assert "50 of 50 tensors fit" in load_imagenet(sq11, "sq11", file)
    encoder = sq11.layers[0].state_dict()
    for key, tensor in torch.load(file, weights_only=True).items():
        assert torch.equal(encoder.pop(key.removeprefix("features.")), tensor)
    assert not encoder
