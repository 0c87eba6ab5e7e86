#!/usr/bin/env bash
# Everything in one command, on a fresh machine with Python 3.11-3.13.
#   ./run_all.sh [ARGS]          install, then on the phantom: Tables I-III, Figures 3-7,
#                                3-D, related work, protocols, audit, verify, report
#                                page, notebooks
#   ./run_all.sh --quick         the same with a short row of each table, in minutes
#   ./run_all.sh paper ARGS      the same in the report's setting on the real data, and
#                                the audit's rows; needs --ct-ich DIR (all except Table I),
#                                --rsna DIR (Table I) or both; `--profile paper` is the
#                                same
#   ./run_all.sh test [ARGS]     install, then the tests
#   ./run_all.sh install         only install
# ARGS: --ct-ich DIR, --rsna DIR, --weights-dir DIR, --results DIR, --strategy NAME, --fresh.
# A second start reuses the environment and every finished or half-finished run.
set -euo pipefail
project=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$project/.venv/bin/python

usage() { sed -n '2,14s/^# \{0,1\}//p' "$project/run_all.sh"; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "run_all.sh needs Python 3.11, 3.12 or 3.13 with venv; set PYTHON to one." >&2
  exit 1
}

# Without an NVIDIA driver the CUDA libraries of `tensorflow` would serve nothing.
tensorflow_package() {
  if [ "$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null &&
    [ ! -e /proc/driver/nvidia/version ] && [ ! -e /usr/lib/wsl/lib/nvidia-smi ]; then
    echo tensorflow-cpu
  else
    echo tensorflow
  fi
}

pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }

install() {
  local package wanted
  cd "$project"
  package=$(tensorflow_package)
  if [ ! -x "$python" ]; then
    echo "== creating .venv"
    "$(find_python)" -m venv .venv
  fi
  wanted="$(cat requirements.txt pyproject.toml setup.py | cksum) $package"
  [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ] || return 0
  echo "== installing requirements.txt into .venv"
  if [ "$package" = tensorflow-cpu ]; then
    echo "   no NVIDIA driver: tensorflow-cpu in place of tensorflow, the same version"
  fi
  # Both packages own the same files, so one must go before the other comes.
  if [ -e .venv/installed ] && [ "$(sed 's/.* //' .venv/installed)" != "$package" ]; then
    pip uninstall --yes tensorflow tensorflow-cpu
  fi
  sed "s/^tensorflow==/$package==/" requirements.txt > .venv/requirements.txt
  pip install -r .venv/requirements.txt
  pip install --no-deps --editable .
  echo "$wanted" > .venv/installed
}

case ${1:-} in
  -h | --help | help) usage ;;
  install) (install) ;;
  test)
    (install)
    echo "== tests"
    cd "$project"
    exec "$python" -m pytest -n auto --dist loadfile --no-loadscope-reorder "${@:2}"
    ;;
  demo | paper | -* | "")
    (install)
    exec "$python" -m ich_tf all "$@"
    ;;
  *)
    echo "unknown mode: $1" >&2
    usage >&2
    exit 2
    ;;
esac
