-- The sample table. Rows of a run are keyed (run_id, round, sample_id); the views at the end are what to query.
-- Everything numeric is DOUBLE and finite; a value that may be absent is NULL, never NaN.
-- Rows of samples are in `item`: one row a sample of a round, with a list where there is a value for each modality or
-- pair. The tables of older versions, sample, prediction, class_probability, gap and posterior, are views of it.
-- Tables with a row a sample have no index of their key: it would treble the time of writing and the size of the file,
-- and removing a million rows below one takes DuckDB a quarter of a minute. The one writer keeps them unique: it puts a
-- whole (run, round), epoch or data set in the place of what was there, in one transaction.
-- Their ids and names have the compression that DuckDB would choose: trying them all takes longer than writing.

CREATE TABLE schema_version (version INTEGER NOT NULL, written_by VARCHAR NOT NULL);
COMMENT ON TABLE schema_version IS 'One row: the version of this schema';
COMMENT ON COLUMN schema_version.written_by IS 'version of curate';
COMMENT ON COLUMN schema_version.version IS 'a curate that knows only smaller ones refuses this file';

CREATE TABLE run (
    run_id VARCHAR PRIMARY KEY,
    kind VARCHAR NOT NULL CHECK (kind IN ('score', 'train')),
    method VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    data_id VARCHAR NOT NULL,
    root VARCHAR,
    parent VARCHAR,
    seed INTEGER NOT NULL,
    modalities VARCHAR[] NOT NULL,
    classes VARCHAR[] NOT NULL,
    gap_kind VARCHAR CHECK (gap_kind IN ('prob', 'kl', 'log_prob', 'log_odds')),
    family VARCHAR,
    config JSON NOT NULL,
    versions JSON NOT NULL,
    folder VARCHAR NOT NULL,
    checkpoint_sha256 VARCHAR,
    status VARCHAR NOT NULL CHECK (status IN ('running', 'interrupted', 'killed', 'failed', 'done')),
    note VARCHAR,
    started TIMESTAMP NOT NULL,
    finished TIMESTAMP
);
COMMENT ON TABLE run IS 'One row a run: what was run, with which settings, from which parent';
COMMENT ON COLUMN run.run_id IS 'unique; made of kind or method, data set and a number';
COMMENT ON COLUMN run.method IS 'warmup of a scored run, predictions of saved ones, else what was trained';
COMMENT ON COLUMN run.dataset IS 'name of the data set';
COMMENT ON COLUMN run.root IS 'where the data lay; NULL = built in';
COMMENT ON COLUMN run.classes IS 'class names, in the order of label';
COMMENT ON COLUMN run.family IS 'of the mixture: two-sided, gaussian or student-t; NULL = none was fitted';
COMMENT ON COLUMN run.versions IS 'of Python and of the packages that were used';
COMMENT ON COLUMN run.folder IS 'where its checkpoints are';
COMMENT ON COLUMN run.checkpoint_sha256 IS 'of the weights that were kept; NULL = none';
COMMENT ON COLUMN run.status IS 'running, interrupted, failed, done or killed: its process is gone, which the next command that writes the table stores';
COMMENT ON COLUMN run.note IS 'what sets it apart from others of its method; NULL = nothing';
COMMENT ON COLUMN run.kind IS 'score = warm-up, predictions, gap, mixture, posteriors; train = one method from the scored run';
COMMENT ON COLUMN run.data_id IS 'digest of samples, labels, splits, content and preprocessing: equal ids mean equal data';
COMMENT ON COLUMN run.parent IS 'the scored run a training run starts from and reads its weights from';
COMMENT ON COLUMN run.seed IS 'the one seed, >= 0: weights, order, augmentation';
COMMENT ON COLUMN run.modalities IS 'declared order; the sign of a gap is first minus second';
COMMENT ON COLUMN run.config IS 'the resolved configuration, every key';
COMMENT ON COLUMN run.gap_kind IS 'what the posteriors come from: prob, kl, log_prob or log_odds; input and average, see mixture';
COMMENT ON COLUMN run.started IS 'UTC';
COMMENT ON COLUMN run.finished IS 'UTC; NULL while running';

CREATE TABLE layout (rows_beside BOOLEAN NOT NULL, identity VARCHAR NOT NULL);
COMMENT ON TABLE layout IS 'One row, or none: where the rows of samples are';
COMMENT ON COLUMN layout.rows_beside IS 'true = item, dynamic and usability are Parquet files beside the table; false, no row = in it';
COMMENT ON COLUMN layout.identity IS 'of this table, in the names of its files';

CREATE TABLE beside (
    name VARCHAR NOT NULL CHECK (name IN ('item', 'dynamic', 'usability')),
    key VARCHAR NOT NULL,
    file VARCHAR NOT NULL
);
COMMENT ON TABLE beside IS 'One row a Parquet file beside the table, whose rows a view shows with those that are in the table';
COMMENT ON COLUMN beside.name IS 'of the view';
COMMENT ON COLUMN beside.key IS 'all its rows have this item.part, dynamic.run_id or usability.run_id';
COMMENT ON COLUMN beside.file IS 'from the folder of the table';

CREATE TABLE part (
    number INTEGER NOT NULL,
    data_id VARCHAR,
    run_id VARCHAR,
    round INTEGER,
    modalities VARCHAR[] NOT NULL,
    pairs VARCHAR[] NOT NULL,
    changed BIGINT NOT NULL
);
COMMENT ON TABLE part IS 'Which rows of item belong to a data set (run_id is NULL) or to a round of a run; a part may belong to several, and several parts to one';
COMMENT ON COLUMN part.data_id IS 'the data set that it belongs to, see run.data_id; NULL = to a run';
COMMENT ON COLUMN part.run_id IS 'the run that it belongs to; NULL = to a data set';
COMMENT ON COLUMN part.number IS 'item.part';
COMMENT ON COLUMN part.round IS 'as in prediction; NULL = of a data set';
COMMENT ON COLUMN part.modalities IS 'the order of the lists of item that have an element a modality, or fused';
COMMENT ON COLUMN part.pairs IS 'the order of the lists of item that have an element a pair of modalities, first|second';
COMMENT ON COLUMN part.changed IS 'counted up by each writing, higher = newer';

