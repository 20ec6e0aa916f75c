-- Weighted means over the epochs of a warm-up: p(label), and p(the class that each prefers besides the label), by
-- everyone. Of an epoch the table has the label's probability and the largest other; what is left is shared evenly by the
-- other classes. Epochs of which no weight is given have 1.
WITH weighed AS (
    SELECT unnest($whose) AS modality, unnest($epochs) AS epoch, unnest($weights) AS weight
), spoken AS (
    SELECT sample_id, modality, other, p_true, greatest(p_true, 0.001) * exp(-log_margin) AS p_other,
        greatest(1 - p_true - greatest(p_true, 0.001) * exp(-log_margin), 0) / greatest($classes - 2, 1) AS rest,
        coalesce(weight, 1) AS weight
    FROM dynamic LEFT JOIN weighed USING (modality, epoch) WHERE run_id = $run AND other IS NOT NULL
), whole AS (
    SELECT sample_id, modality, sum(weight * p_true) / sum(weight) AS own, sum(weight * rest) / sum(weight) AS rest,
        sum(weight) AS weight
    FROM spoken GROUP BY ALL
), named AS ( -- how much more probable a class was than by its even part
    SELECT sample_id, modality, other, sum(weight * (p_other - rest)) AS beyond FROM spoken GROUP BY ALL
), first AS (
    SELECT sample_id, modality, arg_max(other, (beyond, -other)) AS other FROM named GROUP BY ALL
)
SELECT f.other, w.own, w.rest + coalesce(n.beyond, 0) / w.weight AS shown
FROM first f JOIN whole w USING (sample_id)
LEFT JOIN named n ON n.sample_id = f.sample_id AND n.modality = w.modality AND n.other = f.other
ORDER BY f.sample_id, list_position($names, f.modality), list_position($names, w.modality)
