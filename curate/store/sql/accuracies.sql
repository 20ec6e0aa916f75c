-- Of each epoch of a warm-up, ascending: the share of the training samples that $by is right on, and the shares of the
-- held-out samples that each of $names is right on, in their order; only epochs of which all of these are known.
WITH learnt AS (
    SELECT epoch, avg(correct::INTEGER) AS right_of FROM dynamic WHERE run_id = $run AND modality = $by GROUP BY epoch
), checked AS (
    SELECT epoch, list(value ORDER BY list_position($names, modality)) AS held_out FROM epoch
    WHERE run_id = $run AND split = 'val' AND metric = 'accuracy' AND list_contains($names, modality)
    GROUP BY epoch HAVING count(*) = len($names)
)
SELECT epoch, right_of, held_out FROM learnt JOIN checked USING (epoch) ORDER BY epoch
