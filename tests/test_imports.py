"""The architecture, as a test: what may import what, read from the source itself."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = sorted((ROOT / "dlcore").glob("**/*.py"))
PAGES = sorted((ROOT / "pages").glob("**/*.py"))
INTERFACE = [*PAGES, *ROOT.glob("dashboard.py")]

# From the bottom up: a room of dlcore, or a file beside them, may import what stands in it or below it.
LAYERS = [
    {"settings", "curve", "later", "history"},
    {"catalogue"},
    {"memory"},
    {"recipe"},
    {"recipes"},
    {"sharing"},
    {"runs"},
    {"engine"},
    {"inside"},
    {"studies"},
    {"cli", "__main__"},
]
NEEDS_TORCH = {"catalogue.networks"}
ALONE = {"curve", "settings", "later", "catalogue.spec", "inside.drawing"}  # import nothing of dlcore


def name_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file):
    """Every module that a file imports, at its top or within a function; `from a import b` counts as a and a.b."""
    package = name_of(file).split(".") if file.name == "__init__.py" else name_of(file).split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def uses(file, *names):
    """Which of the names a file mentions, as an attribute, a variable or a word of an import."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    words = {getattr(node, "attr", getattr(node, "id", getattr(node, "name", None))) for node in ast.walk(tree)}
    return words & set(names)


GRAPH = {
    name_of(file).removeprefix("dlcore."): {
        found.removeprefix("dlcore.")
        for found in imports(file)
        if any((ROOT / f"{found.replace('.', '/')}{ending}").exists() for ending in (".py", "/__init__.py"))
    }
    for file in ENGINE
}


def reached(module):
    """What a module of dlcore imports, itself or through others."""
    found, ahead = set(), [module]
    while ahead:
        for other in GRAPH.get(ahead.pop(), ()):
            if other not in found:
                found.add(other)
                ahead.append(other)
    return found


def short(file):
    return str(file.relative_to(ROOT))


def room(module):
    return module.split(".")[0]


def test_every_module_has_its_place():
    assert {room(module) for module in GRAPH} - {"dlcore"} <= set().union(*LAYERS)
    assert GRAPH.keys() >= ALONE


def test_the_reading_of_imports_finds_those_that_are_known_to_be_there():
    assert {"settings", "catalogue.datasets", "catalogue.optimizers"} <= GRAPH["recipe"]
    assert {"settings", "recipe", "catalogue.datasets"} <= reached("engine.conductor")
    assert {"pooch", "pandas", "dlcore.later.torch"} <= imports(ROOT / "dlcore/catalogue/datasets/pictures.py")


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_imports_go_one_way(module):
    place = next((place for place, layer in enumerate(LAYERS) if room(module) in layer), 0)
    above = set().union(*LAYERS[place + 1 :])
    assert not {other for other in GRAPH[module] if room(other) in above}


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_no_module_reaches_itself(module):
    assert module not in reached(module)


@pytest.mark.parametrize("module", sorted(ALONE))
def test_what_stands_alone_imports_nothing_of_dlcore(module):
    assert not GRAPH[module]


@pytest.mark.parametrize("file", ENGINE, ids=short)
def test_the_engine_knows_no_page_and_no_streamlit(file):
    roots = {name.split(".")[0] for name in imports(file)}
    assert not roots & {"streamlit", "pages", "dashboard", "plotly"}


@pytest.mark.parametrize("file", PAGES, ids=short)
def test_pages_share_through_parts_and_never_import_each_other(file):
    others = {name for name in imports(file) if name == "dashboard" or name.split(".")[0] == "pages"}
    assert all(name == "pages" or name.startswith("pages.parts") for name in others)
    if "pages" in others:
        assert any(name.startswith("pages.parts") for name in others)


def test_what_stands_below_the_engine_comes_without_torch():
    below = [room for layer in LAYERS[: LAYERS.index({"engine"})] for room in layer]
    modules = [f"dlcore.{module}" for module in GRAPH if room(module) in below and module not in NEEDS_TORCH]
    program = f"""
import importlib, sys
for name in {[*modules, "dlcore.engine.job", "dlcore.studies.races", "dlcore.inside.fit"]}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("file", INTERFACE, ids=short)
def test_only_the_folder_state_touches_what_streamlit_keeps(file):
    if file.parent == ROOT / "pages/parts/state":
        return
    assert not uses(file, "session_state", "cache_resource", "cache_data", "query_params")


@pytest.mark.parametrize("name", ["charts", "network_charts", "run_looks"])
def test_charts_are_pure(name):
    assert "streamlit" not in {name.split(".")[0] for name in imports(ROOT / f"pages/parts/{name}.py")}


def test_the_engine_starts_without_what_only_some_choices_need():
    late = ["torchvision", "torch._dynamo", "torchmetrics", "matplotlib", "sklearn", "scipy", "pandas"]
    late += ["mlxtend", "pooch", "streamlit", "plotly"]
    program = f"""
import sys, dlcore.engine.conductor
from dlcore.recipes import RECIPES
assert not any(named.recipe.problems() or named.recipe.warnings() for named in RECIPES.values())
print([name for name in {late} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_run_imports_nothing_from_its_first_step_to_its_last():
    program = """
import sys
from dlcore.catalogue.datasets import load
from dlcore.engine.loading import prepare
from dlcore.engine.trainer import Trainer
from dlcore.recipe import change
from dlcore.recipes import RECIPES
recipe = change(RECIPES["two-moons"].recipe, {"epochs": 1})
prepare()
trainer, data = Trainer(recipe), load(recipe.data)
trainer.begin(data)
before = set(sys.modules)
with trainer.own_random():
    while not trainer.over:
        trainer.advance()
assert trainer.history.epochs
print(sorted(set(sys.modules) - before))
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_first_page_is_there_without_what_takes_long_to_import(tmp_path):
    late = [
        "torch",
        "torchvision",
        "torchmetrics",
        "matplotlib",
        "sklearn",
        "scipy",
        "pandas",
        "pyarrow",
        "mlxtend",
        "pooch",
    ]
    program = f"""
import sys, threading
threading.Timer.start = lambda timer: None  # what comes after the page
start = threading.Thread.start
threading.Thread.start = lambda thread: thread.name == "importing" or start(thread)
from streamlit.testing.v1 import AppTest
assert "torch" not in sys.modules
page = AppTest.from_file({str(ROOT / "dashboard.py")!r}, default_timeout=120).run()
assert not page.exception and any(button.label == "Start" for button in page.button)
assert not [button.label for button in page.button if button.label == "Start" and button.disabled]
print([name for name in {late} if name in sys.modules])
"""
    environment = os.environ | {"DLCORE_RUNS": str(tmp_path)}
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
