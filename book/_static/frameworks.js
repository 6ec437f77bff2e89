// The switch of framework. It stands at the top of a page that has something of single frameworks, and
// this script right behind it, so that nothing is seen of the others while the page loads.
//
// <html data-framework="jax"> tells which is chosen, and the event "d2lrnn:framework" on `document` that it has
// changed. An address may name one, "?framework=jax"; the browser remembers the last.
(() => {
  const root = document.documentElement;
  const form = document.currentScript.previousElementSibling;
  const choices = [...form.elements].filter((input) => input.name === "framework");
  const names = choices.map((input) => input.value);
  const known = (name) => names.includes(name);

  const remembered = () => {
    try {
      return localStorage.getItem("framework");
    } catch {
      return null; // a browser may forbid it
    }
  };
  const remember = (name) => {
    try {
      localStorage.setItem("framework", name);
    } catch {}
  };

  const show = (name) => {
    root.dataset.framework = name;
    for (const input of choices) input.checked = input.value === name;
    document.dispatchEvent(new CustomEvent("d2lrnn:framework", { detail: name }));
  };

  // What stays where it is while other cells are shown: the first thing of all frameworks that begins
  // below the switch. Where a cell fills the window, it is the set of cells that the window shows.
  const landmark = () => {
    const top = form.getBoundingClientRect().bottom;
    const seen = [...form.parentElement.querySelectorAll("h1, h2, h3, h4, p, li, .cell, .math, figure, dl")]
      .filter((e) => !e.closest(".for-framework") && e.getClientRects().length)
      .find((e) => e.getBoundingClientRect().top >= top);
    if (seen && seen.getBoundingClientRect().top < innerHeight) return seen;
    return [...document.querySelectorAll(".of-frameworks")]
      .filter((e) => e.getBoundingClientRect().top < top)
      .pop();
  };

  const choose = (name) => {
    const held = landmark();
    const before = held?.getBoundingClientRect().top;
    show(name);
    if (held) scrollBy({ top: held.getBoundingClientRect().top - before, behavior: "instant" });
    remember(name);
  };

  // A link into what is of another framework chooses that one.
  const follow = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const within = target && target.closest(".for-framework");
    const name = within && names.find((one) => within.classList.contains(`for-${one}`));
    if (name && name !== root.dataset.framework) {
      show(name);
      target.scrollIntoView({ behavior: "instant" });
    }
  };

  const asked = new URLSearchParams(location.search).get("framework");
  if (known(asked)) remember(asked);
  show([asked, remembered(), names[0]].find(known));
  form.hidden = false;
  form.addEventListener("change", (event) => choose(event.target.value));
  addEventListener("hashchange", follow);
  document.addEventListener("DOMContentLoaded", follow);
})();
