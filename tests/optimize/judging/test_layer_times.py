"""The runtime's own profile, layer by layer."""

import numpy as np
import pytest

from optimize.errors import PassError
from optimize.judging.fused import work_of
from optimize.judging.layer_times import layer_times
from tests.server.fake_bundles import MeanColour


def test_layers_are_told_by_the_names_of_their_nodes() -> None:
    kind = MeanColour()
    model = kind.graph()
    times = layer_times(model, np.zeros((2, kind.height, kind.width, 3), np.uint8))
    assert times
    assert all(value >= 0 for value in times.values())
    assert len(work_of(model)) == 1


def test_a_graph_that_the_runtime_does_not_take_is_said() -> None:
    with pytest.raises(PassError, match="does not take the graph"):
        layer_times(b"no model", np.zeros((1, 2, 2, 3), np.uint8))
