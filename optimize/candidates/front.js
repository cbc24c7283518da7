// The front's points tell their figures below the drawing: to a pointer, to the keyboard (Tab, arrows) and to a finger,
// whose first tap shows and whose second follows the link. Both drawings mark the same candidate. A screen reader reads
// the link's own label, which says the same. Arrows with Alt, Ctrl, Meta or Shift are the browser's.
const points = [...document.querySelectorAll(".front a")];
const told = document.getElementById("told");

function show(point) {
  for (const one of points) one.classList.toggle("shown", one.dataset.name === point.dataset.name);
  told.textContent = point.dataset.says;
}

function step(point, by) {
  const mine = points.filter((one) => one.closest("svg") === point.closest("svg"));
  mine.sort((one, other) => one.dataset.x - other.dataset.x);
  mine[(mine.indexOf(point) + by + mine.length) % mine.length].focus();
}

for (const point of points) {
  let isFirstTap = false;
  point.querySelector("title").remove();
  point.addEventListener("pointerenter", (event) => {
    isFirstTap = event.pointerType === "touch" && !point.classList.contains("shown");
    show(point);
  });
  point.addEventListener("focus", () => show(point));
  point.addEventListener("click", (event) => {
    if (isFirstTap) event.preventDefault();
    isFirstTap = false;
  });
  point.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (way) { event.preventDefault(); step(point, way); }
  });
}
