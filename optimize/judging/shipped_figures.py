"""The figures of the shipped bundle: accuracy on 20 photos, agreement with its float parent on others."""

from pathlib import Path

from model_zoo.manifest import Accuracy
from model_zoo.spec import InputSpec
from optimize.judging.agreement import Share, agreement, top_k_hits
from optimize.judging.arithmetic import open_model
from optimize.judging.photos import clothing_photos, foolbox_photos

PARENT = "the float parent, same photos, same preprocessing"


def measure(model: bytes, parent: bytes, spec: InputSpec, clothing: Path | None) -> tuple[Accuracy, ...]:
    """Run model and parent, the model in the arithmetic that the graph means.

    Args:
        model: the INT8 ONNX model.
        parent: the float one.
        clothing: folder of the clothing photos, None to leave them out.
    """
    run, run_parent = open_model(model, "reference"), open_model(parent, "exact")
    photos, labels = foolbox_photos(spec)
    logits, float_logits = run(photos), run_parent(photos)
    figures = [
        _figure("foolbox", "imagenet", f"top{k}", share, f"the float parent: {top_k_hits(float_logits, labels, k)}")
        for k in (1, 5)
        for share in (top_k_hits(logits, labels, k),)
    ]
    if clothing is not None:
        pictures = clothing_photos(clothing, "validation", spec)
        result = agreement(run(pictures), run_parent(pictures))
        figures.append(_figure("clothing", "validation", "top1_agreement", result.every, PARENT))
        figures.append(_figure("clothing", "validation", "top1_agreement_where_sure", result.sure, PARENT))
    return tuple(figures)


def _figure(dataset: str, split: str, metric: str, share: Share, reference: str) -> Accuracy:
    low, high = share.ci95
    return Accuracy(
        dataset=dataset,
        split=split,
        n=share.n,
        metric=metric,
        value=round(share.value, 6),
        ci95=(round(low, 6), round(high, 6)),
        reference=reference,
    )
