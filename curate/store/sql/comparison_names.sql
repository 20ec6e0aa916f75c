SELECT c.comparison FROM comparison c LEFT JOIN run r USING (run_id)
WHERE $dataset IS NULL OR c.dataset = $dataset
GROUP BY 1 ORDER BY max(r.started) NULLS FIRST, 1
