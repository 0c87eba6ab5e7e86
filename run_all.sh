#!/usr/bin/env bash
# Everything in one command, on a fresh machine with Python 3.11-3.13.
#   ./run_all.sh                 install, then Tables I-III and Figures 3-7 on the phantom
#   ./run_all.sh test [ARGS]     install, then the tests
#   ./run_all.sh paper ARGS      install, then the report's setting on the real data;
#                                ARGS: --ct-ich DIR (Tables II, III), --rsna DIR (Table I)
#   ./run_all.sh install         only install
# A second start reuses the environment and every finished or half-finished run.
set -euo pipefail
cd "$(dirname "$0")"

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

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

reproduce() {
  echo "== $1"
  .venv/bin/python -m ich_tf reproduce "${@:2}"
}

main() {
  local mode=${1:-demo}
  [ $# -eq 0 ] || shift
  case $mode in
    demo)
      install
      reproduce "Tables II and III" table2 table3 "$@"
      reproduce "Table I and Figures 3-7" table1 "$@"
      ;;
    paper)
      local ran=""
      install
      if [ -n "${ICH_TF_CT_ICH:-}" ] || [[ " $* " == *" --ct-ich"* ]]; then
        reproduce "Tables II and III" table2 table3 --profile paper "$@"
        ran=yes
      fi
      if [ -n "${ICH_TF_RSNA:-}" ] || [[ " $* " == *" --rsna"* ]]; then
        reproduce "Table I and Figures 3-7" table1 --profile paper "$@"
        ran=yes
      fi
      if [ -z "$ran" ]; then
        echo "paper needs the real data: --ct-ich DIR, --rsna DIR or both" >&2
        exit 2
      fi
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
