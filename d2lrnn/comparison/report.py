"""The report of some runs: a section for each group, then what concerns all of them."""

from __future__ import annotations

from collections.abc import Sequence

from d2lrnn.comparison import curves, differences, sentences, tables
from d2lrnn.comparison.content import Content, Section, Source
from d2lrnn.comparison.groups import Group, differing_settings, told_once
from d2lrnn.comparison.reading import Entry, Failure


def report(
    entries: Sequence[Entry], failures: Sequence[Failure], groups: Sequence[Group]
) -> Content:
    """All that is to be said of these runs, in no format yet."""
    backends = [e.backend for e in entries] + [f.backend for f in failures]
    sections = [_of_group(group) for group in groups]
    if differing_settings(entries):
        sections.append(Section("settings", "Settings", figures=(tables.settings(entries),)))
    if entries:
        versions = tables.versions(entries)
        sections.append(Section("versions", "Versions and devices", details=(versions,)))
    kind = "Backends" if len(set(backends)) > 1 else "Runs"
    kind = "Models" if len({str(e.architecture) for e in entries}) > 1 else kind
    return Content(
        title=f"{kind} side by side",
        warnings=tuple(sentences.warnings(entries, groups)),
        failures=tuple(failures),
        sections=tuple(sections),
        sources=_sources(entries),
        backends=tuple(dict.fromkeys(backends)),
    )


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
