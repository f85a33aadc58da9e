"""What networks compute: each kind of answer is one module, which registers itself here."""

from cmrseg.tasks import quantification, region, segmentation
from cmrseg.tasks.task import TASKS, Task, Validator, get_task, register_task

__all__ = [
    "TASKS",
    "Task",
    "Validator",
    "get_task",
    "quantification",
    "region",
    "register_task",
    "segmentation",
]
