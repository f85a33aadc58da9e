"""What the rows of a catalog tell."""

import nibabel as nib
import numpy as np

from cmrseg.data.catalog import read_catalog


def test_notes_of_headers_name_the_subject_where_the_file_does_not(tmp_path):
    image = nib.Nifti1Image(np.random.default_rng(0).random((16, 16, 4, 3)), np.diag([1.5, 1.5, 8, 1]))
    image.header.set_zooms((1.5, 1.5, 8, 30))
    image.header.set_xyzt_units("mm", "sec")
    (tmp_path / "p1").mkdir()
    nib.save(image, tmp_path / "p1" / "sa.nii.gz")
    (told,) = (note for note in read_catalog(tmp_path).notes if "no heart beat" in note)
    assert told.startswith("sa.nii.gz of p1: 3 frames of 30000 ms")
