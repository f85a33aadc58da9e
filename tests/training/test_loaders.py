"""fastai's loaders over images in memory."""

import matplotlib as mpl
import numpy as np
import pytest
import torch

from cmrseg.data.catalog import read_catalog
from cmrseg.labels import Label
from cmrseg.preprocess import Preprocessing, normalise
from cmrseg.training.images import read_training_images
from cmrseg.training.loaders import field_size, make_loaders

CPU = torch.device("cpu")


@pytest.fixture
def images_of(disks):
    def read(config, split="train"):
        catalog = read_catalog(disks, splits=[split])
        return read_training_images(catalog, config.preprocessing, field_px=field_size(config))

    return read


def test_images_are_bytes_and_masks_are_labels(images_of, tiny):
    images = images_of(tiny())
    assert images.images.dtype == images.masks.dtype == torch.uint8
    assert images.images.shape == images.masks.shape == (6, 32, 32)
    assert images.labels() == set(Label)
    assert images.subjects == ("s0", "s0", "s1", "s1", "s2", "s2")


def test_neighbours_stay_within_their_subject(images_of, tiny):
    images = images_of(tiny(preprocessing=Preprocessing(size=32, neighbours=3)))
    assert images.neighbours.tolist() == [[0, 0, 1], [0, 1, 1], [2, 2, 3], [2, 3, 3], [4, 4, 5], [4, 5, 5]]


def test_classes_of_a_model_number_the_labels(images_of, tiny):
    images = images_of(tiny())
    masks = images.with_classes([Label.BACKGROUND, Label.MYO], [Label.MYO]).masks
    assert torch.equal(masks == 1, images.masks == Label.MYO)
    assert masks.max() == 1


def test_a_volume_that_is_damaged_meanwhile_is_a_problem_and_the_others_go_on(disks, tiny):
    catalog = read_catalog(disks, splits=["train"])
    (disks / "s0" / "sa.nii.gz").write_bytes((disks / "s0" / "sa.nii.gz").read_bytes()[:-2000])
    config = tiny()
    images = read_training_images(catalog, config.preprocessing, field_px=field_size(config))
    assert [p.study for p in images.problems] == ["s0"]
    assert set(images.subjects) == {"s1", "s2"}


@pytest.mark.parametrize("augmentation", ["s1", "s2", "s3"])
@pytest.mark.parametrize("neighbours", [1, 3])
def test_batches_have_the_size_that_the_network_takes(images_of, tiny, augmentation, neighbours):
    spec = Preprocessing(size=32, neighbours=neighbours)
    config = tiny(f"light2d_CE_disks_{augmentation}", preprocessing=spec)
    loaders = make_loaders(images_of(config), images_of(config, "val"), config, device=CPU)
    x, y = loaders.train.one_batch()
    assert x.shape == (2, neighbours, 32, 32)
    assert y.shape == (2, 32, 32)
    assert x.isfinite().all()
    assert set(y.unique().tolist()) <= {0, 1, 2, 3}


@pytest.mark.parametrize(("augmentation", "field"), [("s1", 160), ("s2", 160), ("s3", 224)])
def test_s3_crops_from_a_wider_field(tiny, augmentation, field):
    config = tiny(f"light2d_CE_disks_{augmentation}", preprocessing=Preprocessing(size=160))
    assert field_size(config) == field


@pytest.mark.parametrize("augmentation", ["s1", "s2", "s3"])
def test_training_images_are_augmented(images_of, tiny, augmentation):
    config = tiny(f"light2d_CE_disks_{augmentation}")
    train = images_of(config)
    plain = {int(mask.count_nonzero()) for mask in train.masks}
    torch.manual_seed(0)
    _, y = make_loaders(train, train, config, device=CPU).train.one_batch()
    assert not {int(mask.count_nonzero()) for mask in y} <= plain


def test_validation_images_are_only_normalised(images_of, tiny):
    config = tiny()
    valid = images_of(config, "val")
    x, y = make_loaders(images_of(config), valid, config, device=CPU).valid.one_batch()
    expected = normalise(valid.images[:, None].float() / 255, config.preprocessing)
    torch.testing.assert_close(x.as_subclass(torch.Tensor), expected)
    assert torch.equal(y.as_subclass(torch.Tensor), valid.masks)


def test_image_and_mask_are_warped_alike(images_of, tiny):
    config = tiny("light2d_CE_disks_s3", preprocessing=Preprocessing(size=32))
    torch.manual_seed(0)
    images = images_of(config)
    x, y = make_loaders(images, images, config, device=CPU).train.one_batch()
    pixels, labels = np.asarray(x[:, 0]), np.asarray(y)
    for image, mask in zip(pixels, labels, strict=True):
        if (mask == Label.LV).any():
            assert image[mask == Label.LV].mean() > image[mask == Label.BACKGROUND].mean() + 0.5


def test_a_small_data_set_is_one_batch(images_of, tiny):
    config = tiny(batch_size=100)
    loaders = make_loaders(images_of(config), images_of(config, "val"), config, device=CPU)
    assert len(loaders.train) == 1
    assert len(loaders.train.one_batch()[0]) == 6


@pytest.mark.parametrize("augmentation", ["s1", "s3"])
def test_show_batch_draws(images_of, tiny, augmentation):
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    config = tiny(f"light2d_CE_disks_{augmentation}", preprocessing=Preprocessing(size=32, neighbours=3))
    loaders = make_loaders(images_of(config), images_of(config, "val"), config, device=CPU)
    loaders.show_batch(max_n=2)
    assert len(plt.gcf().axes) >= 2
    plt.close("all")
