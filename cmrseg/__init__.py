"""Transfer learning and a pretrained model zoo for short-axis cardiac cine MRI."""

__version__ = "0.1.0"
