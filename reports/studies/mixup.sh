#!/usr/bin/env bash
# What does mixing give? `mixup` of two samples along a straight line, far and less far, and `iprm`, which mixes the
# modalities of one sample along a geodesic. Usage: mixup.sh FSDD_FOLDER [WORK_FOLDER [SETTING ...]]; a quarter of an hour
# on two cores.
set -euo pipefail
source "$(dirname "$0")/study.sh" "$1" "${2:-mixup}" "${@:3}"

# Exit code 3: done, but a row could not be run; its remark says why.
curate compare --name mixup --dataset avdigits --root "$root" --redraw "${settings[@]}" --seeds 3 --set optim.lr=0.002 \
    --method joint --method warmup --method mixup --method mixup:method.alpha=0.2 --method iprm:train.start=scratch \
    >&2 || [ $? = 3 ]
tables mixup
