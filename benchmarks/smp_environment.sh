#!/usr/bin/env bash
# Build .venv-smp: segmentation-models-pytorch outside this project.
# The first pip call pins torch: where a CPU build of it is at hand, the second finds
# it installed and fetches no CUDA packages.
set -euo pipefail
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv .venv-smp
.venv-smp/bin/pip install --quiet torch==2.13.0
.venv-smp/bin/pip install --quiet torchvision==0.28.0 timm==1.0.31 \
  segmentation-models-pytorch==0.6.0
