#!/usr/bin/env bash
# What to do about broken modalities, on real speech with planted damage: half trained (slow) and knowing the training
# samples by heart (fast). Seeds 2 to 4, which no threshold of usability was chosen on; each redraws the data too.
# Usage: remedies.sh FSDD_FOLDER [WORK_FOLDER [SETTING ...]]; an hour on two cores. Stopped, it goes on where it was.
# SETTINGs such as score.epochs=1 are for a trial run. The tables go to standard output, the pages to WORK_FOLDER.
set -euo pipefail
root=$1
work=${2:-remedies}
shift "$(($# < 2 ? $# : 2))"
mkdir -p "$work"
export CURATE_DB="$work/curate.duckdb" CURATE_QUIET=1

settings=(--set data.degrade=true)
for setting in "$@"; do
    settings+=(--set "$setting")
done

for regime in slow:0.002 fast:0.01; do
    name=${regime%:*}
    # Exit code 3: done, but a row could not be run; its remark says why.
    curate compare --name "$name" --table usability/remedies --dataset avdigits --root "$root" --redraw --seeds 2,3,4 \
        "${settings[@]}" --set "optim.lr=${regime#*:}" -o "$work/$name.html" >&2 || [ $? = 3 ]
    echo "## Test accuracy, $name, percent, mean and standard deviation over seeds"
    echo
    curate compare --show --name "$name" --format markdown
    echo
    echo "## Seed by seed, $name: fused accuracy minus that of the warm-up continued, points"
    echo
    curate sql --format markdown "
    WITH measured AS (
        SELECT c.label, c.position, c.seed, t.value
        FROM comparison c JOIN results t USING (run_id)
        WHERE c.comparison = '$name' AND t.modality = 'fused' AND t.metric = 'accuracy'
    )
    SELECT m.label AS method,
        string_agg(format('{:+.1f}', 100 * (m.value - r.value)), ' ' ORDER BY m.seed) AS \"seed by seed\",
        if(min(sign(m.value - r.value)) = max(sign(m.value - r.value)), 'same sign', '') AS \"on every seed\"
    FROM measured m JOIN measured r USING (seed) WHERE r.label = 'warmup' AND m.label <> 'warmup'
    GROUP BY m.label, m.position ORDER BY m.position"
    echo
done
