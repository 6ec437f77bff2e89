// A page opened from a disk may not read others, so there the results of a search have no excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// On a phone, formulas begin at the left: in the middle, half of what is wider lies out of sight.
if (window.MathJax && matchMedia("(max-width: 30em)").matches) MathJax.svg.displayAlign = "left";
