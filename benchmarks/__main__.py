"""Runs benchmarks and prints their tables.

python -m benchmarks
python -m benchmarks saving tick
python -m benchmarks start --against ../before
"""

import argparse
import ast
import importlib
import sys
from pathlib import Path

from benchmarks.against import TURNS, compare, version
from benchmarks.measuring import machine

ROOT = Path(__file__).parents[1]
NAMES = (
    "steps",
    "floor",
    "watched",
    "tick",
    "memory",
    "race",
    "draw",
    "start",
    "growth",
    "saving",
    "lasting",
    "looking",
)


def main() -> int:
    about = {name: ast.get_docstring(ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text())) for name in NAMES}
    listed = "\n".join(f"  {name:8} {text.splitlines()[0]}" for name, text in about.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=listed, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them when none is named")
    parser.add_argument(
        "--against",
        metavar="PATH",
        type=Path,
        help=f"compare with another checkout, by turns: {', '.join(TURNS)}",
    )
    options = parser.parse_args()
    if unknown := sorted({*options.names} - {*NAMES}):
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    if options.against:
        return against(parser, options.names or list(TURNS), options.against)
    print(machine(), flush=True)
    for name in options.names or NAMES:
        print(f"\n## {name}\n\n{about[name]}\n", flush=True)
        importlib.import_module(f"benchmarks.{name}").run()  # not before: each needs packages of its own
    return 0


def against(parser: argparse.ArgumentParser, names: list[str], there: Path) -> int:
    if others := sorted({*names} - {*TURNS}):
        parser.error(f"two checkouts are not compared by {', '.join(others)}; choose from {', '.join(TURNS)}")
    if missing := [name for name in names if not (there / "benchmarks" / f"{name}.py").is_file()]:
        parser.error(f"{there} is no checkout that has the benchmark {', '.join(missing)}")
    print(f"{machine()}\n\nHere: {version(ROOT)}. There: {version(there)}.", flush=True)
    for name in names:
        print(f"\n## {name}\n", flush=True)
        try:
            compare(name, ROOT, there)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
