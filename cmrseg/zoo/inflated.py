"""A model over slices as the start of one over stacks."""

from __future__ import annotations

from dataclasses import replace

from cmrseg.zoo.model_file import Model, build_net


def with_architecture(model: Model, name: str) -> Model:
    """The same model as another architecture, which is inflated from its own.

    Parameters
    ----------
    model
        Base model.
    name
        Of the architecture; its own leaves it as it is.

    Returns
    -------
    Model whose answer to a stack of equal slices is that of the base to the slice.

    Raises
    ------
    ValueError
        If the architecture is unknown, or cannot start from these weights.
    """
    if name == model.spec.architecture:
        return model
    from cmrseg.models import get_architecture
    from cmrseg.models.inflate import inflate

    architecture, own = get_architecture(name), model.spec.architecture
    if architecture.inflated_from != own:
        raise ValueError(f"{name} cannot start from the weights of {own}; leave the architecture out")
    spec = replace(model.spec, architecture=name, dims=architecture.dims)
    net = build_net(spec)
    net.load_state_dict(inflate(model.net).state_dict())
    return Model(spec, net.eval())
