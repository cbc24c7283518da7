"""Weight soups: the mean of the members' weights, one network that costs what one member does.

It works where the members lie in one valley of the loss, so they must share their
beginning: here all continue one short training of the recipe, from its weights and with
its head. Batch norms of a mean of weights fit no activations; they are computed anew
on training pictures.

Source: Wortsman et al., "Model soups", 2022; why a shared beginning suffices: Frankle et al., "Linear mode
connectivity and the lottery ticket hypothesis", 2020.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from optimize.choice import Choice
from optimize.ensembles.composite import copied, plain
from optimize.ensembles.variants import Count, Variants, values_of
from optimize.ensembles.workshop import Made, Member, Workshop
from optimize.errors import RecipeError
from optimize.judging.agreement import top_k_hits
from optimize.seeding import numpy_generator
from optimize.training.batch_norm import reestimate
from optimize.training.network.network import Network

START = "start"


class Soup(Choice):
    """Settings.

    Attributes:
        members: how many are trained; of no account where there are ``sources``.
        sources: instead: runs or bundles of one architecture that began from the same weights.
        shared_epochs: of the beginning that the members share.
        kind: "uniform" takes all; "greedy" takes them from the best down, each that does not lower the validation
            accuracy.
        variants: recipe fields of each member besides its seed: rates, augmentation, epochs.
        pictures: of the training set, to compute the batch norms from.
    """

    members: Count = 4
    sources: Annotated[list[str], Field(max_length=100)] = Field(default_factory=list)
    shared_epochs: Annotated[int, Field(ge=1)] = 1
    kind: Literal["uniform", "greedy"] = "greedy"
    variants: Variants
    pictures: Annotated[int, Field(ge=2)] = 2048

    def make(self, workshop: Workshop) -> Made:
        """See ``EnsembleChoice``."""
        members = [workshop.open(path) for path in self.sources] or self._trained(workshop)
        _refuse_unlike(members)
        if self.kind == "uniform":
            return plain(self._stirred(workshop, members), members, {"soup": [one.name for one in members]})
        return self._greedy(workshop, members)

    def _trained(self, workshop: Workshop) -> list[Member]:
        recipe = workshop.recipe
        workshop.train(START, {"train.epochs": self.shared_epochs})
        weights = str(workshop.folder / "members" / START)
        own = [values_of(index, self.variants, recipe.seed + 1) for index in range(self.members)]
        return [
            workshop.train(str(index + 1), {"model.weights": weights, **values}) for index, values in enumerate(own)
        ]

    def _greedy(self, workshop: Workshop, members: Sequence[Member]) -> Made:
        ranked = sorted(members, key=lambda one: -_right(workshop, one.network))
        taken, best = [ranked[0]], _right(workshop, ranked[0].network)
        network = ranked[0].network
        for one in ranked[1:]:
            candidate = self._stirred(workshop, [*taken, one])
            right = _right(workshop, candidate)
            if right >= best:
                taken, best, network = [*taken, one], right, candidate
        kept = Network(
            module=copied(network), spec=network.spec, architecture=network.architecture, tasks=network.tasks
        )
        return plain(kept, members, {"soup": [one.name for one in taken]})

    def _stirred(self, workshop: Workshop, members: Sequence[Member]) -> Network:
        first = members[0].network
        module = mean_weights([one.network.module for one in members])
        if len(members) > 1:
            reestimate(module, self._pictures(workshop, first))
        return Network(module=module, spec=first.spec, architecture=first.architecture, tasks=first.tasks)

    def _pictures(self, workshop: Workshop, network: Network) -> Iterator[Tensor]:
        train = workshop.data.train
        chosen = numpy_generator(workshop.recipe.seed, "soup").permutation(len(train))[: self.pictures]
        return workshop.tools.inputs(train.subset(chosen), network.spec)


def mean_weights(modules: Sequence[nn.Module]) -> nn.Module:
    """A copy of the first whose floating-point tensors are the mean over all, computed in float64."""
    mixed = copy.deepcopy(modules[0])
    states = [module.state_dict() for module in modules]
    mean = {
        key: torch.stack([state[key].double() for state in states]).mean(dim=0).to(value.dtype)
        for key, value in states[0].items()
        if value.is_floating_point()
    }
    mixed.load_state_dict({**states[0], **mean})
    return mixed.eval()


def _right(workshop: Workshop, network: Network) -> int:
    answers = workshop.predict(network, workshop.data.val)
    return top_k_hits(answers.logits, answers.labels).hits


def _refuse_unlike(members: Sequence[Member]) -> None:
    first = members[0]
    for one in members[1:]:
        if one.network.architecture != first.network.architecture or one.network.spec != first.network.spec:
            raise RecipeError(f"{one.name} and {first.name} are other networks or take other inputs: no soup")
