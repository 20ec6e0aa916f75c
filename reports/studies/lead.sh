#!/usr/bin/env bash
# Should the modality lead that is better alone? `pdmp` with the leader that it finds, and with the other one, at the usual
# learning rate and at ten times of it. Usage: lead.sh FSDD_FOLDER [WORK_FOLDER [SETTING ...]]; half an hour on two cores.
set -euo pipefail
source "$(dirname "$0")/study.sh" "$1" "${2:-lead}" "${@:3}"

for rate in 0.002 0.02; do
    # Exit code 3: done, but a row could not be run; its remark says why.
    curate compare --name "lead, rate $rate" --dataset avdigits --root "$root" --redraw "${settings[@]}" --seeds 3 \
        --method joint --method warmup --method pdmp --method pdmp:method.dominant=visual --set optim.lr=$rate >&2 || [ $? = 3 ]
    tables "lead, rate $rate"
done
