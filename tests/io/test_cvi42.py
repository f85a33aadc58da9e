"""Contours in XML workspaces of cvi42: there and back, as other readers expect them, and hostile files."""

from dataclasses import fields, replace
from xml.dom import minidom
from xml.etree import ElementTree

import numpy as np
import pytest

from cmrseg.io.cvi42 import SUBPIXEL, read_cvi42, write_cvi42
from cmrseg.io.dicom import DicomImage
from cmrseg.io.outlines import Outline, outline
from cmrseg.problems import DataError

X, Y = np.ogrid[:60, :50]
ROUND = outline((X - 30) ** 2 + (Y - 20) ** 2 < 12**2)
TRIANGLE = np.array([(3.25, 4.5), (9.75, 4.0), (6.0, 10.5)])
IMAGE = DicomImage(
    **dict.fromkeys((f.name for f in fields(DicomImage)), "")  # what a test does not care about
    | {"study_uid": "1.2.3", "instance_uid": "1.2.3.1"}
)
CONTOURS = {
    IMAGE: {Outline.ENDOCARDIUM: ROUND, Outline.EPICARDIUM: TRIANGLE},
    replace(IMAGE, instance_uid="1.2.3.2"): {Outline.RV: TRIANGLE},
}
# What public readers of UK Biobank's workspaces look for, around one contour.
FORM = """<?xml version="1.0"?>
<Hash:item Hash:key="workspace" xmlns:Hash="h/" xmlns:List="l/" xmlns:Point="p/">
 <Hash:item Hash:key="StudyMapStates" Hash:count="1"><List:item>
  <Hash:item Hash:key="StudyUid">1.2</Hash:item>
  <Hash:item Hash:key="ImageStates" Hash:count="1"><Hash:item Hash:key="1.2.7">
   <Hash:item Hash:key="Zoom">1</Hash:item>
   <Hash:item Hash:key="Contours" Hash:count="1">{contours}</Hash:item>
  </Hash:item></Hash:item><!--end of ImageStates-->
 </List:item></Hash:item>
</Hash:item>"""
CONTOUR = """<Hash:item Hash:key="{name}">
 <Hash:item Hash:key="Points">{points}</Hash:item><Hash:item Hash:key="SubpixelResolution">{step}</Hash:item>
</Hash:item>"""


def points(*pairs):
    return "".join(f"<List:item><Point:x>{x}</Point:x><Point:y>{y}</Point:y></List:item>" for x, y in pairs)


def workspace(path, *contours):
    path.write_text(FORM.format(contours="".join(contours)))
    return path


THREE = points((8, 8), (16, 8), (12, 20))


def contour(name="saendocardialContour", inside=THREE, step=4):
    return CONTOUR.format(name=name, points=inside, step=step)


def test_contours_come_back_exactly(tmp_path):
    found = read_cvi42(write_cvi42(CONTOURS, tmp_path / "c.cvi42wsx"))
    assert list(found) == ["1.2.3.1", "1.2.3.2"]
    for image, polygons in CONTOURS.items():
        assert found[image.instance_uid].keys() == polygons.keys()
        for kind, polygon in polygons.items():
            np.testing.assert_array_equal(found[image.instance_uid][kind], polygon)


def test_other_points_are_rounded_to_a_quarter_of_a_pixel(tmp_path):
    points = TRIANGLE + 0.1
    found = read_cvi42(write_cvi42({IMAGE: {Outline.RV: points}}, tmp_path / "c.xml"))["1.2.3.1"][Outline.RV]
    assert abs(found - points).max() <= 0.5 / SUBPIXEL


def test_what_is_written_has_the_places_that_other_readers_look_in(tmp_path):
    path = write_cvi42(CONTOURS, tmp_path / "c.cvi42wsx")
    spaces = {n: f"http://www.circlecvi.com/cvi42/Workspace/{n}/" for n in ("Hash", "List", "Point")}
    step = "./Hash:item[@Hash:key='{}']"
    where = [
        step.format("StudyMapStates"),
        "/List:item",
        *(step.format(k)[1:] for k in ("ImageStates", "1.2.3.1")),
    ]
    where += [step.format(k)[1:] for k in ("Contours", "saepicardialContour", "Points")]
    (found,) = ElementTree.parse(path).getroot().findall("".join(where), spaces)
    assert [point.findtext("Point:x", namespaces=spaces) for point in found] == ["13", "39", "24"]
    keys = [e.getAttribute("Hash:key") for e in minidom.parse(str(path)).getElementsByTagName("Hash:item")]
    assert keys[:3] == ["Workspace", "StudyMapStates", "StudyUid"]


