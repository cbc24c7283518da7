"""What of a recipe can be seen to fail before anything is made."""

from pydantic import ValidationError

from model_zoo.bundle import Bundle
from optimize.candidates.proposed_steps import steps_of
from optimize.candidates.recipe import CandidateEntry, OptimizeRecipe
from optimize.candidates.rescues import TRAINS, has_network, is_rescued
from optimize.candidates.search_options import as_search
from optimize.candidates.steps import OWN, STEPS
from optimize.choice import faults
from optimize.errors import RecipeError
from optimize.search.options import Span
from optimize.search.suggestion import suggest
from optimize.training.recipe import parse_recipe

# Combinations of a search's values of which one must do.
DRAWN = 100


def require_makeable(recipe: OptimizeRecipe, parent: Bundle) -> None:
    """See that steps stand in an order that can be, and that what trains has a recipe that is one.

    Raises:
        RecipeError: the float network is wanted where there is none, or ``[finetune]`` is no part of a training recipe,
            or of a search's space nothing can be made.
    """
    from optimize.candidates.training_steps import Finetune, Student, training_content

    has_float = has_network(parent)
    for candidate in recipe.candidate:
        rewritten = None if has_float else "the parent, which is its ONNX graph alone,"
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
    if recipe.rescue and has_float and any(map(is_rescued, recipe.candidate)):
        parse_recipe(training_content(STEPS.choose(TRAINS), {}, recipe, parent), origin="rescue")
    if recipe.search.space is not None:
        steps = {path.partition(".")[0] for path in recipe.search.space}
        if not has_float:
            _require_no_network(steps)
        for name in sorted(steps & {"finetune", "sparse_finetune", "qat"}):
            parse_recipe(training_content(STEPS.choose(name), {}, recipe, parent), origin=f"search.space: {name}")
        _require_some_chain(recipe.search.space)


def _require_no_network(steps: set[str]) -> None:
    """Refuse, of a parent that is its graph alone, what needs more; a student has a network again."""
    after_student = {"sparse_finetune", "qat"} if "student" in steps else set()
    if needing := [step for step in OWN if step in steps - {"student"} - after_student]:
        raise RecipeError(
            f"search.space: {needing[0]} needs the float network, and the parent is its ONNX graph alone; take it out"
        )


def _require_some_chain(space: dict[str, Span]) -> None:
    """See that a search has something to propose.

    Raises:
        RecipeError: of many combinations of the space's values none is a chain of steps.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, options = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), as_search(space)
    fault = "no step is left"
    for _ in range(DRAWN):
        steps = steps_of(suggest(study.ask(), options))
        try:
            CandidateEntry.model_validate({"name": "drawn", "steps": steps})
        except ValidationError as error:
            fault = faults(error, CandidateEntry) if steps else fault
        else:
            return
    raise RecipeError(f"search.space: of {DRAWN} combinations that were drawn none can be made: {fault}")
