"""The report as a self-contained page: figures, pictures and sounds are part of it.

Its text is in `templates/page.html`, its numbers in `facts`.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from curate.advice import command
from curate.advice.conclusions import conclusions, said_by
from curate.files.writing import write_whole
from curate.scores.gap import gap_scale
from curate.scores.guard import IMPAIRED, RATIO, SEPARATION
from curate.scores.posteriors import p_balanced
from curate.store.store import Store
from curate.types import FUSED, Run, modality_pairs, pair_name

from . import browse, drawing, dynamics, figures, media, results, usability
from .facts import Facts, axis_limit, by_class, most_imbalanced, planted_scores, read
from .texts import (
    explain,
    flat_row,
    headline,
    settings_of,
    slug,
    template,
    with_code,
)

TOP_CLASSES = 20


def build(
    store: Store,
    run_id: str | None,
    output: Path,
    cache_folder: Path | None = None,
    count: int = 12,
    usual: command.Usual | None = None,
) -> Path:
    """Write `output/<run_id>/index.html`, with figures (.svg, .png, .csv) and tables (.csv) beside it.

    Args:
        store: the table with the run.
        run_id: a scored run, or a training run, whose parent is then reported; None = the newest finished scored run.
        output: the folder of all reports.
        cache_folder: where decoded media are looked for; None = the default. Nothing is decoded.
        count: how many of the most imbalanced samples to show, all directions together.
        usual: defaults of the settings, {section: {key: value}}; the printed command leaves them out.

    Returns:
        The path of the page. It is written last and in one step: after an error an earlier page is unchanged.

    Raises:
        CurateError: there is no such run, or it was never scored.
    """
    facts = read(store, run_id)
    page = Page(facts, cache_folder, count, usual or {})
    text = page.render()
    folder = output / facts.run.run_id
    for name, content in page.files.items():
        _write(folder / name, content, message=False)
    return _write(folder / "index.html", text.encode("utf-8"))


class Page:
    """Renders facts; meanwhile `files` collects {name: content} of figures and tables."""

    def __init__(self, facts: Facts, cache_folder: Path | None, count: int, usual: command.Usual) -> None:
        self.facts, self.cache_folder, self.count, self.usual = facts, cache_folder, count, usual
        self.files: dict[str, bytes | pd.DataFrame] = {}

    def render(self) -> str:
        """The page's HTML."""
        facts = self.facts
        return template("page.html").render(
            run=facts.run,
            facts=facts,
            fused=FUSED,
            metrics=results.METRICS,
            headline=headline(facts),
            planted=planted_scores(facts),
            pairs=self._pairs(),
            three=any(len(fit.weights) == 3 for fit in facts.round.fits),
            rule=next((f.rule for f in facts.round.fits if len(f.weights) == 3), facts.round.fits[0].rule),
            conclusions=[with_code(line).split(": ", 1) for line in conclusions(facts.evidence)],
            by_heart=facts.evidence.by_heart,
            called=float((facts.samples["p_imbalanced"] > 0.5).mean()) if len(facts.samples) else 0.0,
            rounds=self._rounds(),
            dynamics=self._dynamics(),
            usability=self._usability(),
            denied=self._denied(),
            accuracy=self._accuracy(),
            weights=self._weights(),
            **self._results(),
            **self._classes(),
            **self._samples(),
            **self._browse(),
            usable=int(facts.statuses.query("status == 'ok'")["samples"].sum()),
            bad=facts.statuses.query("status != 'ok'").to_dict("records"),
            unusable=facts.unusable.to_dict("records"),
            findings=facts.findings.to_dict("records"),
            settings=settings_of(facts.run),
            score_command=command.score_command(facts.run, self.usual),
            database=shlex.quote(str(facts.database)),
        )

    def _figure(self, name: str, drawn: drawing.Drawing, title: str) -> dict[str, Any]:
        """Collect a drawing's three files; returns what the template needs to show it."""
        drawing.lay_out(drawn.figure)
        text = drawing.svg(drawn.figure)
        self.files[f"figures/{name}.svg"] = drawing.on_white(text).encode("utf-8")
        self.files[f"figures/{name}.png"] = drawing.png(drawn.figure)
        self._csv(f"figures/{name}.csv", drawn.data)
        return {"name": name, "title": title, "svg": Markup(drawing.inline_svg(text, name))}

    def _csv(self, name: str, data: pd.DataFrame) -> None:
        self.files[name] = data

    def _pairs(self) -> list[dict[str, Any]]:
        """Histogram, posterior and fit of each pair."""
        facts = self.facts
        form = self._form(facts.round.gaps.input, facts.round.gaps.average, facts.kind)
        out = []
        for j, (pair, fit) in enumerate(zip(facts.round.gaps.pairs, facts.round.fits, strict=True)):
            gaps, name = facts.round.gaps.seen(facts.kind)[:, j], slug(pair)
            both = " and ".join(pair)
            arguments = (gaps, fit, facts.kind, pair, facts.limit, form)
            low, high = form.span(facts.limit)
            ends = dict(zip(pair, (high, low if form.input == "signed" else high), strict=True))
            out.append(
                {
                    "pair": pair,
                    "fit": fit,
                    "monotone": bool(np.isfinite(fit.limits).any()),
                    "warnings": [(w, explain(w)) for w in fit.warnings],
                    "ranges": figures.imbalanced_ranges(fit, facts.limit, form),
                    "span": (low, high),
                    "blind": [m for m, end in ends.items() if p_balanced(fit, np.array([end]))[0] >= 0.5],
                    "histogram": self._figure(
                        f"gap-{name}",
                        figures.gap_histogram(*arguments),
                        f"Histogram of the gap between {both} with the fitted mixture",
                    ),
                    "posterior": self._figure(
                        f"posterior-{name}",
                        figures.posterior_curve(*arguments),
                        f"p_balanced for every gap between {both}",
                    ),
                }
            )
        return out

    def _form(self, input: str, average: str, kind: str) -> figures.Form:
        return figures.Form(input, average, gap_scale(kind, len(self.facts.run.classes)))

    def _rounds(self) -> list[dict[str, Any]]:
        """For each method, the newest training that fitted the mixture again: a figure and a table per pair."""
        newest = {run.method: run for run in self.facts.children if len(self.facts.rounds.get(run.run_id, ())) > 1}
        out = []
        for run in newest.values():
            fits, kind = self.facts.rounds[run.run_id], run.gap_kind or "prob"
            # Rounds after the first are of one epoch each, even if the first was averaged over several.
            form = self._form(run.config.get("score", {}).get("input", "signed"), "last", kind)
            for j, pair in enumerate(self.facts.round.gaps.pairs):
                of_pair = {n: f[j] for n, f in fits.items() if j < len(f)}
                reach = max(float((np.abs(f.locs) + 3 * f.scales).max()) for f in of_pair.values())
                found = figures.mixture_rounds(of_pair, kind, pair, axis_limit(kind, len(run.classes), reach), form)
                title = f"The mixture of {pair_name(pair)} in each round of {run.run_id}"
                out.append(
                    {
                        "run": run,
                        "pair": pair,
                        "fits": of_pair,
                        "figure": self._figure(f"rounds-{slug([run.run_id, *pair])}", found, title),
                    }
                )
        return out

    def _dynamics(self) -> list[dict[str, Any]]:
        """For each pair, how the gaps changed over the warm-up; [] unless two epochs or more were stored."""
        out = []
        for pair in self.facts.round.gaps.pairs:
            gaps = self.facts.dynamics
            gaps = gaps[(gaps["pair"] == pair_name(pair)) & (gaps["epochs"] > 1)]
            if not len(gaps):
                continue
            name, order = slug(pair), dynamics.kinds_of(pair)
            found = figures.gap_dynamics(gaps, dynamics.classify(gaps, pair), order, pair)
            rows = dynamics.summary(gaps, pair)
            self._csv(f"tables/dynamics-{name}.csv", rows)
            title = f"Mean and spread of the gap between {' and '.join(pair)} over the warm-up's epochs"
            out.append(
                {
                    "pair": pair,
                    "epochs": int(gaps["epochs"].max()),
                    "count": len(gaps),
                    "most": figures.MAX_POINTS,
                    "planted": bool(gaps["planted"].notna().all()),
                    "rows": rows.to_dict("records"),
                    "figure": self._figure(f"dynamics-{name}", found, title),
                }
            )
        return out

    def _usability(self) -> dict[str, Any]:
        """What is usable and what is claimed to be broken; {} where that is not known."""
        frame, modalities = self.facts.usability, self.facts.run.modalities
        if not len(frame):
            return {}
        drawn = []
        for pair in modality_pairs(modalities):
            order, claims = usability.claims_about(pair), usability.claims_of(frame, pair)
            found = figures.usability_scatter(frame, claims, order, pair)
            drawn.append(self._figure(f"usability-{slug(pair)}", found, f"Usability of {pair[0]} and of {pair[1]}"))
        extremes = usability.extremes(frame, modalities, self.count)
        return {
            "count": len(frame),
            "most": figures.MAX_POINTS,
            "ratio": RATIO,
            "impaired": IMPAIRED,
            "separation": SEPARATION,
            "verdicts": usability.verdicts(frame, self.facts.guards),
            "claims": usability.summary(frame, modalities).to_dict("records"),
            "checked": usability.checked(frame, modalities),
            "figures": drawn,
            "extremes": {m: rows.to_dict("records") for m, rows in extremes.items()},
            "media": self._media(extremes.values()),
        }

    def _denied(self) -> dict[str, Any]:
        """Labels that are probably wrong and clips of other samples; {} where none was judged."""
        frame, modalities = self.facts.assessed, self.facts.run.modalities
        if not len(frame):
            return {}
        self._csv("tables/usability.csv", frame)
        contradicting = usability.contradicting(frame, self.count // 2)
        wrong, mislabelled = usability.probably_wrong(frame, self.count // 2)
        swapped = {m: usability.swapped(frame, m, max(1, self.count // 2 // len(modalities))) for m in modalities}
        return {
            "count": len(frame),
            "contradicting": contradicting.to_dict("records"),
            "swapped": [(m, rows.to_dict("records"), found) for m, (rows, found) in swapped.items() if found],
            "unread": [m for m in modalities if not frame[f"p_swapped_{m}"].notna().any()],
            "wrong": wrong.to_dict("records"),
            "said_by": said_by(self.facts.evidence),
            "mislabelled": mislabelled,
            "judged": bool(frame["p_mislabelled"].notna().any()),
            "media": self._media([contradicting, wrong, *(rows for rows, _ in swapped.values())]),
        }

    def _media(self, shown: Iterable[pd.DataFrame]) -> Mapping[str, Sequence[media.Medium]]:
        """{sample_id: media} of what is shown."""
        ids = pd.concat(list(shown))["sample_id"].drop_duplicates().tolist()
        return media.load(self.facts.run, ids, self.cache_folder)[0]

    def _label(self, run: Run) -> str:
        if run.run_id == self.facts.run.run_id:
            return "warm-up"
        name = "warm-up, continued" if run.method == "warmup" else run.method
        return f"{name} ({run.note})" if run.note else name

    def _curves(self, runs: Sequence[Run], split: str, modality: str, metric: str) -> list[figures.Curve]:
        facts = self.facts
        e = facts.epochs
        rows = e[(e["split"] == split) & (e["modality"] == modality) & (e["metric"] == metric)]
        origin: tuple[float, float] | None = None
        out = []
        for run in (facts.run, *runs):
            mine, start = rows[rows["run_id"] == run.run_id], facts.starts[run.run_id]
            if not len(mine):
                continue
            epochs, values = mine["epoch"].to_numpy(float) + start, mine["value"].to_numpy()
            out.append(figures.Curve(self._label(run), epochs, values, run.run_id, origin if start else None))
            if run is facts.run:
                origin = (float(epochs[-1]), float(values[-1]))
        return out

    def _accuracy(self) -> list[dict[str, Any]]:
        """Validation accuracy over epochs: the fusion first, then each modality."""
        facts, out = self.facts, []
        labels = list(dict.fromkeys(self._label(r) for r in (facts.run, *facts.children)))
        for m in (FUSED, *facts.run.modalities):
            lines = self._curves(facts.children, "val", m, "accuracy")
            if lines:
                what = "fused prediction" if m == FUSED else f"{m} alone"
                found = figures.curves(lines, what, "validation accuracy, %", labels)
                out.append(self._figure(f"accuracy-{m}", found, f"Validation accuracy over epochs, {what}"))
        return out

    def _weights(self) -> list[dict[str, Any]]:
        """Quantities by which a method weights modalities (omega of iprm), over epochs."""
        facts = self.facts
        rows = facts.epochs[(facts.epochs["split"] == "train") & facts.epochs["metric"].str.startswith("omega")]
        lines = []
        for (run_id, modality, metric), group in rows.groupby(["run_id", "modality", "metric"]):
            pair = str(metric).partition(":")[2]
            label = f"{modality} ({pair})" if pair else str(modality)
            epochs = group["epoch"].to_numpy(float) + facts.starts[str(run_id)]
            lines.append(figures.Curve(label, epochs, group["value"].to_numpy(), str(run_id)))
        if not lines:
            return []
        labels = list(dict.fromkeys(line.label for line in lines))
        found = figures.curves(lines, "weight of each modality", "omega (0 to 1)", labels, percent=False)
        return [self._figure("omega", found, "Weight that iprm gives each modality over epochs")]

    def _results(self) -> dict[str, Any]:
        facts = self.facts
        rows = results.compare(facts.tests, [facts.run, *facts.children], facts.lengths, facts.run.run_id)
        columns = [(m, k) for k, _ in results.METRICS for m in (FUSED, *facts.run.modalities)]
        self._csv("tables/results.csv", pd.DataFrame([flat_row(row, columns) for row in rows]))
        return {
            "rows": rows,
            "verdicts": [with_code(sentence) for sentence in results.verdicts(rows, facts.run.run_id)],
            "unfinished": [r for r in facts.children if r.status != "done"],
        }

    def _classes(self) -> dict[str, Any]:
        classes = by_class(self.facts.samples, self.facts.run.modalities)
        self._csv("tables/classes.csv", classes)
        return {"classes": classes.head(TOP_CLASSES).to_dict("records"), "class_count": len(classes)}

    def _browse(self) -> dict[str, Any]:
        """The table of samples and of thresholds, and the script that sorts and filters them."""
        facts = self.facts
        found = browse.table(facts.samples, facts.usability, facts.run.modalities)
        kept = browse.thresholds(facts.samples)
        script = resources.files("curate.report").joinpath("templates/browse.js").read_text(encoding="utf-8")
        self._csv("tables/samples.csv", facts.samples)
        return {
            "browse": found,
            "first": browse.FIRST,
            "listed": [row for row in kept if row[0] in browse.SHOWN],
            "browse_data": htmlsafe_json_dumps({"rows": found["rows"], "kept": kept, "first": browse.FIRST}),
            "browse_script": Markup(script),
            "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        }

    def _samples(self) -> dict[str, Any]:
        """The most imbalanced samples of each direction, with media where they are available."""
        facts = self.facts
        found = most_imbalanced(facts.samples, facts.run.modalities, self.count)
        together = pd.concat(found.values(), ignore_index=True)
        self._csv("tables/most_imbalanced.csv", together.drop(columns="size"))
        shown, reason = media.load(facts.run, together["sample_id"].tolist(), self.cache_folder)
        return {
            "imbalanced": {m: rows.to_dict("records") for m, rows in found.items()},
            "media": shown,
            "no_media": reason,
            "prepare_command": command.prepare_command(facts.run),
        }


def _write(path: Path, content: bytes | pd.DataFrame, message: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content, message)
    return path
