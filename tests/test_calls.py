"""Calls written as text, and the tables they call."""

import keyword
import time
import warnings

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coordnet as cn
from coordnet._calls import Table, check_positive, from_table, parse_call

# --- calls written as text ------------------------------------------------------------------
names = st.from_regex(r"\A[a-z_][a-z0-9_]{0,8}\Z").filter(lambda s: not keyword.iskeyword(s))
literals = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(names, st.dictionaries(names, literals, max_size=4))
def test_what_is_written_is_read(name, options):
    text = f"{name}({', '.join(f'{k}={v!r}' for k, v in options.items())})"
    assert parse_call(text) == (name, options)
    assert parse_call(f"  {text} ") == (name, options)


def outcome(text):
    """Return whether the text was read, asserting that nothing else than ValueError is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # Python's own, about odd literals
        try:
            name, options = parse_call(text)
        except ValueError:
            return False
    assert name.isidentifier()
    assert all(isinstance(k, str) for k in options)
    return True


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    outcome(text)


@given(st.lists(st.sampled_from([*"()[]{}=,.:'\"\\*-+ \n\0@#1ab", "f(", "lambda", "f'", "**"])))
@settings(max_examples=400)
def test_any_syntax_is_read_or_refused(parts):
    outcome("".join(parts))
    outcome("f(a=" + "".join(parts) + ")")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "__import__('os').system('touch hacked')",
        "f(a=__import__('os').system('touch hacked'))",
        "f(a=open('hacked', 'w'))",
        "f(a=[open('hacked', 'w') for _ in (1,)])",
        "f(a=(b := 1))",
        "f(a=f'{open(chr(104), chr(119))}')",
        "a.b(c=1)",
        "a.b",
        "f(1)",
        "f(*[1])",
        "f(**{})",
        "f(**{'a': 1})",
        "f(a=1)(b=2)",
        "f(a=1, a=2)",
        "f(a={[]: 1})",
        "f(a={[]})",
        "f(a=b)",
        "f(a=1); f(b=2)",
        "f(a=1)\nf(b=2)",
        "lambda: 1",
        "await f(a=1)",
        "f(a=2**22)",
        "f(a=9**9**9**9)",
        "f(a='x'*10**9)",
        "",
        "   ",
        "()",
        "1",
        "'sine'",
        "True",
        "\0",
        "\ud800",
        "sine(omega=30",
        "sine omega",
        "f(a=1)" * 2,
    ],
)
def test_hostile_texts_are_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not outcome(text)
    assert list(tmp_path.iterdir()) == []  # nothing was executed


@pytest.mark.parametrize("depth", [50, 300, 3_000, 100_000])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [("(", ")"), ("[", "]"), ("-", ""), ("1+", ""), ("{1:", "}"), ("f(a=", ")"), ("not ", "")],
)
def test_deep_nesting_neither_crashes_nor_hangs(opening, closing, depth):
    before = time.perf_counter()
    outcome("f(a=" + opening * depth + "1" + closing * depth + ")")
    assert time.perf_counter() - before < 1  # milliseconds, in truth


def test_a_long_text_is_refused_in_few_words():
    with pytest.raises(ValueError, match="is not a name") as caught:
        parse_call("x" * 10**7)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [None, 5, b"relu", ["relu"]])
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_text_is_refused(value):
    with pytest.raises(ValueError, match="is not a name"):
        parse_call(value)


# --- tables -----------------------------------------------------------------------------------
def entry(count: int = 1, ratio: float = 0.5, label: str = "", *, free=None):
    return count, ratio, label, free


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("entry", (1, 0.5, "", None)),
        ("entry(count=3, ratio=2)", (3, 2, "", None)),
        ("entry(ratio=-1e30, label='x', free=(1, 'a'))", (1, -1e30, "x", (1, "a"))),
    ],
)
def test_entries_are_called(text, expected):
    assert from_table({"entry": entry}, text, "thing") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("other", "thing 'other' is unknown; known are entry"),
        ("entry(size=1)", "option 'size' is unknown; known are"),
        ("entry(count=1.0)", "count must be a whole number, got 1.0"),
        ("entry(count=True)", "count must be a whole number, got True"),
        ("entry(count='3')", "count must be a whole number, got '3'"),
        ("entry(ratio='3')", "ratio must be a finite number, got '3'"),
        ("entry(ratio=1e31)", "ratio must be a finite number"),
        ("entry(ratio=-1e999)", "ratio must be a finite number, got -inf"),
        ("entry(ratio=[])", "ratio must be a finite number"),
    ],
)
def test_wrong_options_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        from_table({"entry": entry}, text, "thing")


@pytest.mark.parametrize("error", [TypeError("inside"), ZeroDivisionError("inside")])
def test_errors_inside_an_entry_name_the_call(error):
    def broken():
        raise error

    with pytest.raises(ValueError, match="thing 'broken' does not fit: inside"):
        from_table({"broken": broken}, "broken", "thing")


def test_positive_numbers():
    check_positive(a=1, b=1e-9)
    with pytest.raises(ValueError, match="b must be above 0, got 0"):
        check_positive(a=1, b=0)
    with pytest.raises(ValueError, match="a must be above 0, got nan"):
        check_positive(a=float("nan"))


def test_a_table_is_a_mapping_that_counts_its_changes():
    table = Table({"a": entry})
    assert dict(table) == {"a": entry}
    before = table.changes
    table["b"] = entry
    table.update(c=entry)
    del table["b"]
    assert list(table) == ["a", "c"]
    assert table.changes == before + 3


def test_a_name_given_another_function_is_not_served_the_old_one(monkeypatch):
    # a notebook's cell, run again: the same description must mean the new function
    def times(factor):
        init = cn.ACTIVATIONS["tanh"]().init
        return lambda: cn.Activation(lambda z, layer: factor * jnp.tanh(z), init)

    assert "mine" not in cn.ACTIVATIONS
    zero = jnp.zeros((1, 2))
    results = []
    for factor in (1.0, 3.0):
        monkeypatch.setitem(cn.ACTIVATIONS, "mine", times(factor))
        net = cn.CoordNet(cn.Spec(width=4, depth=1, activation="mine"))
        net.layers[0].bias[...] = jnp.ones(4)
        net.layers[1].weight[...] = jnp.ones((3, 4))
        net.layers[1].bias[...] = jnp.zeros(3)
        compiled = _ask(net, zero)
        assert compiled == pytest.approx(float(net(zero)[0, 0]), rel=1e-6)
        results.append(compiled)
    assert results[1] == pytest.approx(3 * results[0], rel=1e-6)  # float32 roundings
    monkeypatch.undo()
    with pytest.raises(ValueError, match="'mine' is unknown"):
        cn.Spec(width=4, depth=1, activation="mine")


@jax.jit
def _compiled(net, points):
    return net(points)


def _ask(net, points):
    return float(_compiled(net, points)[0, 0])
