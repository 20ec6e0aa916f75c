SELECT sample_id, product(usability) + product(1 - usability) AS quality FROM usability
WHERE run_id = $run GROUP BY 1
