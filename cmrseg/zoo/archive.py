"""Models in one file for machines without a network: written whole, verified before any of it counts.

The file is an uncompressed ZIP: half-precision weights hardly shrink, its directory is read without reading
the weights, every system can look into it, and a member that claims to be compressed can be refused, so
nothing unpacks to more than the bytes that are there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cmrseg import __version__
from cmrseg.io.atomic import atomic_path, remove_leftovers, scratch_folder
from cmrseg.io.checksum import sha256_of
from cmrseg.io.home import home as default_home
from cmrseg.io.lock import alone
from cmrseg.legacy.records import brief
from cmrseg.legacy.zip_file import opened_zip
from cmrseg.problems import DataError
from cmrseg.zoo.domain import domain_path, read_domain
from cmrseg.zoo.manifest import model_path, read_card, read_manifest, resolve
from cmrseg.zoo.model_file import PLAIN_NAME, read_spec
from cmrseg.zoo.regional import FILE as REGIONAL
from cmrseg.zoo.regional import WEIGHTS, Named, Regional, is_regional, regional_text
from cmrseg.zoo.resolved import ModelName, ResolvedModel

FORMAT_VERSION = 1
_MANIFEST = "manifest.json"
_MOST_MANIFEST_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_NAME = PLAIN_NAME.pattern
_MEMBER = re.compile(  # as in the cache
    rf"{_NAME}/(?:{_NAME}\.safetensors|{_NAME}_domain\.json|{re.escape(REGIONAL)}|card\.md)"
)
_ENCRYPTED = 0x1

Content = Path | bytes


@dataclass(frozen=True)
class Member:
    """One file of an archive, as its manifest lists it.

    Attributes
    ----------
    path
        ``<name>/<file>``, as under ``<CMRSEG_HOME>/models``.
    sha256, bytes
        Of its content.
    """

    path: str
    sha256: str
    bytes: int


def export_models(models: Sequence[ModelName], path: Path) -> tuple[Member, ...]:
    """Write models with cards, training domains and a manifest into one file; equal models give equal bytes.

    Parameters
    ----------
    models
        Names of the zoo (fetched where they are not here yet), model files or folders of training runs; the
        card of a file is the ``card.md`` beside it, if there is one.
    path
        Ends in ``.zip``.

    Returns
    -------
    What the archive holds beside its manifest.

    Raises
    ------
    ValueError
        If no model is named or the suffix is another.
    DataError
        If a model cannot be had or read, or two have the same name.
    """
    if not models or path.suffix != ".zip":
        raise ValueError(f"an archive needs at least one model and a name that ends in .zip, got {path}")
    contents: dict[str, Content] = {}
    for model in models:
        for name, content in _contents(model).items():
            if name in contents:
                raise DataError(f"two models would both be {name} in {path}; name each only once")
            contents[name] = content
    members = tuple(_member(name, contents[name]) for name in sorted(contents))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, _MANIFEST, _manifest_text(members).encode())
        for member in members:
            _add(archive, member.path, contents[member.path])
    return members


def import_file(path: Path, home: Path | None = None) -> Path:
    """Put a model file where fetched models lie, so that its name is known; its card and domain come along.

    Parameters
    ----------
    path
        Model file.
    home
        As for `import_archive`.

    Returns
    -------
    The file that was written.

    Raises
    ------
    DataError
        If it is no model, or another one of its name is already there.
    """
    with TemporaryDirectory() as folder:
        archive = Path(folder) / "model.zip"
        export_models([path], archive)
        try:
            return import_archive(archive, home)[0]
        except DataError as error:
            raise DataError(str(error).replace(str(archive), str(path))) from None


def import_archive(path: Path, home: Path | None = None) -> tuple[Path, ...]:
    """Put the models of an archive where fetched models lie; nothing is there before all is verified.

    Parameters
    ----------
    path
        From `export_models`.
    home
        Folder that holds ``models/``; ``CMRSEG_HOME`` by default. Other models in it are kept.

    Returns
    -------
    The model files, ``<home>/models/<name>/<file>``.

    Raises
    ------
    DataError
        If the archive is damaged, holds anything but what its manifest lists, a checksum or a model is wrong,
        or another model of the same name is already there.
    """
    folder = (default_home() if home is None else home) / "models"
    if not path.is_file():
        raise DataError(f"archive {path} does not exist or is no file; check the path")
    with opened_zip(path) as archive:
        members = _verified_list(archive, path)
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / ".import.lock"), scratch_folder(folder / "import") as staging:
            remove_leftovers(folder)
            for member in members:
                _unpack(archive, member, staging, path)
            models = [m for m in members if m.path.endswith((".safetensors", REGIONAL))]
            for member in models:
                _check_model(staging, member, folder, path)
            for member in sorted(members, key=models.__contains__):  # cards first
                (folder / member.path).parent.mkdir(exist_ok=True)
                os.replace(staging / member.path, folder / member.path)
    several = {Path(member.path).parent for member in models if member.path.endswith(REGIONAL)}
    shown = [m for m in models if Path(m.path).parent not in several or m.path.endswith(REGIONAL)]
    return tuple(folder / member.path for member in shown)


def _contents(model: ModelName) -> dict[str, Content]:
    """The files of one model by their names in the archive."""
    file = model_path(model)
    if is_regional(file):
        return _contents_of_regional(resolve(model))
    if str(model) in read_manifest():
        name, stem = str(model), file.stem
        more: dict[str, Content] = {f"{name}/card.md": read_card(name).encode()}
    else:
        name = stem = read_spec(file).name
        card = file.with_name("card.md")
        more = {f"{name}/card.md": card} if card.exists() else {}
    domain = domain_path(file)
    if domain.exists() and read_domain(file) is not None:
        more[f"{name}/{stem}_domain.json"] = domain
    return {f"{name}/{stem}.safetensors": file, **more}


def _contents_of_regional(model: ResolvedModel) -> dict[str, Content]:
    """A regional model with all its members beside it, also those that are models of the zoo."""
    name, files = model.spec.name, {role: f"{role}{WEIGHTS}" for role in model.members}
    named = {role: Named(file, model.members[role].sha256) for role, file in files.items()}
    told = regional_text(Regional(name, named, model.spec.licence)).encode()
    weights: dict[str, Content] = {f"{name}/{files[role]}": m.path for role, m in model.members.items()}
    card = model.path.with_name("card.md")
    return {f"{name}/{REGIONAL}": told, **weights} | ({f"{name}/card.md": card} if card.exists() else {})


def _member(name: str, content: Content) -> Member:
    if isinstance(content, bytes):
        return Member(name, hashlib.sha256(content).hexdigest(), len(content))
    return Member(name, sha256_of([content]), content.stat().st_size)


def _manifest_text(members: Sequence[Member]) -> str:
    header = {"format_version": FORMAT_VERSION, "cmrseg_version": __version__}
    return json.dumps({**header, "files": [asdict(m) for m in members]}, indent=2) + "\n"


def _add(archive: zipfile.ZipFile, name: str, content: Content) -> None:
    """Add a member that says nothing of this machine: no time, no owner."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # otherwise Windows writes other bytes
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    if isinstance(content, bytes):
        archive.writestr(info, content)
        return
    info.file_size = content.stat().st_size  # large ones need ZIP64 from the start
    with content.open("rb") as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, _CHUNK_BYTES)


