WITH decider AS ( -- by whom labels are judged
    SELECT
    coalesce((SELECT arg_max(modality, epoch) FROM epoch WHERE run_id = $run AND metric = 'wrong_labels'), 'fused')
        AS modality
), judged AS (
    SELECT sample_id, any_value(p_mislabelled) AS p_mislabelled, any_value(contradiction_fused) AS denied
    FROM usability WHERE run_id = $run GROUP BY 1
), spoken AS ( -- epoch by epoch
    SELECT sample_id, other, greatest(p_true, 0.001) * exp(-log_margin) AS p_other
    FROM dynamic WHERE run_id = $run AND modality = (FROM decider) AND other IS NOT NULL
), others AS (
    SELECT sample_id, other, sum(p_other) AS total FROM spoken GROUP BY 1, 2
), best AS (
    SELECT sample_id, arg_max(other, (total, -other)) AS other FROM others GROUP BY 1
), marked AS (
    SELECT sample_id, arg_max(mark, number) AS mark, arg_max(coalesce(new_label, ''), number) AS new_label
    FROM mark WHERE dataset = $dataset AND withdrawn IS NULL AND mark IS NOT NULL GROUP BY 1
), asked AS ( -- of saved predictions no epochs are kept: those whose other class may be needed
    SELECT sample_id FROM judged WHERE p_mislabelled > 0.5 UNION SELECT sample_id FROM marked
), saved AS (
    SELECT sample_id, unnest(range(len(probs))) AS other, unnest(probs) AS p FROM class_probability
    WHERE run_id = $run AND round = 0 AND modality = (FROM decider) AND sample_id IN (FROM asked)
    AND (SELECT method FROM run WHERE run_id = $run) = 'predictions'
), second AS (
    SELECT sample_id, arg_max(v.other, (p, -v.other)) AS other
    FROM saved v JOIN sample USING (sample_id) WHERE data_id = $data AND v.other <> label GROUP BY 1
)
SELECT s.sample_id, s.label, j.p_mislabelled, j.denied, coalesce(b.other, n.other, -1), m.mark,
    nullif(m.new_label, '')
FROM sample s
LEFT JOIN judged j USING (sample_id)
LEFT JOIN best b USING (sample_id)
LEFT JOIN second n USING (sample_id)
LEFT JOIN marked m USING (sample_id)
WHERE s.data_id = $data AND s.split = 'train' AND s.status = 'ok'
ORDER BY s.sample_id
