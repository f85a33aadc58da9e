"""The network of a MONAI bundle, built by MONAI's own parser after a look at what it would build.

A bundle's config can name any Python callable and hold ``$`` expressions that MONAI evaluates. So the parser
only ever sees the network definition and what that refers to, and only when these hold plain values and
layers of MONAI or torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pydoc import ErrorDuringImport, locate
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.networks import nets
from torch import nn

from cmrseg.problems import DataError, first_line

NETWORK_KEYS = ("network_def", "network", "net")
_PACKAGES = ("monai.networks.nets.", "torch.nn.")
_HARMLESS_KEYS = ("_target_", "_desc_", "_disabled_")
# Arguments that load weights from elsewhere; use_checkpoint saves memory while training and loads nothing.
_FETCHING = re.compile("pretrain|url|download|weights|(?<!use_)checkpoint(?!ing)|repo(?!rt)|cache_dir")


def build_network(config: dict[str, Any], bundle: str) -> nn.Module:
    """The network that a bundle defines, with random weights.

    Parameters
    ----------
    config
        The inference config, plain values.
    bundle
        Name for messages.

    Raises
    ------
    DataError
        If there is no definition, it holds an expression, or names anything but a layer of
        ``monai.networks.nets`` or ``torch.nn``.
    """
    key = next((k for k in NETWORK_KEYS if isinstance(config.get(k), dict)), None)
    if key is None:
        raise DataError(f"the inference config of {bundle} has no network_def; nothing else is built")
    needed = _needed(config, key, bundle)
    try:
        net = ConfigParser(needed, globals=False).get_parsed_content(key)
    except Exception as error:  # whatever the constructor of any network raises for values it does not know
        reason = first_line(error.__cause__ or error)
        raise DataError(f"the network of {bundle} cannot be built ({reason}); see its {key}") from None
    if not isinstance(net, nn.Module):
        raise DataError(f"{key} of {bundle} is no network; it needs a _target_ such as UNet")
    return net


def _needed(config: dict[str, Any], key: str, bundle: str) -> dict[str, Any]:
    """Entries of the config that a definition needs, checked: itself, and all that it refers to by ``@``."""
    needed, waiting = {}, [key]
    while waiting:
        name = waiting.pop()
        if name not in config:
            raise DataError(f"the network of {bundle} refers to '{name}', which its config does not define")
        if name not in needed:
            needed[name] = _checked(config[name], bundle)
            references = {
                r for text in _texts(needed[name]) for r in ReferenceResolver.match_refs_pattern(text)
            }
            waiting += [ReferenceResolver.split_id(reference)[0] for reference in sorted(references)]
    return needed


def _checked(value: Any, bundle: str) -> Any:
    """A copy of a definition in which every target is a full name; refuses what could run other code."""
    if isinstance(value, list):
        return [_checked(item, bundle) for item in value]
    if not isinstance(value, dict):
        _check_text(value, bundle)
        return value
    checked = {str(key): _checked(item, bundle) for key, item in value.items()}
    for key, item in checked.items():
        special = key.startswith("_") and key not in _HARMLESS_KEYS
        if special or (item and _FETCHING.search(key.lower())):
            raise DataError(f"the network of {bundle} sets '{key}', which is not allowed; remove it")
    if "_target_" in checked:
        checked["_target_"], network = _network(checked["_target_"], bundle)
        _check_defaults(network, set(checked), bundle)
    return checked


def _check_defaults(network: type[nn.Module], given: set[str], bundle: str) -> None:
    """Refuse a network that fetches weights unless it is told not to."""
    for name, parameter in inspect.signature(network).parameters.items():
        is_set = parameter.default is not parameter.empty and bool(parameter.default)
        if is_set and name not in given and _FETCHING.search(name.lower()):
            raise DataError(
                f"the network of {bundle}, {network.__name__}, fetches weights by default "
                f"({name}={parameter.default}), which is not allowed; set {name} to false in its config"
            )


def _check_text(value: Any, bundle: str) -> None:
    """Refuse expressions, macros (which read other files) and references relative to a place."""
    if isinstance(value, str) and (value.lstrip()[:1] in ("$", "%") or "@#" in value or "@::" in value):
        raise DataError(
            f"the network of {bundle} holds the expression '{value}'; only plain values are allowed, "
            "as nothing in a bundle is executed"
        )


def _network(target: Any, bundle: str) -> tuple[str, type[nn.Module]]:
    """Full name of a network class and the class; nothing else may be named."""
    name = str(target)
    full = f"{_PACKAGES[0]}{name}" if "." not in name else name
    found = getattr(nets, name, None) if "." not in name else _located(full)
    inside = inspect.isclass(found) and issubclass(found, nn.Module)
    if not inside or not found.__module__.startswith(("monai.networks.", "torch.nn.")):
        raise DataError(
            f"the network of {bundle} has the _target_ '{name}'; "
            "only networks of monai.networks.nets and layers of torch.nn are built"
        )
    return full, found


def _located(name: str) -> object:
    """What a dotted name stands for, if it lies in the packages of networks."""
    try:
        return locate(name) if name.startswith(_PACKAGES) else None
    except ErrorDuringImport:
        return None


def _texts(value: Any) -> Iterator[str]:
    """All texts in a config, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
