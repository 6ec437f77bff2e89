"""The comparison as one JSON object, for programs: all figures, none rounded."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from d2lrnn import __version__
from d2lrnn.comparison import differences
from d2lrnn.comparison.groups import Group, differing_settings
from d2lrnn.comparison.measures import PERPLEXITIES
from d2lrnn.comparison.reading import Entry
from d2lrnn.comparison.report import Report

FORMAT = "d2lrnn comparison 2"


def to_dict(report: Report) -> dict[str, Any]:
    """All that is known of the runs and of their differences; numbers that JSON lacks are None."""
    record = {
        "format": FORMAT,
        "d2lrnn": __version__,
        "runs": [_run(entry) for entry in report.entries],
        "failed": [{**asdict(failure), "path": str(failure.path)} for failure in report.failures],
        "settings_that_differ": differing_settings(report.entries),
        "groups": [_group(group) for group in report.groups],
    }
    finite: dict[str, Any] = json.loads(json.dumps(record), parse_constant=lambda _: None)
    return finite


def _run(entry: Entry) -> dict[str, Any]:
    run = entry.run
    return {
        "label": entry.label,
        "path": str(run.path),
        "backend": run.backend,
        "status": run.config["status"],
        "options": run.config["options"],
        "model": str(entry.architecture),
        "data": run.config["data"],
        "device": run.config.get("device"),
        "versions": run.versions,
        **asdict(entry.measures),
        "history": run.history,
        "sources": run.sources,
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "title": group.title,
        "runs": [entry.label for entry in group.entries],
        "same_initial_weights": group.same_start,
        "same_equations": group.same_equations,
        "same_minibatches": group.same_minibatches,
        "data": asdict(group.data),
        "spread": {key: differences.spread(group, key) for key in PERPLEXITIES},
        "epochs_together": differences.epochs_together(group),
        "continuations": [asdict(texts) for texts in differences.of_texts(group)],
        "weights": [asdict(weight) for weight in differences.of_weights(group)],
    }
