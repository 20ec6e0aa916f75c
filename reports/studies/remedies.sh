#!/usr/bin/env bash
# What to do about broken modalities, on real speech with planted damage: half trained (slow) and knowing the training
# samples by heart (fast). Seeds 2 to 4, which no threshold of usability was chosen on; each redraws the data too.
# Usage: remedies.sh FSDD_FOLDER [WORK_FOLDER [SETTING ...]]; an hour on two cores. Stopped, it goes on where it was.
# SETTINGs such as score.epochs=1 are for a trial run. The tables go to standard output, the pages to WORK_FOLDER.
set -euo pipefail
source "$(dirname "$0")/study.sh" "$1" "${2:-remedies}" "${@:3}"

for regime in slow:0.002 fast:0.01; do
    name=${regime%:*}
    # Exit code 3: done, but a row could not be run; its remark says why.
    curate compare --name "$name" --table usability/remedies --dataset avdigits --root "$root" --redraw --seeds 2,3,4 \
        "${settings[@]}" --set "optim.lr=${regime#*:}" -o "$work/$name.html" >&2 || [ $? = 3 ]
    tables "$name"
done
