"""Trainers by name: what ``trainer="..."`` and the command line take."""

from collections.abc import Callable

from .._calls import from_table
from ._genetic import genetic
from ._gradient import Trainer, adam, lbfgs
from ._least_squares import least_squares
from ._muon import muon
from ._rprop import quickprop, rprop, sarprop

#: Trainers by name, for ``trainer="rprop(variant='rprop+')"`` and the command line.
TRAINERS: dict[str, Callable[..., Trainer]] = {
    "adam": adam,
    "genetic": genetic,
    "lbfgs": lbfgs,
    "least_squares": least_squares,
    "muon": muon,
    "quickprop": quickprop,
    "rprop": rprop,
    "sarprop": sarprop,
}


def trainer(text: str) -> Trainer:
    """Return the trainer that ``text`` calls, such as ``"genetic(individuals=64)"``.

    Raises:
        ValueError: The name or one of its numbers is unknown or out of range.

    >>> trainer("adam(rate=0.001)") is adam(1e-3)
    True
    """
    return from_table(TRAINERS, text, "trainer")
