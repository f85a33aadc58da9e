"""A regional model: one file that names a classifier of regions, a segmenter for each, and their checksums.

Its members lie beside it under plain names or are models of the zoo; a path in the file is refused, and so is
a member that is not what its checksum says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cmrseg.io.atomic import write_text
from cmrseg.io.checksum import sha256_of
from cmrseg.io.settings import read_json, record, told_of
from cmrseg.problems import DataError
from cmrseg.tasks.segmentation.by_region import BASELINE, ROLES, check_members
from cmrseg.zoo.model_file import PLAIN_NAME, check_line
from cmrseg.zoo.resolved import ResolvedModel

FILE = "regional.json"
FORMAT_VERSION = 1
WEIGHTS = ".safetensors"
_REMEDY = "it is no regional model, or damaged: copy or make it again"
_SHA256 = re.compile("[0-9a-f]{64}")
Find = Callable[[str], tuple[Path, str]]  # from the name of a model of the zoo to its file and checksum


@dataclass(frozen=True)
class Named:
    """A member as the file names it.

    Attributes
    ----------
    model
        Name of a file beside the regional model, ``.safetensors``, or of a model of the zoo.
    sha256
        Of its file.
    """

    model: str
    sha256: str

    def __post_init__(self) -> None:
        if not PLAIN_NAME.fullmatch(self.model):
            raise ValueError(
                f"{self.model[:80]!r} is no plain name: members lie beside the file or are models of the zoo"
            )
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"the sha256 of {self.model} is no checksum of 64 hexadecimal digits")


@dataclass(frozen=True)
class Regional:
    """What is in the file.

    Attributes
    ----------
    name
        Of the model.
    members
        By role: baseline, classifier, base, middle, apex.
    licence
        Of all weights.
    format_version
        Of the file.
    """

    name: str
    members: Mapping[str, Named]
    licence: str = "unstated"
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version > FORMAT_VERSION:
            raise ValueError(f"it is of format {self.format_version}, this cmrseg reads {FORMAT_VERSION}")
        if not PLAIN_NAME.fullmatch(self.name):
            raise ValueError(f"calls itself {self.name[:80]!r}, which cannot be a file name")
        check_line("licence", self.licence)
        if set(self.members) != set(ROLES):
            raise ValueError(f"it must name {', '.join(ROLES)}, got {', '.join(sorted(self.members)[:8])}")


def is_regional(path: Path) -> bool:
    """Whether a path is that of a regional model."""
    return path.suffix == ".json"


def write_regional(name: str, members: Mapping[str, Path], path: Path, *, licence: str = "unstated") -> Path:
    """Write a regional model whose members lie beside it.

    Parameters
    ----------
    name
        Of the model.
    members
        Model files by role, see `Regional`; in the folder of ``path``.
    path
        ``regional.json``.
    licence
        Of all weights.

    Returns
    -------
    The path.

    Raises
    ------
    ValueError
        If a role is missing, or a member lies elsewhere.
    """
    folder = path.parent.resolve()
    if elsewhere := [str(file) for file in members.values() if file.parent.resolve() != folder]:
        raise ValueError(f"members must lie beside {path}, got {', '.join(elsewhere)}")
    named = {role: Named(file.name, sha256_of([file])) for role, file in members.items()}
    return write_text(regional_text(Regional(name, named, licence)), path)


def regional_text(regional: Regional) -> str:
    """The content of a file."""
    return json.dumps(asdict(regional), indent=2) + "\n"


def read_regional(path: Path) -> Regional:
    """What a file says; its members are not looked at.

    Raises
    ------
    DataError
        If it is no regional model, or names a member by a path.
    """
    if not path.is_file():
        raise DataError(f"regional model {path} does not exist; check the path")
    values = read_json(path, _REMEDY)
    with told_of(path, _REMEDY):
        told = dict(values)
        members = {role: record(Named, named) for role, named in dict(told.pop("members")).items()}
        return record(Regional, {**told, "members": members})


def resolve_regional(path: Path, find: Find, *, name: str = "") -> ResolvedModel:
    """A regional model with its members, each compared with its checksum.

    Parameters
    ----------
    path
        File.
    find
        Finds models of the zoo.
    name
        As it was named, for messages.

    Returns
    -------
    Its description is that of the baseline under the name of the regional model.

    Raises
    ------
    DataError
        If the file or a member is missing, damaged or another than it was, or the members do not belong
        together.
    """
    told = read_regional(path)
    members = {role: _member(path, role, told.members[role], find) for role in ROLES}
    with told_of(path, "make it of models that belong together"):
        check_members({role: member.spec for role, member in members.items()})
    base = members[BASELINE].spec
    named = {role: member.spec.name for role, member in members.items()}
    spec = replace(base, name=told.name, licence=told.licence, training={**base.training, "members": named})
    return ResolvedModel(name or str(path), path, sha256_of([path]), spec, members)


def _member(path: Path, role: str, named: Named, find: Find) -> ResolvedModel:
    """A member, which must be what the file says."""
    if named.model.endswith(WEIGHTS):
        file = path.with_name(named.model)
        if not file.is_file():
            raise DataError(f"{path} needs {named.model} ({role}) beside it, which is missing; copy it too")
    else:
        try:
            file, _ = find(named.model)
        except DataError as error:
            raise DataError(f"{path} needs the model {named.model} ({role}): {error}") from None
    if is_regional(file):
        raise DataError(f"{path} names {named.model} ({role}), a regional model: its members must be single")
    found = sha256_of([file])
    if found != named.sha256:
        raise DataError(
            f"{named.model} ({role}) is not what {path} was made of: sha256 {found}, expected {named.sha256}"
        )
    return ResolvedModel.of_file(file, name=named.model, sha256=found)
