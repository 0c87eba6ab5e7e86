#!/usr/bin/env bash
# Build .venv-monai: MONAI outside this project.
# The first pip call pins torch: where a CPU build of it is at hand, the second finds
# it installed and fetches no CUDA packages.
set -euo pipefail
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv .venv-monai
.venv-monai/bin/pip install --quiet torch==2.13.0
.venv-monai/bin/pip install --quiet monai==1.5.1
