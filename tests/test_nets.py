"""The one network class: its description, its two faces, its file."""

import dataclasses
import itertools
import json
import pickle
import resource
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import coordnet as cn
from coordnet import CoordNet, FormatError, Spec
from coordnet._activations import activation
from coordnet._coords import lattice
from coordnet._nets import note

pytestmark = pytest.mark.usefixtures("unchecked")

ENCODINGS = [
    "none",
    "fourier(features=8,sigma=4)",
    "octaves(octaves=3)",
    "grid(levels=(3,8))",
    "grid(levels=(3,8),order=1)",
    "grid(levels=(4,9),table=16)",
]
SIZE = (9, 14)


def network(encoding="none", act="tanh", **rest):
    """A network of depth 2 started as its activation wants, its tables with numbers near 1.

    Drawn array by array: `CoordNet(spec)` compiles a program for each new description.
    """
    spec = Spec(
        **{"encoding": encoding, "activation": act, "width": 8, "depth": 2, "size": SIZE} | rest
    )
    graphdef, state = nnx.split(nnx.eval_shape(lambda: CoordNet(spec)))
    rng = np.random.default_rng(7)
    net = nnx.merge(
        graphdef, jax.tree.map(lambda v: jnp.asarray(rng.normal(size=v.shape), jnp.float32), state)
    )
    kinds: list[Any] = ["first", *["hidden"] * (spec.depth - 1)][: spec.depth]
    kinds.append("last")
    for i, (layer, kind) in enumerate(zip(net.layers, kinds, strict=True)):
        out, fan_in = layer.weight.shape
        weight, bias = activation(act).init(jax.random.key(i), out, fan_in, kind)
        layer.weight[...], layer.bias[...] = weight, bias
    return net


def f4(values):
    return np.asarray(values, np.float32)


def leaves(net):
    return {jax.tree_util.keystr(p): np.asarray(v) for p, v in jax.tree.leaves_with_path(net)}


def assert_same_bytes(a, b):
    assert a.spec == b.spec
    one, other = leaves(nnx.state(a)), leaves(nnx.state(b))
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype
        assert one[name].shape == other[name].shape
        assert one[name].tobytes() == other[name].tobytes()


# --- descriptions ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "count"),
    [
        # the founding experiments; (in + 1) x out, layer by layer
        (Spec(width=15, depth=3), 3 * 15 + 16 * 15 + 16 * 15 + 16 * 3),
        (Spec(width=15, depth=3), 573),
        (Spec(width=6000, depth=1), 36_003),
        (Spec(width=300, depth=3), 182_403),
        (Spec(width=20, depth=7), 3 * 20 + 6 * 21 * 20 + 21 * 3),
        (Spec(width=15, depth=3, channels=1), 573 - 32),
        (Spec(depth=0), 3 * 3),
        # 6 = 2 (x, y) + 2 axes x 2 octaves x 2 ... of x and y: 2 + 8 features
        (Spec(encoding="octaves(octaves=2)", width=4, depth=1), 11 * 4 + 5 * 3),
        (Spec(encoding="fourier(features=8)", width=4, depth=1), 9 * 4 + 5 * 3),
        # cells + 2 nodes an axis: (6 x 6) x 2 + (3 x 3) x 1
        (
            Spec(encoding="grid(levels=(1,4),features=(1,2))", width=4, depth=1),
            9 + 72 + 4 * 4 + 5 * 3,
        ),
        (
            Spec(encoding="grid(levels=(4,),order=1,table=8)", width=4, depth=1),
            2 * 8 + 3 * 4 + 5 * 3,
        ),
    ],
)
def test_parameters_counted_by_hand(spec, count):
    assert spec.parameters == count


def test_the_count_is_that_of_the_arrays():
    net = CoordNet(Spec(encoding="grid(levels=(2,5))", width=4, depth=1))
    assert net.spec.parameters == sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": 2.5}, "width must be a whole number, got 2.5"),
        ({"width": "8"}, "width must be a whole number, got '8'"),
        ({"depth": -1}, "depth must be from 0 to 1000, got -1"),
        ({"depth": 1001}, "depth must be from 0 to 1000, got 1001"),
        ({"depth": None}, "depth must be a whole number, got None"),
        ({"channels": 2}, "channels must be 1, 3 or 4, got 2"),
        ({"output": "relu"}, "output must be 'linear' or 'sigmoid', got 'relu'"),
        ({"coordinates": "corner"}, "coordinates must be 'centers', 'edges' or 'unit'"),
        ({"size": (0, 4)}, "size must be two numbers of at least 1"),
        ({"size": (4, 4, 3)}, "size must be two numbers of at least 1"),
        ({"size": 4}, "size must be two numbers of at least 1"),
        ({"size": (4.5, 4)}, "each of size must be a whole number, got 4.5"),
        ({"activation": "sinus"}, "activation 'sinus' is unknown"),
        ({"encoding": "fourrier"}, "encoding 'fourrier' is unknown"),
        ({"encoding": None}, "None is not a name or a call"),
        ({"activation": 3}, "3 is not a name or a call"),
    ],
)
def test_wrong_descriptions_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        Spec(**options)


