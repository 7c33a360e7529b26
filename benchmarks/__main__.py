"""Runs benchmarks and prints their tables.

python -m benchmarks
python -m benchmarks saving tick
"""

import argparse
import importlib
import sys

from benchmarks.measuring import machine

NAMES = ("steps", "saving", "race", "tick")


def main() -> int:
    benchmarks = {name: importlib.import_module(f"benchmarks.{name}") for name in NAMES}
    about = "\n".join(f"  {name:8} {module.__doc__.splitlines()[0]}" for name, module in benchmarks.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them when none is named")
    names = parser.parse_args().names
    if unknown := sorted({*names} - {*NAMES}):
        parser.error(f"there is no benchmark {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    print(machine(), flush=True)
    for name in names or NAMES:
        print(f"\n## {name}\n\n{benchmarks[name].__doc__.strip()}\n", flush=True)
        benchmarks[name].run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
