"""A recipe and its data, put together: everything that a step needs, built once."""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from optimize.data.loader import Loader
from optimize.data.order import class_weights
from optimize.data.picture_store import PictureStore
from optimize.data.read import Data
from optimize.errors import RecipeError
from optimize.training.augmentations.pipeline import Pipeline
from optimize.training.batch_norm import trains_batch_norms
from optimize.training.batches import BatchMaker
from optimize.training.bundle_names import bundle_names
from optimize.training.ema import Ema
from optimize.training.incoming import Incoming, size_at
from optimize.training.memory_format import may_lie_by_channel
from optimize.training.network.build import build_network
from optimize.training.network.feature_taps import FeatureTaps
from optimize.training.network.network import Network
from optimize.training.normalise import Normalise
from optimize.training.objective import Objective, build_objective
from optimize.training.precision import Precision, choose_device, choose_precision
from optimize.training.recipe import Recipe
from optimize.training.sam import Sam
from optimize.training.schedules import Schedule
from optimize.training.sparsity.sparse_weights import SparseWeights
from optimize.training.step import TermContext
from optimize.training.teacher.read import read_teacher
from optimize.training.teacher.teacher import Teacher
from optimize.training.teaching import Teach, asked, remembered
from optimize.training.terms import SEE_LAYERS
from optimize.training.transfer.cached_features import HeadOnFeatures
from optimize.training.transfer.parameter_groups import parameter_groups
from optimize.training.transfer.plan import Plan

Say = Callable[[str], None]

