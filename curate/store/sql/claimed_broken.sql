SELECT count(*) FILTER (p_broken > 0.5), count(p_broken) FROM usability WHERE run_id = $run