CREATE TABLE item_here (
    part INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL USING COMPRESSION fsst,
    split VARCHAR CHECK (split IN ('train', 'val', 'test')),
    label INTEGER,
    label_name VARCHAR,
    group_id VARCHAR,
    planted VARCHAR,
    status VARCHAR,
    reason VARCHAR,
    extra JSON,
    media JSON,
    sources JSON,
    p_true DOUBLE[] CHECK (list_min(p_true) >= 0 AND list_max(p_true) <= 1),
    p_max DOUBLE[] CHECK (list_min(p_max) >= 0 AND list_max(p_max) <= 1),
    entropy DOUBLE[] CHECK (isfinite(list_sum(entropy))),
    predicted VARCHAR[],
    correct BOOLEAN[],
    in_sample BOOLEAN,
    fold INTEGER,
    probs FLOAT[],
    prob_gap DOUBLE[] CHECK (list_min(prob_gap) >= -1 AND list_max(prob_gap) <= 1),
    kl_gap DOUBLE[] CHECK (isfinite(list_sum(kl_gap))),
    fitted DOUBLE[] CHECK (isfinite(list_sum(fitted))),
    widest INTEGER,
    p_balanced DOUBLE[] CHECK (list_min(p_balanced) >= 0 AND list_max(p_balanced) <= 1),
    p_first DOUBLE[] CHECK (list_min(p_first) >= 0 AND list_max(p_first) <= 1),
    p_second DOUBLE[] CHECK (list_min(p_second) >= 0 AND list_max(p_second) <= 1),
    CHECK (list_count(prob_gap) = len(prob_gap) AND list_count(kl_gap) = len(prob_gap)), -- of every pair
    CHECK (list_count(p_balanced) = len(p_balanced) AND coalesce(list_count(fitted) = len(fitted), true)),
    CHECK (abs(p_balanced[1] + p_first[1] + p_second[1] - 1) < 1e-9),
    CHECK (abs(p_balanced[2] + p_first[2] + p_second[2] - 1) < 1e-9),
    CHECK (abs(p_balanced[3] + p_first[3] + p_second[3] - 1) < 1e-9)
);
COMMENT ON TABLE item_here IS 'One row a sample of a part: what is known of it, what each modality said of it, its gaps and its posteriors; what is not known is NULL. The views sample, prediction, class_probability, gap and posterior show it by names';
COMMENT ON COLUMN item_here.sample_id IS 'unique within the data set';
COMMENT ON COLUMN item_here.split IS 'as in sample';
COMMENT ON COLUMN item_here.label_name IS 'as in sample';
COMMENT ON COLUMN item_here.group_id IS 'as in sample';
COMMENT ON COLUMN item_here.planted IS 'as in sample';
COMMENT ON COLUMN item_here.status IS 'as in sample';
COMMENT ON COLUMN item_here.reason IS 'as in sample';
COMMENT ON COLUMN item_here.extra IS 'as in sample';
COMMENT ON COLUMN item_here.media IS 'as in sample';
COMMENT ON COLUMN item_here.sources IS 'as in sample';
COMMENT ON COLUMN item_here.p_max IS 'as p_true';
COMMENT ON COLUMN item_here.entropy IS 'as p_true';
COMMENT ON COLUMN item_here.predicted IS 'as p_true';
COMMENT ON COLUMN item_here.correct IS 'as p_true';
COMMENT ON COLUMN item_here.in_sample IS 'as in prediction';
COMMENT ON COLUMN item_here.kl_gap IS 'as prob_gap';
COMMENT ON COLUMN item_here.fitted IS 'as prob_gap';
COMMENT ON COLUMN item_here.p_balanced IS 'as prob_gap';
COMMENT ON COLUMN item_here.p_first IS 'as prob_gap';
COMMENT ON COLUMN item_here.p_second IS 'as prob_gap';
COMMENT ON COLUMN item_here.part IS 'part.number';
COMMENT ON COLUMN item_here.label IS 'index into run.classes; compare label_name across data sets, never this';
COMMENT ON COLUMN item_here.fold IS 'as in prediction';
COMMENT ON COLUMN item_here.p_true IS 'as in prediction, an element a modality of part.modalities; so are p_max, entropy, predicted and correct';
COMMENT ON COLUMN item_here.probs IS 'of the first modality every class, in the order of run.classes, then of the next';
COMMENT ON COLUMN item_here.prob_gap IS 'as in gap, an element a pair of part.pairs; so are kl_gap, fitted, p_balanced, p_first and p_second';
COMMENT ON COLUMN item_here.widest IS 'position of the pair with the largest |prob_gap|, counted from 1';

CREATE VIEW item AS FROM item_here;

CREATE VIEW sample AS
SELECT p.data_id, i.sample_id, i.split, i.label, i.label_name, i.group_id, i.planted, i.status, i.reason, i.extra, i.media,
       i.sources
