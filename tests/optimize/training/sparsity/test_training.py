"""``[sparsity]`` in whole trainings: zeros in the bundle, the same bytes though killed, what is refused."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from optimize.errors import RecipeError
from optimize.training.checkpoint import load_checkpoint
from optimize.training.checkpoint_names import checkpoints
from optimize.training.finished import EpochRow
from optimize.training.recipe_file import to_toml
from optimize.training.run_folder import RunFolder
from optimize.training.trainer import train
from tests.optimize.training.small_runs import small_recipe, write_stripes
from tests.optimize.training.test_resume import command, killed_while, products

# All that an update does: accumulate, clip, average.
TRAIN: dict[str, Any] = {"epochs": 4, "accumulate": 2, "clip_norm": 1.0, "ema": 0.9}
SPARSITY: dict[str, Any] = {"share": 0.75, "score": "snip", "rounds": 4, "end": 0.6}


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stripes(tmp_path_factory.mktemp("pictures") / "stripes", each=24)


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Those that are judged: the last checkpoint's, averaged where there is an average."""
    state = load_checkpoint(checkpoints(RunFolder(folder).checkpoints)[-1])
    return dict(state["state_dict_ema"] if "state_dict_ema" in state else state["state_dict"])


def layers_of(folder: Path) -> dict[str, Tensor]:
    """Weights of convolutions and linear layers, but for those that see one channel."""
    return {name: one for name, one in weights_of(folder).items() if one.ndim in (2, 4) and one.shape[1] > 1}


def zero_share(folder: Path) -> float:
    layers = layers_of(folder).values()
    return sum(int((one == 0).sum()) for one in layers) / sum(one.numel() for one in layers)


def test_a_run_killed_after_every_epoch_comes_to_the_same_bits(stripes: Path, tmp_path: Path) -> None:
    recipe = small_recipe(stripes, train=TRAIN, sparsity=SPARSITY)
    train(recipe, tmp_path / "whole", export=False)
    assert zero_share(tmp_path / "whole") == pytest.approx(0.75, abs=0.02)  # the first layer, which sees one, too

    def watch(row: EpochRow) -> None:
        if row.epoch not in told:
            told.add(row.epoch)
            raise Killed

    told: set[int] = set()
    for _ in range(TRAIN["epochs"]):
        with pytest.raises(Killed):
            train(recipe, tmp_path / "again", watch=watch, export=False)
    train(recipe, tmp_path / "again", watch=watch, export=False)
    whole, again = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "again")
    assert whole.metrics.read_bytes() == again.metrics.read_bytes()
    assert whole.predictions("val").read_bytes() == again.predictions("val").read_bytes()
    states = [load_checkpoint(checkpoints(run.checkpoints)[-1]) for run in (whole, again)]
    for key in ("state_dict", "state_dict_ema", "sparsity"):
        assert same(states[0][key], states[1][key]), key
    assert sum(int(one.sum()) for one in states[0]["sparsity"]["zeros"].values()) > 0


def same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """Of tables of tensors, to the bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)


@pytest.mark.slow
@pytest.mark.parametrize("score", ["movement", "snip"])
def test_kill_9_at_any_moment_ends_in_the_same_bytes(stripes: Path, tmp_path: Path, score: str) -> None:
    recipe = tmp_path / "stripes.toml"
    recipe.write_text(to_toml(small_recipe(stripes, train=TRAIN, sparsity={**SPARSITY, "score": score})))
    subprocess.run(command(recipe, tmp_path / "whole"), check=True, timeout=280, capture_output=True)
    out = tmp_path / "killed"
    folder = RunFolder(out)
    for epoch in (1, 2, 3):

        def is_time(epoch: int = epoch) -> bool:
            saved = checkpoints(folder.checkpoints)
            return bool(saved) and int(saved[-1].stem[6:]) >= epoch

        assert killed_while(command(recipe, out), is_time) == -signal.SIGKILL
    subprocess.run(command(recipe, out), check=True, timeout=280, capture_output=True)
    assert products(out) == products(tmp_path / "whole")


@pytest.mark.parametrize(
    ("settings", "train_table", "share"),
    [
        ({"score": "movement", "share": 0.5}, {"sam": 0.05}, 0.5),
        ({"share": 0.6}, {"precision": "int8"}, 0.6),
        ({"share": 0.6, "end": 0.0}, {"precision": "bf16", "max_steps": 3}, 0.6),
    ],
)
def test_it_goes_with_other_ways_to_train(
    stripes: Path, tmp_path: Path, settings: dict[str, Any], train_table: dict[str, Any], share: float
) -> None:
    train(small_recipe(stripes, train=train_table, sparsity=settings), tmp_path / "run", export=False)
    assert zero_share(tmp_path / "run") == pytest.approx(share, abs=0.02)


def test_zeros_at_the_start_stay_and_the_rest_trains(stripes: Path, tmp_path: Path) -> None:
    train(small_recipe(stripes, sparsity={"share": 0.8, "end": 0.3}), tmp_path / "sparse", export=False)
    start = checkpoints(RunFolder(tmp_path / "sparse").checkpoints)[-1]
    again = {"model": {"weights": str(start)}, "train": {"ema": 0.9, "keep": "best"}, "sparsity": {"share": 0.0}}
    train(small_recipe(stripes, **again), tmp_path / "again", export=False)
    before, after = layers_of(tmp_path / "sparse"), layers_of(tmp_path / "again")
    assert len(before) > 2
    for name, one in before.items():
        assert torch.equal(one == 0, after[name] == 0)
        assert not torch.equal(one, after[name])


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"train": {"keep": "best"}}, 'set train.keep = "last"'),
        ({"train": {"early_stopping": 2}}, "set train.early_stopping = 0"),
        ({"transfer": {"name": "head"}}, "take 'full'"),
        ({"ensemble": {"name": "soup"}}, "leave one of the two out"),
        ({"sparsity": {"begin": 0.8, "end": 0.5}}, "begin to come at 0.8 of the run and end at 0.5"),
        ({"sparsity": {"pattern": "2:4", "share": 0.7}}, "leave share out"),
        ({"sparsity": {"share": 1.0}}, "less than 1"),
        ({"sparsity": {"score": "gradient"}}, "'magnitude', 'movement' or 'snip'"),
        ({"sparsity": {"shares": 0.5}}, "did you mean 'share'"),
    ],
)
def test_what_can_t_be_is_refused_in_words(stripes: Path, tables: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        small_recipe(stripes, **{"sparsity": {}, **tables})