def test_all_wrong_parts_are_named_at_once():
    with pytest.raises(ValueError, match=r"width .*; depth .*; channels"):
        Spec(width=0, depth=-1, channels=5)


def test_descriptions_compare_hash_and_print():
    a = Spec(width=np.int64(8), size=np.array([4, 6]))  # type: ignore[arg-type]
    b = Spec(width=8, size=[4, 6])  # type: ignore[arg-type]
    assert a == b
    assert hash(a) == hash(b)
    assert repr(a) == repr(b)
    assert type(a.width) is int
    assert a.size == (4, 6)
    assert eval(repr(a)) == a
    assert a != dataclasses.replace(a, size=(4, 7))
    assert pickle.loads(pickle.dumps(a)) == a
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.width = 9  # type: ignore[misc]


def test_networks_print_their_description():
    spec = Spec(width=15, depth=3, activation="tanh", output="sigmoid")
    net = network("none", "tanh", width=15, depth=3, output="sigmoid", size=None)
    assert repr(net) == str(net) == f"CoordNet({spec}, parameters=573)"


def test_the_description_is_the_static_part_of_the_pytree():
    graphdef, state = nnx.split(network())
    again, _ = nnx.split(network())
    other, _ = nnx.split(network(size=(9, 15)))
    assert graphdef == again
    assert hash(graphdef) == hash(again)
    assert graphdef != other  # the frame belongs to the description
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert len(jax.tree.leaves(nnx.state(network("grid(levels=(3,))"), nnx.Param))) == 1 + 2 * 3


def test_a_record_of_a_fit_is_outside_the_pytree():
    net = network()
    assert net.fitted is None
    before = nnx.split(net)[0]
    note(net, fitted="record")
    assert net.fitted == "record"
    assert nnx.split(net)[0] == before


# --- evaluation -----------------------------------------------------------------------------
PAIRS = {
    *itertools.product(["none"], cn.ACTIVATIONS),
    *itertools.product(ENCODINGS, ["sine"]),
}


@pytest.mark.parametrize(("encoding", "name"), sorted(PAIRS))
def test_two_ways_of_asking_agree(encoding, name):
    net = network(encoding, name)
    ys, xs = lattice(SIZE)
    by_lattice = net.lattice(jnp.asarray(ys), jnp.asarray(xs))
    assert by_lattice.shape == (3, *SIZE)
    by_points = net(cn.grid(*SIZE))
    assert by_points.shape == (SIZE[0] * SIZE[1], 3)
    # contract 4 of the design
    np.testing.assert_allclose(by_points.T.reshape(by_lattice.shape), by_lattice, atol=1e-5)


def test_a_network_by_hand():
    net = network("none", "tanh", output="sigmoid", channels=4)
    points = f4([[0.5, -0.25], [-1, 1], [0, 0]])
    x = points.astype(np.float64)  # x first, then y
    for layer in list(net.layers)[:-1]:
        x = np.tanh(x @ np.asarray(layer.weight[...]).T + np.asarray(layer.bias[...]))
    last = net.layers[-1]
    x = 1 / (1 + np.exp(-(x @ np.asarray(last.weight[...]).T + np.asarray(last.bias[...]))))
    np.testing.assert_allclose(net(points), x, atol=1e-6)  # a few float32 roundings below 1


def test_depth_zero_is_linear_in_the_encoding():
    net = network(depth=0)
    net.layers[0].weight[...] = jnp.array([[1.0, 0], [0, 1], [2, -1]])
    net.layers[0].bias[...] = jnp.array([0.0, 0, 1])
    assert net(f4([[0.5, 0.25]])).tolist() == [[0.5, 0.25, 1.75]]


def test_bfloat16_products_are_summed_and_returned_in_float32():
    net = network(act="relu")
    ys, xs = (jnp.asarray(v) for v in lattice(SIZE))
    full, half = net.lattice(ys, xs), net.lattice(ys, xs, jnp.bfloat16)
    assert half.dtype == jnp.float32
    # numbers of 8 bits through three layers: off by a few times 2^-8, and not by nothing
    assert 1e-4 < float(jnp.abs(half - full).max()) < 0.1