def test_a_workspace_of_that_form_is_read(tmp_path):
    found = read_cvi42(workspace(tmp_path / "w", contour(), contour("laendocardialContour")))
    assert found.keys() == {"1.2.7"}
    np.testing.assert_array_equal(found["1.2.7"][Outline.ENDOCARDIUM], [(2, 2), (4, 2), (3, 5)])


def test_open_contours_are_closed_unless_there_is_a_closed_one(tmp_path):
    other = points((0, 0), (4, 0), (4, 4))
    path = workspace(tmp_path / "w", contour("saepicardialOpenContour", other), contour())
    assert set(read_cvi42(path)["1.2.7"]) == {Outline.ENDOCARDIUM, Outline.EPICARDIUM}
    path = workspace(tmp_path / "w", contour("saendocardialOpenContour", other), contour())
    np.testing.assert_array_equal(read_cvi42(path)["1.2.7"][Outline.ENDOCARDIUM][0], (2, 2))


def test_an_empty_contour_is_none(tmp_path):
    path = workspace(tmp_path / "w", contour(), contour("saepicardialContour", ""))
    assert set(read_cvi42(path)["1.2.7"]) == {Outline.ENDOCARDIUM}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": 0}, "SubpixelResolution"),
        ({"step": "fine"}, "SubpixelResolution"),
        ({"inside": points((1, 2), (3, "x"), (4, 4))}, "numbers"),
        ({"inside": points((1, 2), (3, 4))}, "2 point"),
        ({"inside": points((1, 2), ("inf", 4), (2, 2))}, "two numbers"),
        ({"name": "laendocardialContour"}, "no short-axis contour"),
    ],
)
def test_a_contour_that_cannot_be_used_is_one_sentence(change, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read_cvi42(workspace(tmp_path / "w", contour(**change)))


@pytest.mark.parametrize("text", ["", "<Hash:item", "cvi42ws\x00\x01binary", "<a></b>"])
def test_a_file_that_is_no_xml_is_one_sentence(text, tmp_path):
    (tmp_path / "w").write_text(text)
    with pytest.raises(DataError, match="no whole XML file"):
        read_cvi42(tmp_path / "w")


def test_a_truncated_workspace_is_one_sentence(tmp_path):
    path = write_cvi42(CONTOURS, tmp_path / "c.xml")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="no whole XML file"):
        read_cvi42(path)


def test_a_missing_workspace_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_cvi42(tmp_path / "none")


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">',
        '<!ENTITY c SYSTEM "file:///etc/hostname">',
    ],
)
def test_entities_are_refused_before_they_are_expanded(declared, tmp_path):
    text = f"<?xml version='1.0'?><!DOCTYPE w [{declared}]><w>&c;</w>"
    (tmp_path / "w").write_text(text)
    with pytest.raises(DataError, match="declares a document type"):
        read_cvi42(tmp_path / "w")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("cmrseg.io.cvi42.MAX_BYTES", 100)
    with pytest.raises(DataError, match="more than"):
        read_cvi42(workspace(tmp_path / "w", contour()))


def test_images_without_a_uid_of_their_own_are_refused(tmp_path):
    twice = {IMAGE: {Outline.RV: TRIANGLE}, replace(IMAGE, frame=1): {Outline.RV: TRIANGLE}}
    with pytest.raises(DataError, match="multi-frame"):
        write_cvi42(twice, tmp_path / "c.xml")


def test_a_workspace_without_contours_is_not_written(tmp_path):
    with pytest.raises(DataError, match="no image shows a structure"):
        write_cvi42({}, tmp_path / "c.xml")
    assert not list(tmp_path.iterdir())


def nested(levels, inside=""):
    opened = "".join(f'<i Hash:key="ImageStates" n="{n}">' for n in range(levels))
    return f"<w>{opened}{inside}{'</i>' * levels}</w>".replace("key", "Hash:key").replace(
        "<w>", f"<w {NAMES}>"
    )


NAMES = 'xmlns:Hash="http://www.circlecvi.com/cvi42/Workspace/Hash/"'


@pytest.mark.parametrize("levels", [65, 30_000])
def test_states_within_states_are_refused_at_once(tmp_path, levels):
    path = tmp_path / "w.cvi42wsx"
    path.write_text(nested(levels))
    with pytest.raises(DataError, match="more than 64 levels"):
        read_cvi42(path)


def test_more_elements_than_a_workspace_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cmrseg.io.cvi42._MOST_ELEMENTS", 1000)
    path = tmp_path / "w.cvi42wsx"
    path.write_text(f"<w {NAMES}>{'<a/>' * 1001}</w>")
    with pytest.raises(DataError, match="1000 elements"):
        read_cvi42(path)
