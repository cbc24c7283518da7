"""Latency by stage: where the time of a picture goes, and whether it waits or is worked on."""

from deploy.grafana.dashboard import Dashboard, row, section
from deploy.grafana.panels import GREEN, RED, Panel, Query
from deploy.grafana.queries import buckets, mean, of_model, per_second, quantile, ratio

NO_PICTURES = "No pictures in this time"
NO_MODEL = "No model is served"
STAGE = of_model("quickeye_stage_duration_seconds")
QUEUE = of_model("quickeye_stage_duration_seconds", 'stage="queue"')
RUN = of_model("quickeye_stage_duration_seconds", 'stage="infer"')
STAGE_SUM = of_model("quickeye_stage_duration_seconds_sum")
QUEUE_SUM = of_model("quickeye_stage_duration_seconds_sum", 'stage="queue"')
BATCH = of_model("quickeye_batch_size")
DEVICE = of_model("quickeye_device_seconds_total")
DECODED = of_model("quickeye_decoded_images_total")
POSTED = of_model("quickeye_request_duration_seconds", 'protocol!="ws"')
LEARNED = of_model("quickeye_predicted_batch_seconds")

FIGURES = row(
    4,
    Panel(
        "99 % of posts within",
        "From a post's headers to its answer, its body's arrival included.",
        "s",
        (Query(quantile(0.99, POSTED)),),
        "No posts in this time",
        kind="stat",
    ),
    Panel(
        "99 % wait at most",
        "From admission to the moment an instance takes the picture.",
        "s",
        (Query(quantile(0.99, QUEUE)),),
        NO_PICTURES,
        kind="stat",
    ),
    Panel(
        "99 % run at most",
        "The engine alone: the batch that the picture is in.",
        "s",
        (Query(quantile(0.99, RUN)),),
        NO_PICTURES,
        kind="stat",
    ),
    Panel(
        "Time spent waiting",
        "Of all the time that pictures spend in the server, the queue's share.",
        "percentunit",
        (Query(ratio(per_second(QUEUE_SUM), per_second(STAGE_SUM))),),
        NO_PICTURES,
        kind="stat",
        colours=((None, GREEN), (0.5, RED)),
    ),
    Panel(
        "Pictures per batch",
        "On average. 1 on CPUs is right where larger batches gain nothing.",
        "short",
        (Query(mean(BATCH)),),
        NO_PICTURES,
        kind="stat",
        decimals=2,
    ),
    Panel(
        "Pictures run",
        "Pictures that went through a model, a second.",
        "cps",
        (Query(per_second(of_model("quickeye_batch_size_sum"))),),
        NO_PICTURES,
        kind="stat",
    ),
)

STAGES = section(
    "Where the time goes",
    row(
        9,
        Panel(
            "A picture's time, by stage",
            "What a picture spends in each stage on average; stacked, they are its time in the server.",
            "s",
            (Query(mean(STAGE, "stage"), "{{stage}}"),),
            NO_PICTURES,
            kind="stack",
        ),
        Panel(
            "99 % in each stage",
            "99 of 100 pictures spend at most this long in a stage. These do not add up: the slowest in one "
            "stage are not the slowest in another.",
            "s",
            (Query(quantile(0.99, STAGE, "stage"), "{{stage}}"),),
            NO_PICTURES,
        ),
        Panel(
            "A GPU's time, by stage",
            "Seconds a second that a GPU spends on copying pictures in, resizing them, running them and copying "
            "answers out, by its own clock; several batches at once count several times.",
            "percentunit",
            (Query(per_second(DEVICE, "stage"), "{{stage}}"),),
            "No GPU, or none that a model runs on",
            kind="stack",
        ),
        Panel(
            "Pictures decoded by",
            "CPU or GPU. Where both decode, each is given what it has time for.",
            "cps",
            (Query(per_second(DECODED, "where"), "{{where}}"),),
            NO_PICTURES,
            kind="stack",
        ),
    ),
)

WAIT = section(
    "Waiting against running",
    row(
        8,
        Panel(
            "Queue against run",
            "Half and 99 of 100 pictures wait, and run, at most this long. Waiting that rises while running "
            "stays says more load than room; running that rises says a slower machine or larger batches.",
            "s",
            tuple(
                Query(quantile(share, stage), f"{name} p{share * 100:g}")
                for stage, name in ((QUEUE, "queue"), (RUN, "run"))
                for share in (0.5, 0.99)
            ),
            NO_PICTURES,
        ),
        Panel(
            "Time in the queue",
            "How many pictures waited how long: darker is more.",
            "s",
            (Query(buckets(QUEUE), "{{le}}"),),
            NO_PICTURES,
            kind="heat",
        ),
        Panel(
            "Time to run",
            "How many pictures were in a batch that ran how long: darker is more.",
            "s",
            (Query(buckets(RUN), "{{le}}"),),
            NO_PICTURES,
            kind="heat",
        ),
    ),
)

BATCHES = section(
    "Batches",
    row(
        8,
        Panel(
            "Pictures per batch, by model",
            "On average, by model. It grows with the load only where larger batches save time.",
            "short",
            (Query(mean(BATCH, "model"), "{{model}}"),),
            NO_PICTURES,
            decimals=2,
        ),
        Panel(
            "Batches by size",
            "How many batches had how many pictures: darker is more.",
            "short",
            (Query(buckets(BATCH), "{{le}}"),),
            NO_PICTURES,
            kind="heat",
        ),
        Panel(
            "Learned time of a batch, t(n)",
            "What the batcher believes a batch of n pictures takes; it decides batch sizes and refusals by it. "
            "The slowest of the instances chosen.",
            "s",
            (Query(f"max by (model, batch) ({LEARNED})", "{{model}}, n = {{batch}}"),),
            NO_MODEL,
        ),
    ),
    row(
        8,
        Panel(
            "99 % of posts within, by model",
            "From headers to answer.",
            "s",
            (Query(quantile(0.99, POSTED, "model"), "{{model}}"),),
            "No posts in this time",
        ),
        Panel(
            "99 % of posts within, by server",
            "From headers to answer. One that stands out has a slower machine, or more than its share.",
            "s",
            (Query(quantile(0.99, POSTED, "instance"), "{{instance}}"),),
            "No posts in this time",
        ),
        Panel(
            "Learned time of a batch, now",
            "t(n) of this moment, by model and batch size.",
            "s",
            (Query(f"max by (model, batch) ({LEARNED})", "{{model}}, n = {{batch}}"),),
            NO_MODEL,
            kind="bars",
        ),
    ),
)

LATENCY = Dashboard(
    "quickeye-latency",
    "Quickeye / Latency by stage",
    "Where does the time go: the queue, or the work?",
    (section("", FIGURES), STAGES, WAIT, BATCHES),
)
