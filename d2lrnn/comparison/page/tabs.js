// Tabs after the ARIA pattern: arrow keys, Home and End move, and all groups show the same label.
// Without this script every panel is simply shown.
"use strict";
(() => {
  const groups = [...document.querySelectorAll(".tabs")].map((group) => ({
    tabs: [...group.querySelectorAll("[role=tab]")],
    panels: [...group.querySelectorAll("[role=tabpanel]")],
  }));

  function show(label) {
    for (const { tabs, panels } of groups) {
      if (!tabs.some((tab) => tab.dataset.label === label)) continue;
      tabs.forEach((tab, i) => {
        const chosen = tab.dataset.label === label;
        tab.setAttribute("aria-selected", chosen);
        tab.tabIndex = chosen ? 0 : -1;
        panels[i].hidden = !chosen;
      });
    }
  }

  function choose(tab) {
    const before = tab.getBoundingClientRect().top;
    show(tab.dataset.label);
    tab.focus({ preventScroll: true });
    // Panels above may have grown or shrunk: keep the tab where the reader sees it.
    window.scrollBy({ top: tab.getBoundingClientRect().top - before, behavior: "instant" });
  }

  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  for (const { tabs } of groups) {
    tabs.forEach((tab, i) => {
      tab.addEventListener("click", () => choose(tab));
      tab.addEventListener("keydown", (event) => {
        const next = {
          ...(event.key in steps && { at: (i + steps[event.key] + tabs.length) % tabs.length }),
          ...(event.key === "Home" && { at: 0 }),
          ...(event.key === "End" && { at: tabs.length - 1 }),
        };
        if (!("at" in next)) return;
        event.preventDefault();
        choose(tabs[next.at]);
      });
    });
    show(tabs[0].dataset.label);
  }
  document.documentElement.classList.add("with-tabs");
})();
