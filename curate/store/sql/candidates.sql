WITH scored AS (
    SELECT i.sample_id, i.label_name, coalesce(i.group_id, '') AS group_id
    FROM item i JOIN part p ON p.number = i.part
    WHERE p.run_id = $run AND p.round = 0 AND i.split = 'train' AND i.p_balanced IS NOT NULL
)
SELECT *, /* fulfils */ AS fulfils FROM scored LEFT JOIN (/* ranked */) USING (sample_id) ORDER BY sample_id
