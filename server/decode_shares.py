"""How a batch's JPEGs are shared out between two decoders that work side by side, so that both end together.

Each side's time is a straight line of its work, learned from the batches it had: what it costs to begin, and a rate.
The line is fitted by least squares in which an old batch counts less than a new one, and errors are shares of what a
batch took: else a large batch of long ago would outweigh many small ones of now. The best share is then where the
lines cross: all with one side where the other's beginning alone takes longer, as for a batch of one.

A side that gets nothing is not learned about, and might have become the better one: now and then it is tried with one
picture. Work is in pixels: a picture's price is near enough to its size on either side.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

MEMORY = 0.9  # of a batch's weight that is left when the next one has been learned
SPREAD = 0.1  # sizes nearer together than about this share say nothing of what beginning costs
TRIED_EVERY = 64  # batches


class Line:
    """Learned seconds of some work: the price of a pixel against the work's inverse. Used by one thread at a time."""

    def __init__(self) -> None:
        self._weight = self._inverses = self._prices = self._squares = self._products = 0.0

    @property
    def is_known(self) -> bool:
        """Whether anything was learned."""
        return self._weight > 0

    def learn(self, work: float, seconds: float) -> None:
        """So much of it, more than none, took so long."""
        inverse, price = 1 / work, seconds / work
        self._weight = MEMORY * self._weight + 1
        self._inverses = MEMORY * self._inverses + inverse
        self._prices = MEMORY * self._prices + price
        self._squares = MEMORY * self._squares + inverse * inverse
        self._products = MEMORY * self._products + inverse * price

    def predict(self, work: float) -> float:
        """Seconds; of no work, 0, and so of any until something was learned."""
        if work <= 0 or not self.is_known:
            return 0.0
        inverse, price = self._inverses / self._weight, self._prices / self._weight
        variance = self._squares / self._weight - inverse * inverse
        begin = 0.0
        if variance > (SPREAD * inverse) ** 2:
            begin = max(0.0, (self._products / self._weight - inverse * price) / variance)
        rate = price - begin * inverse
        if rate < 0:
            begin, rate = price / inverse, 0.0
        return begin + rate * work


class DecodeShares:
    """One instance's: what its device and its cores have shown."""

    def __init__(self) -> None:
        self.device, self.cpu = Line(), Line()
        self._without_device = self._without_cpu = 0

    def for_device(self, works: Sequence[float], cpu_work: float = 0.0) -> int:
        """How many of ``works``, from the first on, the device should have.

        Args:
            works: of the pictures that either side can decode.
            cpu_work: of the batch's others, which only the CPU can.
        """
        count = len(works)
        if not self.device.is_known:
            return (count + 1) // 2
        if not self.cpu.is_known:
            return count // 2
        best = self._best([0.0, *accumulate(works)], cpu_work)
        self._without_device = self._without_device + 1 if count and best == 0 else 0
        self._without_cpu = self._without_cpu + 1 if count and best == count and not cpu_work else 0
        if self._without_device == TRIED_EVERY:
            self._without_device, best = 0, 1
        elif self._without_cpu == TRIED_EVERY:
            self._without_cpu, best = 0, count - 1
        return best

    def _best(self, until: list[float], cpu_work: float) -> int:
        last = len(until) - 1
        whole = until[-1] + cpu_work

        def device_s(count: int) -> float:
            return self.device.predict(until[count])

        def cpu_s(count: int) -> float:
            return self.cpu.predict(whole - until[count])

        crossed = bisect_left(range(last), True, key=lambda count: device_s(count) >= cpu_s(count))
        near = {0, max(crossed - 1, 0), crossed, last}
        return min(near, key=lambda count: (max(device_s(count), cpu_s(count)), count))
