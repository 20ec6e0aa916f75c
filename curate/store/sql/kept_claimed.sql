SELECT count(DISTINCT u.sample_id) FILTER (u.p_mislabelled > 0.5), count(DISTINCT u.sample_id) FILTER (u.p_swapped > 0.5)
FROM usability u JOIN selection s ON s.run_id = u.run_id
JOIN selection_member m ON m.name = s.name AND m.sample_id = u.sample_id
WHERE s.name = $name