FROM item i JOIN part p ON p.number = i.part WHERE p.run_id IS NULL;
COMMENT ON VIEW sample IS 'One row an item (data_id, sample_id) of a data set, whatever became of its media';
COMMENT ON COLUMN sample.data_id IS 'of the data set, see run.data_id';
COMMENT ON COLUMN sample.sample_id IS 'unique within the data set';
COMMENT ON COLUMN sample.split IS 'train, val or test';
COMMENT ON COLUMN sample.label_name IS 'class name';
COMMENT ON COLUMN sample.group_id IS 'what must not cross splits (speaker, source video); NULL = unknown';
COMMENT ON COLUMN sample.label IS 'index into run.classes; compare label_name across data sets, never this';
COMMENT ON COLUMN sample.planted IS 'modalities degraded on purpose, joined by +; empty = none; NULL = unknown';
COMMENT ON COLUMN sample.status IS 'ok, or what is wrong with its media: missing, unreachable, unreadable, lfs_pointer, empty, undecodable, decoder_crashed, no_audio, no_video, silent, too_short, too_long, too_large, too_many_channels, truncated, out_of_range, empty_event, not_finite, no_label, dropped_leak';
COMMENT ON COLUMN sample.reason IS 'which modality and why, when status is not ok';
COMMENT ON COLUMN sample.media IS 'what was done to each medium, e.g. media->''audio''->>''rate'', media->''visual''->''orientation''; s from the beginning of its file; NULL = not decoded';
COMMENT ON COLUMN sample.sources IS 'where each medium is: a file, in the folder of run.root or by its whole path, with start and end in s where it is a stretch; or the text itself; NULL = not known';
COMMENT ON COLUMN sample.extra IS 'what else the annotation says of it, e.g. extra->>''human_label''; NULL = nothing';

-- Without a key: one sample may have several of a kind. The one writer replaces all of a data_id.
CREATE TABLE finding (
    data_id VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    detail VARCHAR NOT NULL
);
COMMENT ON TABLE finding IS 'What is suspicious about a data set: leaks, conflicting labels, duplicated content';
COMMENT ON COLUMN finding.data_id IS 'of the data set, see run.data_id';
COMMENT ON COLUMN finding.sample_id IS 'unique within the data set';
COMMENT ON COLUMN finding.kind IS 'leak, label_conflict, duplicate_content (by byte-identical files or one source), near_duplicate (of texts), or group_crosses';
COMMENT ON COLUMN finding.detail IS 'with which sample, of which modality';

CREATE VIEW prediction AS
SELECT p.run_id, p.round, i.sample_id, p.modality, i.p_true[p.k] AS p_true, i.p_max[p.k] AS p_max,
       i.entropy[p.k] AS entropy, i.predicted[p.k] AS predicted, i.correct[p.k] AS correct, i.in_sample, i.fold
FROM item i JOIN (
    SELECT number, run_id, round, unnest(modalities) AS modality, unnest(range(1, len(modalities) + 1)) AS k
    FROM part WHERE run_id IS NOT NULL
) p ON p.number = i.part
WHERE i.p_true[p.k] IS NOT NULL;
COMMENT ON VIEW prediction IS 'What each modality, and the fusion (modality = fused), said of a training sample; eval mode, no augmentation; a row a (run_id, round, sample_id, modality)';
COMMENT ON COLUMN prediction.run_id IS 'the run, see run';
COMMENT ON COLUMN prediction.sample_id IS 'unique within the data set';
COMMENT ON COLUMN prediction.modality IS 'a modality, or fused';
COMMENT ON COLUMN prediction.correct IS 'whether the predicted class is the label';
COMMENT ON COLUMN prediction.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN prediction.p_true IS 'probability of the labelled class, 0..1, higher = better known';
COMMENT ON COLUMN prediction.p_max IS 'probability of the predicted class, 0..1';
COMMENT ON COLUMN prediction.entropy IS 'nats, 0..log(classes), higher = less sure';
COMMENT ON COLUMN prediction.predicted IS 'class name';
COMMENT ON COLUMN prediction.in_sample IS 'whether the model that said it had been trained on the sample; NULL = unknown';
COMMENT ON COLUMN prediction.fold IS 'out of fold: the model that said it was trained without the samples of this fold, counted from 0; NULL = not out of fold';

