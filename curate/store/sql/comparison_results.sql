SELECT c.run_id, e.modality, e.metric, e.value FROM comparison c JOIN epoch e USING (run_id)
WHERE c.comparison = ? AND e.split = 'test' ORDER BY ALL
