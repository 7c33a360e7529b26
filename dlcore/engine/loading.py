"""Loading: what a run needs before its first step, fetched by threads of their own, so that nobody who trains waits."""

import threading
from collections.abc import Callable, Sequence

import torch

from dlcore.catalogue.datasets import import_torchvision, load
from dlcore.catalogue.splits import Dataset
from dlcore.engine.job import Job

_preparing = threading.Lock()


def prepare() -> None:
    """Import what the first run of a process needs. It takes seconds, and would hold up all on the training thread."""
    with _preparing:  # whoever comes meanwhile may use none of it before it is whole
        import_torchvision("transforms")  # torchmetrics takes it along; where it does not fit torch, this says so
        import torchmetrics  # noqa: F401 - for the first evaluation

        torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports PyTorch's compiler


def load_each(
    jobs: Sequence[Job],
    arrived: Callable[[Job, Dataset | Exception], None],
    downloading: Callable[[Job, float], None],
) -> None:
    """Load the jobs' data, one after the other, and tell of each; one job's data are no other's concern."""
    for job in jobs:
        try:
            prepare()
            data = load(job.recipe.data, job.recipe.device, lambda share, job=job: downloading(job, share))
        except Exception as error:  # the page shows why
            arrived(job, error)
        else:
            arrived(job, data)
