"""Record what torchvision's ResNeXt computes, as the fixture of test_resnext.py.

    python tests/record_resnext.py tests/fixtures/resnext.npz

needs torch and torchvision; the tests do not. Weights and images are not stored: both
sides draw them from the same seed, and NumPy never changes what `RandomState` draws.
"""

import argparse
import contextlib

import numpy as np

SMALL = {"depths": (1, 2, 1, 1), "cardinality": 8, "width": 4}
FULL = {"depths": (3, 4, 23, 3), "cardinality": 32, "width": 8}
# Neither square nor a multiple of 32, so that a padding on the wrong side shows.
IMAGE_SHAPE = (70, 94, 3)
CLASSES = 6
RANGES = {"running_var": (0.5, 1.5), "running_mean": (-0.1, 0.1), "bias": (-0.1, 0.1)}


def draw_state(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """A state dict of random weights that keeps activations near 1 at any depth."""
    random = np.random.RandomState(seed)
    state = {}
    for name, shape in shapes.items():
        low, high = RANGES.get(name.rsplit(".", 1)[1], (0.5, 1.5))
        if len(shape) > 1:
            high = np.sqrt(6 / np.prod(shape[1:]))
            low = -high
        elif ".bn3.weight" in name:
            low, high = 0.1, 0.3
        state[name] = random.uniform(low, high, shape).astype(np.float32)
    return state


def draw_images(count: int, seed: int) -> np.ndarray:
    """(count, height, width, 3), float32, in [0, 1]."""
    images = np.random.RandomState(seed).uniform(size=(count, *IMAGE_SHAPE))
    return images.astype(np.float32)


def import_torchvision():
    """Import torchvision also where its operators do not match a CPU build of torch."""
    import torch

    with contextlib.suppress(RuntimeError):
        import torchvision

        return torchvision
    # It describes two operators when imported; a ResNet uses none.
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )
    import torchvision

    return torchvision


def torchvision_outputs(depths, cardinality, width, images, seed=0):
    """Shapes of the state dict, features (n, 2048) and logits (n, 6) of torchvision."""
    import torch

    resnet = import_torchvision().models.resnet
    model = resnet.ResNet(
        resnet.Bottleneck,
        list(depths),
        num_classes=CLASSES,
        groups=cardinality,
        width_per_group=width,
    ).eval()
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state = {name: torch.tensor(a) for name, a in draw_state(shapes, seed).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or any("num_batches" not in name for name in missing):
        raise ValueError(f"missing {missing}, unexpected {unexpected}")
    features = []
    model.avgpool.register_forward_hook(
        lambda layer, inputs, output: features.append(output.flatten(1))
    )
    with torch.no_grad():
        logits = model(torch.tensor(images.transpose(0, 3, 1, 2)))
    return shapes, features[0].numpy(), logits.numpy()


def record(path: str, network: dict, images: np.ndarray) -> None:
    """Write names and shapes of the state dict, features and logits."""
    shapes, features, logits = torchvision_outputs(**network, images=images)
    np.savez_compressed(
        path,
        names=list(shapes),
        shapes=["x".join(map(str, shape)) for shape in shapes.values()],
        features=features,
        logits=logits,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--full", action="store_true", help="ResNeXt-101 32x8d")
    options = parser.parse_args()
    record(options.path, FULL if options.full else SMALL, draw_images(2, seed=1))
