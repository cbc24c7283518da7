"""What the terms that listen to a teacher share.

The teacher knows the classes of the first task, in the student's order
(``teacher.read`` sees to that); where there are several tasks, the others have none.
"""

from torch import Tensor

from optimize.errors import RecipeError, TrainingError
from optimize.training.losses.row_loss import widened
from optimize.training.step import Seen, StepView, TermContext
from optimize.training.teacher.teacher import Teacher


def teacher_of(context: TermContext, term: str) -> Teacher:
    """The teacher.

    Raises:
        RecipeError: there is none.
    """
    if context.teacher is None:
        raise RecipeError(f"the term {term!r} needs a [teacher], and the recipe has none: name one with source = …")
    if not isinstance(context.teacher, Teacher):
        raise TypeError(f"a teacher is what read_teacher gives, not {type(context.teacher).__name__}")
    return context.teacher


def seen_by_teacher(step: StepView, term: str) -> Seen:
    """What the teacher makes of the batch.

    Raises:
        TrainingError: nobody asked it.
    """
    if step.teacher is None:
        raise TrainingError(f"the term {term!r} got a step without the teacher's view")
    return step.teacher


def both_logits(step: StepView, where: slice, term: str) -> tuple[Tensor, Tensor]:
    """(N, classes) of the student and of the teacher, at least float32, on the student's device."""
    student = widened(step.student.logits[:, where])
    teacher = seen_by_teacher(step, term).logits.to(student.device, student.dtype)
    return student, teacher
