#!/usr/bin/env bash
# Every method on real speech with planted damage, under one protocol, three seeds; each seed redraws the data too. Beside
# each method as published, the same with its main knob and its learning rate tuned on validation: five trials for each.
# Usage: comparison.sh FSDD_FOLDER [WORK_FOLDER [SETTING ...]]; hours on two cores. Stopped, it goes on where it was.
# CURATE_DEVICE=cpu,cpu OMP_NUM_THREADS=1 before it trains two at a time.
# SETTINGs such as score.epochs=1 are for a trial run. The table goes to standard output, the page to WORK_FOLDER.
set -euo pipefail
source "$(dirname "$0")/study.sh" "$1" "${2:-comparison}" "${@:3}"

# Exit code 3: done, but a row could not be run; its remark says why.
curate compare --name comparison --dataset avdigits --root "$root" --redraw "${settings[@]}" --seeds 3 \
    --method all --method usable:method.mode=skip --method subset:method.threshold=0.8 --method iprm:train.start=scratch --tune 5 \
    -o "$work/comparison.html" -o "$work/comparison.csv" -o "$work/comparison.tex" >&2 || [ $? = 3 ]

tables comparison
echo '```'
curate recommend
echo '```'
