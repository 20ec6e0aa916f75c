WITH runs AS (SELECT c.*, r.modalities, r.parent, r.config->>'$.train.start' AS start
    FROM comparison c LEFT JOIN run r USING (run_id) WHERE c.comparison = ?
), lengths AS (
    SELECT run_id, max(epoch) AS epochs, avg(value) FILTER (metric = 'seconds') AS seconds,
        max(value) FILTER (metric = 'memory') AS memory
    FROM epoch WHERE split <> 'test' AND run_id IN (SELECT run_id FROM runs UNION SELECT parent FROM runs) GROUP BY 1
), ends AS (
    SELECT run_id, avg(abs(prob_gap)) AS gap FROM gap WHERE run_id IN (SELECT run_id FROM runs) AND round > 0
    GROUP BY run_id, round QUALIFY round = max(round) OVER (PARTITION BY run_id)
)
SELECT c.dataset, c.label, c.method, c.is_control, c.twin, c.seed, c.run_id, c.reason, c.modalities,
    m.epochs + if(c.start = 'warm', coalesce(w.epochs, 0), 0) AS epochs, m.seconds, e.gap, m.memory
FROM runs c LEFT JOIN lengths m USING (run_id) LEFT JOIN lengths w ON w.run_id = c.parent
LEFT JOIN ends e USING (run_id)
ORDER BY c.dataset, c.position, c.seed
