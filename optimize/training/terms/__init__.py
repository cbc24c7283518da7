"""Everything in the objective that is no loss on targets: distillation, penalties, domains, shared weights.

Each entry is a ``TermChoice``: settings whose ``build(context)`` gives a ``Term``.
Adding one: a file here, and a line below; ``tests/optimize/training/terms`` holds
every entry to its contract.
"""

from typing import TYPE_CHECKING

from optimize.choice import Table

if TYPE_CHECKING:
    from optimize.training.step import TermChoice

_HERE = "optimize.training.terms"

TERMS: Table["TermChoice"] = Table(
    "term",
    {
        "soft_label": f"{_HERE}.soft_label:SoftLabel",
        "dkd": f"{_HERE}.dkd:DecoupledDistillation",
        "feature": f"{_HERE}.feature:FeatureHint",
        "attention_transfer": f"{_HERE}.attention_transfer:AttentionTransfer",
        "l1": f"{_HERE}.penalties:L1",
        "l2": f"{_HERE}.penalties:L2",
        "elastic_net": f"{_HERE}.penalties:ElasticNet",
        "coral": f"{_HERE}.coral:Coral",
        "dann": f"{_HERE}.dann:Dann",
        "soft_sharing": f"{_HERE}.soft_sharing:SoftSharingTie",
        "task_uncertainty": f"{_HERE}.task_uncertainty:TaskUncertainty",
    },
)

# Terms that hold the losses on targets themselves: beside one of these a recipe has no loss unless it names one.
HOLD_THE_LOSSES = frozenset({"task_uncertainty"})

# Terms that look at the teacher's feature maps.
SEE_LAYERS = frozenset({"feature", "attention_transfer"})
