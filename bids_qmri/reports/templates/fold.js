"use strict";
// Folded parts: a link to one opens it, and a button opens or folds all.
(() => {
  const parts = [...document.querySelectorAll("details.fit")];
  const button = document.getElementById("open-all");

  function openTarget() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) {
      if (part.matches("details")) part.open = true;
    }
    if (target) target.scrollIntoView();
  }

  addEventListener("hashchange", openTarget);
  openTarget();
  // A second click on the same link changes no address.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (link && link.hash === location.hash) openTarget();
  });

  if (!button || !parts.length) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const open = parts.some((part) => !part.open);
    parts.forEach((part) => { part.open = open; });
    button.textContent = open ? "Fold all fits" : "Open all fits";
  });
})();
