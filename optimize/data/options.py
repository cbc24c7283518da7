"""What a recipe's ``[data]`` says: where pictures and labels are, how they are split, checked, kept and drawn."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimize.choice import Choice

# A recipe holds strings and lists; these fields take them too.
LaxPath = Annotated[Path, Field(strict=False)]
Paths = Annotated[tuple[LaxPath, ...], Field(strict=False, min_length=1)]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]


class DataOptions(Choice):
    """Settings of ``[data]``.

    Attributes:
        train: a folder of class folders, an IDX images file, prefix or folder, a CSV or JSONL manifest; or several.
        val: likewise; absent: ``val_share`` of ``train``.
        val_share: the share of ``train`` that validates, where ``val`` and a split column are absent.
        test: likewise; judged once, at the end.
        hold_out: how many pictures are taken from ``train`` for the test instead.
        target: a folder of pictures without labels, for adaptation to where they come from.
        classes: names of the classes in the order of their numbers; absent: as found in ``train``.
        picture_column: of a manifest; absent: ``picture``, ``image``, ``path``, ``file`` or ``filename``.
        label_columns: of a manifest, one for each task; absent: ``label`` or ``class``.
        split_column: of a manifest, holding train, val or test; absent: ``split`` where there is one.
        unreadable: what happens to pictures that can't be decoded; the report lists them all.
        leaks: what happens to training pictures that are, byte for byte, in validation or test too.
        look_alikes: also look for training pictures that are likely copies of evaluated ones, encoded anew.
        missing_from_val: what happens when a class has no picture to validate with.
        limit: so many pictures of each class at most, the first in order, of all paths of ``train`` together; of
            ``target``, whose classes nobody knows, so many in all; 0: all. For trying a recipe out.
        sample: ``balanced`` draws every class equally often.
        repeats: how often a picture comes in a row, augmented anew each time; the epoch keeps its length.
        class_weights: weigh the loss by how rare a class is.
        memory_mb: decoded pictures are kept in memory where they fit into so many MB, else decoded anew each epoch.
        workers: threads that decode; 0: as many as there are cores.
        prefetch: how many batches are decoded ahead, where pictures are not in memory.
    """

    train: LaxPath | Paths
    val: LaxPath | None = None
    val_share: float = Field(default=0.1, gt=0, lt=1)
    test: LaxPath | None = None
    hold_out: int = Field(default=0, ge=0)
    target: LaxPath | None = None

    classes: Names | None = None
    picture_column: str | None = None
    label_columns: Names | None = None
    split_column: str | None = None

    unreadable: Literal["skip", "stop"] = "skip"
    leaks: Literal["report", "drop", "stop"] = "report"
    look_alikes: bool = True
    missing_from_val: Literal["stop", "report"] = "stop"
    limit: int = Field(default=0, ge=0)

    sample: Literal["shuffle", "balanced"] = "shuffle"
    repeats: int = Field(default=1, ge=1)
    class_weights: bool = False

    memory_mb: int = Field(default=2048, ge=0)
    workers: int = Field(default=0, ge=0, le=256)
    prefetch: int = Field(default=2, ge=1, le=64)

    @property
    def train_paths(self) -> tuple[Path, ...]:
        """``train`` as a tuple, one path or several."""
        return self.train if isinstance(self.train, tuple) else (self.train,)

    @model_validator(mode="after")
    def _one_test_set(self) -> "DataOptions":
        if self.test is not None and self.hold_out:
            raise ValueError("test and hold_out exclude each other: the test set is given, or taken from train")
        return self
