"""Cores from affinity and quotas, on made-up control groups."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.backends.threads import MAX_INSTANCES, ThreadPlan, available_cores, candidate_plans, plan_threads


def groups(root: Path, membership: str, files: dict[str, str]) -> dict[str, Path]:
    """A cgroup file system and this process's place in it, as arguments of ``available_cores``."""
    (root / "proc").write_text(membership)
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"cgroup_root": root / "cgroup", "proc_cgroup": root / "proc"}


def test_without_control_groups_it_is_the_affinity(tmp_path: Path) -> None:
    assert available_cores(affinity=6, cgroup_root=tmp_path, proc_cgroup=tmp_path / "none") == 6


def test_here_it_is_at_least_one_and_no_more_than_the_machine_has() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("max 100000", 8), ("1600000 100000", 8)],
)
def test_version_two_quotas_are_rounded_down(tmp_path: Path, limit: str, cores: int) -> None:
    here = groups(tmp_path, "0::/app\n", {"app/cpu.max": limit + "\n"})
    assert available_cores(affinity=8, **here) == cores


def test_the_smallest_quota_above_counts(tmp_path: Path) -> None:
    files = {"cpu.max": "max 100000", "pod/cpu.max": "300000 100000", "pod/app/cpu.max": "500000 100000"}
    assert available_cores(affinity=8, **groups(tmp_path, "0::/pod/app\n", files)) == 3


def test_in_a_container_the_mount_is_the_group(tmp_path: Path) -> None:
    here = groups(tmp_path, "0::/../../some/where\n", {"cpu.max": "200000 100000"})
    assert available_cores(affinity=8, **here) == 2


@pytest.mark.parametrize(
    ("mount", "controllers"), [("cpu,cpuacct", "cpu,cpuacct"), ("cpu", "cpu"), ("cpu", "cpu,cpuacct")]
)
@pytest.mark.parametrize("folder", ["docker/1234/", ""])
def test_version_one_quotas(tmp_path: Path, mount: str, controllers: str, folder: str) -> None:
    files = {f"{mount}/{folder}cpu.cfs_quota_us": "400000\n", f"{mount}/{folder}cpu.cfs_period_us": "100000\n"}
    membership = f"12:memory:/docker/1234\n4:{controllers}:/docker/1234\n"
    assert available_cores(affinity=8, **groups(tmp_path, membership, files)) == 4


def test_version_one_says_minus_one_for_no_quota(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert available_cores(affinity=8, **groups(tmp_path, "1:cpu:/\n", files)) == 8


@pytest.mark.parametrize("text", ["", "garbage", "100000", "1e5 100000", "0 0", "-5 100000"])
def test_what_makes_no_sense_is_no_quota(tmp_path: Path, text: str) -> None:
    assert available_cores(affinity=3, **groups(tmp_path, "nonsense\n0::/a\n", {"a/cpu.max": text})) == 3


@pytest.mark.parametrize(("cores", "plan"), [(1, "1x1"), (2, "2x1"), (8, "8x1"), (16, "8x2"), (20, "8x2"), (64, "8x8")])
def test_instances_come_before_threads(cores: int, plan: str) -> None:
    assert str(plan_threads(cores)) == plan


@given(cores=st.integers(1, 512), most=st.integers(1, 64))
def test_a_plan_never_asks_for_more_than_there_is(cores: int, most: int) -> None:
    plan = plan_threads(cores, max_instances=most)
    assert 1 <= plan.instances <= most
    assert plan.threads >= 1
    assert cores / 2 < plan.instances * plan.threads <= cores


@given(st.integers(1, 256))
def test_candidates_are_different_and_begin_with_the_default(cores: int) -> None:
    plans = candidate_plans(cores)
    assert plans[0] == plan_threads(cores)
    assert ThreadPlan(1, cores) in plans
    assert len(set(plans)) == len(plans)
    assert all(plan.instances * plan.threads <= cores and plan.instances <= MAX_INSTANCES for plan in plans)


def test_two_cores_have_two_candidates() -> None:
    assert [str(plan) for plan in candidate_plans(2)] == ["2x1", "1x2"]


@pytest.mark.parametrize("cores", [0, -1])
def test_no_cores_are_refused(cores: int) -> None:
    with pytest.raises(ValueError, match="at least one core"):
        plan_threads(cores)
