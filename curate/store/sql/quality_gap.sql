SELECT sample_id, 1 - max(abs(prob_gap)) AS quality FROM gap WHERE run_id = $run AND round = 0 GROUP BY 1
