"""Training steps of MONAI's 3-D BasicUNetPlusPlus, run by `volume3d.py`.

Usage: monai_worker.py float32|bfloat16 SIZE DEPTH FILTERS STEPS, with the Python of
.venv-monai. Prints one line of JSON: parameters, seconds of each step, peak memory.
"""

import contextlib
import io
import json
import os
import resource
import sys
import time

import torch
from monai.networks.nets import BasicUNetPlusPlus


def loss_of(logits, masks):
    """Binary cross-entropy plus Jaccard distance, as `losses.bce_jaccard`."""
    pixels = torch.nn.functional.binary_cross_entropy_with_logits(logits, masks)
    answer = torch.sigmoid(logits)
    shared = (answer * masks).sum()
    union = (answer + masks).sum() - shared
    return pixels + 1 - (shared + 1e-5) / (union + 1e-5)


def main(precision, *numbers) -> None:
    """Train on noise: neither time nor memory depends on what is shown."""
    size, depth, filters, steps = map(int, numbers)
    torch.set_num_threads(min(2, os.cpu_count()))
    torch.manual_seed(0)
    rows = [filters * 2**row for row in range(5)]
    with contextlib.redirect_stdout(io.StringIO()):
        model = BasicUNetPlusPlus(
            spatial_dims=3, in_channels=1, out_channels=1, features=(*rows, filters)
        )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images = torch.rand(1, 1, depth, size, size)
    masks = (images > 0.9).float()
    seconds, processor = [], []
    for _ in range(steps):
        began, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(images)[0]
        loss_of(logits.float(), masks).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    measured = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": seconds,
        "processor": processor,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
