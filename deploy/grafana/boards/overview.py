"""Overview: is it up, is it right, is it fast, is it full? What somebody looks at first."""

from deploy.grafana.boards.objectives import AVAILABILITY_BUDGET, NO_REQUESTS, OBJECTIVES
from deploy.grafana.dashboard import Dashboard, row, section
from deploy.grafana.panels import GREEN, RED, YELLOW, Panel, Query
from deploy.grafana.queries import buckets, of_model, of_process, per_second, quantile, ratio

REQUESTS = of_model("quickeye_requests_total")
FAILED = of_model("quickeye_requests_total", 'code=~"5.."')
REFUSED = of_model("quickeye_rejected_total")
POSTED = of_model("quickeye_request_duration_seconds", 'protocol!="ws"')
WITHIN = of_model("quickeye_request_duration_seconds_bucket", 'protocol!="ws",le="0.1"')
POSTED_COUNT = of_model("quickeye_request_duration_seconds_count", 'protocol!="ws"')
STAGES = of_model("quickeye_stage_duration_seconds_sum")
WAITING = of_model("quickeye_stage_duration_seconds_sum", 'stage="queue"')
IN_QUEUE = f"sum({of_model('quickeye_queue_images')})"
RUNNING = f"sum({of_model('quickeye_inflight_images')})"

FIGURES = row(
    4,
    Panel(
        "Unreachable",
        "How many servers Prometheus could not read at its last try. Not 0: look there first.",
        "short",
        (Query(f"sum(1 - {of_process('up')})"),),
        "No server is known: Prometheus scrapes no such job",
        kind="stat",
        colours=((None, GREEN), (1.0, RED)),
        decimals=0,
    ),
    Panel(
        "Requests",
        "Posts and handshakes of streams a second, whatever their answer.",
        "reqps",
        (Query(per_second(REQUESTS)),),
        NO_REQUESTS,
        kind="stat",
    ),
    Panel(
        "Server errors",
        "Share of requests answered with a status of 5xx. The objective allows 0.1 %.",
        "percentunit",
        (Query(ratio(per_second(FAILED), per_second(REQUESTS))),),
        NO_REQUESTS,
        kind="stat",
        colours=((None, GREEN), (AVAILABILITY_BUDGET, YELLOW), (0.01, RED)),
    ),
    Panel(
        "Within 100 ms",
        "Share of posts answered within 100 ms. The objective is 99 %.",
        "percentunit",
        (Query(ratio(per_second(WITHIN), per_second(POSTED_COUNT))),),
        NO_REQUESTS,
        kind="stat",
        colours=((None, RED), (0.95, YELLOW), (0.99, GREEN)),
        maximum=1,
    ),
    Panel(
        "99 % answered within",
        "99 of 100 posts took at most this long, from their headers to their answer.",
        "s",
        (Query(quantile(0.99, POSTED)),),
        NO_REQUESTS,
        kind="stat",
        colours=((None, GREEN), (0.1, YELLOW), (1.0, RED)),
    ),
    Panel(
        "In the server",
        "Pictures that wait or run at this moment.",
        "short",
        (Query(f"{IN_QUEUE} + {RUNNING}"),),
        "No model is served",
        kind="stat",
        decimals=0,
    ),
)

TRAFFIC = section(
    "Requests",
    row(
        8,
        Panel(
            "Requests by answer",
            "A second, by protocol and status. 101 is a stream that was opened, 429 a request that was refused "
            "for load, 499 a caller who left.",
            "reqps",
            (Query(per_second(REQUESTS, "protocol", "code"), "{{protocol}} {{code}}"),),
            NO_REQUESTS,
            kind="stack",
        ),
        Panel(
            "Share of errors",
            "Of all requests: answered with 5xx (ours), 4xx (the caller's, refusals left out), and 429 (load).",
            "percentunit",
            tuple(
                Query(
                    ratio(
                        per_second(of_model("quickeye_requests_total", f'code=~"{codes}"')),
                        per_second(REQUESTS),
                    ),
                    name,
                )
                for codes, name in (("5..", "5xx"), ("4[013-9].|42[0-8]", "4xx"), ("429", "429"))
            ),
            NO_REQUESTS,
        ),
    ),
)

TIME = section(
    "Time",
    row(
        8,
        Panel(
            "Time to answer",
            "Half, 95 and 99 of 100 posts took at most this long, over all servers and models chosen, to "
            "within a bucket of the histogram.",
            "s",
            tuple(Query(quantile(share, POSTED), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
            NO_REQUESTS,
        ),
        Panel(
            "Time to answer, all of it",
            "How many posts took how long: darker is more. Two bands are two kinds of requests, which a "
            "percentile hides.",
            "s",
            (Query(buckets(POSTED), "{{le}}"),),
            NO_REQUESTS,
            kind="heat",
        ),
    ),
)

SATURATION = section(
    "Saturation",
    row(
        8,
        Panel(
            "Waiting and running",
            "Pictures in queues and in instances. A queue that stays is a server that is too small.",
            "short",
            (Query(IN_QUEUE, "waiting"), Query(RUNNING, "running")),
            "No model is served",
            kind="stack",
        ),
        Panel(
            "Share of the time spent waiting",
            "Of all the time that pictures spend in the server, what they spend in queues. Above a half they "
            "wait longer than they are worked on.",
            "percentunit",
            (Query(ratio(per_second(WAITING), per_second(STAGES)), "waiting"),),
            "No pictures in this time",
            colours=((None, GREEN), (0.5, RED)),
            maximum=1,
        ),
        Panel(
            "Refused before running",
            "Requests refused as a whole, a second, by reason. overloaded: the queue was full or the wait too "
            "long; the answer says when to come again.",
            "reqps",
            (Query(per_second(REFUSED, "reason"), "{{reason}}"),),
            "Nothing was refused so far",
            kind="stack",
        ),
    ),
    row(
        7,
        Panel(
            "Reachable servers",
            "1: Prometheus read it at its last try; 0: it did not.",
            "short",
            (Query(of_process("up"), "{{instance}}"),),
            "No server is known: Prometheus scrapes no such job",
            decimals=0,
            maximum=1,
        ),
        Panel(
            "Pictures by outcome",
            "Pictures of posts and streams, a second: ok, or why there is no answer.",
            "cps",
            (Query(per_second(of_model("quickeye_images_total"), "outcome"), "{{outcome}}"),),
            "No pictures in this time",
            kind="stack",
        ),
        Panel(
            "CPU",
            "Cores in use, by server. All of them in use and a queue that stays: more cores, or a lighter model.",
            "short",
            (Query(per_second(of_process("process_cpu_seconds_total"), "instance"), "{{instance}}"),),
            "No server was read in this time",
            decimals=2,
        ),
    ),
)

OVERVIEW = Dashboard(
    "quickeye-overview",
    "Quickeye / Overview",
    "Is it up, is it right, is it fast, is it full?",
    (section("", FIGURES), TRAFFIC, TIME, OBJECTIVES, SATURATION),
)
