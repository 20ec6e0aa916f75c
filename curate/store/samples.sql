-- Without WITH: DuckDB computes all columns of a view with it, whatever is asked.
CREATE OR REPLACE VIEW samples AS
SELECT
    v.dataset, i.sample_id, i.split, i.label, i.label_name, i.group_id, i.planted, i.status, i.reason, i.extra, i.media,
    v.run_id, /* p_names */
    i.prob_gap[i.widest] AS gap, v.pairs[i.widest] AS pair, /* lead_names */ i.kl_gap[i.widest] AS kl_gap,
    list_min(i.p_balanced) AS p_balanced, 1 - list_min(i.p_balanced) AS p_imbalanced, /* ahead_names */
    CASE WHEN i.prob_gap[i.widest] > 0 THEN split_part(v.pairs[i.widest], '|', 1)
         WHEN i.prob_gap[i.widest] < 0 THEN split_part(v.pairs[i.widest], '|', 2) END AS dominant,
    CASE WHEN i.widest IS NULL OR i.correct IS NULL THEN NULL WHEN NOT (/* any_wrong */ false) THEN 'all'
         WHEN NOT (/* any_right */ false) THEN 'none'
         ELSE concat_ws('+', /* right_ones */ NULL) || ' only' END AS quadrant,
    i.predicted[v.at_fused] AS predicted, i.in_sample, i.fold, /* usability_names */ u.contradiction_fused,
    u.p_mislabelled, u.imbalance, u.intact, u.broken, u.contradicts, u.rare, u.weak, u.shortcut, /* more_names */
    k.mark, k.mark_label, k.mark_note,
    list_concat(coalesce([one.name for one in c.selections if n.bits & one.bit <> 0], []), coalesce(n.more, []))
        AS selections
FROM item i
JOIN ( -- the parts that are shown, and where the modalities and pairs stand in their lists
    SELECT d.dataset, d.data_id, d.run_id, p.number, p.pairs, /* positions */ list_position(p.modalities, 'fused') AS at_fused
    FROM (
        SELECT dataset, data_id, run_id, run_id IN (SELECT run_id FROM part WHERE round = 0) AS has_rows FROM (/* scored */)
        UNION ALL
        SELECT split_part(data_id, '-', 1), arg_max(data_id, changed), NULL, false FROM part -- prepared only: the last
        WHERE run_id IS NULL AND split_part(data_id, '-', 1) NOT IN (SELECT dataset FROM (/* scored */))
        GROUP BY split_part(data_id, '-', 1)
    ) d JOIN part p ON CASE WHEN d.has_rows THEN p.run_id = d.run_id AND p.round = 0
        ELSE p.run_id IS NULL AND p.data_id = d.data_id END
) v ON v.number = i.part
LEFT JOIN (
    SELECT run_id, sample_id, /* usability_columns */
        any_value(contradiction_fused) AS contradiction_fused, any_value(p_mislabelled) AS p_mislabelled,
        1 - product(usability) - product(1 - usability) AS imbalance, arg_max(modality, usability) AS intact
        /* named */
    FROM usability JOIN (/* scored */) USING (run_id) GROUP BY ALL
) u ON u.run_id = v.run_id AND u.sample_id = i.sample_id
LEFT JOIN ( -- a bit for each of the first selections of a data set: with three of millions a third of the time of a list of their names
    SELECT data_id, any_value(data) AS data,
        list({'name': name, 'bit': bit} ORDER BY name) FILTER (bit IS NOT NULL) AS selections
    FROM (/* numbered */) GROUP BY data_id
) c ON c.data_id = v.data_id
LEFT JOIN (
    SELECT data, sample_id, bit_or(bit) AS bits, list(name ORDER BY name) FILTER (bit IS NULL) AS more
    FROM selection_member JOIN (/* numbered */) USING (name) GROUP BY ALL
) n ON n.data = c.data AND n.sample_id = i.sample_id
LEFT JOIN (
    SELECT dataset, sample_id, last(mark ORDER BY number) FILTER (mark IS NOT NULL) AS mark,
        last(new_label ORDER BY number) FILTER (mark IS NOT NULL) AS mark_label,
        nullif(last(note ORDER BY number) FILTER (note IS NOT NULL), '') AS mark_note
    FROM mark WHERE withdrawn IS NULL GROUP BY ALL
) k ON k.dataset = v.dataset AND k.sample_id = i.sample_id;

