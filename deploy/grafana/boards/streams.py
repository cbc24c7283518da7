"""Streams: who is connected, what becomes of the frames, how old results are."""

from deploy.grafana.dashboard import Dashboard, row, section
from deploy.grafana.panels import GREEN, RED, YELLOW, Panel, Query
from deploy.grafana.queries import buckets, of_model, per_second, quantile, ratio

NO_FRAMES = "No frames in this time"
NO_STREAMS = "No stream was opened so far"
FRAMES = of_model("quickeye_stream_frames_total")
RESULTS = of_model("quickeye_stream_frames_total", 'outcome="result"')
DROPPED = of_model("quickeye_stream_frames_total", 'outcome=~"superseded|stale|overloaded"')
LATE = of_model("quickeye_stream_frames_total", 'outcome=~"stale|overloaded"')
AGE = of_model("quickeye_stream_frame_age_seconds")
SESSIONS = of_model("quickeye_stream_sessions")
READY = of_model("quickeye_model_ready")
OPEN = f"sum({SESSIONS}) or 0 * sum({READY})"  # the last session takes its series with it
HANDSHAKES = of_model("quickeye_requests_total", 'protocol="ws"')
FAILED = of_model("quickeye_images_total", 'protocol="ws",outcome!="ok"')

FIGURES = row(
    4,
    Panel(
        "Streams",
        "Open at this moment. A server takes 128, or as many as max_stream_sessions says.",
        "short",
        (Query(OPEN),),
        "No model is served",
        kind="stat",
        decimals=0,
    ),
    Panel(
        "Frames",
        "Received a second.",
        "cps",
        (Query(per_second(FRAMES)),),
        NO_FRAMES,
        kind="stat",
    ),
    Panel(
        "With a result",
        "Share of the frames that got a result. Cameras may send more than they are told: less than 1 is no fault "
        "by itself.",
        "percentunit",
        (Query(ratio(per_second(RESULTS), per_second(FRAMES))),),
        NO_FRAMES,
        kind="stat",
        maximum=1,
    ),
    Panel(
        "Dropped too late",
        "Share of the frames that grew stale or found the queue full. Frames that a newer one replaced are not "
        "among them: that is how live streams keep up.",
        "percentunit",
        (Query(ratio(per_second(LATE), per_second(FRAMES))),),
        NO_FRAMES,
        kind="stat",
        colours=((None, GREEN), (0.01, YELLOW), (0.05, RED)),
    ),
    Panel(
        "99 % of results within",
        "Age of results when they leave, from when their frame had arrived.",
        "s",
        (Query(quantile(0.99, AGE)),),
        NO_FRAMES,
        kind="stat",
    ),
    Panel(
        "Refused handshakes",
        "Share of the streams that were asked for and not opened.",
        "percentunit",
        (
            Query(
                ratio(
                    per_second(of_model("quickeye_requests_total", 'protocol="ws",code!="101"')),
                    per_second(HANDSHAKES),
                )
            ),
        ),
        "Nobody asked for a stream in this time",
        kind="stat",
        colours=((None, GREEN), (0.01, YELLOW), (0.1, RED)),
    ),
)

FLOW = section(
    "Frames",
    row(
        9,
        Panel(
            "Frames by outcome",
            "A second. Every frame is in exactly one: result, superseded (a newer one took its place), stale "
            "(too old), overloaded (queue full), error, abandoned (the client left first).",
            "cps",
            (Query(per_second(FRAMES, "outcome"), "{{outcome}}"),),
            NO_FRAMES,
            kind="stack",
        ),
        Panel(
            "Drops by reason",
            "Share of all frames.",
            "percentunit",
            tuple(
                Query(
                    ratio(
                        per_second(of_model("quickeye_stream_frames_total", f'outcome="{reason}"')),
                        per_second(FRAMES),
                    ),
                    reason,
                )
                for reason in ("superseded", "stale", "overloaded")
            ),
            NO_FRAMES,
        ),
    ),
)

AGES = section(
    "Age of results",
    row(
        8,
        Panel(
            "Age of results, over time",
            "Half, 95 and 99 of 100 results are at most this old when they leave.",
            "s",
            tuple(Query(quantile(share, AGE), f"p{share * 100:g}") for share in (0.5, 0.95, 0.99)),
            NO_FRAMES,
        ),
        Panel(
            "Age of results, all of it",
            "How many results were how old: darker is more.",
            "s",
            (Query(buckets(AGE), "{{le}}"),),
            NO_FRAMES,
            kind="heat",
        ),
    ),
)

PEOPLE = section(
    "Sessions",
    row(
        8,
        Panel(
            "Open streams",
            "Open at this moment, by model.",
            "short",
            (Query(f"sum by (model) ({SESSIONS})", "{{model}}"),),
            NO_STREAMS,
            kind="stack",
            decimals=0,
        ),
        Panel(
            "Handshakes by answer",
            "A second, by status: 101 was opened; 429: too many are open; 503: not ready or stopping.",
            "reqps",
            (Query(per_second(HANDSHAKES, "code"), "{{code}}"),),
            "Nobody asked for a stream so far",
            kind="stack",
        ),
        Panel(
            "Frames with an error",
            "A second, by error code: broken pictures, unknown models, deadlines.",
            "cps",
            (Query(per_second(FAILED, "outcome"), "{{outcome}}"),),
            "No frame had an error so far",
            kind="stack",
        ),
    ),
    row(
        8,
        Panel(
            "Frames dropped, by model",
            "Share of each model's frames that got no result because of a newer one, their age or the queue.",
            "percentunit",
            (Query(ratio(per_second(DROPPED, "model"), per_second(FRAMES, "model")), "{{model}}"),),
            NO_FRAMES,
            maximum=1,
        ),
        Panel(
            "Streams by server",
            "Open at this moment. A load balancer should spread them.",
            "short",
            (Query(f"sum by (instance) ({SESSIONS})", "{{instance}}"),),
            NO_STREAMS,
            kind="bars",
            decimals=0,
        ),
    ),
)

STREAMS = Dashboard(
    "quickeye-streams",
    "Quickeye / Streams",
    "What becomes of the frames, and how old are the results?",
    (section("", FIGURES), FLOW, AGES, PEOPLE),
)