def _verified_list(archive: zipfile.ZipFile, path: Path) -> list[Member]:
    """The manifest, once the directory of the archive holds just what it lists, in plain files."""
    infos = archive.infolist()
    for info in infos:
        if reason := _refusal(info):
            raise DataError(f"{path} is refused: its member '{brief(info.filename)}' {reason}")
    names = [info.filename for info in infos]
    if len({name.casefold() for name in names}) < len(names):
        raise DataError(f"{path} is refused: it holds two members of the same name")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise DataError(f"{path} is refused: its members claim more bytes than it has")
    members = _read_manifest(archive, path)
    sizes = {info.filename: info.file_size for info in infos if info.filename != _MANIFEST}
    listed = {member.path: member.bytes for member in members}
    if sizes != listed or len(listed) < len(members):
        wrong = sorted({name for name, _ in sizes.items() ^ listed.items()}) or sorted(listed)
        some = ", ".join(map(brief, wrong[:5]))
        raise DataError(f"{path} is refused: its manifest and its members disagree on {some}")
    return members


def _refusal(info: zipfile.ZipInfo) -> str:
    """Why a member cannot be trusted; empty where it can."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.filename != _MANIFEST and not _MEMBER.fullmatch(info.orig_filename):
        return f"is not NAME/FILE.safetensors, NAME/{REGIONAL}, NAME/FILE_domain.json or NAME/card.md"
    if kind not in (0, stat.S_IFREG):
        return "is a link or device, not a file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed, which cmrseg never does"
    if info.filename == _MANIFEST and info.file_size > _MOST_MANIFEST_BYTES:
        return f"has {info.file_size} bytes, more than a manifest needs"
    return ""


def _read_manifest(archive: zipfile.ZipFile, path: Path) -> list[Member]:
    """The files that the manifest lists."""
    if _MANIFEST not in archive.namelist():
        raise DataError(f"{path} has no {_MANIFEST}; it was not written by `cmrseg zoo export`")
    try:
        header = json.loads(archive.read(_MANIFEST))  # of at most a megabyte
        version, members = header["format_version"], [_listed(**values) for values in header["files"]]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = brief(str(error))
        raise DataError(f"the {_MANIFEST} in {path} is damaged ({reason}); copy the archive again") from None
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} is of archive format {version}, this cmrseg reads {FORMAT_VERSION}: update it"
        )
    return members


def _listed(path: str, sha256: str, bytes: int) -> Member:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"{path} has no SHA-256")
    return Member(path, sha256, bytes)


def _unpack(archive: zipfile.ZipFile, member: Member, staging: Path, path: Path) -> None:
    """Write one member into the staging folder and compare its checksum."""
    info = archive.getinfo(member.path)
    info.CRC = None  # SHA-256 tells, so that a damaged member shows both sums
    target, digest = staging / member.path, hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != member.sha256:
        raise DataError(
            f"{member.path} in {path} is damaged: sha256 {digest.hexdigest()}, expected {member.sha256}; "
            "copy the archive again"
        )


def _check_model(staging: Path, member: Member, folder: Path, path: Path) -> None:
    """Refuse what is no model, not the published one of its name, or would replace another."""
    name = member.path.partition("/")[0]
    try:
        if is_regional(Path(member.path)):
            resolve(staging / member.path)
        else:
            read_domain(staging / member.path)
    except DataError as error:
        raise DataError(str(error).replace(str(staging), str(path))) from None
    entry = read_manifest().get(name)
    if entry and entry.sha256 and entry.sha256 != member.sha256:
        raise DataError(
            f"{member.path} in {path} is not the published {name}: "
            f"sha256 {member.sha256}, expected {entry.sha256}"
        )
    present = folder / member.path
    if present.exists() and sha256_of([present]) != member.sha256:
        raise DataError(f"another {name} is already there, {present}; move it away to import that of {path}")
