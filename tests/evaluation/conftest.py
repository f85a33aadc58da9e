"""Published tables, and small ones of known outcome."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def published(test_data) -> Path:
    """Tables of Ankenbrand et al.; tests that need them are skipped where they are absent."""
    folder = test_data.parent / "reference" / "cmr-seg-tl"
    if not folder.is_dir():
        pytest.skip(f"no published tables at {folder}")
    return folder


@pytest.fixture
def write_counts(tmp_path):
    """Table of two slices per frame from the LV pixels of every frame by examination."""

    def write(name, curves):
        lines = ["file,lv_pixels,my_pixels"]
        for examination, pixels in curves.items():
            for frame, n in enumerate(pixels):
                head = f"images/{examination}/{examination}-frame{frame:03d}"
                lines += [f"{head}-slice000.png,{n - n // 4},3", f"{head}-slice001.png,{n // 4},3"]
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def truth(tmp_path):
    """EF of 60 % for examinations 1 to 4 and 123."""
    path = tmp_path / "train.csv"
    path.write_text("Id,Systole,Diastole\n" + "".join(f"{i},40,100\n" for i in (1, 2, 3, 4, 123)))
    return path
