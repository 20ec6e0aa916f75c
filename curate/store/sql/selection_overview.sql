SELECT n.name, n.run_id, r.dataset, n.rule, n.selected, n.candidates, n.created
FROM selection n LEFT JOIN run r USING (run_id) ORDER BY n.created DESC, n.name
