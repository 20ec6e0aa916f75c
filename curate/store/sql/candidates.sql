WITH scored AS (
    SELECT p.sample_id, any_value(s.label_name) AS label_name, any_value(coalesce(s.group_id, '')) AS group_id
    FROM posterior p JOIN run r USING (run_id) JOIN sample s ON s.data_id = r.data_id AND s.sample_id = p.sample_id
    WHERE p.run_id = $run AND p.round = 0 AND s.split = 'train' GROUP BY 1
)
SELECT *, /* fulfils */ AS fulfils FROM scored LEFT JOIN (/* ranked */) USING (sample_id) ORDER BY sample_id
