"""A profile whose figures the test wrote."""

from server.profiling.profile import Frame, Profile, Stack, ThreadProfile

MAIN = Frame("main", "server/serving.py", 10, "ours")
DECODE = Frame("decode; </script><b>", "PIL/Image.py", 20, "package")
WAIT = Frame("Condition.wait", "threading.py", 295, "standard")


def canned(knows_cpu: bool = True) -> Profile:
    """Two threads: the loop decodes for half of its time on a CPU and waits; the other never runs."""
    loop = [Stack((MAIN, DECODE), 2.0, 1.5, 20), Stack((MAIN, WAIT), 1.0, 0.0, 10), Stack((MAIN,), 1.0, 0.5, 10)]
    idle = [Stack((WAIT,), 4.0, 0.0, 40)]
    threads = [ThreadProfile("event loop", loop, 2.0), ThreadProfile("shoes/1 instance 0", idle, 0.0)]
    return Profile(threads, 4.0, 40, knows_cpu, 2.25, 0.03, 0, False)