CREATE VIEW class_probability AS
SELECT p.run_id, p.round, i.sample_id, p.modality,
       i.probs[(p.k - 1) * (len(i.probs) // p.width) + 1 : p.k * (len(i.probs) // p.width)] AS probs
FROM item i JOIN (
    SELECT number, run_id, round, len(modalities) AS width, unnest(modalities) AS modality,
           unnest(range(1, len(modalities) + 1)) AS k
    FROM part WHERE run_id IS NOT NULL
) p ON p.number = i.part
WHERE i.probs[(p.k - 1) * (len(i.probs) // p.width) + 1] IS NOT NULL;
COMMENT ON VIEW class_probability IS 'What each modality and the fusion give every class, of round 0';
COMMENT ON COLUMN class_probability.run_id IS 'the run, see run';
COMMENT ON COLUMN class_probability.sample_id IS 'unique within the data set';
COMMENT ON COLUMN class_probability.modality IS 'a modality, or fused';
COMMENT ON COLUMN class_probability.round IS '0, the newest';
COMMENT ON COLUMN class_probability.probs IS 'in the order of run.classes, each 0..1, together 1';

CREATE VIEW gap AS
SELECT p.run_id, p.round, i.sample_id, p.pair, i.prob_gap[p.k] AS prob_gap, i.kl_gap[p.k] AS kl_gap,
       i.fitted[p.k] AS fitted
FROM item i JOIN (
    SELECT number, run_id, round, unnest(pairs) AS pair, unnest(range(1, len(pairs) + 1)) AS k
    FROM part WHERE run_id IS NOT NULL
) p ON p.number = i.part
WHERE i.prob_gap[p.k] IS NOT NULL;
COMMENT ON VIEW gap IS 'Signed modality gap of each pair, first minus second; a row a (run_id, round, sample_id, pair)';
COMMENT ON COLUMN gap.run_id IS 'the run, see run';
COMMENT ON COLUMN gap.sample_id IS 'unique within the data set';
COMMENT ON COLUMN gap.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN gap.pair IS 'first|second, in declared order';
COMMENT ON COLUMN gap.prob_gap IS 'p_first(true class) - p_second(true class), -1..1; positive = the first modality carries the sample';
COMMENT ON COLUMN gap.kl_gap IS 'KL(first || uniform) - KL(second || uniform), nats, -log(classes)..log(classes); label-free';
COMMENT ON COLUMN gap.fitted IS 'what the mixture saw, in units of mixture.gap_kind; NULL = the column of that kind, signed, as it stands';

CREATE TABLE mixture (
    run_id VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    pair VARCHAR NOT NULL,
    component INTEGER NOT NULL,
    gap_kind VARCHAR NOT NULL,
    input VARCHAR NOT NULL DEFAULT 'signed',
    average VARCHAR NOT NULL DEFAULT 'last',
    family VARCHAR NOT NULL,
    weight DOUBLE NOT NULL CHECK (weight BETWEEN 0 AND 1 + 1e-9),
    loc DOUBLE NOT NULL CHECK (isfinite(loc)),
    scale DOUBLE NOT NULL CHECK (scale > 0 AND isfinite(scale)),
    dof DOUBLE CHECK (isfinite(dof)),
    is_balanced BOOLEAN NOT NULL,
    rule VARCHAR NOT NULL,
    rule_conflict BOOLEAN NOT NULL,
    log_likelihood DOUBLE CHECK (isfinite(log_likelihood)),
    iterations INTEGER NOT NULL,
    converged BOOLEAN NOT NULL,
    outcome VARCHAR NOT NULL,
    warnings VARCHAR[] NOT NULL,
    PRIMARY KEY (run_id, round, pair, component)
);
COMMENT ON TABLE mixture IS 'The fitted mixture of each round and pair, a row a component, ascending by loc';
COMMENT ON COLUMN mixture.run_id IS 'the run, see run';
COMMENT ON COLUMN mixture.pair IS 'first|second, in declared order';
COMMENT ON COLUMN mixture.family IS 'two-sided, gaussian or student-t';
COMMENT ON COLUMN mixture.converged IS 'whether the fit ended before its last step';
COMMENT ON COLUMN mixture.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN mixture.component IS '0, 1, and of three 2, ascending by loc';
COMMENT ON COLUMN mixture.gap_kind IS 'prob, kl, log_prob = difference of log p(true class), log_odds = of its log odds; nats but for prob';
COMMENT ON COLUMN mixture.input IS 'signed gap, or absolute = its size';
COMMENT ON COLUMN mixture.average IS 'last = gap of one epoch, warmup = mean over the epochs of the warm-up';
COMMENT ON COLUMN mixture.weight IS 'mixing weight pi, 0..1; those of a pair add up to 1';
COMMENT ON COLUMN mixture.loc IS 'location mu, in units of the gap of gap_kind';
COMMENT ON COLUMN mixture.scale IS 'scale sigma > 0, in units of the gap; the standard deviation of a Gaussian';
COMMENT ON COLUMN mixture.dof IS 'degrees of freedom of a Student-t component; NULL for Gaussian';
COMMENT ON COLUMN mixture.is_balanced IS 'the component whose posterior is p_balanced';
COMMENT ON COLUMN mixture.rule IS 'second_moment = smallest loc^2 + scale^2, weight = largest weight (the paper), abs_mean = smallest |loc|; middle = of three, the one between the tails; zero = of the two-sided mixture, the peak at zero';
COMMENT ON COLUMN mixture.rule_conflict IS 'true when the first three rules pick different components';
COMMENT ON COLUMN mixture.log_likelihood IS 'total over the samples, nats, at the end of the fit; of the whole mixture, higher = better fitted';
COMMENT ON COLUMN mixture.iterations IS 'EM steps of the start that won';
COMMENT ON COLUMN mixture.outcome IS 'ok; of the two-sided mixture: one_bell = one bell explains the gaps as well, none_balanced = the scales were widened until some samples count as balanced, degenerate, too_few = the usual scales; of the others: one_component, degenerate, too_few = one component only, all balanced; two_components = two where three were asked for; two_tailed, rule_conflict = components that mean little; memorised = the training samples are known by heart; see warnings';
COMMENT ON COLUMN mixture.warnings IS 'what speaks against reading the fit as two populations, and what to do';

CREATE VIEW posterior AS
SELECT p.run_id, p.round, i.sample_id, p.pair, i.p_balanced[p.k] AS p_balanced, 1 - i.p_balanced[p.k] AS p_imbalanced,
       i.p_first[p.k] AS p_first, i.p_second[p.k] AS p_second
FROM item i JOIN (
    SELECT number, run_id, round, unnest(pairs) AS pair, unnest(range(1, len(pairs) + 1)) AS k
    FROM part WHERE run_id IS NOT NULL
) p ON p.number = i.part
WHERE i.p_balanced[p.k] IS NOT NULL;
COMMENT ON VIEW posterior IS 'Posterior of each component given the gap of the pair; a row a (run_id, round, sample_id, pair)';
COMMENT ON COLUMN posterior.run_id IS 'the run, see run';
COMMENT ON COLUMN posterior.sample_id IS 'unique within the data set';
COMMENT ON COLUMN posterior.pair IS 'first|second, in declared order';
COMMENT ON COLUMN posterior.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN posterior.p_balanced IS 'w0 of the paper, 0..1, higher = more balanced';
COMMENT ON COLUMN posterior.p_imbalanced IS '1 - p_balanced';
COMMENT ON COLUMN posterior.p_first IS 'posterior of the first modality of the pair being ahead, the right tail of three components, 0..1; NULL for two';
COMMENT ON COLUMN posterior.p_second IS 'the same of the second modality, the left tail; p_first + p_second = p_imbalanced';

CREATE TABLE selection (
    name VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    candidates INTEGER NOT NULL,
    selected INTEGER NOT NULL,
    created TIMESTAMP NOT NULL
);
COMMENT ON TABLE selection IS 'Named sets of training samples';
COMMENT ON COLUMN selection.name IS 'unique';
COMMENT ON COLUMN selection.run_id IS 'the scored run that it was made from';
COMMENT ON COLUMN selection.rule IS 'what it keeps, in words';
COMMENT ON COLUMN selection.created IS 'UTC';
COMMENT ON COLUMN selection.candidates IS 'how many scored training samples the rule saw';
COMMENT ON COLUMN selection.selected IS 'how many it kept';

CREATE TABLE selection_member (name VARCHAR NOT NULL USING COMPRESSION dictionary, sample_id VARCHAR NOT NULL USING COMPRESSION fsst);
COMMENT ON TABLE selection_member IS 'One row a sample of a selection';
COMMENT ON COLUMN selection_member.name IS 'of the selection';
COMMENT ON COLUMN selection_member.sample_id IS 'unique within the data set';

CREATE TABLE mark (
    number BIGINT NOT NULL,
    mark_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    mark VARCHAR CHECK (mark IN ('keep', 'drop', 'fix_label', 'unsure') OR starts_with(mark, 'broken:')),
    note VARCHAR,
    new_label VARCHAR,
    author VARCHAR NOT NULL,
    made TIMESTAMP NOT NULL,
    drawn VARCHAR CHECK (drawn IN ('uncertain', 'claimed', 'unclaimed')),
    withdrawn TIMESTAMP
);
COMMENT ON TABLE mark IS 'One row a decision of a person about a sample; of those not taken back the newest counts; kept whatever is run or removed';
COMMENT ON COLUMN mark.dataset IS 'name of the data set';
COMMENT ON COLUMN mark.sample_id IS 'unique within the data set';
COMMENT ON COLUMN mark.author IS 'who decided';
COMMENT ON COLUMN mark.number IS 'counted from 1 over the whole table, higher = newer';
COMMENT ON COLUMN mark.mark_id IS 'unique; a decision that is sent twice is stored once';
COMMENT ON COLUMN mark.mark IS 'keep, drop, fix_label, unsure, or broken:<modality>; NULL = a note alone';
COMMENT ON COLUMN mark.note IS 'in the person''s words; empty removes an earlier one; NULL = leaves it';
COMMENT ON COLUMN mark.new_label IS 'the class it should be, with fix_label; NULL = not said';
COMMENT ON COLUMN mark.made IS 'UTC';
COMMENT ON COLUMN mark.drawn IS 'how a review chose the sample: uncertain = a claim near its limit, claimed = a claim at random, unclaimed = another sample at random; NULL = the person chose it';
COMMENT ON COLUMN mark.withdrawn IS 'when it was taken back, UTC; NULL = it counts';

CREATE TABLE epoch (
    run_id VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    split VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    modality VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE NOT NULL CHECK (isfinite(value)),
    PRIMARY KEY (run_id, epoch, split, modality, metric)
);
COMMENT ON TABLE epoch IS 'Every number of every epoch; split test occurs once, at the epoch that validation chose';
COMMENT ON COLUMN epoch.run_id IS 'the run, see run';
COMMENT ON COLUMN epoch.split IS 'train, val or test';
COMMENT ON COLUMN epoch.epoch IS 'counted from 1 within the run';
COMMENT ON COLUMN epoch.modality IS 'a modality, fused, or all for what belongs to none';
COMMENT ON COLUMN epoch.metric IS 'loss, accuracy, macro_f1, map (0..1), seconds, memory (of a step, bytes), wrong_labels (at least so large a share of held-out labels is wrong, 0..1; modality = by whom labels are judged), skipped_steps, or a quantity of the method such as lambda, omega';
COMMENT ON COLUMN epoch.value IS 'the number; every share lies in 0..1';

CREATE TABLE fold_epoch (
    run_id VARCHAR NOT NULL,
    fold INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    split VARCHAR NOT NULL CHECK (split IN ('train', 'val')),
    modality VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE NOT NULL CHECK (isfinite(value)),
    PRIMARY KEY (run_id, fold, epoch, split, modality, metric)
);
COMMENT ON TABLE fold_epoch IS 'What epoch says of the run itself, of the model that each fold was held out from (score --folds)';
COMMENT ON COLUMN fold_epoch.run_id IS 'the run, see run';
COMMENT ON COLUMN fold_epoch.split IS 'train or val';
COMMENT ON COLUMN fold_epoch.fold IS 'the fold that was held out, counted from 0; split train is the other folds';
COMMENT ON COLUMN fold_epoch.epoch IS 'counted from 1 within the fold';
COMMENT ON COLUMN fold_epoch.modality IS 'a modality, fused, or all for what belongs to none';
COMMENT ON COLUMN fold_epoch.metric IS 'loss, accuracy, macro_f1, map (0..1), seconds, memory (of a step, bytes)';
COMMENT ON COLUMN fold_epoch.value IS 'the number; every share lies in 0..1';

CREATE TABLE dynamic_here (
    run_id VARCHAR NOT NULL USING COMPRESSION dictionary,
    epoch INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL USING COMPRESSION fsst,
    modality VARCHAR NOT NULL USING COMPRESSION dictionary,
    p_true DOUBLE NOT NULL CHECK (p_true BETWEEN 0 AND 1),
    entropy DOUBLE CHECK (isfinite(entropy)),
    log_margin DOUBLE CHECK (isfinite(log_margin)),
    other INTEGER,
    correct BOOLEAN NOT NULL
);
CREATE VIEW dynamic AS FROM dynamic_here;
COMMENT ON TABLE dynamic_here IS 'What each modality, and the fusion, said of a training sample after each warm-up epoch; eval mode; of a run scored out of fold, by the model that never saw the sample; a row a (run_id, epoch, sample_id, modality)';
COMMENT ON COLUMN dynamic_here.run_id IS 'the run, see run';
COMMENT ON COLUMN dynamic_here.sample_id IS 'unique within the data set';
COMMENT ON COLUMN dynamic_here.modality IS 'a modality, or fused';
COMMENT ON COLUMN dynamic_here.correct IS 'whether the most probable class is the label';
COMMENT ON COLUMN dynamic_here.epoch IS 'counted from 1 within the run';
COMMENT ON COLUMN dynamic_here.p_true IS 'probability of the labelled class, 0..1, higher = better known';
COMMENT ON COLUMN dynamic_here.entropy IS 'nats, 0..log(classes), higher = less sure; NULL in runs of an older curate';
COMMENT ON COLUMN dynamic_here.log_margin IS 'log p(labelled class) - log p(largest other class), each p at least 0.001; negative = another class is preferred; NULL in runs of an older curate';
COMMENT ON COLUMN dynamic_here.other IS 'index into run.classes of that largest other class; NULL in runs of an older curate';

CREATE TABLE usability_here (
    run_id VARCHAR NOT NULL USING COMPRESSION dictionary,
    sample_id VARCHAR NOT NULL USING COMPRESSION fsst,
    modality VARCHAR NOT NULL USING COMPRESSION dictionary,
    recognition DOUBLE CHECK (recognition BETWEEN 0 AND 1),
    usability DOUBLE CHECK (usability BETWEEN 0 AND 1),
    p_broken DOUBLE CHECK (p_broken BETWEEN 0 AND 1),
    contradiction DOUBLE NOT NULL CHECK (contradiction BETWEEN 0 AND 1),
    contradiction_fused DOUBLE CHECK (contradiction_fused BETWEEN 0 AND 1),
    p_swapped DOUBLE CHECK (p_swapped BETWEEN 0 AND 1),
    p_mislabelled DOUBLE CHECK (p_mislabelled BETWEEN 0 AND 1),
    rare BOOLEAN,
    weak BOOLEAN,
    shortcut BOOLEAN
);
CREATE VIEW usability AS FROM usability_here;
COMMENT ON TABLE usability_here IS 'What a modality is worth on a training sample, by its look-alikes; a row a (run_id, sample_id, modality)';
COMMENT ON COLUMN usability_here.run_id IS 'the run, see run';
COMMENT ON COLUMN usability_here.sample_id IS 'unique within the data set';
COMMENT ON COLUMN usability_here.modality IS 'a modality';
COMMENT ON COLUMN usability_here.recognition IS 'how well samples that look alike are recognised, 0..1: expected of unseen ones from training look-alikes (mean over the warm-up) and held-out ones; without held-out ones the mean of the training ones; NULL = not known, of saved predictions without embeddings';
COMMENT ON COLUMN usability_here.usability IS 'recognition from chance (0) to what the better half is recognised by (1), higher = more usable; of a rare group as of the others, of a shortcut (see guard) near 0; NULL = not known';
COMMENT ON COLUMN usability_here.p_broken IS 'probability that nothing can be made of it, 0..1; 0 throughout where guard.found is false, NULL where nothing may be claimed';
COMMENT ON COLUMN usability_here.contradiction IS 'how much the modality denies the label, 0..1; above 0.5 it prefers another class: wrong labels, swapped pairs';
COMMENT ON COLUMN usability_here.contradiction_fused IS 'how much the fused prediction denies the label over the warm-up, 0..1, the same for every modality of a sample; NULL in runs of an older curate';
COMMENT ON COLUMN usability_here.p_swapped IS 'probability that the modality''s clip is that of another sample: it shows another class, and the others prefer the label; 0..1, 0 throughout where no such group is told apart; NULL = not judged, of a modality that reads too few samples, or where wrong labels may explain as much';
COMMENT ON COLUMN usability_here.p_mislabelled IS 'probability that the label is wrong, 0..1, the same for every modality of a sample; 0 where something is broken, or where no group of wrong labels is told apart; NULL = not judged';
COMMENT ON COLUMN usability_here.rare IS 'whether it belongs to what has a look of its own and is readable by itself: not broken, and ranked as the others; NULL = not asked';
COMMENT ON COLUMN usability_here.weak IS 'whether its class is hardly recognised as a whole: ambiguous, or damaged throughout; NULL = not asked';
COMMENT ON COLUMN usability_here.shortcut IS 'whether its look gives its class away: damage tied to a class; its usability is lowered; NULL = not asked';

CREATE TABLE guard (
    run_id VARCHAR NOT NULL,
    modality VARCHAR NOT NULL,
    found BOOLEAN NOT NULL,
    share DOUBLE NOT NULL CHECK (share BETWEEN 0 AND 1),
    separation DOUBLE NOT NULL CHECK (isfinite(separation)),
    ratio DOUBLE CHECK (isfinite(ratio)),
    withheld BOOLEAN NOT NULL,
    verdict VARCHAR NOT NULL,
    weak VARCHAR[] NOT NULL DEFAULT [],
    rare DOUBLE NOT NULL DEFAULT 0 CHECK (rare BETWEEN 0 AND 1),
    shortcuts VARCHAR[] NOT NULL DEFAULT [],
    swaps_unjudged VARCHAR NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, modality)
);
COMMENT ON TABLE guard IS 'Whether a modality has a broken group at all';
COMMENT ON COLUMN guard.run_id IS 'the run, see run';
COMMENT ON COLUMN guard.modality IS 'a modality';
COMMENT ON COLUMN guard.found IS 'a group of samples looks apart, and held-out samples of it are hardly recognised';
COMMENT ON COLUMN guard.share IS 'of the training samples in that group, 0..1';
COMMENT ON COLUMN guard.separation IS 'how far apart, Ashman''s D; above 2 = two groups';
COMMENT ON COLUMN guard.ratio IS 'what held-out samples of the group keep of the recognition of others of their classes, above chance; below 0.25, or below 0.6 if its content is shown to be lost, = broken; NULL = could not be measured';
COMMENT ON COLUMN guard.withheld IS 'not judged; verdict says why';
COMMENT ON COLUMN guard.verdict IS 'in words';
COMMENT ON COLUMN guard.weak IS 'classes that are hardly recognised as a whole: ambiguous, or damaged throughout';
COMMENT ON COLUMN guard.rare IS 'share of the training samples that have a look of their own, and are readable by themselves: rare, not broken';
COMMENT ON COLUMN guard.shortcuts IS 'classes of which most, or copies, are given away by their look: damage tied to a class; usability of these samples is lowered';
COMMENT ON COLUMN guard.swaps_unjudged IS 'why it is not judged which clips are those of other samples, in words; empty = it is, or that was not said';

CREATE TABLE relabelled (
    run_id VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    given VARCHAR NOT NULL,
    used VARCHAR NOT NULL,
    why VARCHAR NOT NULL
);
COMMENT ON TABLE relabelled IS 'Training samples whose label a training changed (train.labels), a row a (run_id, sample_id); validation and test labels are never changed';
COMMENT ON COLUMN relabelled.run_id IS 'the run, see run';
COMMENT ON COLUMN relabelled.sample_id IS 'unique within the data set';
COMMENT ON COLUMN relabelled.given IS 'class name in the data';
COMMENT ON COLUMN relabelled.used IS 'class name that was trained with';
COMMENT ON COLUMN relabelled.why IS 'marked = a person gave the class; marked, class predicted = a person called the label wrong; denied = the fused prediction denied it over the warm-up; random = the control';

CREATE TABLE comparison (
    comparison VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    label VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    is_control BOOLEAN NOT NULL,
    twin VARCHAR NOT NULL DEFAULT '',
    seed INTEGER NOT NULL,
    run_id VARCHAR,
    reason VARCHAR NOT NULL DEFAULT '',
    PRIMARY KEY (comparison, dataset, label, seed)
);
COMMENT ON TABLE comparison IS 'One row a cell of a comparison: a method with its settings, on a data set, with a seed';
COMMENT ON COLUMN comparison.dataset IS 'name of the data set';
COMMENT ON COLUMN comparison.method IS 'what was trained';
COMMENT ON COLUMN comparison.comparison IS 'its name';
COMMENT ON COLUMN comparison.position IS 'of the method in the printed table, counted from 0';
COMMENT ON COLUMN comparison.label IS 'what the printed table calls the method with its settings';
COMMENT ON COLUMN comparison.is_control IS 'whether it is what others are compared with';
COMMENT ON COLUMN comparison.twin IS 'label of the control of its own, a random subset of equal size; empty = none';
COMMENT ON COLUMN comparison.seed IS 'of the scored run and of the training';
COMMENT ON COLUMN comparison.run_id IS 'the training run that holds the results; NULL = not measured, see reason';
COMMENT ON COLUMN comparison.reason IS 'why there is no result; empty = there is one';

CREATE VIEW history AS
SELECT r.dataset, p.run_id, r.kind, r.method, p.round, i.sample_id, s.label_name, s.planted, p.pair,
       i.prob_gap[p.k] AS prob_gap, i.kl_gap[p.k] AS kl_gap, i.fitted[p.k] AS fitted, i.p_balanced[p.k] AS p_balanced,
       1 - i.p_balanced[p.k] AS p_imbalanced, i.p_first[p.k] AS p_first, i.p_second[p.k] AS p_second
FROM item i JOIN (
    SELECT number, run_id, round, unnest(pairs) AS pair, unnest(range(1, len(pairs) + 1)) AS k
    FROM part WHERE run_id IS NOT NULL
) p ON p.number = i.part
JOIN run r USING (run_id)
JOIN sample s ON s.data_id = r.data_id AND s.sample_id = i.sample_id
WHERE i.prob_gap[p.k] IS NOT NULL AND i.p_balanced[p.k] IS NOT NULL;
COMMENT ON VIEW history IS 'Every sample in every round of every run: how its gap and posterior moved';
COMMENT ON COLUMN history.dataset IS 'name of the data set';
COMMENT ON COLUMN history.run_id IS 'the run that scored it then';
COMMENT ON COLUMN history.kind IS 'score = a scored run, train = a training that scores again';
COMMENT ON COLUMN history.method IS 'what the run was trained with; warmup = a scored run, predictions = saved ones';
COMMENT ON COLUMN history.sample_id IS 'unique within the data set';
COMMENT ON COLUMN history.label_name IS 'class name';
COMMENT ON COLUMN history.planted IS 'modalities degraded on purpose, joined by +; empty = none; NULL = unknown';
COMMENT ON COLUMN history.pair IS 'first|second: the two modalities that the gap is of';
COMMENT ON COLUMN history.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN history.prob_gap IS 'p_first(true class) - p_second(true class), -1..1; positive = the first modality carries the sample';
COMMENT ON COLUMN history.kl_gap IS 'the same by KL from uniform, nats; label-free';
COMMENT ON COLUMN history.p_balanced IS 'w0 of the paper, 0..1, higher = more balanced';
COMMENT ON COLUMN history.p_imbalanced IS '1 - p_balanced';
COMMENT ON COLUMN history.fitted IS 'what the mixture saw, where that is neither gap as it stands';
COMMENT ON COLUMN history.p_first IS 'posterior of the first modality of the pair being ahead, 0..1; NULL for two components';
COMMENT ON COLUMN history.p_second IS 'the same of the second modality; p_first + p_second = p_imbalanced';

CREATE VIEW results AS
SELECT r.dataset, r.data_id, r.parent, r.run_id, r.method, r.seed, r.note, e.epoch, e.modality, e.metric, e.value, r.started
FROM epoch e JOIN run r USING (run_id)
WHERE e.split = 'test' AND r.status = 'done';
COMMENT ON VIEW results IS 'Test metrics of every finished run, measured once at the epoch that validation chose';
COMMENT ON COLUMN results.dataset IS 'name of the data set';
COMMENT ON COLUMN results.data_id IS 'of the data that it was measured on: equal ids mean equal data';
COMMENT ON COLUMN results.parent IS 'the scored run that the training starts from; NULL = none';
COMMENT ON COLUMN results.run_id IS 'the run that was measured';
COMMENT ON COLUMN results.method IS 'what it was trained with';
COMMENT ON COLUMN results.note IS 'what sets it apart from others of its method; NULL = nothing';
COMMENT ON COLUMN results.modality IS 'a modality, or fused';
COMMENT ON COLUMN results.metric IS 'accuracy, macro_f1 or map';
COMMENT ON COLUMN results.started IS 'when the run began, UTC';
COMMENT ON COLUMN results.seed IS 'the one seed of the run';
COMMENT ON COLUMN results.epoch IS 'the epoch that validation chose, counted from 1 within the run';
COMMENT ON COLUMN results.value IS 'accuracy, macro_f1 or map, 0..1, higher = better';

CREATE VIEW dynamics AS
WITH moved AS (
    SELECT *, lag(correct) OVER (PARTITION BY run_id, sample_id, modality ORDER BY epoch) AS before FROM dynamic
)
SELECT r.dataset, m.run_id, m.sample_id, s.label_name, s.planted, m.modality, count(*) AS epochs,
       avg(m.p_true) AS mean_p_true, stddev_pop(m.p_true) AS sd_p_true, avg(m.correct::INTEGER) AS share_correct,
       count(*) FILTER (m.before AND NOT m.correct) AS forgotten
FROM moved m JOIN run r USING (run_id)
JOIN sample s ON s.data_id = r.data_id AND s.sample_id = m.sample_id
GROUP BY ALL;
COMMENT ON VIEW dynamics IS 'How each modality came to know each training sample over the warm-up';
COMMENT ON COLUMN dynamics.dataset IS 'name of the data set';
COMMENT ON COLUMN dynamics.run_id IS 'the scored run';
COMMENT ON COLUMN dynamics.sample_id IS 'unique within the data set';
COMMENT ON COLUMN dynamics.label_name IS 'class name';
COMMENT ON COLUMN dynamics.planted IS 'modalities degraded on purpose, joined by +; empty = none; NULL = unknown';
COMMENT ON COLUMN dynamics.modality IS 'a modality, or fused';
COMMENT ON COLUMN dynamics.epochs IS 'how many epochs were scored';
COMMENT ON COLUMN dynamics.mean_p_true IS 'mean over epochs of the probability of the true class, 0..1, higher = sooner and better known';
COMMENT ON COLUMN dynamics.sd_p_true IS 'its standard deviation over epochs, 0..0.5, higher = less settled';
COMMENT ON COLUMN dynamics.share_correct IS 'share of epochs in which the class was right, 0..1';
COMMENT ON COLUMN dynamics.forgotten IS 'how often it was right after one epoch and wrong after the next';

CREATE VIEW gap_dynamics AS
WITH each_epoch AS (
    SELECT r.dataset, r.data_id, a.run_id, a.sample_id, a.modality || '|' || b.modality AS pair, a.epoch,
           a.p_true - b.p_true AS gap
    FROM dynamic a JOIN dynamic b USING (run_id, epoch, sample_id) JOIN run r USING (run_id)
    WHERE list_position(r.modalities, a.modality) < list_position(r.modalities, b.modality)
)
SELECT e.dataset, e.run_id, e.sample_id, s.label_name, s.planted, e.pair, count(*) AS epochs, avg(e.gap) AS mean_gap,
       stddev_pop(e.gap) AS sd_gap, avg((e.gap > 0.3)::INTEGER) AS share_first_ahead,
       avg((e.gap < -0.3)::INTEGER) AS share_second_ahead
FROM each_epoch e JOIN sample s ON s.data_id = e.data_id AND s.sample_id = e.sample_id
GROUP BY ALL;
COMMENT ON VIEW gap_dynamics IS 'The probability gap of each training sample over the warm-up: one that stays imbalanced differs from one that was unlucky once';
COMMENT ON COLUMN gap_dynamics.dataset IS 'name of the data set';
COMMENT ON COLUMN gap_dynamics.run_id IS 'the scored run';
COMMENT ON COLUMN gap_dynamics.sample_id IS 'unique within the data set';
COMMENT ON COLUMN gap_dynamics.label_name IS 'class name';
COMMENT ON COLUMN gap_dynamics.planted IS 'modalities degraded on purpose, joined by +; empty = none; NULL = unknown';
COMMENT ON COLUMN gap_dynamics.pair IS 'first|second: the two modalities that the gap is of';
COMMENT ON COLUMN gap_dynamics.epochs IS 'how many epochs were scored';
COMMENT ON COLUMN gap_dynamics.mean_gap IS 'mean over epochs of p(true class), first minus second modality, -1..1';
COMMENT ON COLUMN gap_dynamics.sd_gap IS 'its standard deviation over epochs, 0..1';
COMMENT ON COLUMN gap_dynamics.share_first_ahead IS 'share of epochs with a gap above 0.3, 0..1; near 1 = the first modality carries it throughout';
COMMENT ON COLUMN gap_dynamics.share_second_ahead IS 'share of epochs with a gap below -0.3, 0..1';
