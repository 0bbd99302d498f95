"use strict";
// Under each drawing, a line that tells what the pointer is at, without the wait for a tooltip.
for (const figure of document.querySelectorAll("figure")) {
  const readout = document.createElement("p");
  readout.className = "readout";
  figure.append(readout);
  figure.addEventListener("pointermove", (event) => {
    const title = event.target.closest("rect, circle")?.querySelector("title");
    readout.textContent = title ? title.textContent : "";
  });
  figure.addEventListener("pointerleave", () => {
    readout.textContent = "";
  });
}
// A printed page has the figures that are folded away here.
const folded = () => document.querySelectorAll("details:not([open])");
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...folded()].filter((details) => details.querySelectorAll("tr").length <= 60);
  for (const details of opened) details.open = true;
});
window.addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});
