#!/usr/bin/env bash
# Everything in one command, on a fresh machine with Python 3.11-3.13.
#   ./run_all.sh [ARGS]          install, then on the phantom: Tables I-III, Figures 3-7,
#                                3-D, related work, protocols, audit, verify, report
#                                page, notebooks
#   ./run_all.sh --quick         the same with a short row of each table, in minutes
#   ./run_all.sh paper ARGS      the same in the report's setting on the real data, and
#                                the audit's rows; needs --ct-ich DIR (all but Table I),
#                                --rsna DIR (Table I) or both; `--profile paper` is the
#                                same
#   ./run_all.sh test [ARGS]     install, then the tests
#   ./run_all.sh install         only install
# ARGS: --ct-ich DIR, --rsna DIR, --weights-dir DIR, --results DIR; others go to `reproduce`.
# A second start reuses the environment and every finished or half-finished run.
set -euo pipefail
caller=$PWD
cd "$(dirname "$0")"
python=.venv/bin/python

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0"; }

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
  if [ ! -x $python ]; then
    echo "== creating .venv"
    "$(find_python)" -m venv .venv
  fi
  wanted=$(cat requirements.txt pyproject.toml | cksum)
  if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
    echo "== installing requirements.txt into .venv"
    $python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    $python -m pip install --quiet --disable-pip-version-check --no-deps -e .
    echo "$wanted" > .venv/installed
  fi
}

# What of a stage is printed is also kept in its log; a stage that fails ends it all.
stage() {
  local name=$1 began=$SECONDS
  local log=$logs/$name.log
  shift
  echo "== $name: $((SECONDS / 60)) minutes so far$(time_left "$name")"
  echo "== $(date '+%F %T') profile $profile: $*" >> "$log"
  if ! "$@" 2>&1 | tee -a "$log"; then
    echo "run_all.sh: the stage $name failed; its log is $log. Started again" \
      "without --fresh, run_all.sh goes on from there." >&2
    exit 1
  fi
  took+=("$name $(((SECONDS - began + 30) / 60))")
}