@pytest.mark.parametrize("size", [(1, 6), (6, 1), (1, 1)])
@pytest.mark.parametrize("coordinates", ["centers", "edges", "unit"])
def test_pictures_one_pixel_wide(size, coordinates):
    net = network("grid(levels=(4,))", size=size, coordinates=coordinates)
    assert np.isfinite(cn.render(net)).all()
    assert cn.render(net).shape == (*size, 3)


def test_same_seed_same_bytes():
    spec = Spec(encoding="grid(levels=(2,5))", width=8, depth=1, activation="sine")
    assert_same_bytes(CoordNet(spec, seed=4), CoordNet(spec, seed=4))
    a, b = (leaves(nnx.state(CoordNet(spec, seed=s))) for s in (4, 5))
    drawn = [name for name in a if "layers'][1]['bias" not in name]  # which starts at grey
    assert len(drawn) == len(a) - 1 == 5
    for name in drawn:
        assert (a[name] != b[name]).mean() > 0.9


def test_layers_of_one_network_differ():
    net = CoordNet(Spec(width=8, depth=3, activation="tanh"))
    a, b = (np.asarray(net.layers[i].weight[...]) for i in (1, 2))
    assert (a != b).mean() > 0.9


def test_a_picture_starts_at_middle_grey_whatever_the_output():
    for output, bias in (("linear", 0.5), ("sigmoid", 0.0)):
        net = CoordNet(Spec(width=8, depth=1, activation="tanh", output=output))  # type: ignore[arg-type]
        np.testing.assert_array_equal(net.layers[-1].bias[...], bias)


# --- files ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("encoding", "name"),
    [(text, "tanh") for text in ENCODINGS] + [("none", name) for name in sorted(cn.ACTIVATIONS)],
)
def test_saved_and_loaded_bit_for_bit(encoding, name, tmp_path):
    net = network(encoding, name)
    cn.save(net, tmp_path / "net.safetensors")
    assert_same_bytes(cn.load(tmp_path / "net.safetensors"), net)


@pytest.mark.parametrize(
    "options",
    [
        {"output": "sigmoid", "coordinates": "unit", "channels": 1},
        {"depth": 0, "channels": 4, "coordinates": "edges"},
        {"size": None},
        {"act": "finer(omega=12.5,bias=3)"},
    ],
)
def test_every_part_of_a_description_is_kept(options, tmp_path):
    net = network(**options)
    cn.save(net, str(tmp_path / "net.safetensors"))
    assert_same_bytes(cn.load(str(tmp_path / "net.safetensors")), net)


def test_special_numbers_are_kept(tmp_path):
    net = network()
    odd = f4([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38, 1, 2])
    net.layers[0].bias[...] = jnp.asarray(odd)
    cn.save(net, tmp_path / "net.safetensors")
    loaded = cn.load(tmp_path / "net.safetensors")
    assert np.asarray(loaded.layers[0].bias[...]).tobytes() == odd.tobytes()


def test_a_started_network_is_kept_and_goes_on(tmp_path):
    net = CoordNet(Spec(width=8, depth=1, activation="sine", size=SIZE), seed=3)
    cn.save(net, tmp_path / "net.safetensors")
    loaded = cn.load(tmp_path / "net.safetensors")
    assert_same_bytes(loaded, net)
    np.testing.assert_array_equal(cn.render(loaded), cn.render(net))
    assert nnx.split(loaded)[0] == nnx.split(net)[0]  # compiled functions serve both


def test_a_file_is_an_ordinary_safetensors_file(tmp_path):
    from safetensors.numpy import load_file

    net = network()
    cn.save(net, tmp_path / "net.safetensors")
    tensors = load_file(tmp_path / "net.safetensors")
    assert sorted(tensors) == [
        f"layers.{i}.{part}" for i in range(3) for part in ("bias", "weight")
    ]
    np.testing.assert_array_equal(tensors["layers.1.weight"], net.layers[1].weight[...])


def test_the_same_network_gives_the_same_file(tmp_path):
    files = [tmp_path / f"{i}.safetensors" for i in range(8)]
    for file in files:  # eight, for the order of the metadata is random in each
        cn.save(network("grid(levels=(3,8))"), file)
    assert len({file.read_bytes() for file in files}) == 1


