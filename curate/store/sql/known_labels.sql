WITH judged AS (
    SELECT sample_id, any_value(contradiction_fused) AS denied, bool_or(coalesce(p_broken > 0.5, false)) AS broken
    FROM usability WHERE run_id = $run GROUP BY 1
), spoken AS ( -- the fusion, epoch by epoch
    SELECT sample_id, p_true, other, greatest(p_true, 0.001) * exp(-log_margin) AS p_other
    FROM dynamic WHERE run_id = $run AND modality = 'fused' AND other IS NOT NULL
), others AS (
    SELECT sample_id, other, sum(p_other) AS total FROM spoken GROUP BY 1, 2
), best AS ( -- the class with the largest sum, and whether that exceeds the sum of the label
    SELECT sample_id, arg_max(other, (total, -other)) AS other, max(total) > any_value(own) AS ahead
    FROM others JOIN (SELECT sample_id, sum(p_true) AS own FROM spoken GROUP BY 1) USING (sample_id) GROUP BY 1
), marked AS (
    SELECT sample_id, arg_max(mark, number) AS mark, arg_max(coalesce(new_label, ''), number) AS new_label
    FROM mark WHERE dataset = $dataset AND withdrawn IS NULL AND mark IS NOT NULL GROUP BY 1
)
SELECT s.sample_id, s.label, j.denied, coalesce(j.broken, false), coalesce(b.other, -1),
    coalesce(b.ahead, false), m.mark, nullif(m.new_label, '')
FROM sample s
LEFT JOIN judged j USING (sample_id)
LEFT JOIN best b USING (sample_id)
LEFT JOIN marked m USING (sample_id)
WHERE s.data_id = $data AND s.split = 'train' AND s.status = 'ok'
ORDER BY s.sample_id
