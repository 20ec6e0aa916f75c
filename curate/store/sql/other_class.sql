SELECT other FROM dynamic WHERE run_id = $run AND sample_id = $sample AND modality = 'fused' AND other IS NOT NULL
GROUP BY other ORDER BY sum(greatest(p_true, 0.001) * exp(-log_margin)) DESC, other LIMIT 1
