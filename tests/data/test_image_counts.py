"""Numbers of images of examinations, from tables that tell."""

import pytest

from cmrseg.data.image_counts import read_image_counts
from cmrseg.problems import DataError


def test_rows_of_images_are_counted(tmp_path):
    path = tmp_path / "counts.csv"
    names = ["x/1-frame000-slice000.png", "x/1-frame001-slice000.png", "x/1_rot90-frame000-slice000.png"]
    path.write_text("file,lv_pixels\n" + "".join(f"{name},5\n" for name in names))
    assert read_image_counts(path).to_dict() == {"1": 2, "1_rot90": 1}


def test_slices_times_phases_of_curated_studies(tmp_path):
    path = tmp_path / "studies.tsv"
    path.write_text("study\tstatus\tslices\tphases\n01\tcurated\t10\t30\n02\tfailed\t\t\n")
    assert read_image_counts(path).to_dict() == {"01": 300}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pid\tX\tY\n1\t2\t3\n", "tells no numbers of images: .*it has: pid, X, Y"),
        ("file\tlv\nphoto.png\t3\n", "no image name is understood, such as 'photo.png'"),
        ("study\tslices\tphases\n1\t2\t3\n1\t2\t3\n", "names 1 more than once"),
        ("study\tslices\tphases\n1\t2.5\t3\n", "slices must hold whole numbers"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "other.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_image_counts(path)
