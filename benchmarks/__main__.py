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
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*NAMES, []], help="all of them when none is named")
    print(machine(), flush=True)
    for name in parser.parse_args().names or NAMES:
        module = benchmarks[name]
        print(f"\n## {name}\n\n{module.__doc__.strip()}\n", flush=True)
        module.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
