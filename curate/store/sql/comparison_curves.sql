SELECT c.dataset, c.label, c.seed, e.epoch + if(r.config->>'$.train.start' = 'warm', coalesce(w.epochs, 0), 0) AS epoch,
    e.value
FROM comparison c JOIN run r USING (run_id) JOIN epoch e USING (run_id)
LEFT JOIN (SELECT run_id, max(epoch) AS epochs FROM epoch WHERE split <> 'test' GROUP BY 1) w ON w.run_id = r.parent
WHERE c.comparison = ? AND e.split = 'val' AND e.modality = 'fused' AND e.metric = 'accuracy'
ORDER BY c.dataset, c.position, c.seed, e.epoch
