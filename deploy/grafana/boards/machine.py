"""Machine: what the server's process takes of it, and whether something blocks."""

from deploy.grafana.boards.gpus import GPU
from deploy.grafana.dashboard import Dashboard, row, section
from deploy.grafana.panels import GREEN, RED, YELLOW, Panel, Query
from deploy.grafana.queries import buckets, of_process, per_second, quantile

NO_SERVER = "No server was read in this time"
CPU = of_process("process_cpu_seconds_total")
MEMORY = of_process("process_resident_memory_bytes")
VIRTUAL = of_process("process_virtual_memory_bytes")
STARTED = of_process("process_start_time_seconds")
OPEN, MOST_OPEN = of_process("process_open_fds"), of_process("process_max_fds")
LAG = of_process("quickeye_event_loop_lag_seconds")

FIGURES = row(
    4,
    Panel(
        "CPU",
        "Cores in use, of all servers chosen; 2 are two cores busy all the time.",
        "short",
        (Query(per_second(CPU)),),
        NO_SERVER,
        kind="stat",
        decimals=2,
    ),
    Panel(
        "Memory",
        "Resident, of all servers chosen.",
        "bytes",
        (Query(f"sum({MEMORY})"),),
        NO_SERVER,
        kind="stat",
    ),
    Panel(
        "Open files",
        "Files and sockets as a share of the limit; the fullest server. Every connection takes one.",
        "percentunit",
        (Query(f"max({OPEN} / {MOST_OPEN})"),),
        NO_SERVER,
        kind="stat",
        colours=((None, GREEN), (0.7, YELLOW), (0.9, RED)),
    ),
    Panel(
        "Event loop late by",
        "99 of 100 times, the event loop woke up at most this much later than it asked to.",
        "s",
        (Query(quantile(0.99, LAG)),),
        NO_SERVER,
        kind="stat",
        colours=((None, GREEN), (0.05, YELLOW), (0.25, RED)),
    ),
    Panel(
        "Youngest server",
        "Time since the last start of any server chosen.",
        "s",
        (Query(f"min(time() - {STARTED})"),),
        NO_SERVER,
        kind="stat",
        decimals=1,
    ),
    Panel(
        "Restarts",
        "Starts of servers in the time shown, the first ones not counted.",
        "short",
        (Query(f"sum(changes({STARTED}[$__range]))"),),
        NO_SERVER,
        kind="stat",
        colours=((None, GREEN), (1.0, YELLOW)),
        decimals=0,
    ),
)

PROCESS = section(
    "Process",
    row(
        8,
        Panel(
            "CPU, by server",
            "Cores in use, by server.",
            "short",
            (Query(per_second(CPU, "instance"), "{{instance}}"),),
            NO_SERVER,
            decimals=2,
        ),
        Panel(
            "Memory, by server",
            "Resident memory, by server. It is bounded by the queue's bytes; a rise over days is a leak.",
            "bytes",
            (Query(f"sum by (instance) ({MEMORY})", "{{instance}}"),),
            NO_SERVER,
        ),
        Panel(
            "Address space",
            "Virtual memory, by server: mapped models and arenas of threads are in it, used or not.",
            "bytes",
            (Query(f"sum by (instance) ({VIRTUAL})", "{{instance}}"),),
            NO_SERVER,
        ),
    ),
    row(
        8,
        Panel(
            "Open files, by server",
            "Files and sockets, by server. A rise that does not end is a leak, or callers who never close.",
            "short",
            (Query(f"sum by (instance) ({OPEN})", "{{instance}}"),),
            NO_SERVER,
            decimals=0,
        ),
        Panel(
            "Event loop late by, over time",
            "Half and 99 of 100 times at most. What is slow there delays every request: a callback that "
            "computes, or a machine without a free core.",
            "s",
            tuple(Query(quantile(share, LAG), f"p{share * 100:g}") for share in (0.5, 0.99)),
            NO_SERVER,
        ),
        Panel(
            "Event loop, all of it",
            "How often it was how late: darker is more.",
            "s",
            (Query(buckets(LAG), "{{le}}"),),
            NO_SERVER,
            kind="heat",
        ),
    ),
    row(
        7,
        Panel(
            "Garbage collections",
            "Python's, a second, by generation.",
            "cps",
            (
                Query(
                    per_second(of_process("python_gc_collections_total"), "generation"),
                    "generation {{generation}}",
                ),
            ),
            NO_SERVER,
        ),
        Panel(
            "Python",
            "Which version each server runs.",
            "string",
            (
                Query(
                    f"max by (instance, implementation, version) ({of_process('python_info')})",
                ),
            ),
            NO_SERVER,
            kind="table",
            columns=(("instance", "Server"), ("implementation", "Python"), ("version", "Version")),
        ),
    ),
)

MACHINE = Dashboard(
    "quickeye-machine",
    "Quickeye / Machine",
    "What does the server take of its machine, and does something block it?",
    (section("", FIGURES), PROCESS, GPU),
    per_model=False,
)
