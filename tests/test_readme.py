"""What README shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRIED = {
    "Adamax": """
from dlcore.catalogue import optimizers as module
from dlcore.settings import choices
exec(source, vars(module))
assert "adamax" in choices(module.Optimizer)
weights = torch.nn.Parameter(torch.ones(3))
optimizer = module.Adamax().build([weights])
weights.sum().backward()
optimizer.step()
assert (weights < 1).all()
""",
    "TwoLayers": """
from dlcore.catalogue import architectures as module
from dlcore.catalogue.datasets import Mnist5k, Moons
exec(source, vars(module))
for data in (Moons(), Mnist5k()):
    inputs = data.spec().inputs
    model = module.TwoLayers(width=8).build(inputs, (2,))
    assert model(torch.zeros(5, *inputs.shape)).shape == (5, 2)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_a_class_that_readme_adds_works(name):
    """In a process of its own, whose catalogue it enters."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (source,) = re.findall(rf"```python\n(class {name}\(.*?)```", text, re.DOTALL)
    program = f"import torch\nsource = {source!r}\n{TRIED[name]}"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
