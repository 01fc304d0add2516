"use strict";
// Buttons that copy the text of an element of the page.
document.querySelectorAll("button[data-copies]").forEach((button) => {
  const words = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(source.innerText);
      button.textContent = "Copied";
    } catch {
      // Some browsers keep the clipboard from local files: select the text, so that one key copies it.
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { button.textContent = words; }, 2000);
  });
});
