"""A model that was named: found, compared with its checksum and described once, for all who need it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cmrseg.io.checksum import sha256_of
from cmrseg.zoo.model_file import Model, ModelSpec, read_model, read_spec


@dataclass(frozen=True)
class ResolvedModel:
    """What a name, a file or the folder of a training run stands for.

    Attributes
    ----------
    name
        As it was named, for messages and reports; ``str`` gives it.
    path
        Model file.
    sha256
        Of the file.
    spec
        Description in the file; of a regional model that of its baseline.
    members
        Of a regional model its networks by role, see `cmrseg.zoo.regional`; empty for all others.
    """

    name: str
    path: Path
    sha256: str
    spec: ModelSpec
    members: Mapping[str, ResolvedModel] = field(default_factory=dict)

    @classmethod
    def of_file(cls, path: Path, *, name: str = "", sha256: str = "") -> ResolvedModel:
        """A model file; it is read where its checksum is not known yet.

        Raises
        ------
        DataError
            If it is no model, or damaged.
        """
        spec = read_spec(path)
        return cls(name or str(path), path, sha256 or sha256_of([path]), spec)

    def __str__(self) -> str:
        return self.name

    def load(self) -> Model:
        """The model, in evaluation mode, ``float32``; the file is read once, however often this is asked.

        Raises
        ------
        DataError
            If it cannot be rebuilt, or its tensors are damaged.
        """
        return deepcopy(self._model)  # whoever trains it changes its weights

    @cached_property
    def _model(self) -> Model:
        if self.members:
            members = {role: member._model for role, member in self.members.items()}
            return Model(self.spec, members["baseline"].net, members)
        return read_model(self.path)

    def __getstate__(self) -> dict[str, object]:
        """Without the weights: another process reads the file."""
        return {name: value for name, value in vars(self).items() if name != "_model"}


ModelName = str | Path | ResolvedModel
