SELECT *, /* fulfils */ AS fulfils FROM (
    SELECT i.sample_id, i.label_name, coalesce(i.group_id, '') AS group_id, /* quality */ AS quality
    FROM item i JOIN part p ON p.number = i.part /* joined */
    WHERE p.run_id = $run AND p.round = 0 AND i.split = 'train' AND i.p_balanced IS NOT NULL
)
