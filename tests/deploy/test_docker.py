"""The Dockerfile: what hadolint says, what it copies, what it installs, and its health check against a real server."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from docker.utils import exclude_paths
from packaging.requirements import Requirement

from server.config import Config, resolve
from tests.deploy.dockerfile import DOCKERFILE, IGNORED, bases, environment, health_command, instructions, of
from tests.docs.pages import ROOT
from tests.server.mean_colour import write_mean_colour
from tests.server.running import free_port, serving

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = ("cpu", "cuda")
DOCKERFILE_PATH = "deploy/docker/Dockerfile"


def hadolint(text: str) -> tuple[int, str]:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, "-"], input=text, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_hadolint_has_nothing_to_say() -> None:
    assert hadolint(DOCKERFILE.read_text()) == (0, "")


def test_hadolint_would_say_something() -> None:
    code, said = hadolint(DOCKERFILE.read_text() + "\nRUN cd /tmp && apt-get install curl\n")
    assert code != 0
    assert "DL3003" in said


def context() -> set[str]:
    """The files that a build is given: the tracked and new ones that .dockerignore lets through."""
    found: set[str] = exclude_paths(str(ROOT), IGNORED.read_text().splitlines(), DOCKERFILE_PATH)
    return found


def copied() -> list[str]:
    """The files and folders of the context that an image is made of."""
    copies = [each.words for each in instructions() if each.name == "COPY" and "--from" not in each.rest]
    return [source for words in copies for source in words[:-1]]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    given = context()
    assert [source for source in copied() if source not in given or not (ROOT / source).exists()] == []


def test_the_context_is_the_image_s_and_nothing_else() -> None:
    tops = {path.partition(os.sep)[0] for path in context()}
    assert tops == {*copied(), "deploy", ".dockerignore"}  # a build is always given its own two files
    assert [path for path in context() if path.startswith("deploy/") and path.count("/") > 1] == [DOCKERFILE_PATH]
    assert [path for path in context() if "__pycache__" in path or path.endswith((".pyc", ".key", ".env"))] == []


@pytest.mark.slow
def test_the_context_builds_a_package_that_predicts(tmp_path: Path) -> None:
    """What pip does in the image, with the files that it is given there."""
    source, wheels, site = tmp_path / "source", tmp_path / "wheels", tmp_path / "site"
    for path in sorted(context()):
        if (ROOT / path).is_file():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, source / path)
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.glob("quickeye-*.whl")
    shutil.unpack_archive(wheel, site, "zip")
    photo = ROOT / "deploy" / "compose" / "photos" / "coffee.jpg"
    command = [sys.executable, "-m", "quickeye", "predict", str(photo), "--json"]
    done = subprocess.run(
        command, cwd=site, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["predictions"][0]["label"] == "espresso"


def installed_with(extra: str) -> set[str]:
    """All distributions that an extra of the project asks for, by the requirements of those installed here."""
    names: set[str] = set()
    todo = [Requirement(text) for text in PROJECT["dependencies"]]
    todo += [Requirement(text) for text in PROJECT["optional-dependencies"][extra]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        wanted = todo.pop()
        key = (wanted.name.lower().replace("_", "-"), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        names.add(key[0])
        if key[0] == "quickeye":
            todo += [Requirement(text) for each in wanted.extras for text in PROJECT["optional-dependencies"][each]]
        else:
            todo += requirements_of(distribution(wanted.name), wanted.extras)
    return names


def requirements_of(package: Distribution, extras: set[str]) -> list[Requirement]:
    asked = [Requirement(text) for text in package.requires or []]
    return [
        each
        for each in asked
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def pip_installs(target: str) -> str:
    (stage,) = {each.rest.split()[0].partition("=")[2] for each in of(target, "COPY") if "--from=" in each.rest}
    (install,) = [each.rest for each in of(stage, "RUN") if "pip install" in each.rest]
    assert "--constraint constraints.txt" in install
    arguments = [each.rest for each in of(stage, "ARG")]
    for argument in arguments:
        name, _, default = argument.partition("=")
        install = install.replace(f"${{{name}}}", default)
    return install.rpartition("[")[2].partition("]")[0]


def test_the_cpu_image_installs_no_torch_and_nothing_of_the_optimiser() -> None:
    names = installed_with(pip_installs("cpu"))
    assert {"onnxruntime", "numpy", "fastapi", "starlette"} <= names
    assert names.isdisjoint({"torch", "scipy", "optuna", "nvidia-cublas", "onnxruntime-gpu"})


def test_that_would_be_seen() -> None:
    assert "torch" in installed_with("optimize")


def test_the_cuda_image_installs_the_extra_for_gpus() -> None:
    assert pip_installs("cuda") in PROJECT["optional-dependencies"]


@pytest.mark.parametrize("target", TARGETS)
def test_each_image_may_have_more_extras_such_as_tracing(target: str) -> None:
    (stage,) = [each.rest.partition("=")[2].split()[0] for each in of(target, "COPY") if "--from=" in each.rest]
    (extra,) = [each.rest for each in of(stage, "ARG")]
    assert extra == f"EXTRA={pip_installs(target)}"
    assert "otel" in PROJECT["optional-dependencies"]


@pytest.mark.parametrize("target", TARGETS)
def test_it_runs_as_a_number_that_is_not_root_without_a_shell(target: str) -> None:
    *_, user = of(target, "USER")
    assert all(part.isdigit() and int(part) > 0 for part in user.rest.split(":"))
    (entry,), (command,) = of(target, "ENTRYPOINT"), of(target, "CMD")
    assert json.loads(entry.rest) + json.loads(command.rest) == ["quickeye", "serve"]
    assert bases(target) == ["base", target]


def test_the_last_stage_is_the_small_one() -> None:
    assert instructions()[-1].stage == "cpu"


@pytest.mark.parametrize("target", TARGETS)
def test_its_environment_is_settings_that_exist_and_its_port_the_one_exposed(target: str) -> None:
    config = resolve({}, {k: v for k, v in environment(target).items() if k.startswith("QUICKEYE_")}).config
    assert (config.host, config.log_format, config.port) == ("0.0.0.0", "json", Config().port)
    (exposed,) = of(target, "EXPOSE")
    assert int(exposed.rest) == config.port


def test_its_version_is_the_project_s() -> None:
    (version,) = [each.rest for each in of("cpu", "ARG") if each.rest.startswith("VERSION=")]
    assert version == f"VERSION={PROJECT['version']}"
    (label,) = of("cpu", "LABEL")
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in label.rest
    assert f'licenses="{PROJECT["license"]}"' in label.rest


def healthy(port: int) -> bool:
    """What the health check says, with a proxy in the environment that it must not ask."""
    program, *arguments = health_command()
    assert program == "python"
    clean = {"PATH": os.environ["PATH"], "QUICKEYE_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, *arguments], env=clean, capture_output=True, timeout=120, check=False)
    assert done.returncode in (0, 1)
    return done.returncode == 0


def test_the_health_check_tells_a_server_that_answers_from_one_that_does_not(tmp_path: Path) -> None:
    assert not healthy(free_port())
    write_mean_colour(tmp_path / "store")
    flags = ("--store", str(tmp_path / "store"), "--backend", "onnxruntime")
    with serving(tmp_path, *flags, grace_s=600.0) as running:
        assert healthy(running.port)
        running.terminate()
        with running.client() as client:
            while client.get("/readyz").status_code == 200:
                pass
        assert not healthy(running.port)
