WITH ends AS (
    SELECT run_id, max(round) AS round FROM gap WHERE run_id IN (SELECT run_id FROM comparison WHERE comparison = $name)
    GROUP BY 1 HAVING max(round) > 0
), starts AS (
    SELECT DISTINCT c.dataset, r.parent AS run_id FROM comparison c JOIN run r USING (run_id) WHERE c.comparison = $name
), binned AS (
    SELECT c.dataset, c.position, c.label, c.seed, g.pair, g.prob_gap
    FROM comparison c JOIN ends USING (run_id) JOIN gap g USING (run_id, round) WHERE c.comparison = $name
    UNION ALL
    SELECT s.dataset, -1, '', r.seed, g.pair, g.prob_gap
    FROM starts s JOIN run r USING (run_id) JOIN gap g USING (run_id) WHERE g.round = 0
)
SELECT dataset, label, pair, least(floor((prob_gap + 1) * $bins / 2), $bins - 1)::INTEGER AS bin, count(*) AS samples
FROM binned GROUP BY dataset, position, label, pair, bin ORDER BY dataset, position, label, pair, bin
