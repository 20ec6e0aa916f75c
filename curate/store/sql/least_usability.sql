LEFT JOIN (SELECT sample_id, min(usability) AS least FROM usability WHERE run_id = $run GROUP BY 1) u
ON u.sample_id = i.sample_id
