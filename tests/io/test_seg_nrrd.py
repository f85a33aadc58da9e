"""A segmentation of 3D Slicer: its voxels lie where the NIfTI mask lies, and its segments have names."""

import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from cmrseg.io.images import save_mask
from cmrseg.io.seg_nrrd import write_seg_nrrds
from cmrseg.labels import Label
from tests.io.test_dicom_seg import mask


def read(path):
    """Header and voxels ``(x, y, z)``, by the specification of NRRD alone."""
    text, _, packed = path.read_bytes().partition(b"\n\n")
    first, *lines = text.decode().splitlines()
    assert first == "NRRD0004"
    pairs = (line.split(":=" if ":=" in line else ": ", 1) for line in lines)
    header = dict(pairs)
    assert (header["type"], header["encoding"], header["kinds"]) == (
        "unsigned char",
        "gzip",
        "domain domain domain",
    )
    sizes = tuple(map(int, header["sizes"].split()))
    return header, np.frombuffer(gzip.decompress(packed), np.uint8).reshape(sizes, order="F")


def vectors(text):
    return np.array([[float(v) for v in part.strip("()").split(",")] for part in text.split()])


@pytest.fixture
def phases(tmp_path):
    return write_seg_nrrds(mask(), tmp_path / "slicer")


def test_every_phase_holds_its_voxels(phases):
    assert [path.name for path in phases] == [f"phase_0{t}.seg.nrrd" for t in (1, 2, 3)]
    for t, path in enumerate(phases):
        np.testing.assert_array_equal(read(path)[1], mask().array[..., t])


def test_voxels_lie_where_those_of_the_nifti_mask_lie(phases, tmp_path):
    save_mask(mask(), tmp_path / "seg.nii.gz")
    affine = nib.load(tmp_path / "seg.nii.gz").affine
    header, _ = read(phases[0])
    assert header["space"] == "left-posterior-superior"
    axes, origin = vectors(header["space directions"]), vectors(header["space origin"])[0]
    for voxel in ([0, 0, 0], [35, 0, 0], [3, 39, 2]):
        right, front, up = (affine @ [*voxel, 1])[:3]
        np.testing.assert_allclose(origin + axes.T @ voxel, [-right, -front, up], atol=1e-3)


def test_segments_have_name_value_code_and_colour(phases):
    header, _ = read(phases[0])
    names = [header[f"Segment{n}_Name"] for n in range(3)]
    assert names == ["LV blood pool", "LV myocardium", "RV blood pool"]
    assert [int(header[f"Segment{n}_LabelValue"]) for n in range(3)] == [Label.LV, Label.MYO, Label.RV]
    assert header["Segment0_Extent"] == "0 35 0 39 0 3"
    assert "SCT^87878005^" in header["Segment0_Tags"]  # left ventricle
    assert all(0 <= float(v) <= 1 for v in header["Segment2_Color"].split())


def test_a_structure_that_is_nowhere_has_no_segment_and_earlier_phases_go(tmp_path):
    folder = tmp_path / "slicer"
    write_seg_nrrds(mask(), folder)
    cine = mask()
    array = np.where(cine.array == Label.RV, 0, cine.array)[..., :2]
    paths = write_seg_nrrds(replace(cine, array=array, frame_times_ms=()), folder)
    assert sorted(folder.iterdir()) == paths
    assert "Segment2_Name" not in read(paths[0])[0]
