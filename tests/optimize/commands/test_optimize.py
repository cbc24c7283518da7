"""The command line of ``quickeye optimize``: exit codes and what is said."""

import json
from pathlib import Path

import pytest
import tomli_w

from model_zoo.bundle import read_bundle
from model_zoo.manifest import Abstain
from model_zoo.store import Store
from optimize.commands.optimize import INTERRUPTED, main
from optimize.commands.optimize_flags import make_parser, recipe_content
from optimize.judging.abstain_bundle import with_threshold
from tests.optimize.candidates.small import INT8, content
from tests.optimize.training.small_runs import write_stripes


def write_recipe(tmp_path: Path, *candidates: dict[str, object], **tables: object) -> str:
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(content(tmp_path, *candidates, **tables)))  # type: ignore[arg-type]
    return str(path)


def test_a_recipe_ends_in_a_table_and_a_bundle_to_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main([write_recipe(tmp_path), "--out", str(out), "--max-drop", "100"]) == 0
    said = capsys.readouterr()
    assert "int8 is the fastest within the budget" in said.out
    assert f"quickeye serve --store {out / 'store'} --model stripes-int8" in said.out
    assert "int8: quantize_int8 …" in said.err
    assert main([write_recipe(tmp_path), "--out", str(out), "--max-drop", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["best"], found["budget"]) == ("int8", 100.0)


def test_a_parent_s_score_for_unknown_is_said_to_be_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = content(tmp_path)
    parent = Path(str(made["model"]))
    held = Abstain(threshold=0.5, promise="max_unknown", limit=0.5, confidence=0.95, dataset="d", n=10, answered=0.6)
    made["model"] = str(with_threshold(read_bundle(parent), held, "unknown below 0.5").folder)
    for tables, times in (({}, 1), ({"abstain": {"max_unknown": 50.0}}, 0)):
        path = tmp_path / "recipe.toml"
        path.write_text(tomli_w.dumps({**made, **tables}))
        assert main([str(path), "--out", str(tmp_path / "run"), "--max-drop", "100"]) == 0
        assert capsys.readouterr().err.count("goes into no candidate; [abstain]") == times


def test_a_budget_that_nothing_meets_is_1_and_names_the_closest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Strictly nothing may be lost, and twenty pictures can't show that."""
    assert main([write_recipe(tmp_path), "--out", str(tmp_path / "run"), "--max-drop", "0", "--strict"]) == 1
    said = capsys.readouterr().out
    assert "no candidate keeps the budget; int8 comes closest" in said
    assert "0 may be lost, also at the interval's bad end: not within the budget" in said
    assert (tmp_path / "run" / "store" / "stripes-int8" / "1" / "model.onnx").exists()


def test_a_model_by_folder_is_planned_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = content(tmp_path)
    words = [made["model"], "--data", made["data"]["train"], "--out", str(tmp_path / "run"), "--time-limit", "0.00001"]
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "waiting: time ended before it" in said
    assert "macs50-int8" in said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing", "--data", "pictures"], 1, "no model 'nothing'"),
        (["weights.onnx", "--data", "pictures"], 1, "quickeye models import"),
        (["absent.toml"], 2, "can't be read"),
        (["a" * 300, "--data", "pictures"], 1, "is not a model"),
        (["efficientnet_lite0", "--data", "pictures"], 2, "quantised already"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], code: int,
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.onnx").write_bytes(b"")
    assert main([*words, "--out", str(tmp_path / "run")]) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_shipped_recipe_is_found_by_its_name_and_flags_go_before_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    publish = {"name": "lines", "dataset": "pictures of the recipe", "test_dataset": "more of them"}
    Path(write_recipe(tmp_path, publish=publish)).rename(shipped / "stripes_fast.toml")
    monkeypatch.setattr("optimize.training.recipe_file.SHIPPED", shipped)
    guarding = write_stripes(tmp_path / "guarding", each=7, seed=9)
    words = [
        "stripes_fast",
        "--out",
        str(tmp_path / "run"),
        "--max-drop",
        "100",
        "--test",
        str(guarding),
        "--unlabelled",
    ]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["labelled"], found["pictures"]["guard"]) == (False, 14)
    rows = Store(tmp_path / "run" / "store").open("lines").manifest.accuracy
    assert {(one.split, one.dataset) for one in rows} == {
        ("validation", "pictures of the recipe"),
        ("test", "guarding"),
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stripes_fast").mkdir()  # a folder of that name is a model
    with pytest.raises(SystemExit, match="2"):
        main(["stripes_fast"])
    assert "name the pictures with --data" in capsys.readouterr().err


def test_an_unknown_step_is_a_fault_of_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = write_recipe(tmp_path, {"name": "a", "steps": [{"name": "prunes"}]})
    assert main([recipe, "--out", str(tmp_path / "run")]) == 2
    assert "did you mean 'prune'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["efficientnet_lite0"], "name the pictures with --data DIR"),
        (["recipe.toml", "--epochs", "3"], "write it into the recipe's steps"),
        (["zoo:resnet18", "--data", "x", "--time-limit", "0"], "leave the flag out for no limit"),
    ],
)
def test_flags_that_do_not_go_together_are_usage(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("table", ["data", "budget", "measure"])
def test_a_value_where_a_table_belongs_is_a_fault_of_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    recipe = write_recipe(tmp_path, **{table: 3})
    assert main([recipe, "--data", "x", "--out", str(tmp_path / "run")]) == 2
    assert f"{table} is a table of settings, not 3" in capsys.readouterr().err


def test_a_strangers_folder_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "photos"
    out.mkdir()
    (out / "diary.txt").write_text("dear")
    assert main(["zoo:efficientnet_lite0", "--data", "nowhere", "--out", str(out)]) == 1
    assert "holds files, but no optimization" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["diary.txt"]


def test_interrupted_it_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("optimize.candidates.run.measure_speed", interrupted)
    recipe = write_recipe(tmp_path, {"name": "int8", "steps": [INT8]})
    assert main([recipe, "--out", str(tmp_path / "run")]) == INTERRUPTED
    assert "the same command goes on" in capsys.readouterr().err


def test_set_has_the_last_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [write_recipe(tmp_path), "--out", str(tmp_path / "run"), "--max-drop", "0", "--strict", "--json"]
    assert main([*words, "--set", "budget.max_drop=100", "--set", "candidate.int8.name=small"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["best"], found["budget"]) == ("small", 100.0)


def test_set_says_what_it_does_not_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write_recipe(tmp_path), "--set", "budget.max_drops=1", "--out", str(tmp_path / "run")]) == 2
    assert "max_drops" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_smoke_takes_every_step_with_next_to_nothing(tmp_path: Path) -> None:
    steps = [{"name": "finetune", "epochs": 50}, "quantize_int8"]
    path = write_recipe(tmp_path, {"name": "small", "steps": steps}, calibration=500, measure={"seconds": 500.0})
    content = recipe_content(make_parser().parse_args([path, "--smoke", "--set", "data.limit=3"]))
    finetune, quantize = content["candidate"][0]["steps"]
    assert (finetune["name"], finetune["epochs"], quantize["name"]) == ("finetune", 1, "quantize_int8")
    assert (content["data"]["limit"], content["calibration"], content["measure"]["seconds"]) == (3, 8, 0.1)
    assert content["finetune"]["train"]["max_steps"] == 2


def test_smoke_holds_out_no_more_than_it_looks_at(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, {"name": "small", "steps": ["quantize_int8"]})
    words = [path, "--set", "data.hold_out=1000"]
    assert recipe_content(make_parser().parse_args([*words, "--smoke"]))["data"]["hold_out"] == 8
    assert recipe_content(make_parser().parse_args(words))["data"]["hold_out"] == 1000


def test_smoke_of_a_recipe_that_is_wrong_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('name = "a"\nmodel = "b"\ncandidate = 3\ndata = { train = "photos" }\n')
    assert main([str(path), "--smoke"]) == 2
    assert "candidate" in capsys.readouterr().err
