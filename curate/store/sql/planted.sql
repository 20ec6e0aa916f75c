SELECT coalesce(s.planted, '') AS planted FROM run r JOIN sample s USING (data_id)
WHERE r.run_id = $run AND s.sample_id IN (SELECT sample_id FROM gap WHERE run_id = $run AND round = 0)
ORDER BY s.sample_id
