"""Which masks are ours, which a person has changed, and which nobody knows."""

import json
import os

import numpy as np
import pytest

from cmrseg.cine import Cine
from cmrseg.io.images import load_mask, save_mask
from cmrseg.io.own_masks import (
    delete_own,
    origin,
    own_masks_below,
    put_aside,
    read_own_masks,
    save_own_mask,
    source_of,
)


def mask(value=1):
    return Cine(np.full((4, 4, 1, 1), value, np.uint8), (1.5, 1.5, 8.0))


@pytest.fixture(params=["seg.nii.gz", "a_seg.png"])
def path(tmp_path, request):
    return save_own_mask(mask(), tmp_path / "s1" / request.param, source="model")


def test_a_mask_is_ours_until_somebody_changes_it(path):
    assert (origin(path), source_of(path)) == ("ours", "model")
    save_mask(mask(2), path)
    assert origin(path) == "changed"
    path.unlink()
    assert origin(path) == "none"


def test_a_mask_of_others_is_unknown(path):
    other = save_mask(mask(), path.with_name(f"other_{path.name}"))
    assert (origin(other), source_of(other)) == ("unknown", "")


def test_a_folder_may_be_renamed(path):
    moved = path.parent.rename(path.parent.with_name("s2")) / path.name
    assert origin(moved) == "ours"


def test_a_process_that_is_killed_between_checksum_and_mask_leaves_its_own_mask(path, monkeypatch):
    def killed(source, target):
        if str(target) == str(path):
            raise KeyboardInterrupt
        rename(source, target)

    rename = os.replace
    with monkeypatch.context() as patch:
        patch.setattr("cmrseg.io.atomic.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_own_mask(mask(2), path)
    assert load_mask(path, "cmrseg").array.max() == 1
    assert origin(path) == "ours"


def test_a_damaged_record_makes_masks_unknown_and_names_lead_nowhere(path):
    record = path.parent / "masks.json"
    row = next(iter(json.loads(record.read_text()).values()))
    for text in ("", "[]", '{"x": 1}', json.dumps({"../s3/seg.nii.gz": row})):
        record.write_text(text)
        assert origin(path) == "unknown"
        assert own_masks_below(path.parent.parent) == []


def test_only_unchanged_masks_are_deleted(path):
    changed = save_own_mask(mask(), path.with_name(f"b_{path.name}"))
    save_mask(mask(2), changed)
    delete_own(own_masks_below(path.parent.parent))
    assert (path.exists(), changed.exists()) == (False, True)
    assert list(read_own_masks(path.parent)) == [changed.name]


def test_masks_that_are_put_aside_never_overwrite_each_other(path):
    suffix = path.name.partition(".")[2]
    for content in (b"first", b"second"):
        path.write_bytes(content)
        put_aside(path)
    aside = sorted(path.parent.glob(f"*_before_?.{suffix}"))
    assert [file.read_bytes() for file in aside] == [b"first", b"second"]
    assert put_aside(path) is None
