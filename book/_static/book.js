// A page opened from a disk may not read others, so there the results of a search have no excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// On a phone, formulas begin at the left: in the middle, half of what is wider lies out of sight.
if (window.MathJax && matchMedia("(max-width: 30em)").matches) {
  MathJax.chtml = { displayAlign: "left" };
}

// What scrolls sideways can be scrolled by keyboard, too.
const scrolling = ".highlight pre, .table-wrapper, div.math, .cell_output pre";
const reachable = () => {
  for (const box of document.querySelectorAll(scrolling)) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
};
for (const event of ["load", "resize"]) addEventListener(event, reachable);
document.addEventListener("d2lrnn:framework", reachable);
