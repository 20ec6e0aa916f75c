-- of the one by whom labels are judged
SELECT other FROM dynamic WHERE run_id = $run AND sample_id = $sample AND other IS NOT NULL AND modality =
    coalesce((SELECT arg_max(modality, epoch) FROM epoch WHERE run_id = $run AND metric = 'wrong_labels'), 'fused')
GROUP BY other ORDER BY sum(greatest(p_true, 0.001) * exp(-log_margin)) DESC, other LIMIT 1
