"""A profile as tools read it."""

import orjson

from server.profiling.formats import as_json, folded, speedscope
from tests.server.profiling.canned_profile import canned

LOOP = "event loop;main (server/serving.py:10)"
DECODE = "decode: </script><b> (PIL/Image.py:20)"
WAIT = "Condition.wait (threading.py:295)"


def test_folded_stacks_count_microseconds_the_most_first() -> None:
    assert folded(canned(), "cpu").decode().splitlines() == [f"{LOOP};{DECODE} 1500000", f"{LOOP} 500000"]
    assert folded(canned(), "wall").decode().splitlines() == [
        f"shoes/1 instance 0;{WAIT} 4000000",
        f"{LOOP};{DECODE} 2000000",
        f"{LOOP};{WAIT} 1000000",
        f"{LOOP} 1000000",
    ]


def test_speedscope_gets_every_thread_with_its_own_times() -> None:
    document = orjson.loads(speedscope(canned()))
    names = [frame["name"] for frame in document["shared"]["frames"]]
    profiles = {profile["name"]: profile for profile in document["profiles"]}
    assert list(profiles) == ["event loop, CPU time", "event loop, wall time", "shoes/1 instance 0, wall time"]
    loop = profiles["event loop, CPU time"]
    assert [[names[number] for number in sample] for sample in loop["samples"]] == [
        ["main", "decode; </script><b>"],
        ["main"],
    ]
    for profile in profiles.values():
        assert (profile["type"], profile["unit"], profile["startValue"]) == ("sampled", "seconds", 0)
        assert len(profile["samples"]) == len(profile["weights"])
        assert sum(profile["weights"]) == profile["endValue"]


def test_json_has_all_of_it() -> None:
    document = orjson.loads(as_json(canned()))
    assert (document["seconds"], document["samples"], document["process_cpu_s"]) == (4.0, 40, 2.25)
    loop, idle = document["threads"]
    assert (loop["name"], loop["wall_s"], loop["cpu_s"]) == ("event loop", 4.0, 2.0)
    assert idle["stacks"] == [
        {
            "frames": [{"name": "Condition.wait", "file": "threading.py", "line": 295}],
            "wall_s": 4.0,
            "cpu_s": 0.0,
            "samples": 40,
        }
    ]


def test_where_cpu_time_is_not_known_wall_time_is_told_alone() -> None:
    document = orjson.loads(speedscope(canned(knows_cpu=False)))
    assert {profile["name"].rpartition(", ")[2] for profile in document["profiles"]} == {"wall time"}
