"""fastai's U-Net as a plain module, and ImageNet weights for its encoder."""

import pytest
import torch

from cmrseg.models import get_architecture, parameter_groups
from cmrseg.models.backbones import load_imagenet
from cmrseg.models.fastai_unet import build_fastai_unet

pytest.importorskip("fastai")


@pytest.fixture(scope="module")
def r18():
    torch.manual_seed(0)
    return build_fastai_unet(3, 3, backbone="r18").eval()


@pytest.fixture(scope="module")
def sq11():
    torch.manual_seed(0)
    return build_fastai_unet(3, 3, backbone="sq11").eval()


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
    sentence = load_imagenet(r18, get_architecture("r18"), tmp_path / "w.pth")
    assert "w.pth: 100 of its 100 tensors" in sentence  # without the classifier and counters of batches
    encoder = r18.layers[0].state_dict()
    torch.testing.assert_close(encoder["0.weight"], state["conv1.weight"])
    torch.testing.assert_close(encoder["7.1.bn2.weight"], state["layer4.1.bn2.weight"])


def test_real_imagenet_weights_fit(test_data, r18):
    file = test_data / "imagenet" / "resnet18_imagenet1k_stem-layer3_bnfolded.pth"
    assert "ImageNet encoder from resnet18" in load_imagenet(r18, get_architecture("r18"), file)
    state = torch.load(file, weights_only=True)
    torch.testing.assert_close(r18.layers[0].state_dict()["0.weight"], state["conv1.weight"])


def test_all_squeezenet_weights_are_in_the_encoder(test_data, sq11):
    file = test_data / "imagenet" / "squeezenet1_1_imagenet_caffe_notop_unit.pth"
    assert "50 of its 50 tensors" in load_imagenet(sq11, get_architecture("sq11"), file)
    encoder = sq11.layers[0].state_dict()
    for key, tensor in torch.load(file, weights_only=True).items():
        assert torch.equal(encoder.pop(key.removeprefix("features.")), tensor)
    assert not encoder
