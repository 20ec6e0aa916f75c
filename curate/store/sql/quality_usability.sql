SELECT sample_id, min(usability) AS quality FROM usability
WHERE run_id = $run GROUP BY 1
