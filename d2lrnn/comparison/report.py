"""The report of some runs: a section for each group, then what concerns all of them."""

from __future__ import annotations

from collections.abc import Sequence

from d2lrnn.comparison import curves, differences, sentences, tables
from d2lrnn.comparison.content import Section, Source
from d2lrnn.comparison.groups import Group, differing_settings, group, told_once
from d2lrnn.comparison.plots import Plot
from d2lrnn.comparison.reading import Entry, Failure


class Report:
    """What is to be said of some runs, in no format yet.

    Attributes:
        entries: the runs, each with its label.
        failures: the runs that failed, each with its error.
        groups: the runs whose curves belong into one plot.
        backends: those that occur.
        title: of the report.
        warnings: what must be known before figures are compared.
        sections: one a group of runs, then what concerns all.
        sources: the source of each class, by its name.
    """

    def __init__(self, entries: Sequence[Entry], failures: Sequence[Failure]) -> None:
        self.entries = entries
        self.failures = failures
        self.groups = group(entries)
        backends = [entry.backend for entry in entries] + [failure.backend for failure in failures]
        self.backends = list(dict.fromkeys(backends))
        models = {str(entry.architecture) for entry in entries}
        kind = "Models" if len(models) > 1 else "Backends" if len(self.backends) > 1 else "Runs"
        self.title = f"{kind} side by side"
        self.warnings = list(sentences.warnings(entries, self.groups))
        self.sections = [_of_group(group) for group in self.groups]
        if differing_settings(entries):
            settings = tables.settings(entries)
            self.sections.append(Section("settings", "Settings", figures=(settings,)))
        if entries:
            versions = tables.versions(entries)
            self.sections.append(Section("versions", "Versions and devices", details=(versions,)))
        self.sources = _sources(entries)

    @property
    def plots(self) -> list[Plot]:
        """The plots of all sections."""
        return [plot for section in self.sections for plot in section.plots]


def _of_group(group: Group) -> Section:
    return Section(
        id=group.name,
        title=group.title,
        findings=" ".join(sentences.findings(group)),
        paragraphs=tuple(sentences.paragraphs(group)),
        plots=tuple(curves.plots(group)),
        figures=(tables.perplexities(group), tables.costs(group)),
        details=(
            *(tables.continuations(group, texts) for texts in differences.of_texts(group)),
            *([tables.weights(group)] if differences.of_weights(group) else []),
        ),
    )


def _sources(entries: Sequence[Entry]) -> dict[str, list[Source]]:
    """The source of each class, once for each backend, or for the runs where they differ."""
    sources = {}
    for name in dict.fromkeys(name for entry in entries for name in entry.run.sources):
        classes = {e: e.run.sources[name] for e in entries if name in e.run.sources}
        codes = {e: (told["module"], told["source"]) for e, told in classes.items()}
        sources[name] = [Source(whose, of, *code) for whose, of, code in told_once(codes)]
    return sources
