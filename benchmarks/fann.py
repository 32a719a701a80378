"""FANN, the Fast Artificial Neural Network library, through ctypes.

The classic C library (2003-2012, LGPL) that the original experiment used. It is not a
dependency: on Debian and Ubuntu, ``apt install libfann2``. Single precision, one thread.

>>> why_missing() is None or "libfann2" in why_missing()
True
"""

import ctypes
import ctypes.util
from ctypes import POINTER, c_float, c_uint, c_void_p
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

# Of fann_data.h. FANN's curves are tanh(s x) and 1 / (1 + exp(-2 s x)), s the steepness; the
# stepwise ones join six points by straight lines and are a little faster and less exact.
_CURVES = {"sigmoid": (3, 0.5), "tanh": (5, 1.0)}
_STEPWISE = 1  # what the number of the stepwise curve lies above its exact one
_RPROP = 2
_ERRORS = {"linear": 0, "tanh": 1}


class _Connection(ctypes.Structure):
    _fields_ = [("source", c_uint), ("target", c_uint), ("weight", c_float)]


class _TrainData(ctypes.Structure):
    _fields_ = [
        ("errno_f", ctypes.c_int),
        ("error_log", c_void_p),
        ("errstr", c_void_p),
        ("num_data", c_uint),
        ("num_input", c_uint),
        ("num_output", c_uint),
        ("input", POINTER(POINTER(c_float))),
        ("output", POINTER(POINTER(c_float))),
    ]


@cache
def _find() -> ctypes.CDLL | None:
    # the plain libfann is single precision too
    for name in (
        "libfloatfann.so.2",
        "libfann.so.2",
        *map(ctypes.util.find_library, ("floatfann", "fann")),
    ):
        try:
            lib = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if lib is not None:
            return _typed(lib)
    return None


