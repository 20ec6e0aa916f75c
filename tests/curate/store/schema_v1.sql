-- The sample table. Rows of a run are keyed (run_id, round, sample_id); the views at the end are what to query.
-- Everything numeric is DOUBLE and finite; a value that may be absent is NULL, never NaN.

CREATE TABLE schema_version (version INTEGER NOT NULL, written_by VARCHAR NOT NULL);
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
    gap_kind VARCHAR CHECK (gap_kind IN ('prob', 'kl')),
    family VARCHAR,
    config JSON NOT NULL,
    versions JSON NOT NULL,
    folder VARCHAR NOT NULL,
    checkpoint_sha256 VARCHAR,
    status VARCHAR NOT NULL CHECK (status IN ('running', 'interrupted', 'failed', 'done')),
    note VARCHAR,
    started TIMESTAMP NOT NULL,
    finished TIMESTAMP
);
COMMENT ON TABLE run IS 'One row a run: what was run, with which settings, from which parent';
COMMENT ON COLUMN run.kind IS 'score = warm-up, predictions, gap, mixture, posteriors; train = one method from the scored run';
COMMENT ON COLUMN run.data_id IS 'digest of samples, labels, splits, content and preprocessing: equal ids mean equal data';
COMMENT ON COLUMN run.parent IS 'the scored run a training run starts from and reads its weights from';
COMMENT ON COLUMN run.seed IS 'the one seed, >= 0: weights, order, augmentation';
COMMENT ON COLUMN run.modalities IS 'declared order; the sign of a gap is first minus second';
COMMENT ON COLUMN run.config IS 'the resolved configuration, every key';
COMMENT ON COLUMN run.started IS 'UTC';
COMMENT ON COLUMN run.finished IS 'UTC; NULL while running';

CREATE TABLE sample (
    data_id VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL CHECK (split IN ('train', 'val', 'test')),
    label INTEGER NOT NULL,
    label_name VARCHAR NOT NULL,
    group_id VARCHAR,
    planted VARCHAR,
    status VARCHAR NOT NULL,
    reason VARCHAR,
    PRIMARY KEY (data_id, sample_id)
);
COMMENT ON TABLE sample IS 'One row an item of a data set, whatever became of its media';
COMMENT ON COLUMN sample.label IS 'index into run.classes; compare label_name across data sets, never this';
COMMENT ON COLUMN sample.planted IS 'modalities degraded on purpose, joined by +; empty = none; NULL = unknown';
COMMENT ON COLUMN sample.status IS 'ok, or what is wrong with its media: missing, lfs_pointer, empty, undecodable, no_audio, no_video, silent, too_short';
COMMENT ON COLUMN sample.reason IS 'which modality and why, when status is not ok';

CREATE TABLE prediction (
    run_id VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,
    modality VARCHAR NOT NULL,
    p_true DOUBLE NOT NULL CHECK (p_true BETWEEN 0 AND 1),
    p_max DOUBLE NOT NULL CHECK (p_max BETWEEN 0 AND 1),
    entropy DOUBLE NOT NULL CHECK (isfinite(entropy)),
    predicted VARCHAR NOT NULL,
    correct BOOLEAN NOT NULL,
    PRIMARY KEY (run_id, round, sample_id, modality)
);
COMMENT ON TABLE prediction IS 'What each modality, and the fusion (modality = fused), said of a training sample; eval mode, no augmentation';
COMMENT ON COLUMN prediction.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN prediction.p_true IS 'probability of the labelled class, 0..1, higher = better known';
COMMENT ON COLUMN prediction.p_max IS 'probability of the predicted class, 0..1';
COMMENT ON COLUMN prediction.entropy IS 'nats, 0..log(classes), higher = less sure';
COMMENT ON COLUMN prediction.predicted IS 'class name';

CREATE TABLE gap (
    run_id VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,
    pair VARCHAR NOT NULL,
    prob_gap DOUBLE NOT NULL CHECK (prob_gap BETWEEN -1 AND 1),
    kl_gap DOUBLE NOT NULL CHECK (isfinite(kl_gap)),
    PRIMARY KEY (run_id, round, sample_id, pair)
);
COMMENT ON TABLE gap IS 'Signed modality gap of each pair, first minus second';
COMMENT ON COLUMN gap.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN gap.pair IS 'first|second, in declared order';
COMMENT ON COLUMN gap.prob_gap IS 'p_first(true class) - p_second(true class), -1..1; positive = the first modality carries the sample';
COMMENT ON COLUMN gap.kl_gap IS 'KL(first || uniform) - KL(second || uniform), nats, -log(classes)..log(classes); label-free';

