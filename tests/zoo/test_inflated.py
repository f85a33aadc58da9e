"""A model over slices as the start of one over stacks."""

import pytest
import torch

from cmrseg.models.device import memory_format
from cmrseg.zoo.inflated import with_architecture
from cmrseg.zoo.manifest import DEFAULT_MODEL, load_model
from cmrseg.zoo.model_file import read_model, save_model


@pytest.fixture(scope="module")
def embedded():
    return load_model(DEFAULT_MODEL)


@torch.inference_mode()
def test_the_embedded_model_answers_the_slices_of_a_stack_as_slices(embedded):
    deep = with_architecture(embedded, "light3d")
    assert (deep.spec.architecture, deep.spec.dims) == ("light3d", 3)
    stack = torch.rand(1, embedded.spec.preprocessing.channels, 3, 64, 96)
    found = deep.net(stack.to(memory_format=memory_format(3)))
    expected = embedded.net(stack[0].transpose(0, 1)).transpose(0, 1)[None]
    torch.testing.assert_close(found.softmax(1), expected.softmax(1), atol=1e-5, rtol=0)


def test_it_is_a_model_file_as_any(embedded, tmp_path):
    deep = with_architecture(embedded, "light3d")
    path = save_model(deep.spec, deep.net.state_dict(), tmp_path / "deep.safetensors", half=True)
    again = read_model(path)
    assert again.spec == deep.spec
    assert again.net.state_dict().keys() == deep.net.state_dict().keys()


def test_its_own_architecture_leaves_a_model_as_it_is_and_another_is_refused(embedded):
    assert with_architecture(embedded, "light2d") is embedded
    with pytest.raises(ValueError, match="r34 cannot start from the weights of light2d"):
        with_architecture(embedded, "r34")
    with pytest.raises(ValueError, match="unknown architecture 'light4d'"):
        with_architecture(embedded, "light4d")
