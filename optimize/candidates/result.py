"""What is known of each candidate, as the run's journal and ``result.json`` hold it."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from optimize.candidates.journal import Facts
from optimize.candidates.speed import Speed
from optimize.judging.threshold import Threshold

# made: a bundle that was measured; failed: a step could not be done; dropped: not worth a step;
# waiting: time ended before it.
State = Literal["made", "failed", "dropped", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A candidate beside its parent on the same pictures; shares, and differences in points of 100.

    Attributes:
        top1, parent_top1: shares that are right.
        drop: points lost, below 0 where some are won.
        ci95: of ``drop``.
        same_answer: share of pictures with the parent's answer.
        resolves: the smallest drop, in points, that so many pictures show.
        disagreeing: share of pictures that one of the two alone gets right.
        top1_ci95: of ``top1``, Wilson's.
        bootstrap95: of ``drop``, over resampled pictures; None where these are too few.
        p_mid: McNemar's, two-sided, mid-p.
        sure: pictures of whose class the parent is at least half sure; ``sure_same``: those of them with its answer.
    """

    n: int
    top1: float
    parent_top1: float
    drop: float
    ci95: tuple[float, float]
    same_answer: float
    resolves: float
    disagreeing: float
    top1_ci95: tuple[float, float]
    bootstrap95: tuple[float, float] | None
    p_mid: float
    sure: int = 0
    sure_same: int = 0

    @classmethod
    def of(cls, facts: Facts) -> Self:
        """As the journal has it: JSON knows lists alone."""
        plain: Facts = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
        return cls(**plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The guard's: on pictures that nothing else saw."""

    passes: bool
    is_evidence: bool
    says: str
    paired: Paired


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """An 8-bit candidate's graph for TensorRT; ``paired`` is None where the check alone decided.

    Attributes:
        is_kept: it gives the check's answers and the guard passes it, so that the bundle has it.
    """

    is_kept: bool
    says: str
    paired: Paired | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One line of the result.

    Attributes:
        steps: as the recipe names them, complete.
        notes: what its steps tell: rewrites of the graph that were tried, and what became of them.
        because: why it was tried, where no recipe and no search asked for it.
        reason: why it failed or was dropped.
        bytes: of ``model.onnx``.
        macs: multiply-adds of a picture.
        in_integers: share of them that ONNX Runtime computes in integers.
        zeros: share of the weights that are 0.
        val: on the pictures that choose.
        bundle: in the run's store, where it is on the front.
        threshold: its score below which answers are unknown, where the recipe asks for one and the guard's pictures
            give it; ``no_threshold``: why they don't.
        twin: beside it, where it is on the front and has one.
    """

    name: str
    steps: tuple[dict[str, Any], ...]
    state: State
    because: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""
    height: int = 0
    width: int = 0
    bytes: int = 0
    macs: int = 0
    in_integers: float = 0.0
    zeros: float = 0.0
    val: Paired | None = None
    speed: Speed | None = None
    is_on_front: bool = False
    verdict: Verdict | None = None
    bundle: str | None = None
    threshold: Threshold | None = None
    no_threshold: str = ""
    twin: Twin | None = None

    @property
    def faster(self) -> float:
        """See ``front.Weighed``."""
        return self.speed.faster if self.speed else 0.0

    @property
    def spread(self) -> float:
        """See ``front.Weighed``."""
        return self.speed.spread if self.speed else 0.0

    @property
    def right(self) -> float:
        """See ``front.Weighed``."""
        return self.val.top1 if self.val else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The run's end.

    Attributes:
        parent: its name and version.
        labelled: False: "right" means as the parent says.
        budget: points.
        best: name of the fastest candidate that the guard passes; None: none passes.
        closest: where none passes, the one with the least drop on the guard's pictures.
        candidates: the parent, those that the recipe names in its order, rescues, then the search's as they were
            proposed.
    """

    name: str
    parent: str
    labelled: bool
    budget: float
    strict: bool
    pictures: dict[str, int]
    best: str | None
    closest: str | None
    candidates: tuple[Candidate, ...] = field(default=())

    def candidate(self, name: str) -> Candidate:
        """By name."""
        return next(one for one in self.candidates if one.name == name)

    def to_json(self) -> dict[str, Any]:
        """What ``json.dumps`` takes."""
        return asdict(self)
