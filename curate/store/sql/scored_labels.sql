SELECT DISTINCT s.sample_id, s.label_name
FROM gap g JOIN run r USING (run_id) JOIN sample s ON s.data_id = r.data_id AND s.sample_id = g.sample_id
WHERE g.run_id = $run AND g.round = 0