def _typed(lib: ctypes.CDLL) -> ctypes.CDLL:
    data = POINTER(_TrainData)
    for name, result, arguments in (
        ("fann_create_standard_array", c_void_p, [c_uint, POINTER(c_uint)]),
        ("fann_destroy", None, [c_void_p]),
        ("fann_create_train", data, [c_uint, c_uint, c_uint]),
        ("fann_destroy_train", None, [data]),
        ("fann_train_epoch", c_float, [c_void_p, data]),
        ("fann_test_data", c_float, [c_void_p, data]),
        ("fann_get_total_connections", c_uint, [c_void_p]),
        ("fann_get_connection_array", None, [c_void_p, POINTER(_Connection)]),
        ("fann_set_weight_array", None, [c_void_p, POINTER(_Connection), c_uint]),
        ("fann_set_training_algorithm", None, [c_void_p, ctypes.c_int]),
        ("fann_set_train_error_function", None, [c_void_p, ctypes.c_int]),
        ("fann_set_rprop_delta_zero", None, [c_void_p, c_float]),
        ("fann_set_activation_function_hidden", None, [c_void_p, ctypes.c_int]),
        ("fann_set_activation_function_output", None, [c_void_p, ctypes.c_int]),
        ("fann_set_activation_steepness_hidden", None, [c_void_p, c_float]),
        ("fann_set_activation_steepness_output", None, [c_void_p, c_float]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def why_missing() -> str | None:
    """Return why FANN cannot be used and what to do, or None if it can."""
    if _find() is None:
        return "FANN is not installed (Debian, Ubuntu: apt install libfann2)"
    return None


def load() -> ctypes.CDLL:
    """Return the library.

    Raises:
        RuntimeError: It is not installed.
    """
    lib = _find()
    if lib is None:
        raise RuntimeError(why_missing())
    return lib


class Data:
    """Training pairs in FANN's memory: inputs ``(n, i)``, outputs ``(n, o)``."""

    def __init__(self, inputs: npt.ArrayLike, outputs: npt.ArrayLike):
        self._lib = load()
        x, y = (np.ascontiguousarray(v, np.float32) for v in (inputs, outputs))
        self.pointer = self._lib.fann_create_train(len(x), x.shape[1], y.shape[1])
        if not self.pointer:
            msg = f"FANN has no memory for {len(x)} pairs"
            raise MemoryError(msg)
        made = self.pointer.contents
        for rows, values in ((made.input, x), (made.output, y)):
            for i in range(0, len(values), max(1, len(values) - 1)):
                # FANN lays its rows out one after another; copy at once, but make sure
                gap = ctypes.addressof(rows[i].contents) - ctypes.addressof(rows[0].contents)
                if gap != i * values.strides[0]:
                    msg = "this FANN does not keep its training data in one piece"
                    raise RuntimeError(msg)
            ctypes.memmove(rows[0], values.ctypes.data, values.nbytes)

    def __del__(self) -> None:
        if getattr(self, "pointer", None):
            self._lib.fann_destroy_train(self.pointer)


class Fann:
    """A layered network in FANN with given first weights, trained by its Rprop.

    Args:
        layers: ``(weight (out, in), bias (out,))`` of each layer, as in ``CoordNet.layers``.
        hidden: The curve of the hidden layers.
        output: The curve of the last one.
        error: ``"tanh"`` is FANN's default: it drives large errors harder; ``"linear"`` is
            the gradient of the squared error.
        stepwise: Approximate the curves by straight lines.
        first_step: Rprop's; FANN's own is 0.1.

    >>> if not why_missing():
    ...     net = Fann([(np.zeros((3, 2)), np.zeros(3))])
    ...     error = net.train(Data(np.zeros((4, 2)), np.ones((4, 3))), epochs=1)
    ...     assert error == [0.25]  # a sigmoid of 0 is 0.5
    """

    def __init__(
        self,
        layers: list[tuple[Any, Any]],
        *,
        hidden: Literal["tanh", "sigmoid"] = "tanh",
        output: Literal["tanh", "sigmoid"] = "sigmoid",
        error: Literal["tanh", "linear"] = "tanh",
        stepwise: bool = False,
        first_step: float = 0.1,
    ):
        self._lib = lib = load()
        tables = [np.column_stack([np.asarray(w), np.asarray(b)]) for w, b in layers]
        self._shapes = [table.shape for table in tables]
        sizes = [tables[0].shape[1] - 1, *(len(table) for table in tables)]
        self._net = lib.fann_create_standard_array(len(sizes), (c_uint * len(sizes))(*sizes))
        if not self._net:
            msg = f"FANN could not make a network of layers {sizes}"
            raise MemoryError(msg)
        lib.fann_set_training_algorithm(self._net, _RPROP)
        lib.fann_set_train_error_function(self._net, _ERRORS[error])
        lib.fann_set_rprop_delta_zero(self._net, first_step)
        for where, curve in (("hidden", hidden), ("output", output)):
            number, steepness = _CURVES[curve]
            set_curve = getattr(lib, f"fann_set_activation_function_{where}")
            set_curve(self._net, number + (_STEPWISE if stepwise else 0))
            getattr(lib, f"fann_set_activation_steepness_{where}")(self._net, steepness)
        connections = self._connections()
        # layer by layer, unit by unit: the weights of the layer before, then the bias
        for connection, weight in zip(
            connections, np.concatenate([table.ravel() for table in tables]), strict=True
        ):
            connection.weight = weight
        lib.fann_set_weight_array(self._net, connections, len(connections))

    def __del__(self) -> None:
        if getattr(self, "_net", None):
            self._lib.fann_destroy(self._net)

    def _connections(self) -> Any:
        count = self._lib.fann_get_total_connections(self._net)
        connections = (_Connection * count)()
        self._lib.fann_get_connection_array(self._net, connections)
        return connections

    def train(self, data: Data, epochs: int) -> list[float]:
        """Train full-batch epochs; return the mean squared error before each."""
        train = self._lib.fann_train_epoch
        return [train(self._net, data.pointer) for _ in range(epochs)]

    def test(self, data: Data) -> float:
        """Return the mean squared error."""
        return self._lib.fann_test_data(self._net, data.pointer)

    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return ``(weight, bias)`` of each layer, to draw the picture with."""
        flat = np.array([c.weight for c in self._connections()], np.float32)
        ends = np.cumsum([rows * columns for rows, columns in self._shapes])
        tables = [
            part.reshape(shape)
            for part, shape in zip(np.split(flat, ends[:-1]), self._shapes, strict=True)
        ]
        return [(table[:, :-1], table[:, -1]) for table in tables]
