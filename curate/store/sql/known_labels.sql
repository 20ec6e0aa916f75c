WITH judged AS (
    SELECT sample_id, any_value(p_mislabelled) AS p_mislabelled, any_value(contradiction_fused) AS denied
    FROM usability WHERE run_id = $run GROUP BY 1
), spoken AS ( -- the fusion, epoch by epoch
    SELECT sample_id, other, greatest(p_true, 0.001) * exp(-log_margin) AS p_other
    FROM dynamic WHERE run_id = $run AND modality = 'fused' AND other IS NOT NULL
), others AS (
    SELECT sample_id, other, sum(p_other) AS total FROM spoken GROUP BY 1, 2
), best AS (
    SELECT sample_id, arg_max(other, (total, -other)) AS other FROM others GROUP BY 1
), marked AS (
    SELECT sample_id, arg_max(mark, number) AS mark, arg_max(coalesce(new_label, ''), number) AS new_label
    FROM mark WHERE dataset = $dataset AND withdrawn IS NULL AND mark IS NOT NULL GROUP BY 1
)
SELECT s.sample_id, s.label, j.p_mislabelled, j.denied, coalesce(b.other, -1), m.mark,
    nullif(m.new_label, '')
FROM sample s
LEFT JOIN judged j USING (sample_id)
LEFT JOIN best b USING (sample_id)
LEFT JOIN marked m USING (sample_id)
WHERE s.data_id = $data AND s.split = 'train' AND s.status = 'ok'
ORDER BY s.sample_id