COMMENT ON VIEW samples IS 'One row a sample of the newest scored run of each data set';
COMMENT ON COLUMN samples.dataset IS 'name of the data set';
COMMENT ON COLUMN samples.sample_id IS 'unique within the data set';
COMMENT ON COLUMN samples.split IS 'train, val or test; only train is scored';
COMMENT ON COLUMN samples.label IS 'class index, counted from 0 within the data set; compare label_name across data sets, never this';
COMMENT ON COLUMN samples.label_name IS 'class name';
COMMENT ON COLUMN samples.group_id IS 'what must not cross splits (speaker, source video); NULL = unknown';
COMMENT ON COLUMN samples.planted IS 'modalities degraded on purpose, joined by +; empty = none; NULL = unknown';
COMMENT ON COLUMN samples.reason IS 'which modality and why, when status is not ok';
COMMENT ON COLUMN samples.status IS 'ok, or what is wrong with its media; such samples are neither scored nor trained on';
COMMENT ON COLUMN samples.extra IS 'what else the annotation says of it, e.g. extra->>''human_label''; NULL = nothing';
COMMENT ON COLUMN samples.media IS 'what was done to each medium: duration, rate, channels, bits, seconds taken, orientation, what was filled; e.g. media->''audio''->>''rate''; NULL = not decoded';
COMMENT ON COLUMN samples.run_id IS 'the scored run the numbers are from; NULL = not scored';
COMMENT ON COLUMN samples.gap IS 'p(true class) of the first minus the second modality, -1..1; with three or more modalities of the pair with the largest |gap|, see pair; to be averaged, take lead_<modality>';
COMMENT ON COLUMN samples.pair IS 'first|second: the two modalities that gap is of';
COMMENT ON COLUMN samples.kl_gap IS 'the same by KL from uniform, nats; label-free';
COMMENT ON COLUMN samples.p_balanced IS 'posterior of the balanced component, 0..1, higher = more balanced; of several pairs the least balanced one';
COMMENT ON COLUMN samples.p_imbalanced IS '1 - p_balanced';
COMMENT ON COLUMN samples.dominant IS 'the modality with the larger probability of the true class';
COMMENT ON COLUMN samples.quadrant IS 'which modalities are right on their own: all, none, or only the named; a gap near 0 can mean either all or none';
COMMENT ON COLUMN samples.predicted IS 'the class that the fusion gives the highest probability';
COMMENT ON COLUMN samples.in_sample IS 'whether the model that scored it had been trained on it; NULL = unknown, or not scored';
COMMENT ON COLUMN samples.fold IS 'out of fold: scored by a model trained without the samples of this fold, counted from 0; NULL = by one that was trained on it, or not scored';
COMMENT ON COLUMN samples.contradiction_fused IS 'how much the fused prediction denies the label, averaged over all epochs of the warm-up, 0..1; above 0.5 another class is preferred; NULL = not assessed';
COMMENT ON COLUMN samples.p_mislabelled IS 'probability that the label is wrong, 0..1; above 0.5 it is claimed; 0 where something is broken, or where no group of wrong labels is told apart, which proves no label right; NULL = not judged';
COMMENT ON COLUMN samples.imbalance IS 'some modalities usable and some not, by look-alikes: a ranking, 0..1, higher = more imbalanced; NULL = not assessed';
COMMENT ON COLUMN samples.intact IS 'the most usable modality';
COMMENT ON COLUMN samples.broken IS 'modalities claimed to be unusable (p_broken > 0.5), joined by +; empty = none; NULL = not assessed';
COMMENT ON COLUMN samples.contradicts IS 'modalities whose clip is probably that of another sample (p_swapped > 0.5), joined by +; empty = none; NULL = not assessed';
COMMENT ON COLUMN samples.rare IS 'modalities by which it belongs to a rare kind that is readable by itself, joined by +: not broken; empty = none; NULL = not assessed';
COMMENT ON COLUMN samples.weak IS 'modalities by which its class is hardly recognised as a whole, joined by +: ambiguous, or damaged throughout; empty = none; NULL = not assessed';
COMMENT ON COLUMN samples.shortcut IS 'modalities of which the look alone gives its class away, joined by +: damage tied to a class; empty = none; NULL = not assessed';
COMMENT ON COLUMN samples.mark IS 'what a person decided: keep, drop, fix_label, unsure or broken:<modality>; NULL = nothing';
COMMENT ON COLUMN samples.mark_label IS 'the class it should be, with fix_label; NULL = not said';
COMMENT ON COLUMN samples.mark_note IS 'what a person noted; NULL = nothing';
COMMENT ON COLUMN samples.selections IS 'names of the selections it is in, made from any scored run of the same data';

CREATE OR REPLACE VIEW by_class AS
SELECT dataset, run_id, label_name, count(*) AS samples, avg(p_imbalanced) AS mean_p_imbalanced,
    /* ahead_columns */ /* mean_leads */ avg(gap) AS mean_gap, avg(kl_gap) AS mean_kl_gap
FROM samples WHERE gap IS NOT NULL GROUP BY ALL;

COMMENT ON VIEW by_class IS 'One row a class of the newest scored run of each data set; its scored training samples';
COMMENT ON COLUMN by_class.dataset IS 'name of the data set';
COMMENT ON COLUMN by_class.run_id IS 'the scored run the numbers are from';
COMMENT ON COLUMN by_class.label_name IS 'class name';
COMMENT ON COLUMN by_class.samples IS 'how many scored training samples';
COMMENT ON COLUMN by_class.mean_p_imbalanced IS 'mean posterior of the imbalanced component, 0..1, higher = less balanced';
COMMENT ON COLUMN by_class.mean_gap IS 'mean of samples.gap, -1..1; of two modalities, positive = the first carries the class; of more take mean_lead_<modality>';
COMMENT ON COLUMN by_class.mean_kl_gap IS 'mean of samples.kl_gap, nats; label-free';

