#!/usr/bin/env bash
# Every method on real speech with planted damage, under one protocol, three seeds; each seed redraws the data too.
# Usage: comparison.sh FSDD_FOLDER [WORK_FOLDER [SETTING ...]]; hours on two cores. Stopped, it goes on where it was.
# SETTINGs such as score.epochs=1 are for a trial run. The table goes to standard output, the page to WORK_FOLDER.
set -euo pipefail
root=$1
work=${2:-comparison}
shift "$(($# < 2 ? $# : 2))"
mkdir -p "$work"
export CURATE_DB="$work/curate.duckdb" CURATE_QUIET=1

settings=(--set data.degrade=true)
for setting in "$@"; do
    settings+=(--set "$setting")
done

# Exit code 3: done, but a row could not be run; its remark says why.
curate compare --name comparison --dataset avdigits --root "$root" --redraw "${settings[@]}" --seeds 3 \
    --method all --method usable:method.mode=skip --method subset:method.threshold=0.8 --method iprm:train.start=scratch \
    -o "$work/comparison.html" -o "$work/comparison.csv" -o "$work/comparison.tex" >&2 || [ $? = 3 ]

echo "## Test accuracy, percent, mean and standard deviation over seeds"
echo
curate compare --show --name comparison --format markdown

echo
echo "## Seed by seed: fused accuracy minus that of the warm-up continued, points"
echo
curate sql --format markdown "
WITH measured AS (
    SELECT c.label, c.position, c.seed, c.is_control AND c.method = 'warmup' AS reference, t.value
    FROM comparison c JOIN results t USING (run_id)
    WHERE c.comparison = 'comparison' AND t.modality = 'fused' AND t.metric = 'accuracy'
)
SELECT m.label AS method, string_agg(format('{:+.1f}', 100 * (m.value - r.value)), ' ' ORDER BY m.seed) AS \"seed by seed\",
    if(min(sign(m.value - r.value)) = max(sign(m.value - r.value)), 'same sign', '') AS \"on every seed\"
FROM measured m JOIN measured r USING (seed) WHERE r.reference AND NOT m.reference
GROUP BY m.label, m.position ORDER BY m.position"

echo
echo '```'
curate recommend
echo '```'
