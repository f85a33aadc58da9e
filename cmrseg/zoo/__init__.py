"""The model zoo: model files, the manifest, loading by name."""

from cmrseg.zoo.manifest import DEFAULT_MODEL, Entry, get_entry, load_model, read_manifest
from cmrseg.zoo.model_file import Model, ModelSpec, read_model, save_model

__all__ = [
    "DEFAULT_MODEL",
    "Entry",
    "Model",
    "ModelSpec",
    "get_entry",
    "load_model",
    "read_manifest",
    "read_model",
    "save_model",
]
