"""What every entry of ``TERMS`` must be, whoever's it is."""

import inspect

import pytest

from optimize.choice import Choice
from optimize.errors import RecipeError
from optimize.training.step import StepView, Term
from optimize.training.terms import TERMS
from tests.optimize.training.terms.steps import context, student, teacher

DISTILLATION = ["soft_label", "dkd", "feature", "attention_transfer"]
PENALTIES = ["l1", "l2", "elastic_net"]


@pytest.mark.parametrize("name", list(TERMS))
class TestEveryTerm:
    def test_is_a_choice_with_a_default_for_each_setting(self, name: str) -> None:
        choice = TERMS.choose(name)
        assert isinstance(choice, Choice)
        assert list(inspect.signature(choice.build).parameters) == ["context"]

    def test_a_recipe_can_write_it_and_read_it_back(self, name: str) -> None:
        choice = TERMS.choose(name)
        assert isinstance(choice, Choice)
        assert TERMS.choose(name, choice.model_dump(mode="json")) == choice

    def test_its_settings_are_explained(self, name: str) -> None:
        found = TERMS.find(name)
        assert issubclass(found, Choice)
        assert found.__doc__
        assert all(field in found.__doc__ for field in found.model_fields)

    def test_a_misspelt_setting_is_refused(self, name: str) -> None:
        with pytest.raises(RecipeError, match=f"term '{name}': .*no such key"):
            TERMS.choose(name, {"wieght_": 1})


@pytest.mark.parametrize("name", [*DISTILLATION, *PENALTIES])
def test_builds_a_term_with_its_name(name: str) -> None:
    term = TERMS.choose(name).build(context(student(), teacher()))
    assert isinstance(term, Term)
    assert term.label == name
    assert term.wants_teacher == (name in DISTILLATION)
    assert not term.wants_target_domain
    assert inspect.signature(term.forward).parameters["step"].annotation is StepView


@pytest.mark.parametrize("name", DISTILLATION)
def test_without_a_teacher_it_says_so(name: str) -> None:
    with pytest.raises(RecipeError, match=rf"'{name}' needs a \[teacher\]"):
        TERMS.choose(name).build(context(student(), None))


@pytest.mark.parametrize("name", [*DISTILLATION, *PENALTIES])
def test_the_students_parameters_stay_the_students(name: str) -> None:
    """A term's own parameters get a group of their own: none may be there twice."""
    network = student()
    term = TERMS.choose(name).build(context(network, teacher()))
    theirs = {id(parameter) for parameter in network.parameters()}
    assert not [parameter for parameter in term.parameters() if id(parameter) in theirs]
    assert all(parameter.requires_grad for parameter in term.parameters())
