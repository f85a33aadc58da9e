"""Who makes pseudo-labels: one interface, one module per kind of teacher."""

from cmrseg.teachers.teacher import Teacher

__all__ = ["Teacher"]
