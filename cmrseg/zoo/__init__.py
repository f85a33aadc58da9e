"""The model zoo: model files, the manifest, loading by name.

Examples
--------
>>> import cmrseg
>>> cmrseg.zoo.DEFAULT_MODEL in cmrseg.zoo.read_manifest()
True
"""

from cmrseg.zoo.manifest import DEFAULT_MODEL, Entry, get_entry, load_model, read_manifest, resolve
from cmrseg.zoo.model_file import Model, ModelSpec, read_model, save_model
from cmrseg.zoo.resolved import ResolvedModel

__all__ = [
    "DEFAULT_MODEL",
    "Entry",
    "Model",
    "ModelSpec",
    "ResolvedModel",
    "get_entry",
    "load_model",
    "read_manifest",
    "read_model",
    "resolve",
    "save_model",
]
