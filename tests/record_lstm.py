"""Records what PyTorch's LSTM makes of small scans, one at a time, for
test_sequence.py. Needs torch, which the tests do not:

    .venv-smp/bin/python tests/record_lstm.py
"""

import pathlib

import numpy as np
import torch

FIXTURE = pathlib.Path(__file__).parent / "fixtures" / "lstm.npz"
FEATURES, COMPONENTS, CLASSES, HIDDEN, LAYERS = 7, 5, 6, 4, 3
LENGTHS = (1, 4, 9)


def main():
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(
        COMPONENTS + CLASSES, HIDDEN, LAYERS, batch_first=True, bidirectional=True
    )
    linear = torch.nn.Linear(2 * HIDDEN + CLASSES, CLASSES)
    state = {**lstm.state_dict(), **linear.state_dict(prefix="linear.")}
    for weight in state.values():
        # Far from zero, so that gates and both directions show in the output.
        torch.nn.init.uniform_(weight, -1.0, 1.0)
    kernel, bias = torch.randn(FEATURES, COMPONENTS), torch.randn(COMPONENTS)
    features = torch.randn(sum(LENGTHS), FEATURES)
    probabilities = torch.rand(sum(LENGTHS), CLASSES)
    logits = []
    with torch.no_grad():
        scans = zip(features.split(LENGTHS), probabilities.split(LENGTHS), strict=True)
        for x, p in scans:
            slices = torch.cat([x @ kernel + bias, p], dim=1)
            outputs, _ = lstm(slices[None])
            logits.append(linear(torch.cat([outputs[0], p], dim=1)))
    arrays = {
        **state,
        "pca_kernel": kernel,
        "pca_bias": bias,
        "features": features,
        "probabilities": probabilities,
        "lengths": torch.tensor(LENGTHS),
        "logits": torch.cat(logits),
    }
    np.savez_compressed(FIXTURE, **{name: a.numpy() for name, a in arrays.items()})


if __name__ == "__main__":
    main()
