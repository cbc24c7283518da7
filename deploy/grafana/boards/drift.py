"""Drift, a part of the board of models: whether answers are what they used to be."""

from deploy.grafana.dashboard import row, section
from deploy.grafana.panels import GREEN, RED, YELLOW, Panel, Query
from deploy.grafana.queries import buckets, counted, mean, of_model, per_second, quantile

NO_ANSWERS = "No answers in this time"
UNCOUNTED = "No answers in this time, or classes are not counted (models of more than 1,000)"
SCORE = of_model("quickeye_top_score")
CLASSES = of_model("quickeye_predictions_total")
LATELY, USUALLY = "1h", "1d"


def class_share(window: str) -> str:
    """What share of a model's answers each class had; 0 for one that it had before and not in this window."""
    part, known = (per_second(CLASSES, "model", "class", window=each) for each in (window, USUALLY))
    return f"({part} or 0 * {known}) / on (model) group_left () ({per_second(CLASSES, 'model', window=window)} > 0)"


# Half the sum of the differences of all shares: 0 the same mix, 1 nothing in common (total variation distance).
CLASS_DRIFT = f"0.5 * sum by (model) (abs({class_share(LATELY)} - {class_share(USUALLY)}))"
SCORE_DRIFT = f"{mean(SCORE, 'model', window=LATELY)} - {mean(SCORE, 'model', window=USUALLY)}"

DRIFT = section(
    "Drift",
    row(
        8,
        Panel(
            "Score of the best class",
            "On average and by model. A fall says that pictures changed: light, lens, subject.",
            "percentunit",
            (Query(mean(SCORE, "model"), "{{model}}"),),
            NO_ANSWERS,
            maximum=1,
        ),
        Panel(
            "Scores, all of them",
            "How many answers had which score: darker is more.",
            "percentunit",
            (Query(buckets(SCORE), "{{le}}"),),
            NO_ANSWERS,
            kind="heat",
        ),
        Panel(
            "Unsure tenth",
            "A tenth of the answers score at most this, by model.",
            "percentunit",
            (Query(quantile(0.1, SCORE, "model"), "{{model}}"),),
            NO_ANSWERS,
            maximum=1,
        ),
    ),
    row(
        8,
        Panel(
            "Class drift",
            "How far the mix of classes of the last hour is from the last day's: 0 the same, 1 nothing in "
            "common (total variation distance). Few answers are always some way off.",
            "percentunit",
            (Query(CLASS_DRIFT, "{{model}}"),),
            UNCOUNTED,
            kind="stat",
            colours=((None, GREEN), (0.2, YELLOW), (0.4, RED)),
            decimals=2,
            width=6,
        ),
        Panel(
            "Score drift",
            "Mean score of the last hour less the last day's.",
            "percentunit",
            (Query(SCORE_DRIFT, "{{model}}"),),
            NO_ANSWERS,
            kind="stat",
            colours=((None, RED), (-0.1, YELLOW), (-0.05, GREEN)),
            decimals=3,
            width=6,
        ),
        Panel(
            "Most frequent classes",
            "The ten that won most often in the time shown, by index, as shares of their model's answers.",
            "percentunit",
            (
                Query(
                    f"topk(10, {counted(CLASSES, 'model', 'class', window='$__range')}"
                    f" / on (model) group_left () ({counted(CLASSES, 'model', window='$__range')} > 0))",
                    "{{model}} {{class}}",
                ),
            ),
            UNCOUNTED,
            kind="bars",
            maximum=1,
            width=12,
        ),
    ),
)