CREATE OR REPLACE VIEW by_modality AS
SELECT v.dataset, v.run_id, v.modality, count(*) AS samples, avg(i.correct[v.k]::INTEGER) AS accuracy,
    any_value(coalesce(h.on_val, h.on_test)) AS held_out_accuracy, avg(i.p_true[v.k]) AS mean_p_true,
    avg(i.entropy[v.k]) AS mean_entropy,
    CASE WHEN v.modality <> 'fused' THEN avg(coalesce(CASE WHEN i.prob_gap[i.widest] > 0
        THEN split_part(v.pairs[i.widest], '|', 1) WHEN i.prob_gap[i.widest] < 0
        THEN split_part(v.pairs[i.widest], '|', 2) END = v.modality, false)::INTEGER) END AS ahead
FROM item i
JOIN (
    SELECT r.dataset, p.run_id, p.number, p.pairs, unnest(p.modalities) AS modality,
        unnest(range(1, len(p.modalities) + 1)) AS k
    FROM (/* scored */) r JOIN part p ON p.run_id = r.run_id AND p.round = 0
) v ON v.number = i.part
LEFT JOIN (
    SELECT run_id, modality, arg_max(value, epoch) FILTER (split = 'val') AS on_val,
        arg_max(value, epoch) FILTER (split = 'test') AS on_test
    FROM epoch WHERE metric = 'accuracy' AND run_id IN (SELECT run_id FROM run WHERE kind = 'score') GROUP BY ALL
) h ON h.run_id = v.run_id AND h.modality = v.modality
WHERE i.widest IS NOT NULL AND i.p_true[v.k] IS NOT NULL GROUP BY v.dataset, v.run_id, v.modality;

COMMENT ON VIEW by_modality IS 'One row a modality, and one for the fusion, of the newest scored run of each data set; its scored training samples';
COMMENT ON COLUMN by_modality.dataset IS 'name of the data set';
COMMENT ON COLUMN by_modality.run_id IS 'the scored run the numbers are from';
COMMENT ON COLUMN by_modality.modality IS 'a modality, or fused';
COMMENT ON COLUMN by_modality.samples IS 'how many scored training samples';
COMMENT ON COLUMN by_modality.accuracy IS 'share it labels right on its own, 0..1; of training samples, so flattering unless scored out of fold';
COMMENT ON COLUMN by_modality.held_out_accuracy IS 'the same on validation samples, which no model was trained on; of saved predictions without any, on test samples; NULL = none. Where it is far below accuracy, the training samples are known by heart';
COMMENT ON COLUMN by_modality.mean_p_true IS 'mean probability of the true class, 0..1, higher = better known';
COMMENT ON COLUMN by_modality.mean_entropy IS 'nats, 0..log(classes), higher = less sure';
COMMENT ON COLUMN by_modality.ahead IS 'share of samples in which it is dominant, 0..1; NULL for the fusion';

CREATE OR REPLACE VIEW failures AS
SELECT dataset, sample_id, split, label_name, status, reason FROM samples WHERE status <> 'ok';

COMMENT ON VIEW failures IS 'One row an item whose media cannot be used; neither scored nor trained on';
COMMENT ON COLUMN failures.dataset IS 'name of the data set';
COMMENT ON COLUMN failures.sample_id IS 'unique within the data set';
COMMENT ON COLUMN failures.split IS 'train, val or test';
COMMENT ON COLUMN failures.label_name IS 'class name';
COMMENT ON COLUMN failures.status IS 'missing, unreachable, unreadable, lfs_pointer, empty, undecodable, decoder_crashed, no_audio, no_video, silent, too_short, too_long, too_large, too_many_channels, truncated, out_of_range, empty_event, not_finite, no_label or dropped_leak';
COMMENT ON COLUMN failures.reason IS 'which modality and why';

CREATE OR REPLACE VIEW findings AS
SELECT split_part(f.data_id, '-', 1) AS dataset, f.sample_id, s.split, s.label_name, f.kind, f.detail
FROM finding f JOIN sample s USING (data_id, sample_id)
WHERE f.data_id IN (
    SELECT arg_max(data_id, changed) FROM part WHERE run_id IS NULL GROUP BY split_part(data_id, '-', 1)
);

COMMENT ON VIEW findings IS 'One row a suspicion about a sample, of each data set as last prepared or scored; nothing is dropped for it unless data.drop_leaks says so';
COMMENT ON COLUMN findings.dataset IS 'name of the data set';
COMMENT ON COLUMN findings.sample_id IS 'unique within the data set; a group is told of its first sample';
COMMENT ON COLUMN findings.split IS 'train, val or test';
COMMENT ON COLUMN findings.label_name IS 'class name';
COMMENT ON COLUMN findings.kind IS 'leak = its medium is in a later split too; label_conflict = under another label; duplicate_content = under another id; group_crosses = its group is in several splits; near_duplicate = a text much like that of another id';
COMMENT ON COLUMN findings.detail IS 'with which sample, of which modality';
