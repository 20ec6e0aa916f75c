WITH denied AS (
    SELECT sample_id FROM usability WHERE run_id = $run GROUP BY 1 HAVING any_value(contradiction_fused) > 0.5
), others AS ( -- the fusion, epoch by epoch
    SELECT sample_id, other, sum(greatest(p_true, 0.001) * exp(-log_margin)) AS total FROM dynamic
    WHERE run_id = $run AND modality = 'fused' AND other IS NOT NULL AND sample_id IN (FROM denied) GROUP BY 1, 2
), best AS (
    SELECT sample_id, $classes[arg_max(other, (total, -other)) + 1] AS other FROM others GROUP BY 1
), given AS (
    SELECT i.sample_id, i.label_name, p.predicted FROM sample i
    JOIN prediction p ON p.run_id = $run AND p.round = 0 AND p.modality = 'fused' AND p.sample_id = i.sample_id
    WHERE i.data_id = $data
), shown AS (
    SELECT g.label_name, coalesce(b.other, g.predicted) AS other
    FROM given g JOIN denied USING (sample_id) LEFT JOIN best b USING (sample_id)
), pairs AS (
    SELECT least(label_name, other) AS one, greatest(label_name, other) AS two, count(*) AS denied
    FROM shown WHERE label_name <> other GROUP BY 1, 2
)
SELECT one, two, denied, (SELECT count(*) FROM given WHERE label_name IN (one, two)) FROM pairs
ORDER BY denied DESC, one, two LIMIT 1
