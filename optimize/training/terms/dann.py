"""DANN: a discriminator learns to tell the two domains apart, the features learn that it can't.

Between the two the gradient is turned round: going forward nothing changes, going back
it is multiplied by −λ, and λ grows from 0 to ``strength`` in the course of training, as
a discriminator that knows nothing yet has nothing to say.

Source: Ganin & Lempitsky, "Unsupervised Domain Adaptation by Backpropagation" (2015).
"""

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from optimize.choice import Choice
from optimize.seeding import stream_seed
from optimize.training.step import StepView, Term, TermContext
from optimize.training.terms.domain_features import both, tapped, width


class Dann(Choice):
    """Adversarial adaptation.

    Attributes:
        feature: "pooled" for what enters the head, "logits", or a module's name.
        hidden: width of the discriminator's two hidden layers.
        strength: λ in the end.
        gamma: how soon it grows, λ = strength · (2 / (1 + exp(−gamma · progress)) − 1).
    """

    feature: str = "pooled"
    hidden: int = Field(default=256, ge=1, le=65536)
    strength: float = Field(default=1.0, gt=0)
    gamma: float = Field(default=10.0, gt=0)

    def build(self, context: TermContext) -> Term:
        """See ``TermChoice.build``."""
        return DannTerm(self, width(self.feature, context), context.seed)


class DannTerm(Term):
    """See ``Dann``; its discriminator trains with the network."""

    label = "dann"
    wants_target_domain = True

    def __init__(self, choice: Dann, features: int, seed: int) -> None:
        super().__init__()
        self.choice = choice
        self.student_features = tapped(choice.feature)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(seed, "dann"))
            self.discriminator = nn.Sequential(
                nn.Linear(features, choice.hidden),
                nn.ReLU(),
                nn.Linear(choice.hidden, choice.hidden),
                nn.ReLU(),
                nn.Linear(choice.hidden, 1),
            )

    def forward(self, step: StepView) -> Tensor:
        """See ``Term.forward``: the discriminator's mean cross-entropy, each domain counting half."""
        source, target = both(self.choice.feature, step)
        turned = reverse_gradient(torch.cat([source, target]), self.reversal(step.progress))
        said = self.discriminator(turned)[:, 0]
        of_source, of_target = said[: len(source)], said[len(source) :]
        return (F.softplus(of_source).mean() + F.softplus(-of_target).mean()) / 2

    def reversal(self, progress: float) -> float:
        """λ at this share of the run."""
        return self.choice.strength * math.tanh(self.choice.gamma * progress / 2)


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """``x`` itself; the gradient that comes back through it is multiplied by −``strength``."""
    nothing = x - x.detach()
    return x - (1 + strength) * nothing