def test_a_checkpoint_is_no_network(tmp_path):
    path = tmp_path / "fit.ckpt"
    image = np.full((8, 8, 3), 0.5, np.float32)
    cn.fit(image, Spec(width=4, depth=1), steps=1, checkpoint=path, progress=False)
    with pytest.raises(FormatError, match=r"fit\.ckpt: a checkpoint, not a network"):
        cn.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    cn.save(network(), path)
    before = path.read_bytes()
    write = Path.write_bytes

    def full_disk(self, data):
        write(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space"):
        cn.save(network(act="relu"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "thing", ["net", None, {"spec": Spec()}, nnx.Linear(2, 3, rngs=nnx.Rngs(0))]
)
def test_only_a_coordnet_is_saved(thing, tmp_path):
    with pytest.raises(TypeError, match=r"`net` must be a CoordNet, got \w+"):
        cn.save(thing, tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_read_are_the_systems_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        cn.load(tmp_path / "absent.safetensors")
    with pytest.raises(IsADirectoryError):
        cn.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        cn.save(network(), tmp_path / "no" / "net.safetensors")


# --- broken files -----------------------------------------------------------------------------
def pack(header, payload):
    """A safetensors file of a header (anything JSON) and bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def unpack(data):
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "net.safetensors"
    cn.save(network("grid(levels=(2,))", "tanh", depth=1, width=2), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("broken") / "net.safetensors"


def load_or_refuse(place, data):
    """Load the bytes; return the network, or None where they are refused as they should be."""
    place.write_bytes(data)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before = time.perf_counter()
    net, refusal = None, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # Python's own, about odd literals
            net = cn.load(place)
    except (FormatError, OSError) as error:
        refusal = str(error)
    # says which file, in a few lines
    assert refusal is None or (str(place) in refusal and len(refusal) < 5000)
    # a file of a few hundred bytes: milliseconds and megabytes; a loaded machine gets its room
    assert time.perf_counter() - before < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000  # kB
    return net


def with_spec(data, **changes):
    header, payload = unpack(data)
    spec = json.loads(header["__metadata__"]["spec"])
    for name, value in changes.items():
        if value is ...:
            del spec[name]
        else:
            spec[name] = value
    header["__metadata__"]["spec"] = json.dumps(spec)
    return pack(header, payload)


def test_the_good_file_is_good(good, place):
    assert load_or_refuse(place, good) is not None
    assert load_or_refuse(place, with_spec(good)) is not None  # and so is its copy re-made


def test_every_truncation_is_refused(good, place):
    for length in [*range(0, 64), *range(64, len(good), 37), len(good) - 1]:
        assert load_or_refuse(place, good[:length]) is None


HUGE = 10**9


@pytest.mark.parametrize(
    "changes",
    [
        {"width": HUGE},
        {"width": 10**30},
        {"width": -1},
        {"width": 1.5},
        {"width": "8"},
        {"width": None},
        {"width": [8]},
        {"width": 3},
        {"depth": HUGE},
        {"depth": 10**30},
        {"depth": float("nan")},
        {"depth": "1"},
        {"depth": None},
        {"depth": -5},
        {"depth": 2},
        {"channels": HUGE},
        {"channels": 1},
        {"encoding": f"fourier(features={HUGE})"},
        {"encoding": "fourier(features=65536)"},
        {"encoding": f"grid(levels=({HUGE},))"},
        {"encoding": "grid(levels=(1048576,),table=1073741824)"},
        {"encoding": f"grid(levels={(8,) * 3000})"},
        {"encoding": f"grid(levels={(8,) * 10**6})"},
        {"encoding": "grid(levels=(2,),features=65536)"},
        {"encoding": "octaves(octaves=1000000000)"},
        {"encoding": "f(a=" + "[" * 100_000},
        {"encoding": "__import__('os').abort()"},
        {"encoding": "mine"},
        {"encoding": 3},
        {"encoding": ["grid"]},
        {"encoding": None},
        {"activation": "sine(omega=0)"},
        {"activation": "sine(omega='x')"},
        {"activation": "mine"},
        {"activation": {}},
        {"size": [HUGE]},
        {"size": [0, 1]},
        {"size": "ab"},
        {"size": [1.5, 2]},
        {"size": [float("nan"), 2]},
        {"size": [float("inf"), 2]},
        {"size": 5},
        {"output": []},
        {"output": "softmax"},
        {"coordinates": {"a": 1}},
        {"depth": ...},
        {"more": 1},
    ],
    ids=lambda c: str(c)[:50],
)
def test_headers_that_lie_are_refused(good, place, changes):
    assert load_or_refuse(place, with_spec(good, **changes)) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "[" * 100_000, '{"a":' * 50_000, "\0"]
)
def test_descriptions_that_are_none_are_refused(good, place, text):
    header, payload = unpack(good)
    header["__metadata__"]["spec"] = text
    assert load_or_refuse(place, pack(header, payload)) is None


@pytest.mark.parametrize("metadata", [None, {}, {"format": "coordnet 1"}, {"format": "coordnet 2"}])
def test_files_of_others_are_refused(good, place, metadata):
    header, payload = unpack(good)
    header["__metadata__"] = metadata
    if metadata is None:
        del header["__metadata__"]
    assert load_or_refuse(place, pack(header, payload)) is None


@pytest.mark.parametrize(
    "dtype", ["F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "C64", "XX", 3]
)
def test_weights_of_another_kind_are_refused(good, place, dtype):
    header, payload = unpack(good)
    name = "layers.0.bias"
    begin, end = header[name]["data_offsets"]
    width = {"F64": 8, "F16": 2, "BF16": 2, "C64": 8, "F4": 0.5}.get(dtype, 1)
    width = 4 if dtype == "I32" else width
    header[name] |= {"dtype": dtype, "shape": [int((end - begin) / width)]}
    assert load_or_refuse(place, pack(header, payload)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2**62]},
        {"shape": [2**63, 2**63]},
        {"shape": [0, 2**40]},
        {"shape": [-2]},
        {"shape": [1, 2]},
        {"shape": []},
        {"data_offsets": [0, 2**62]},
        {"data_offsets": [8, 0]},
        {"data_offsets": [-8, 0]},
    ],
    ids=str,
)
def test_weights_of_another_shape_are_refused(good, place, change):
    header, payload = unpack(good)
    header["layers.0.bias"] |= change
    assert load_or_refuse(place, pack(header, payload)) is None


@pytest.mark.parametrize("change", ["missing", "renamed", "added"])
def test_weights_by_other_names_are_refused(good, place, change):
    header, payload = unpack(good)
    if change == "added":
        size = len(payload)
        header["more"] = {"dtype": "F32", "shape": [1], "data_offsets": [size, size + 4]}
        payload += b"\0" * 4
    else:
        entry = header.pop("layers.0.bias")
        if change == "renamed":
            header["layers.0.bias2"] = entry
    assert load_or_refuse(place, pack(header, payload)) is None


def test_a_length_beyond_the_file_is_refused(good, place):
    for length in (2**64 - 1, 2**63, 10**8, len(good)):
        assert load_or_refuse(place, struct.pack("<Q", length) + good[8:]) is None


FUZZ = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(st.data())
@FUZZ
def test_mutated_bytes(good, place, data):
    broken = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                broken[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del broken[at : at + data.draw(st.integers(1, 9))]
            case "insert":
                broken[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    net = load_or_refuse(place, bytes(broken))
    assert net is None or isinstance(net, CoordNet)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
spec_values = json_values | st.sampled_from(
    ["sine", "grid", "none", "fourier", "grid(levels=(2,),features=3)", "edges", "sigmoid", 0, 1, 2]
)


@given(st.dictionaries(st.sampled_from(sorted(dataclasses.asdict(Spec()))), spec_values))
@FUZZ
def test_mutated_descriptions(good, place, changes):
    net = load_or_refuse(place, with_spec(good, **changes))
    if net is not None:  # what else was said may be true as well: then it is what was said
        for name, value in changes.items():
            said = tuple(value) if isinstance(value, list) else value
            assert getattr(net.spec, name) == said


@given(st.data())
@FUZZ
def test_mutated_headers(good, place, data):
    header, payload = unpack(good)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(header)))
        entry = header[name]
        key = (
            data.draw(st.sampled_from([*sorted(entry), None])) if isinstance(entry, dict) else None
        )
        if key is None:
            header[name] = data.draw(json_values)
        else:
            entry[key] = data.draw(json_values)
    net = load_or_refuse(place, pack(header, payload))
    assert net is None or isinstance(net, CoordNet)


@given(st.data())
@FUZZ
def test_mutated_text_of_the_header(good, place, data):
    # the length is made again, so that the parser itself meets what was done
    (length,) = struct.unpack("<Q", good[:8])
    text, payload = bytearray(good[8 : 8 + length]), good[8 + length :]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(
            st.sampled_from(
                [b"", b"0", b"9", b"-", b'"', b"\\", b"{", b"]", b",", b"\xff", b"null"]
            )
        )
        text[at : at + data.draw(st.integers(0, 3))] = piece
    net = load_or_refuse(place, pack(bytes(text), payload))
    assert net is None or isinstance(net, CoordNet)
