WITH own AS (SELECT epoch, modality, p_true FROM dynamic WHERE run_id = $run AND sample_id = $sample)
FROM own
UNION ALL
SELECT (SELECT max(round) FROM prediction WHERE run_id = $run) - round + 1, modality, p_true FROM prediction
WHERE run_id = $run AND sample_id = $sample AND NOT EXISTS (FROM own)
ORDER BY ALL
