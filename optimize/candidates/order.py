"""What of a recipe can be seen to fail before anything is made."""

from model_zoo.bundle import Bundle
from optimize.candidates.recipe import OptimizeRecipe
from optimize.candidates.steps import OWN
from optimize.errors import RecipeError
from optimize.training.recipe import parse_recipe


def require_makeable(recipe: OptimizeRecipe, parent: Bundle) -> None:
    """See that steps stand in an order that can be, and that what trains has a recipe that is one.

    Raises:
        RecipeError: the float network is wanted where there is none, or ``[finetune]`` is no part of a training recipe.
    """
    from optimize.candidates.training_steps import Finetune, Student, training_content

    has_network = parent.weights_path is not None and parent.spec.architecture is not None
    for candidate in recipe.candidate:
        rewritten = None if has_network else "the parent, which is its ONNX graph alone,"
        for step in candidate.steps:
            if step.name == "student":
                rewritten = None
            elif step.name in OWN and rewritten is not None:
                raise RecipeError(
                    f"candidate {candidate.name}: {step.name} needs the float network, and after {rewritten} there is "
                    "none; put it before the passes"
                )
            elif step.name not in OWN:
                rewritten = step.name
            if isinstance(step.choice, Finetune | Student):
                parse_recipe(training_content(step.choice, {}, recipe, parent), origin=f"candidate {candidate.name}")
