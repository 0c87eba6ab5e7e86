#!/usr/bin/env bash
# Everything in one command, on a fresh machine with Python 3.11-3.13.
#   ./run_all.sh                 install, then Tables II and III on the phantom (demo)
#   ./run_all.sh test [ARGS]     install, then the tests
#   ./run_all.sh paper [ARGS]    install, then the report's setting; ARGS: --ct-ich DIR
#   ./run_all.sh install         only install
# A second start reuses the environment and every finished or half-finished run.
set -euo pipefail
cd "$(dirname "$0")"

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

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

install() {
  local wanted
  if [ ! -x .venv/bin/python ]; then
    echo "== creating .venv"
    "$(find_python)" -m venv .venv
  fi
  wanted=$(cat requirements.txt pyproject.toml | cksum)
  if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
    echo "== installing requirements.txt into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
    echo "$wanted" > .venv/installed
  fi
}

main() {
  local mode=${1:-demo}
  [ $# -eq 0 ] || shift
  case $mode in
    demo | paper)
      install
      echo "== Tables II and III, profile $mode"
      .venv/bin/python -m ich_tf reproduce table2 table3 --profile "$mode" "$@"
      ;;
    test)
      install
      echo "== tests"
      .venv/bin/python -m pytest -n auto --dist loadfile "$@"
      ;;
    install) install ;;
    -h | --help | help) usage ;;
    *)
      echo "unknown mode: $mode" >&2
      usage >&2
      exit 2
      ;;
  esac
}

main "$@"
