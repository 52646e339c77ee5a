"""The one thread of a worker that runs torch: it loads the networks, tries them and steps them.

OpenMP keeps a team of threads for every thread that computes. As soon as there are more of them
than cores they no longer wait for each other by spinning, and a step on a CPU takes twice as long:
so the event loop, and whatever else runs in a thread, must leave tensors alone.
"""

from concurrent.futures import ThreadPoolExecutor

import torch


def compute_thread(threads: int | None = None) -> ThreadPoolExecutor:
    """An executor of one thread. threads: how many it computes with; None is all cores."""
    if threads is None:
        return ThreadPoolExecutor(1, "compute")
    return ThreadPoolExecutor(1, "compute", torch.set_num_threads, (threads,))
