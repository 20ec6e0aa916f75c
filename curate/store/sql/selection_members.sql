SELECT m.sample_id, s.label_name, min(p.p_balanced) AS p_balanced
FROM selection n JOIN selection_member m USING (name) JOIN run r USING (run_id)
JOIN sample s ON s.data_id = r.data_id AND s.sample_id = m.sample_id
JOIN posterior p ON p.run_id = r.run_id AND p.round = 0 AND p.sample_id = m.sample_id
WHERE n.name = $name GROUP BY ALL ORDER BY 1
