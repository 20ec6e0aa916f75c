-- Means over the epochs of a warm-up: p(label), and p(the class that each prefers besides the label), by everyone. Of an
-- epoch the table has the label's probability and the largest other; what is left is shared evenly by the other classes.
WITH spoken AS (
    SELECT sample_id, modality, other, p_true, greatest(p_true, 0.001) * exp(-log_margin) AS p_other,
        greatest(1 - p_true - greatest(p_true, 0.001) * exp(-log_margin), 0) / greatest($classes - 2, 1) AS rest
    FROM dynamic WHERE run_id = $run AND other IS NOT NULL
), whole AS (
    SELECT sample_id, modality, avg(p_true) AS own, avg(rest) AS rest, count(*) AS epochs FROM spoken GROUP BY ALL
), named AS ( -- how much more probable a class was than by its even part
    SELECT sample_id, modality, other, sum(p_other - rest) AS beyond FROM spoken GROUP BY ALL
), first AS (
    SELECT sample_id, modality, arg_max(other, (beyond, -other)) AS other FROM named GROUP BY ALL
)
SELECT f.other, w.own, w.rest + coalesce(n.beyond, 0) / w.epochs AS shown
FROM first f JOIN whole w USING (sample_id)
LEFT JOIN named n ON n.sample_id = f.sample_id AND n.modality = w.modality AND n.other = f.other
ORDER BY f.sample_id, list_position($names, f.modality), list_position($names, w.modality)
