"""Runs benchmarks and prints their tables.

python -m benchmarks
python -m benchmarks saving tick
"""

import argparse
import ast
import importlib
import sys
from pathlib import Path

from benchmarks.measuring import machine

HERE = Path(__file__)
NAMES = ("steps", "floor", "watched", "tick", "memory", "race", "draw", "start", "growth", "saving", "lasting")


def main() -> int:
    about = {name: ast.get_docstring(ast.parse(HERE.with_name(f"{name}.py").read_text())) for name in NAMES}
    listed = "\n".join(f"  {name:8} {text.splitlines()[0]}" for name, text in about.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=listed, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them when none is named")
    names = parser.parse_args().names
    if unknown := sorted({*names} - {*NAMES}):
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    print(machine(), flush=True)
    for name in names or NAMES:
        print(f"\n## {name}\n\n{about[name]}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").run()  # not before: each needs packages of its own
    return 0


if __name__ == "__main__":
    sys.exit(main())