LEFT_OUT = "an epoch leaves out one picture, another each time: it would be a batch alone, and batch norms need two"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """See the module.

    Attributes:
        forward: the network, or its head where features are cached; compiled where the recipe says so.
        steps: batches of an epoch.
        updates: steps of the optimiser in an epoch.
        sparsity: the weights that are 0 and become so; None where the recipe says nothing of them.
        teach: what the teacher sees of a batch; None without one.
        taps: keep the features that terms read; None where none does.
        trained: every parameter that the optimiser moves.
        pictures: that an epoch goes through.
        teacher: the teacher's fingerprint; None without one.
        is_plain: pictures are not augmented.
    """

    recipe: Recipe
    device: torch.device
    precision: Precision
    network: Network
    forward: Callable[[Tensor], Tensor]
    plan: Plan
    objective: Objective
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    ema: Ema | None
    sam: Sam | None
    sparsity: SparseWeights | None
    loader: Loader
    maker: BatchMaker
    target_loader: Loader | None
    target_maker: BatchMaker
    teach: Teach | None
    taps: FeatureTaps | None
    trained: list[nn.Parameter]
    steps: int
    pictures: int
    teacher: str | None
    is_plain: bool

    @property
    def epochs(self) -> int:
        return self.recipe.train.epochs

    @property
    def slices(self) -> tuple[slice, ...]:
        return self.network.slices

    @property
    def updates(self) -> int:
        return -(-self.steps // self.recipe.train.accumulate)

    def pictures_of(self, update: int) -> int:
        """How many pictures the batches of one of the epoch's steps of the optimiser have together."""
        size, accumulate = self.recipe.train.batch_size, self.recipe.train.accumulate
        first = update * accumulate
        last = min(first + accumulate, self.steps)
        return min(last * size, self.pictures) - first * size

    @property
    def judged(self) -> nn.Module:
        """The network that validation and export take: the average, where there is one."""
        return self.ema.network if self.ema is not None else self.network.module

    def size_at(self, progress: float) -> tuple[int, int]:
        """Height and width of the pictures at this share of the run."""
        return size_at(self.recipe, self.network, progress)


@contextmanager
def assembled(recipe: Recipe, data: Data, folder: Path, say: Say) -> Iterator[Assembly]:
    """Build it, and let its threads and hooks go afterwards.

    Args:
        folder: of the run; a teacher's answers are kept below it.
        say: tells a person what was chosen.
    Raises:
        RecipeError: techniques that do not fit each other or this network, or tasks whose bundles can't be named.
        CheckpointError: starting weights or a teacher that can't be read.
        DataError: a picture that can't be decoded.
    """
    with ExitStack() as stack:
        yield _Builder(recipe, data, folder, say, stack).build()


class _Builder:
    """One build; the parts that several others need are attributes."""

    def __init__(self, recipe: Recipe, data: Data, folder: Path, say: Say, stack: ExitStack) -> None:
        self.recipe, self.data, self.folder, self.say, self.stack = recipe, data, folder, say, stack
        bundle_names(recipe.name, data.train.tasks)
        self.device = choose_device(recipe.train.device)
        self.plan: Plan = recipe.transfer.choice
        self.network = self._network()
        self.pipeline = Pipeline([one.choice for one in recipe.augment], [one.choice for one in recipe.mix])
        self.normalise = Normalise(self.network.spec, self.device, channels_last=self.channels_last)
        self.incoming = Incoming(recipe, data, self.network, self.device, self.pipeline, self.normalise, closing=stack)

    def build(self) -> Assembly:
        recipe, options = self.recipe, self.recipe.train
        ema = Ema(self.network.module, options.ema) if options.ema else None
        teacher = self._teacher()
        objective = self._objective(teacher)
        store = self.incoming.opened(self.data.train)
        caches = self._caches_features(objective)
        teach = self._teach(teacher, objective, store)
        taps = self._taps(objective)
        if caches:
            self.say("what enters the head is computed once for each picture")
        loader = self.incoming.loader(self.incoming.featured(store) if caches else store)
        optimiser = self._optimiser(objective)
        steps = len(loader) - self._leaves_one_out(self.network)
        steps = min(steps, options.max_steps or steps)
        return Assembly(
            recipe=recipe,
            device=self.device,
            precision=choose_precision(options.precision, self.device),
            network=self.network,
            forward=self._forward(caches, taps),
            plan=self.plan,
            objective=objective,
            optimiser=optimiser,
            schedule=copy.deepcopy(recipe.schedule.choice),
            scaler=choose_precision(options.precision, self.device).scaler(),
            ema=ema,
            sam=Sam(self.network.module, options.sam, others=list(objective.parameters())) if options.sam else None,
            sparsity=self._sparsity(ema, steps),
            loader=loader,
            maker=self.incoming.maker(self.pipeline, features=caches),
            target_loader=self.incoming.target_loader() if objective.wants_target_domain else None,
            target_maker=self.incoming.maker(Pipeline(self.pipeline.augments)),
            teach=teach,
            taps=taps,
            trained=[parameter for group in optimiser.param_groups for parameter in group["params"]],
            steps=steps,
            pictures=len(self.data.train),
            teacher=teacher.fingerprint if teacher is not None else None,
            is_plain=self.incoming.is_plain,
        )

    def _network(self) -> Network:
        network = build_network(self.recipe.model, self.data.train.tasks, self.recipe.seed)
        if self._leaves_one_out(network):
            network = replace(network, notes=(*network.notes, LEFT_OUT))
        for note in network.notes:
            self.say(note)
        network.module.to(self.device)
        self.channels_last = self.recipe.train.channels_last and may_lie_by_channel(network.module, self.device)
        if self.channels_last:
            network.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _leaves_one_out(self, network: Network) -> bool:
        """Whether an epoch's last batch is one picture, and the network can't learn from that."""
        size, pictures = self.recipe.train.batch_size, len(self.data.train)
        is_alone = size > 1 and pictures > size and pictures % size == 1 and not self.recipe.train.drop_last
        return is_alone and trains_batch_norms(network, self.plan, self.recipe.train.epochs)

    def _teacher(self) -> Teacher | None:
        if self.recipe.teacher is None:
            return None
        # An engine may have made ready for batches of one size: the training's, where that is the smaller.
        batch_size = min(self.recipe.teacher.batch_size, self.recipe.train.batch_size)
        teacher = read_teacher(
            self.recipe.teacher.model_copy(update={"batch_size": batch_size}),
            self.data.train.classes,
            device=self.device,
            by_graph=self._teacher_is_a_graph,
        )
        self.stack.callback(teacher.close)
        return teacher

    @property
    def _teacher_is_a_graph(self) -> bool:
        """An engine takes less time than torch for the same, where both compute in fp32 on a CPU; layers it hides."""
        precision = choose_precision(self.recipe.train.precision, self.device)
        sees_layers = any(term.name in SEE_LAYERS for term in self.recipe.term)
        return self.device.type == "cpu" and precision.dtype is None and not sees_layers

    def _teach(self, teacher: Teacher | None, objective: Objective, store: PictureStore) -> Teach | None:
        options = self.recipe.teacher
        if teacher is None or options is None or not objective.wants_teacher:
            return None
        if not (self.incoming.is_plain and options.cache) or objective.teacher_features:
            return asked(teacher, objective.teacher_features)
        size = size_at(self.recipe, self.network, 0.0)
        return remembered(
            teacher,
            store,
            folder=self.folder / "teacher",
            data=self.data.report.fingerprint,
            size=size,
            view=f"{self.network.spec} at {size}",
            device=self.device,
            batch_size=options.batch_size,
            say=self.say,
        )

    def _objective(self, teacher: Teacher | None) -> Objective:
        network = self.network
        size = size_at(self.recipe, network, 0.0)
        example = torch.zeros(2, network.spec.channels, *size, device=self.device)
        context = TermContext(
            student=network.module,
            teacher=teacher,
            example=self.normalise(example),
            slices=network.slices,
            class_weights=self._class_weights(),
            seed=self.recipe.seed,
        )
        objective = build_objective(self.recipe, context).to(self.device)
        if objective.wants_teacher and teacher is None:
            raise RecipeError("a term wants a teacher: say which in [teacher], source = …")
        if objective.wants_target_domain and self.data.target is None:
            raise RecipeError("a term adapts to another domain: name a folder of its pictures in data.target")
        return objective

    def _class_weights(self) -> Tensor | None:
        if not self.recipe.data.class_weights:
            return None
        train = self.data.train
        columns = [class_weights(train.labels[:, number], len(task.classes)) for number, task in enumerate(train.tasks)]
        return torch.from_numpy(np.concatenate(columns)).float().to(self.device)

    def _caches_features(self, objective: Objective) -> bool:
        if not self.plan.caches_features:
            return False
        seen = objective.student_features or objective.wants_target_domain or self.recipe.teacher is not None
        if not self.incoming.is_plain or seen:
            raise RecipeError(
                "transfer.cached: features are computed once, so nothing random may happen to the pictures, and no "
                "teacher, other domain or feature map may be looked at: set transfer.cached = false"
            )
        return True

    def _taps(self, objective: Objective) -> FeatureTaps | None:
        if not objective.student_features:
            return None
        return self.stack.enter_context(FeatureTaps(self.network.module, objective.student_features))

    def _forward(self, caches: bool, taps: FeatureTaps | None) -> Callable[[Tensor], Tensor]:
        module: nn.Module = HeadOnFeatures(self.network.module) if caches else self.network.module
        if not self.recipe.train.compile:
            return module
        if taps is not None:
            raise RecipeError("train.compile: terms that read feature maps need the network as it is; set it to false")
        compiled: Callable[[Tensor], Tensor] = torch.compile(module)
        return compiled

    def _sparsity(self, ema: Ema | None, steps: int) -> SparseWeights | None:
        options, train = self.recipe.sparsity, self.recipe.train
        if options is None:
            return None
        updates = train.epochs * -(-steps // train.accumulate)
        return SparseWeights(self.network.module, options, updates, average=ema.network if ema else None)

    def _optimiser(self, objective: Objective) -> torch.optim.Optimizer:
        choice = self.recipe.optimiser.choice
        groups: list[dict[str, object]] = [
            dict(group)
            for group in parameter_groups(
                self.network, self.plan, epochs=self.recipe.train.epochs, lr=choice.lr, weight_decay=choice.weight_decay
            )
        ]
        learned = list(objective.parameters())
        if learned:
            groups.append({"params": learned, "lr": choice.lr, "weight_decay": 0.0, "name": "terms"})
        optimiser: torch.optim.Optimizer = choice.build(groups)
        return optimiser
