SELECT DISTINCT dataset FROM run WHERE run_id IN ($one, $other) ORDER BY 1
