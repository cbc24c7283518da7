"""How many machines for how many pictures a second, from times that were measured.

The idea. Nothing here is a formula for a queue. The server's own ``Batcher``, with its
admission, its learned times and its probing, is run in virtual time against Poisson
arrivals (``simulate.py``); only the engine is replaced, by measured times of a batch of n
(``measured.py``). So the policy is the server's to the letter, and changes with it.

The model of a machine.
- An HTTP loop: one at a time, first come first served. A request costs it ``request_s``
  of CPU, half when it comes in and half when its answer leaves.
- Instances: as many as its cores have room for. A batch of n takes t(n) times a factor
  that is drawn from how measured times spread around their mean.
- Where every core has an instance at work, the loop goes first: what it needs is taken
  from the instances, in turn.
- ``added_s − request_s`` is what a lone caller waits besides: kernel, wire, waking up.

A refused request (429, 504) counts as infinitely late: a percentile that says otherwise
would be met by refusing. ``search.py`` looks for the largest rate that still meets the
objective, on each machine asked for, and for how many of those it takes.
"""

LEFT_OUT = (
    "streams, and requests of several pictures: arrivals are independent posts of one picture",
    "several models on one machine, and other programs there",
    "cores beyond those measured lose nothing to a shared cache, memory or interpreter",
    "the network, and clients that send slowly",
    "slow minutes of a machine: times vary from batch to batch, not from hour to hour",
    "balancers that see which machine is idle (better than this), or send in bursts (worse)",
)