# Minutes of each stage on two cores without bfloat16, about as measured, to say what is
# left: more where the stages so far took longer. `reproduce` tells of its rows.
time_left() {
  local minutes name left=0 before=0 found=""
  case $profile in
    demo) minutes="tables-2-3=25 table-1=11 volume-3d=5 related=2 protocols=0 audit=0 tables=0 verify=0 report=1 notebooks=1" ;;
    quick) minutes="tables-2-3=2 table-1=1 volume-3d=1 related=0 protocols=0 audit=0 tables=0 verify=0 report=1 notebooks=2" ;;
    *) return ;;
  esac
  for name in $minutes; do
    [ "${name%=*}" != "$1" ] || found=yes
    if [ -n "$found" ]; then
      left=$((left + ${name#*=}))
    else
      before=$((before + ${name#*=}))
    fi
  done
  if [ "$before" -gt 0 ] && [ $((SECONDS / 60)) -gt "$before" ]; then
    left=$((left * SECONDS / 60 / before))
  fi
  echo ", about $left left on two cores"
}

# Whether a file is there, and newer than the package, the notebooks and all results.
fresh() {
  [ -e "$1" ] && [ -z "$(find ich_tf notebooks "$results/$profile" -type f -newer "$1" \
    \( -name '*.py' -o -name '*.html' -o -name '*.js' -o -name '*.css' -o -name '*.json' \) \
    ! -path "$results/$profile/report.html" -print -quit)" ]
}

# The sweep of one row; of a row that could not be run there is none.
protocols() {
  local row=$results/$profile/$1
  if [ ! -e "$row.json" ]; then
    echo "$1 was not run"
  elif [ "$row/protocols.png" -nt "$row.json" ]; then
    echo "the sweep is up to date: $row/protocols.png"
  else
    $python -m ich_tf protocols "$1" --profile "$profile"
  fi
}

tables() {
  $python -m ich_tf tables --profile "$profile" > "$results/$profile/tables.md" || return
  cat "$results/$profile/tables.md"
}

# 1 (something differs) and 2 (not run, or other data) are verdicts, no failures.
verify() {
  local found=$results/$profile/verify.txt status=0
  $python -m ich_tf verify --profile "$profile" > "$found" || status=$?
  cat "$found"
  grep -Eq '^(report|regression): ' "$found" || return 1
  case $status in
    0) status="0: every number is reproduced, close or as recorded" ;;
    1) status="1: something differs" ;;
    2) status="2: nothing differs, but rows were not run or cannot be compared" ;;
  esac
  echo "$status" | tee "$found.status"
}

report() {
  local page=$results/$profile/report.html
  if fresh "$page"; then
    echo "the report is up to date: $page"
  else
    $python -m ich_tf report --profile "$profile"
  fi
}

notebooks() {
  local out=$results/$profile/notebooks
  if fresh "$out/built"; then
    echo "the notebooks are up to date: $out"
  else
    ICH_TF_PROFILE=$profile $python notebooks/build.py --out "$out" || return
    touch "$out/built"
  fi
}

summary() {
  echo "== done in $((SECONDS / 60)) minutes, profile $profile"
  echo "tables       $results/$profile/tables.md (other formats: python -m ich_tf tables --format latex)"
  if [ -d "$results/$profile/table1/resnext101/figures" ]; then
    echo "figures 3-7  $results/$profile/table1/resnext101/figures"
  fi
  echo "report       $results/$profile/report.html"
  echo "notebooks    $results/$profile/notebooks"
  echo "verify       $results/$profile/verify.txt, status $(cat "$results/$profile/verify.txt.status")"
  echo "logs         $logs"
  echo "minutes      $(printf '%s, ' "${took[@]}" | sed 's/, $//')"
  if [ "$profile" = demo ] && [ -z "${ICH_TF_CT_ICH:-}${ICH_TF_RSNA:-}" ]; then
    echo "The phantom's numbers show that everything runs; they reproduce nothing."
  fi
}

# Without real data, `demo` and `quick` take the phantom, and `paper` leaves a table out.
run() {
  local segmentation=(table2 table3) classification=(table1) volumes=(volume3d)
  local more=(related) swept=table2/vgg16-random-bce
  local arguments=(--profile "$profile" "$@")
  if [ "$profile" = quick ]; then
    segmentation=(table2/resnet50-random-bce table3/unet-hssayeni)
    volumes=(volume3d/add)
    more=(related/hu-threshold)
    swept=table2/resnet50-random-bce
  elif [ "$profile" = paper ]; then
    more=(related audit)
    swept=table2/densenet169-imagenet-jaccard
    [ -n "${ICH_TF_CT_ICH:-}" ] || segmentation=() volumes=() more=()
    [ -n "${ICH_TF_RSNA:-}" ] || classification=()
    if [ ${#segmentation[@]} -eq 0 ] && [ ${#classification[@]} -eq 0 ]; then
      echo "paper needs the real data: --ct-ich DIR, --rsna DIR or both" >&2
      exit 2
    fi
  fi
  install
  if [ "$profile" = paper ]; then
    echo "== looking for the data and the weights that the rows begin with"
    $python -m ich_tf reproduce --check ${segmentation[@]+"${segmentation[@]}"} \
      ${classification[@]+"${classification[@]}"} ${volumes[@]+"${volumes[@]}"} \
      ${more[@]+"${more[@]}"} "${arguments[@]}"
  fi
  SECONDS=0
  mkdir -p "$logs" "$results/$profile"
  [ ${#segmentation[@]} -eq 0 ] ||
    stage tables-2-3 $python -m ich_tf reproduce "${segmentation[@]}" "${arguments[@]}"
  [ ${#classification[@]} -eq 0 ] ||
    stage table-1 $python -m ich_tf reproduce "${classification[@]}" "${arguments[@]}"
  [ ${#volumes[@]} -eq 0 ] ||
    stage volume-3d $python -m ich_tf reproduce "${volumes[@]}" "${arguments[@]}"
  [ ${#more[@]} -eq 0 ] ||
    stage related $python -m ich_tf reproduce "${more[@]}" "${arguments[@]}"
  [ ${#segmentation[@]} -eq 0 ] || stage protocols protocols "$swept"
  stage audit $python -m ich_tf audit --profile "$profile"
  stage tables tables
  stage verify verify
  stage report report
  stage notebooks notebooks
  summary
}

folder() {
  case $1 in
    /*) echo "$1" ;;
    *) echo "$caller/$1" ;;
  esac
}

main() {
  local mode=run rest=()
  profile=demo
  case ${1:-} in
    test | install) mode=$1 && shift ;;
    demo | paper) profile=$1 && shift ;;
    -h | --help | help) usage && return ;;
    -* | "") ;;
    *)
      echo "unknown mode: $1" >&2
      usage >&2
      exit 2
      ;;
  esac
  if [ "$mode" = test ]; then
    install
    echo "== tests"
    $python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
    return
  fi
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    case $1 in
      --quick) profile=quick && shift && continue ;;
      --profile | --ct-ich | --rsna | --weights-dir | --results) ;;
      --seed | --check | --fold)
        echo "$1 is for one row: $python -m ich_tf reproduce ROW $1 ..." >&2
        exit 2
        ;;
      --strategy)
        [ $# -lt 2 ] || { rest+=("$1" "$2") && shift 2 && continue; } ;;
      -*) rest+=("$1") && shift && continue ;;
      *)
        echo "$1 is no option; a profile comes first: ./run_all.sh paper ..." >&2
        exit 2
        ;;
    esac
    if [ $# -lt 2 ]; then
      echo "$1 needs a value" >&2
      exit 2
    fi
    case $1 in
      --profile) profile=$2 ;;
      --ct-ich) ICH_TF_CT_ICH=$(folder "$2") && export ICH_TF_CT_ICH ;;
      --rsna) ICH_TF_RSNA=$(folder "$2") && export ICH_TF_RSNA ;;
      --weights-dir) ICH_TF_WEIGHTS=$(folder "$2") && export ICH_TF_WEIGHTS ;;
      --results) ICH_TF_RESULTS=$(folder "$2") && export ICH_TF_RESULTS ;;
    esac
    shift 2
  done
  case $profile in
    demo | paper | quick) ;;
    *)
      echo "unknown profile: $profile (demo, paper, quick)" >&2
      exit 2
      ;;
  esac
  if [ "$mode" = install ]; then
    install
    return
  fi
  results=${ICH_TF_RESULTS:-results}
  logs=$results/logs
  took=()
  export PYTHONUNBUFFERED=1
  run ${rest[@]+"${rest[@]}"}
}

main "$@"
