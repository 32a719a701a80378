"""Trainers: how the weights of a network move.

A trainer is a hashable object with two pure functions::

    init(params, key) -> state
    step(state, params, problem) -> (state, params, info)

and a third, ``shown(state, params)``, that says which weights to look at when these are
not the ones that move (averages). One that breeds may have ``population(state, params)``: the
weights of several networks, stacked, for :class:`coordnet.Snapshot`. ``problem`` is a
:class:`coordnet._problem.Problem`, ``info`` a dict with at least ``"loss"``. Any optax
transformation becomes one by itself.
"""

from ._genetic import Genetic as Genetic
from ._genetic import genetic as genetic
from ._gradient import Gradient as Gradient
from ._gradient import adam as adam
from ._gradient import as_trainer as as_trainer
from ._gradient import lbfgs as lbfgs
from ._gradient import per_fan_in as per_fan_in
from ._least_squares import LeastSquares as LeastSquares
from ._least_squares import least_squares as least_squares
from ._muon import muon as muon
from ._named import TRAINERS as TRAINERS
from ._named import trainer as trainer
from ._ridge import Ridge as Ridge
from ._ridge import ridge as ridge
from ._rprop import quickprop as quickprop
from ._rprop import rprop as rprop
from ._rprop import sarprop as sarprop
from ._rprop import scale_by_quickprop as scale_by_quickprop
from ._rprop import scale_by_rprop as scale_by_rprop
from ._rprop import scale_by_sarprop as scale_by_sarprop
