"""The API lint: what every public name owes its user."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import coordnet as cn
from coordnet import trainers

ROOT = Path(__file__).resolve().parent.parent
STUB = ast.parse((ROOT / "coordnet" / "__init__.pyi").read_text(encoding="utf-8"))

# public name -> the module that it comes from
PUBLIC = {
    alias.name: str(node.module)
    for node in STUB.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
TABLES = {"ACTIVATIONS", "ENCODINGS", "PRESETS"}  # data: mappings from names to functions
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(inspect.unwrap(getattr(cn, name)))]
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(cn, name))]
# exceptions take a message, as all exceptions do
ASKED = FUNCTIONS + [name for name in CLASSES if not issubclass(getattr(cn, name), Exception)]
TRAINERS = [name for name in vars(trainers) if not name.startswith("_")]

# Arguments with a default that may be given by their place, because they read so.
BY_PLACE = {
    ("fit", "net"),  # fit(image, "siren")
    ("fitting", "net"),
    ("film_fit", "net"),
    ("render", "size"),  # render(net, 4000)
    ("demo", "folder"),  # demo("out")
    ("upscale", "scale"),  # upscale(image, 3.5)
    ("invention_map", "scale"),
    ("adam", "rate"),  # adam(1e-3)
    ("rprop", "size"),  # rprop(0.1)
    ("muon", "rate"),  # muon(0.02)
}


def test_the_stub_exports_each_name_as_itself():
    for node in STUB.body:
        assert isinstance(node, ast.ImportFrom)
        assert all(alias.asname == alias.name for alias in node.names)


def test_every_public_name_is_of_one_kind():
    assert TABLES | set(FUNCTIONS) | set(CLASSES) == set(PUBLIC)
    assert len(TABLES) + len(FUNCTIONS) + len(CLASSES) == len(PUBLIC)


def is_record(thing):
    """Whether a class is data: named fields, and no methods to show the use of."""
    named = dataclasses.is_dataclass(thing) or hasattr(thing, "_fields")
    own = [k for k, v in vars(thing).items() if inspect.isfunction(v) and not k.startswith("_")]
    return named and not own


def fields_of(thing):
    if hasattr(thing, "_fields"):
        return list(thing._fields)
    return [field.name for field in dataclasses.fields(thing)]


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_public_name_is_documented_by_an_example(name):
    thing = getattr(cn, name)
    text = inspect.getdoc(thing) or ""
    assert re.match(r"[A-Z].*\.", text), f"{name} has no first sentence"
    assert not text.startswith(f"{name}("), f"{name} has only the docstring that Python made"
    if ">>>" not in text:
        assert is_record(thing), f"{name} shows no example"
        for field in fields_of(thing):
            assert re.search(rf"\b{field}\b", text), f"{name} does not say what {field} is"


@pytest.mark.parametrize("name", TRAINERS)
def test_every_trainer_is_documented_by_an_example(name):
    thing = getattr(trainers, name)
    if callable(thing):
        assert ">>>" in (inspect.getdoc(inspect.unwrap(thing)) or "")


@pytest.mark.parametrize("name", sorted(TABLES))
def test_tables_are_commented_where_they_stand(name):
    source = (ROOT / "coordnet" / f"{PUBLIC[name].strip('.')}.py").read_text(encoding="utf-8")
    assert re.search(rf"^#: .+\n{name}\b", source, re.MULTILINE)


def parameters(name):
    thing = getattr(cn, name)
    return list(inspect.signature(thing).parameters.values())


def is_plain(name):
    """Records take their fields by place and by name, as all records do."""
    return name in FUNCTIONS or not is_record(getattr(cn, name))


@pytest.mark.parametrize("name", [n for n in ASKED if is_plain(n)])
def test_options_are_keyword_only(name):
    for parameter in parameters(name):
        if parameter.default is not parameter.empty and (name, parameter.name) not in BY_PLACE:
            kinds = (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
            assert parameter.kind in kinds or dataclasses.is_dataclass(getattr(cn, name)), (
                f"{name}: {parameter.name} is an option; put it after the *"
            )


def test_what_may_be_given_by_place_is_there():
    for name, argument in BY_PLACE:
        assert argument in [p.name for p in parameters(name)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_few_arguments_are_given_by_place(name):
    by_place = [p for p in parameters(name) if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(by_place) <= 3


RANDOM = re.compile(r"rng|random|generator|prng", re.IGNORECASE)


@pytest.mark.parametrize("name", ASKED)
def test_randomness_is_called_seed_or_key(name):
    for parameter in parameters(name):
        assert not RANDOM.search(parameter.name), f"{name}: call {parameter.name} seed or key"


@pytest.mark.parametrize(
    ("module", "seeds"), [("_activations", 0), ("_encodings", 1), ("_fit", 0), ("_art", 0)]
)
def test_no_randomness_of_its_own(module, seeds):
    # numpy's generator appears once, in the encoding whose seed is written in its description
    source = (ROOT / "coordnet" / f"{module}.py").read_text(encoding="utf-8")
    assert len(re.findall(r"np\.random|import random|default_rng\(\)", source)) == seeds


@pytest.mark.parametrize("name", FUNCTIONS)
def test_documented_arguments_are_those_that_are_there(name):
    text = inspect.getdoc(getattr(cn, name)) or ""
    section = re.search(r"^Args:\n((?:    .*\n|\n)+)", text + "\n", re.MULTILINE)
    if section is None:
        return
    described = re.findall(r"^    (\w+)(?: \(.*\))?:", section.group(1), re.MULTILINE)
    assert described == [p.name for p in parameters(name) if p.name in described]
    # all, or none of the arguments: half a list hides the other half
    assert set(described) == {p.name for p in parameters(name)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_are_typed(name):
    function = inspect.unwrap(getattr(cn, name))
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not parameter.empty, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_in_the_documentation(name):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert re.search(rf"\b{name}\b", text), f"{name} is neither in README.md nor in docs/"
