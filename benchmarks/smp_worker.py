"""segmentation-models-pytorch's UNet++ at the other end of a pipe.

`segmentation.py` starts this file with the Python of .venv-smp. Each line it reads is
"train PRECISION BATCH" or "infer PRECISION BATCH"; each line it writes is the wall and
the processor seconds of one step. The first line it writes is the number of parameters.
"""

import sys
import time

import torch

THREADS = 2

# torchvision's PyPI build is for CUDA and loads no operators next to a CPU torch, but
# describes two of them when it is imported. The encoder uses none.
for operator in ("nms", "qnms"):
    torch.library.define(
        f"torchvision::{operator}",
        "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    )

import segmentation_models_pytorch  # noqa: E402


def train(model, optimizer, images, masks) -> None:
    """One step of Adam on the binary cross-entropy."""
    model.train()
    optimizer.zero_grad()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        model(images).float(), masks
    )
    loss.backward()
    optimizer.step()
    loss.item()


def infer(model, images) -> None:
    """Probabilities."""
    model.eval()
    with torch.inference_mode():
        torch.sigmoid(model(images)).float().numpy()


def main() -> None:
    """Answer steps until the input ends."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model = segmentation_models_pytorch.UnetPlusPlus(
        "densenet169", encoder_weights=None, in_channels=3, classes=1
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    print(sum(weight.numel() for weight in model.parameters()), flush=True)
    for line in sys.stdin:
        kind, precision, batch = line.split()
        images = torch.rand(int(batch), 3, 128, 128)
        masks = (torch.rand(int(batch), 1, 128, 128) > 0.9).float()
        wall, processor = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            if kind == "train":
                train(model, optimizer, images, masks)
            else:
                infer(model, images)
        wall = time.perf_counter() - wall
        print(wall, time.process_time() - processor, flush=True)


if __name__ == "__main__":
    main()
