"""SOAP: Adam, in the axes of a matrix's own gradients."""

import numpy as np
import optax

from coordnet.codec import _soap


def adams(slopes):
    """What optax's Adam moves a tensor by, at each of these gradients."""
    rule = optax.scale_by_adam(b1=0.95, b2=0.95, eps=1e-12)
    state, out = rule.init(slopes[0]), []
    for slope in slopes:
        move, state = rule.update(slope, state)
        out.append(np.asarray(move))
    return out


def soaps(slopes):
    state, out = _soap.init([slopes[0]]), []
    for slope in slopes:
        state, (move,) = _soap.moves(state, [slope])
        out.append(move)
    return out


def test_a_vector_moves_as_by_adam_once_it_begins():
    slopes = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    expected, found = adams(slopes), soaps(slopes)
    assert not np.any(found[: _soap._SKIPPED])
    # float32 of optax's against float64
    np.testing.assert_allclose(found[_soap._SKIPPED :], expected[_soap._SKIPPED :], atol=2e-5)


def test_a_matrix_moves_as_by_adam_in_the_axes_of_its_gradients():
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(2))
    along = (
        np.array([8.0, 4.0, 2.0, 1.0]) * rng.choice([-1, 1], (60, 4)) * rng.uniform(1, 1.2, (60, 4))
    )
    slopes = np.einsum("ik,tk,jk->tij", left, along, right)
    expected = np.einsum("ik,tk,jk->tij", left, adams(along.astype(np.float32)), right)
    found = soaps(slopes)[_soap._SKIPPED :]
    np.testing.assert_allclose(found, expected[_soap._SKIPPED :], atol=1e-3)


def test_narrow_valleys_that_lie_askew_are_no_obstacle():
    # || A x B ||^2 with conditions of 100 each: in its own axes every direction is alike
    rng = np.random.default_rng(1)

    def steep(n):
        q, r = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
        return q @ np.diag(np.geomspace(0.1, 10, n)) @ r

    a, b, start = steep(6), steep(6), rng.normal(size=(6, 6))

    def left(x):
        return float(np.square(a @ x @ b).sum())

    def slope(x):
        return 2 * a.T @ (a @ x @ b) @ b.T

    x, state = start, _soap.init([start])
    y, rule = start, optax.scale_by_adam(b1=0.95, b2=0.95)
    moments = rule.init(start.astype(np.float32))
    for k in range(400):
        rate = 0.05 * (1 - k / 400)
        state, (move,) = _soap.moves(state, [slope(x)])
        x = x - rate * move
        other, moments = rule.update(slope(y).astype(np.float32), moments)
        y = y - rate * np.asarray(other)
    assert left(x) < 1e-2 * left(start)
    assert left(x) < 0.1 * left(y)
