"""Reading pickles as data: nothing runs, everything hostile or damaged is one sentence."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from cmrseg.legacy.records import Global, Persistent, Record, brief, walk
from cmrseg.legacy.torch_file import open_torch_file, tensor_view
from cmrseg.legacy.unpickler import read_pickle
from cmrseg.problems import DataError
from cmrseg.zoo.imported import import_learner
from tests.legacy import hostile_pickles as hostile

HOSTILE = sorted(hostile.hostile_pickles(Path("canary")))
F32 = Global("torch", "FloatStorage")


def read(content):
    return read_pickle(io.BytesIO(content), "f.pkl").root


def assert_refused(path, match):
    with pytest.raises(DataError) as caught:
        import_learner(path, path.with_suffix(".safetensors"))
    assert match in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not path.with_suffix(".safetensors").exists()


@pytest.mark.parametrize("wrap", [hostile.as_zip, hostile.as_stream])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_hostile_pickle_runs(tmp_path, name, wrap):
    canary = tmp_path / "canary"
    pickled, complaint = hostile.hostile_pickles(canary)[name]
    assert_refused(wrap(tmp_path / "f.pkl", pickled), complaint)
    assert not canary.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_bare_pickle_runs(tmp_path, name):
    canary = tmp_path / "canary"
    (tmp_path / "f.pkl").write_bytes(hostile.hostile_pickles(canary)[name][0])
    assert_refused(tmp_path / "f.pkl", "")
    assert not canary.exists()


@pytest.mark.parametrize("name", sorted(hostile.bombs()))
def test_a_bomb_does_not_go_off(tmp_path, name):
    pickled, complaint = hostile.bombs()[name]
    assert_refused(hostile.as_zip(tmp_path / "f.pkl", pickled), complaint)


def test_a_pickle_without_end_is_not_read_to_the_end():
    with pytest.raises(DataError, match="more than 100 steps"):
        read_pickle(io.BytesIO(b"N0" * 200), "f.pkl", max_operations=100)


@pytest.mark.parametrize("name", sorted(hostile.DAMAGED))
def test_a_damaged_pickle_is_told(name):
    with pytest.raises(DataError, match=r"f\.pkl is no readable pickle"):
        read(hostile.DAMAGED[name])


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back(protocol):
    value = {"a": [1, -2, 2**70, 0.5, None, True, False], "b": ("é", b"x" * 300), 3: {}, "c": ()}
    found = read(pickle.dumps(value, protocol=protocol))
    assert found["a"] == value["a"]
    assert found["b"][0] == "é"
    assert found[3] == {}
    assert found["c"] == ()


@pytest.mark.parametrize("protocol", range(6))
def test_an_object_is_its_name_arguments_and_state(protocol):
    found = read(pickle.dumps(Path("a"), protocol=protocol))
    assert found.name.startswith("pathlib.")
    assert isinstance(found, Record)


def test_an_ordered_dictionary_keeps_its_items_without_being_made():
    found = read(pickle.dumps(OrderedDict(a=1, b=[2]), protocol=2))
    assert (found.name, found.items) == ("collections.OrderedDict", {"a": 1, "b": [2]})


def test_every_record_is_found_once_even_in_a_circle():
    circle = Record(Global("m", "A"), ())
    inner = Record(Global("m", "B"), (circle, [circle]), state={"back": circle})
    circle.elements.append(inner)
    assert [r.name for r in walk([circle, inner])] == ["m.A", "m.B"]


def test_names_of_a_file_cannot_write_to_the_terminal():
    assert brief(Global("os", "a\x1b[2J\nb" * 100)).isprintable()
    assert brief((1,) * 10**6) == "a tuple"


# Tensors


def record(storage, *rest, function="_rebuild_tensor_v2"):
    return Record(Global("torch._utils", function), (Persistent(storage), *rest, False, None))


def storage(key="0", count=6, kind=F32, *more):
    return ("storage", kind, key, "cpu", count, *more)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (record(storage(), 0, (7,), (1,)), "does not lie within"),
        (record(storage(), 1, (6,), (1,)), "does not lie within"),
        (record(storage(), 0, (2, 3), (6, 1)), "does not lie within"),
        (record(storage(), 0, (10**9, 10**9), (0, 0)), "does not lie within"),
        (record(storage(count=0), 0, (1,), (1,)), "does not lie within"),
        (record(storage(), -1, (2,), (1,)), "no valid size"),
        (record(storage(), 0, (2,), (-1,)), "no valid size"),
        (record(storage(), 0, (-2,), (1,)), "no valid size"),
        (record(storage(), 0, (2,), (1, 1)), "no valid size"),
        (record(storage(), 0, (2.0,), (1,)), "no valid size"),
        (record(storage(), 0, (True,), (1,)), "no valid size"),
        (record(storage(), 0, [2], [1]), "no valid size"),
        (record(storage(), 0, (1,) * 65, (1,) * 65), "no valid size"),
        (record(storage(count=2**80), 0, (2,), (1,)), "a storage of"),
        (record(storage(count=-1), 0, (2,), (1,)), "a storage of -1"),
        (record(storage(key="../../etc/passwd"), 0, (2,), (1,)), "a number is expected"),
        (record(storage(key="/etc/passwd"), 0, (2,), (1,)), "a number is expected"),
        (record(storage(key="0\n"), 0, (2,), (1,)), "a number is expected"),
        (record(storage("0", 6, Global("torch", "QInt8Storage")), 0, (2,), (1,)), "torch.QInt8Storage"),
        (record(storage("0", 6, Global("evil", "FloatStorage")), 0, (2,), (1,)), "evil.FloatStorage"),
        (record(storage("0", 6, F32, ("1", 0, 6)), 0, (2,), (1,)), "a view of another storage"),
        (record(("module", F32), 0, (2,), (1,)), "no torch storage"),
        (record(storage(), 0, (2,), (1,), function="_rebuild_qtensor"), "_rebuild_qtensor"),
        (record(storage(), 0, (2,), (1,), function="_rebuild_sparse_tensor"), "_rebuild_sparse_tensor"),
        (Record(Global("torch._utils", "_rebuild_tensor_v2"), ()), "no torch storage"),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(value, match):
    with pytest.raises(DataError, match=match):
        tensor_view(value, "f.pkl: tensor w")


@pytest.mark.parametrize("value", [None, 1, "a", {}, Record(Global("os", "system"), ("true",))])
def test_what_is_no_tensor_is_none(value):
    assert tensor_view(value, "f.pkl") is None


@pytest.fixture(params=[True, False], ids=["zip", "stream"])
def saved(request, tmp_path):
    """A function that saves tensors in either format."""

    def save(value):
        torch.save(value, tmp_path / "t.pt", _use_new_zipfile_serialization=request.param)
        return tmp_path / "t.pt"

    return save


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_tensors_come_back_bit_by_bit(saved, dtype):
    whole = torch.arange(24).to(dtype)
    tensors = [
        whole,
        whole.view(4, 6).t(),
        whole[3:9],
        torch.zeros((), dtype=dtype),
        torch.zeros(0, 3, dtype=dtype),
    ]
    with open_torch_file(saved(tensors)) as file:
        found = [file.tensor(tensor_view(value, "t")) for value in file.content.root]
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, tensors, strict=True))


def test_a_parameter_is_its_tensor(saved):
    with open_torch_file(saved(torch.nn.Parameter(torch.arange(3.0)))) as file:
        found = file.tensor(tensor_view(file.content.root, "t"))
    assert type(found) is torch.Tensor
    assert found.tolist() == [0, 1, 2]


def read_all(path):
    with open_torch_file(path) as file:
        return [file.tensor(tensor_view(v, path)) for v in file.content.root]


@pytest.mark.parametrize("cut", [1, 40, 300])
def test_a_cut_file_is_told(saved, cut):
    path = saved([torch.arange(100.0)])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"damaged|no whole ZIP"):
        read_all(path)


def pickled_tensor(count):
    """data.pkl of a list of one tensor."""
    content = io.BytesIO()
    torch.save([torch.zeros(count)], content)
    with zipfile.ZipFile(content) as archive:
        return archive.read("archive/data.pkl")


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"data/0": bytes(20)}, "20 bytes, 24 are needed"),
        ({"data/0": bytes(28)}, "28 bytes, 24 are needed"),
        ({"data/1": bytes(24)}, "storage 0 is missing"),
        ({"data/0": bytes(24), "byteorder": b"big"}, "big-endian"),
    ],
)
def test_a_storage_of_the_wrong_size_or_place_is_refused(tmp_path, members, match):
    with pytest.raises(DataError, match=match):
        read_all(hostile.as_zip(tmp_path / "f.pkl", pickled_tensor(6), members))


def test_compressed_members_are_refused_before_they_grow(tmp_path):
    path = hostile.as_zip(tmp_path / "f.pkl", b"N.", {"data/0": bytes(10**7)}, compress=True)
    assert path.stat().st_size < 10**5
    assert_refused(path, "compressed members")


def test_a_changed_byte_is_noticed(tmp_path):
    path = hostile.as_zip(tmp_path / "f.pkl", pickled_tensor(6), {"data/0": np.ones(6, "<f4").tobytes()})
    path.write_bytes(path.read_bytes().replace(b"\x80\x3f" * 1, b"\x81\x3f", 1))
    with pytest.raises(DataError, match=r"damaged|no whole ZIP"):
        read_all(path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"hello world\n", "no readable pickle"),
        (pickle.dumps({"a": 1}), "torch.save"),
        (b"PK\x03\x04rubbish", "whole ZIP archive"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path, content, match):
    (tmp_path / "f.pkl").write_bytes(content)
    assert_refused(tmp_path / "f.pkl", match)


def test_an_archive_of_something_else_is_told(tmp_path):
    path = hostile.as_zip(tmp_path / "f.pkl", b"N.", {"x/data.pkl": b"N."})
    path.write_bytes(path.read_bytes().replace(b"archive/data.pkl", b"archive/data.txt"))
    assert_refused(path, "not one of torch.save")


def test_a_missing_file_is_told(tmp_path):
    assert_refused(tmp_path / "nowhere.pkl", "does not exist")
