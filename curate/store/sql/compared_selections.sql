WITH member AS (
    SELECT m.sample_id, any_value(s.label_name) AS label_name, bool_or(m.name = $one) AS in_one,
        bool_or(m.name = $other) AS in_other
    FROM selection_member m JOIN selection n USING (name) JOIN run r USING (run_id)
    JOIN sample s ON s.data_id = r.data_id AND s.sample_id = m.sample_id
    WHERE m.name IN ($one, $other) GROUP BY 1
)
SELECT if(grouping(label_name) = 1, $all, label_name), count(*) FILTER (in_one),
    count(*) FILTER (in_other), count(*) FILTER (in_one AND in_other) AS shared, shared / count(*)
FROM member GROUP BY ROLLUP (label_name) ORDER BY grouping(label_name) DESC, label_name
