SELECT sample_id, min(p_balanced) AS quality FROM posterior WHERE run_id = $run AND round = 0 GROUP BY 1
