"""Models: what is served on what, how much each is asked, and whether answers drift."""

from deploy.grafana.boards.drift import DRIFT
from deploy.grafana.dashboard import Dashboard, row, section
from deploy.grafana.panels import GREEN, RED, YELLOW, Panel, Query
from deploy.grafana.queries import of_model, of_process, per_second, ratio

NO_MODEL = "No model is served"
INFO = of_model("quickeye_model_info")
UNCHECKED = of_model("quickeye_model_info", 'check!="passed"')
READY = of_model("quickeye_model_ready")
LOADED = of_model("quickeye_model_last_load_successful")
LOAD = of_model("quickeye_model_load_seconds")
IMAGES = of_model("quickeye_images_total")

FIGURES = row(
    4,
    Panel(
        "Models",
        "Names that answer.",
        "short",
        (Query(f"count(count by (model) ({READY} == 1))"),),
        NO_MODEL,
        kind="stat",
        decimals=0,
    ),
    Panel(
        "Versions",
        "Versions that answer, of all names.",
        "short",
        (Query(f"count(count by (model, version) ({READY} == 1))"),),
        NO_MODEL,
        kind="stat",
        decimals=0,
    ),
    Panel(
        "Checks not passed",
        "Versions that answer although their engine did not give the bundle's expected outputs.",
        "short",
        (Query(f"sum({UNCHECKED}) or 0 * sum({INFO})"),),
        NO_MODEL,
        kind="stat",
        colours=((None, GREEN), (1.0, RED)),
        decimals=0,
    ),
    Panel(
        "Slowest load",
        "The longest that a version being served took to open, check and warm.",
        "s",
        (Query(f"max({LOAD})"),),
        NO_MODEL,
        kind="stat",
    ),
    Panel(
        "Failed loads",
        "Names whose last load did not end well. What was served before is served on; the log says why.",
        "short",
        (Query(f"sum(1 - {LOADED})"),),
        "Nothing was loaded",
        kind="stat",
        colours=((None, GREEN), (1.0, RED)),
        decimals=0,
    ),
    Panel(
        "Unreadable pictures",
        "Share of the pictures that could not be decoded.",
        "percentunit",
        (
            Query(
                ratio(
                    per_second(of_model("quickeye_images_total", 'outcome=~"undecodable_image|unsupported_format"')),
                    per_second(IMAGES),
                )
            ),
        ),
        "No pictures in this time",
        kind="stat",
        colours=((None, GREEN), (0.01, YELLOW), (0.1, RED)),
    ),
)

SERVED = section(
    "What is served",
    row(
        8,
        Panel(
            "Versions that answer",
            "On which engine and device, of which precision and parent, and whether the outputs were as "
            "the bundle expects when it was loaded.",
            "string",
            (Query(f"max by (model, version, backend, device, precision, parent, check) ({INFO})"),),
            NO_MODEL,
            kind="table",
            columns=(
                ("model", "Model"),
                ("version", "Version"),
                ("backend", "Engine"),
                ("device", "Device"),
                ("precision", "Precision"),
                ("parent", "Parent"),
                ("check", "Check"),
            ),
            width=12,
        ),
        Panel(
            "Time to load",
            "To open, check and warm a version; the slowest of the instances chosen.",
            "s",
            (Query(f"max by (model, version) ({LOAD})", "{{model}} {{version}}"),),
            NO_MODEL,
            kind="bars",
            width=6,
        ),
        Panel(
            "Servers per version",
            "How many answer with a version: during a roll-out both show, after it one should.",
            "short",
            (Query(f"sum by (model, version) ({READY})", "{{model}} {{version}}"),),
            NO_MODEL,
            decimals=0,
            width=6,
        ),
    ),
)

ASKED = section(
    "How much each is asked",
    row(
        8,
        Panel(
            "Pictures by model",
            "Received a second, whatever became of them. unknown: names that nobody serves.",
            "cps",
            (Query(per_second(IMAGES, "model"), "{{model}}"),),
            "No pictures in this time",
            kind="stack",
        ),
        Panel(
            "Share not answered, by model",
            "Pictures without an answer, for whatever reason: refused, broken, late.",
            "percentunit",
            (
                Query(
                    ratio(
                        per_second(of_model("quickeye_images_total", 'outcome!="ok"'), "model"),
                        per_second(IMAGES, "model"),
                    ),
                    "{{model}}",
                ),
            ),
            "No pictures in this time",
            maximum=1,
        ),
        Panel(
            "Pictures that could not be read",
            "A second, by format and reason; of all models. unknown: not even the header could be read. A new "
            "kind of client, or a broken camera.",
            "cps",
            (
                Query(
                    per_second(of_process("quickeye_decode_failures_total"), "format", "reason"),
                    "{{format}}: {{reason}}",
                ),
            ),
            "Every picture could be read so far",
            kind="stack",
        ),
    ),
)

MODELS = Dashboard(
    "quickeye-models",
    "Quickeye / Models",
    "What is served, how much is it asked, and do its answers drift?",
    (section("", FIGURES), SERVED, ASKED, DRIFT),
)
