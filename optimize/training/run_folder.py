"""The names of everything in a training run's folder; who writes and who reads a file agree here.

recipe.toml      the recipe, flags included, as it was run
state.json       where the run stands: status, epoch, epochs, data fingerprint, best epoch
data.json        what the data is: counts by class and split, duplicates, leaks, unreadable files
metrics.csv      a row for each epoch, nothing that depends on a clock
times.csv        a row for each epoch: seconds, images per second
checkpoints/     epoch-0007.pt, the last two
predictions/     val.npz, test.npz: what the final network says of each picture
judgement.json   what those predictions are worth, nothing that depends on a clock
latency.json     how long the bundle takes for one picture here
mistakes.json    the worst mistakes as small pictures with heat maps, for the report
store/           NAME/1: the bundle, served by ``quickeye serve --store RUN/store``
tensorboard/     event files
report.html      all of it, for people
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths below ``root``; nothing is made or read here."""

    root: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.toml"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def data(self) -> Path:
        return self.root / "data.json"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.csv"

    @property
    def times(self) -> Path:
        return self.root / "times.csv"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def judgement(self) -> Path:
        return self.root / "judgement.json"

    @property
    def latency(self) -> Path:
        return self.root / "latency.json"

    @property
    def mistakes(self) -> Path:
        return self.root / "mistakes.json"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def bad_batch(self) -> Path:
        """The batch at which the loss stopped being a number."""
        return self.root / "bad_batch.npz"

    def predictions(self, split: str) -> Path:
        """``split``: "val" or "test"."""
        return self.root / "predictions" / f"{split}.npz"
