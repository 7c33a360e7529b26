"""dlcore: watch a neural network learn. The engine; it knows no page and imports no Streamlit."""

import os

# OpenMP's threads spin while they wait. Beside a browser, or any other busy process, each then waits for a core that
# its sibling burns, and a step takes ten times as long. Must be said before torch is imported; yours, if set, wins.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