CREATE TABLE mixture (
    run_id VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    pair VARCHAR NOT NULL,
    component INTEGER NOT NULL,
    gap_kind VARCHAR NOT NULL,
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
COMMENT ON COLUMN mixture.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN mixture.component IS '0, 1, ascending by loc';
COMMENT ON COLUMN mixture.weight IS 'mixing weight pi, 0..1; those of a pair add up to 1';
COMMENT ON COLUMN mixture.loc IS 'location mu, in units of the gap of gap_kind';
COMMENT ON COLUMN mixture.scale IS 'scale sigma > 0, in units of the gap; the standard deviation of a Gaussian';
COMMENT ON COLUMN mixture.dof IS 'degrees of freedom of a Student-t component; NULL for Gaussian';
COMMENT ON COLUMN mixture.is_balanced IS 'the component whose posterior is p_balanced';
COMMENT ON COLUMN mixture.rule IS 'second_moment = smallest loc^2 + scale^2, weight = largest weight (the paper), abs_mean = smallest |loc|';
COMMENT ON COLUMN mixture.rule_conflict IS 'true when these rules pick different components';
COMMENT ON COLUMN mixture.log_likelihood IS 'total over the samples, nats, at the end of the fit; of the whole mixture, higher = better fitted';
COMMENT ON COLUMN mixture.iterations IS 'EM steps of the start that won';
COMMENT ON COLUMN mixture.outcome IS 'ok; one_component, degenerate, too_few = one component only, all balanced; memorised, two_tailed, rule_conflict = two that mean little, see warnings';
COMMENT ON COLUMN mixture.warnings IS 'what speaks against reading the fit as two populations, and what to do';

CREATE TABLE posterior (
    run_id VARCHAR NOT NULL,
    round INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,
    pair VARCHAR NOT NULL,
    p_balanced DOUBLE NOT NULL CHECK (p_balanced BETWEEN 0 AND 1),
    p_imbalanced DOUBLE NOT NULL CHECK (p_imbalanced BETWEEN 0 AND 1),
    CHECK (abs(p_balanced + p_imbalanced - 1) < 1e-9),
    PRIMARY KEY (run_id, round, sample_id, pair)
);
COMMENT ON TABLE posterior IS 'Posterior of each component given the gap of the pair';
COMMENT ON COLUMN posterior.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN posterior.p_balanced IS 'w0 of the paper, 0..1, higher = more balanced';
COMMENT ON COLUMN posterior.p_imbalanced IS '1 - p_balanced';

CREATE TABLE selection (
    name VARCHAR PRIMARY KEY,
    run_id VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    candidates INTEGER NOT NULL,
    selected INTEGER NOT NULL,
    created TIMESTAMP NOT NULL
);
COMMENT ON TABLE selection IS 'Named sets of training samples';
COMMENT ON COLUMN selection.candidates IS 'how many scored training samples the rule saw';
COMMENT ON COLUMN selection.selected IS 'how many it kept';

-- Without a key: removing half a million rows below one takes DuckDB ten seconds. The one writer keeps them unique.
CREATE TABLE selection_member (name VARCHAR NOT NULL, sample_id VARCHAR NOT NULL);

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
COMMENT ON COLUMN epoch.epoch IS 'counted from 1 within the run';
COMMENT ON COLUMN epoch.modality IS 'a modality, fused, or all for what belongs to none';
COMMENT ON COLUMN epoch.metric IS 'loss, accuracy, macro_f1, map (0..1), seconds, or a quantity of the method such as lambda, omega';
COMMENT ON COLUMN epoch.value IS 'the number; every share lies in 0..1';

CREATE TABLE dynamic (
    run_id VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,
    modality VARCHAR NOT NULL,
    p_true DOUBLE NOT NULL CHECK (p_true BETWEEN 0 AND 1),
    correct BOOLEAN NOT NULL,
    PRIMARY KEY (run_id, epoch, sample_id, modality)
);
COMMENT ON TABLE dynamic IS 'What each modality, and the fusion, said of a training sample after each warm-up epoch; eval mode';
COMMENT ON COLUMN dynamic.epoch IS 'counted from 1 within the run';
COMMENT ON COLUMN dynamic.p_true IS 'probability of the labelled class, 0..1, higher = better known';

CREATE VIEW history AS
SELECT r.dataset, g.run_id, r.kind, r.method, g.round, g.sample_id, s.label_name, s.planted, g.pair,
       g.prob_gap, g.kl_gap, p.p_balanced, p.p_imbalanced
FROM gap g
JOIN run r USING (run_id)
JOIN posterior p USING (run_id, round, sample_id, pair)
JOIN sample s ON s.data_id = r.data_id AND s.sample_id = g.sample_id;
COMMENT ON VIEW history IS 'Every sample in every round of every run: how its gap and posterior moved';
COMMENT ON COLUMN history.round IS '0 = the scored run or the warm start, counted up by each later scoring; of saved predictions 0 = the newest epoch, counting back';
COMMENT ON COLUMN history.prob_gap IS 'p_first(true class) - p_second(true class), -1..1; positive = the first modality carries the sample';
COMMENT ON COLUMN history.kl_gap IS 'the same by KL from uniform, nats; label-free';
COMMENT ON COLUMN history.p_balanced IS 'w0 of the paper, 0..1, higher = more balanced';
COMMENT ON COLUMN history.p_imbalanced IS '1 - p_balanced';

CREATE VIEW results AS
SELECT r.dataset, r.data_id, r.parent, r.run_id, r.method, r.seed, r.note, e.epoch, e.modality, e.metric, e.value, r.started
FROM epoch e JOIN run r USING (run_id)
WHERE e.split = 'test' AND r.status = 'done';
COMMENT ON VIEW results IS 'Test metrics of every finished run, measured once at the epoch that validation chose';
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
COMMENT ON COLUMN gap_dynamics.epochs IS 'how many epochs were scored';
COMMENT ON COLUMN gap_dynamics.mean_gap IS 'mean over epochs of p(true class), first minus second modality, -1..1';
COMMENT ON COLUMN gap_dynamics.sd_gap IS 'its standard deviation over epochs, 0..1';
COMMENT ON COLUMN gap_dynamics.share_first_ahead IS 'share of epochs with a gap above 0.3, 0..1; near 1 = the first modality carries it throughout';
COMMENT ON COLUMN gap_dynamics.share_second_ahead IS 'share of epochs with a gap below -0.3, 0..1';
