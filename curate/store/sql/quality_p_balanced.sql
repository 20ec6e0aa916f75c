SELECT i.sample_id, list_min(i.p_balanced) AS quality FROM item i JOIN part p ON p.number = i.part
WHERE p.run_id = $run AND p.round = 0 AND i.p_balanced IS NOT NULL
