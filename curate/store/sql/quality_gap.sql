SELECT i.sample_id, 1 - abs(i.prob_gap[i.widest]) AS quality FROM item i JOIN part p ON p.number = i.part
WHERE p.run_id = $run AND p.round = 0 AND i.widest IS NOT NULL
