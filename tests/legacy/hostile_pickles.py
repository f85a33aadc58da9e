"""Builders of pickles that try to run code, and of the files that carry them; all stay in memory."""

import functools
import importlib
import operator
import os
import pickle
import struct
import subprocess
import zipfile
from pathlib import Path


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def text(value: str) -> bytes:
    """Opcode that pushes a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def hostile_pickles(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> a pickle that would create the canary, and a piece of the complaint."""
    command = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w')"
    shell = text(command) + b"\x85"
    dumps = functools.partial(pickle.dumps, protocol=2)
    imported = b"c__builtin__\n__import__\n" + text("os") + b"\x85R"
    chain = b"c__builtin__\ngetattr\n" + imported + text("system") + b"\x86R"
    partial = b"cfunctools\npartial\ncposix\nsystem\n\x85R"
    by_import = Call(operator.attrgetter("system"), Call(importlib.import_module, "os"))
    own_class = text("__class__") + b"cos\nsystem\ns"
    return {
        "system": (dumps(Call(os.system, command)), "posix.system"),
        "system by stack": (pickle.dumps(Call(os.system, command), protocol=4), "posix.system"),
        "eval": (dumps(Call(eval, code)), "__builtin__.eval"),
        "exec": (dumps(Call(exec, code)), "__builtin__.exec"),
        "subprocess": (dumps(Call(subprocess.check_call, ["touch", str(canary)])), "check_call"),
        "in a list": (dumps([{"a": (1, Call(os.system, command))}]), "posix.system"),
        "chain": (b"\x80\x02" + chain + shell + b"R.", "__builtin__.__import__"),
        "partial": (dumps(Call(functools.partial(os.system), command)), "posix.system"),
        "result called": (
            b"\x80\x02" + partial + shell + b"R.",
            "posix.system",
        ),
        "import": (
            dumps(by_import),
            "importlib",
        ),
        "nested": (dumps(Call(pickle.loads, dumps(Call(os.system, command)))), "pickle.loads"),
        "INST": (b"(" + text(command) + b"ios\nsystem\n.", "os.system"),
        "OBJ": (b"(cos\nsystem\n" + text(command) + b"o.", "os.system"),
        "NEWOBJ": (b"\x80\x02csubprocess\nPopen\n" + shell + b"\x81.", "subprocess.Popen"),
        "BUILD of a class": (
            b"\x80\x02ctorch.nn\nModule\n}" + text("__setstate__") + b"cos\nsystem\nsb" + shell + b"b.",
            "changes attributes",
        ),
        "BUILD of an object": (
            b"\x80\x02ctorch.nn\nModule\n)\x81}" + text("__setstate__") + b"cos\nsystem\nsb" + shell + b"b.",
            "no fastai learner",
        ),
        "BUILD of slots": (
            b"\x80\x02cbuiltins\nobject\n)\x81N}" + own_class + b"\x86b.",
            "",
        ),
        "map": (dumps(Call(map, os.system, [command])), "no fastai learner"),
        "extension": (b"\x80\x02\x82\x01.", "EXT1"),
        "buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    }


def learner(model: bytes, *, before: bytes = b"", more: bytes = b"") -> bytes:
    """A learner around opcodes that push its network."""
    attributes = text("dls") + b"K\x01" + text("model") + model + more
    return b"\x80\x02" + before + b"cfastai.learner\nLearner\n)\x81}(" + attributes + b"ub."


def bombs() -> dict[str, tuple[bytes, str]]:
    """Name -> a small pickle that asks for much memory or time, and a piece of the complaint."""
    doubled = b"\x80\x02)" + b"q\x00h\x00\x86" * 80
    layer, many = b"ctorch.nn\nModule\n)\x81", range(20_000)
    itself = b"}" + text("_modules") + b"}(" + b"".join(text(str(i)) + b"h\x01" for i in many) + b"usb"
    long_key, nested = text("k" * 10**6) + b"q\x020", (layer + b"}" + text("_modules") + b"}h\x02") * 5000
    colliding = [i * (2**61 - 1) for i in many]
    integers = b"".join(b"\x8a\x0a" + i.to_bytes(10, "little") + b"N" for i in colliding)
    parameters = b"}(" + b"".join(text(str(i)) + b"N" for i in many) + b"u"
    sharing = b"}" + text("_parameters") + b"h\x02sb"
    layers = b"".join(text(str(i)) + layer + sharing for i in range(5000))
    return {
        "layer that holds itself": (learner(layer + b"q\x01" + itself), "layers or longer names"),
        "long keys": (
            learner(nested + layer + b"ssb" * 5000, before=long_key),
            "layers or longer names",
        ),
        "shared parameters": (
            learner(layer + b"}" + text("_modules") + b"}(" + layers + b"usb", before=parameters + b"q\x020"),
            "layers or longer names",
        ),
        "colliding keys": (learner(layer, more=text("x") + b"}(" + integers + b"u"), "no U-Net"),
        "colliding memo numbers": (
            b"".join(b"Np%d\n0" % i for i in colliding),
            "a memo of a number too large",
        ),
        "long name": (b"c" + b"n" * 10**6 + b"\nn\n.", "a name of 1000001 letters"),
        "length": (b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.", "no readable pickle"),
        "text length": (b"\x80\x02X" + struct.pack("<I", 2**31) + b"x.", "no readable pickle"),
        "memo number": (b"\x80\x02Nr\xff\xff\xff\xff.", "no fastai learner"),
        "doubled tuple": (doubled + b".", "no fastai learner"),
        "doubled tuple as key": (b"\x80\x02}" + doubled[2:] + b"Ns.", "no fastai learner"),
        "depth": (b"\x80\x02)" + b"\x85" * 500_000 + b".", "no fastai learner"),
        "itself": (b"\x80\x02]q\x00h\x00a.", "no fastai learner"),
    }


DAMAGED = {
    "empty": b"",
    "no end": b"\x80\x02N",
    "nothing": b".",
    "stack": b"\x80\x02R.",
    "no mark": b"\x80\x02t.",
    "no memo": b"\x80\x02h\x07.",
    "arguments": b"\x80\x02cos\nname\nNR.",
    "odd items": b"\x80\x02}(Nu.",
    "items of a text": b"\x80\x02" + text("a") + b"NNs.",
    "unknown": b"\x80\x02\xfe.",
    "digits": b"L" + b"9" * 10_000 + b"L\n.",
}


def as_zip(
    path: Path, pickled: bytes, members: dict[str, bytes] | None = None, *, compress: bool = False
) -> Path:
    """A file in torch's zip format around a pickle."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
        for name, content in {"data.pkl": pickled, **(members or {})}.items():
            archive.writestr(f"archive/{name}", content)
    return path


def as_stream(path: Path, pickled: bytes) -> Path:
    """A file in torch's older format around a pickle."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in head) + pickled + pickle.dumps([]))
    return path
