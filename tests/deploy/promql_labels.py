"""Which labels the result of a PromQL expression has, told from what its metrics have.

Prometheus takes an expression whose labels nobody has: it answers nothing, and an alert on it sleeps for ever.
Here such an expression is an error. Of PromQL there is what the rules use; anything else is refused.
"""

from collections.abc import Mapping

import promql_parser as promql

Labels = frozenset[str]
TARGET: Labels = frozenset({"job", "instance"})  # what Prometheus adds to everything that it scrapes


class LabelError(ValueError):
    """An expression names a metric or a label that does not exist, or matches what can't match."""


def labels_of(expr: promql.Expr, known: Mapping[str, Labels]) -> Labels | None:
    """The labels of an expression's series; None: it is a number.

    Args:
        known: metric → its labels, those of its target included.
    Raises:
        LabelError: the message names the part that is wrong.
    """
    match expr:
        case promql.NumberLiteral():
            return None
        case promql.ParenExpr():
            return labels_of(expr.expr, known)
        case promql.MatrixSelector():
            return labels_of(expr.vector_selector, known)
        case promql.VectorSelector():
            return _of_selector(expr, known)
        case promql.AggregateExpr():
            return _of_aggregate(expr, known)
        case promql.Call():
            return _of_call(expr, known)
        case promql.BinaryExpr():
            return _of_binary(expr, known)
    raise LabelError(f"{expr.prettify()}: {type(expr).__name__} is not among what the rules use")


def selectors(expr: promql.Expr) -> list[promql.VectorSelector]:
    """Every choice of series in an expression."""
    found: list[promql.VectorSelector] = []
    promql.walk(expr, lambda each: found.append(each) if isinstance(each, promql.VectorSelector) else None)
    return found


def _of_selector(selector: promql.VectorSelector, known: Mapping[str, Labels]) -> Labels:
    if selector.name not in known:
        raise LabelError(f"{selector.prettify()}: there is no such metric")
    labels = known[selector.name]
    unknown = {matcher.name for matcher in selector.matchers.matchers} - labels
    if unknown:
        raise LabelError(f"{selector.prettify()}: no label {', '.join(sorted(unknown))}; it has {sorted(labels)}")
    return labels


def _of_aggregate(expr: promql.AggregateExpr, known: Mapping[str, Labels]) -> Labels:
    inner = labels_of(expr.expr, known) or frozenset()
    if expr.modifier is None:
        return frozenset()
    if expr.modifier.type != promql.AggModifierType.By:
        raise LabelError(f"{expr.prettify()}: say which labels are kept, with by")
    wanted = frozenset(expr.modifier.labels)
    if not wanted <= inner:
        raise LabelError(f"{expr.prettify()}: no label {', '.join(sorted(wanted - inner))} to keep")
    return wanted


def _of_call(expr: promql.Call, known: Mapping[str, Labels]) -> Labels:
    name, arguments = expr.func.name, expr.args
    inner = labels_of(arguments[-1], known) or frozenset()
    if name == "absent":
        (selector,) = selectors(expr)
        return frozenset(one.name for one in selector.matchers.matchers if one.op == promql.MatchOp.Equal)
    if name == "histogram_quantile":
        if "le" not in inner:
            raise LabelError(f"{expr.prettify()}: the buckets lost their bounds, le")
        return inner - {"le"}
    return inner


def _of_binary(expr: promql.BinaryExpr, known: Mapping[str, Labels]) -> Labels | None:
    left, right = labels_of(expr.lhs, known), labels_of(expr.rhs, known)
    if left is None or right is None:
        return left if right is None else right
    matching = expr.modifier.matching if expr.modifier else None
    if matching is None:
        if left != right:
            raise LabelError(f"{expr.prettify()}: {sorted(left)} never match {sorted(right)}")
        return left
    on = frozenset(matching.labels)
    if matching.type != promql.LabelModifierType.Include or not on <= left & right:
        raise LabelError(f"{expr.prettify()}: both sides must have every label that they are matched on")
    return left
