#!/usr/bin/env bash
# Planted imbalance in real speech: every method beside its fair baselines, three seeds.
# Usage: planted_speech.sh FSDD_FOLDER [WORK_FOLDER]; about thirteen minutes on two cores. Tables go to standard output.
# Each seed redraws the split of the scans, pairing, noise, damage and initial weights.
set -euo pipefail
root=$1
work=${2:-planted-speech}
mkdir -p "$work"
export CURATE_DB="$work/curate.duckdb" CURATE_QUIET=1

for seed in 0 1 2; do
    curate score --dataset avdigits --root "$root" --set data.degrade=true --set "data.seed=$seed" --seed "$seed" >&2
    run=$(curate sql --format csv "SELECT max_by(run_id, started) FROM run WHERE kind = 'score'" | tail -n 1)
    for method in joint unimodal warmup adaptive iprm subset; do
        curate train --method "$method" --run "$run" >&2
    done
    curate train --method subset --run "$run" --set method.control=random >&2
    curate train --method iprm --run "$run" --from scratch >&2
    curate train --method subset --run "$run" --threshold 0.8 >&2
    curate train --method subset --run "$run" --threshold 0.8 --set method.control=random >&2
done

named="
WITH test AS (
    SELECT t.seed, t.modality, t.value, CASE t.method
        WHEN 'joint' THEN '1 joint (fused cross-entropy only)' WHEN 'unimodal' THEN '2 unimodal, sum of log-probabilities'
        WHEN 'warmup' THEN '3 warm-up continued' WHEN 'adaptive' THEN '4 adaptive'
        WHEN 'iprm' THEN '5 iprm from ' || (r.config->>'\$.train.start')
        ELSE '6 subset p_balanced >= ' || (r.config->>'\$.method.threshold')
            || if(t.note IS NULL, '', ', control: random subset') END AS method
    FROM results t JOIN run r USING (run_id) WHERE t.metric = 'accuracy'
), wide AS (
    SELECT method, seed, 100 * max(value) FILTER (modality = 'fused') AS fused,
        100 * max(value) FILTER (modality = 'audio') AS audio, 100 * max(value) FILTER (modality = 'visual') AS visual
    FROM test GROUP BY ALL
), paired AS (
    SELECT w.*, w.fused - b.fused AS more FROM wide w JOIN wide b USING (seed) WHERE b.method LIKE '3%'
)"
echo "## Test accuracy, percent, mean and standard deviation over seeds"
echo
curate sql --format markdown "$named
SELECT method[3:] AS method, format('{:.1f} ± {:.1f}', avg(fused), stddev(fused)) AS fused,
    format('{:.1f} ± {:.1f}', avg(audio), stddev(audio)) AS audio,
    format('{:.1f} ± {:.1f}', avg(visual), stddev(visual)) AS visual,
    format('{:+.1f}', avg(more)) AS \"fused minus warm-up continued\",
    string_agg(format('{:+.1f}', more), ' ' ORDER BY seed) AS \"seed by seed\"
FROM paired GROUP BY paired.method ORDER BY paired.method"

echo
echo "## The mixture after the warm-up"
echo
curate sql --format markdown "
SELECT r.seed, if(is_balanced, 'balanced', 'imbalanced') AS component, format('{:.2f}', weight) AS weight,
    format('{:+.2f}', loc) AS location, format('{:.2f}', scale) AS scale, if(is_balanced, array_to_string(warnings, '; '), '') AS warnings
FROM mixture m JOIN run r USING (run_id) WHERE r.kind = 'score' ORDER BY r.seed, is_balanced DESC"

echo
echo "## AUROC against what was planted, training samples"
echo
curate sql --format markdown "
WITH scored AS (
    SELECT r.seed, planted, prob_gap, p_imbalanced,
        CASE WHEN h.kind = 'score' THEN 'after the warm-up' ELSE 'after the adaptive rounds' END AS scored
    FROM history h JOIN run r USING (run_id)
    WHERE h.kind = 'score' OR (h.method = 'adaptive' AND h.round = 4)
), scores AS (
    SELECT seed, scored, 'size of the gap' AS score, abs(prob_gap) AS s, planted IN ('audio', 'visual') AS hit FROM scored
    UNION ALL
    SELECT seed, scored, 'p_imbalanced', p_imbalanced, planted IN ('audio', 'visual') FROM scored
    UNION ALL
    SELECT seed, scored, 'direction (which one is damaged)', prob_gap, planted = 'visual' FROM scored
    WHERE planted IN ('audio', 'visual')
), ranked AS (
    SELECT *, rank() OVER w + (count(*) OVER (PARTITION BY seed, scored, score, s) - 1) / 2 AS place
    FROM scores WINDOW w AS (PARTITION BY seed, scored, score ORDER BY s)
), auroc AS (
    SELECT seed, scored, score, (sum(place) FILTER (hit) - count(*) FILTER (hit) * (count(*) FILTER (hit) + 1) / 2)
        / (count(*) FILTER (hit) * count(*) FILTER (NOT hit)) AS value
    FROM ranked GROUP BY ALL
)
SELECT score, scored, format('{:.3f}', avg(value)) AS mean, string_agg(format('{:.3f}', value), ' ' ORDER BY seed) AS \"seed by seed\"
FROM auroc GROUP BY ALL ORDER BY 1, 2"
