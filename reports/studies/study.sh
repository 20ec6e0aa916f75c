# What the studies of whole comparisons share, to be sourced: study.sh FSDD_FOLDER WORK_FOLDER [SETTING ...]
# Sets root, work, settings and where the table is; `tables NAME` prints a stored comparison.
root=$1
work=$2
shift 2
mkdir -p "$work"
export CURATE_DB="$work/curate.duckdb" CURATE_QUIET=1

settings=(--set data.degrade=true)
for setting in "$@"; do
    settings+=(--set "$setting")
done

tables() {
    echo "## Test accuracy, $1, percent, mean and standard deviation over seeds"
    echo
    curate compare --show --name "$1" --format markdown
    echo
    echo "## Seed by seed, $1: fused accuracy minus that of the warm-up continued, points"
    echo
    curate sql --format markdown "
    WITH measured AS (
        SELECT c.label, c.position, c.seed, t.value
        FROM comparison c JOIN results t USING (run_id)
        WHERE c.comparison = '$1' AND t.modality = 'fused' AND t.metric = 'accuracy'
    )
    SELECT m.label AS method,
        string_agg(format('{:+.1f}', 100 * (m.value - r.value)), ' ' ORDER BY m.seed) AS \"seed by seed\",
        if(min(sign(m.value - r.value)) = max(sign(m.value - r.value)), 'same sign', '') AS \"on every seed\"
    FROM measured m JOIN measured r USING (seed) WHERE r.label = 'warmup' AND m.label <> 'warmup'
    GROUP BY m.label, m.position ORDER BY m.position"
    echo
}
