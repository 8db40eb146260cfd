"use strict";
// Two small things that work without this file as well: the table of what a process sees gets a slider, and "put these calls
// in order" gets buttons.

document.querySelectorAll(".sees").forEach((place) => {
  const table = place.querySelector("table");
  if (!table) return;
  const rows = [...table.rows];
  const last = rows[0].cells.length - 2;
  const control = document.createElement("div");
  control.className = "control";
  control.innerHTML =
    '<label for="sees-step">After step</label><input id="sees-step" type="range" min="0" step="1">' +
    '<output for="sees-step"></output><button type="button" aria-pressed="false">all steps</button>';
  const [input, output, all] = ["input", "output", "button"].map((name) => control.querySelector(name));
  input.max = last;
  input.value = 0;
  const show = () => {
    const step = Number(input.value), everything = all.getAttribute("aria-pressed") === "true";
    output.textContent = rows[0].cells[step + 1].textContent;
    input.setAttribute("aria-valuetext", output.textContent);
    place.classList.toggle("one", !everything);
    rows.forEach((row, number) => [...row.cells].forEach((cell, column) => {
      cell.hidden = !everything && column !== 0 && column !== step + 1;
      const before = row.cells[step];
      cell.classList.toggle("changed",
        number > 0 && step > 0 && column === step + 1 && cell.textContent !== before.textContent);
    }));
  };
  input.addEventListener("input", show);
  all.addEventListener("click", () => {
    all.setAttribute("aria-pressed", String(all.getAttribute("aria-pressed") !== "true"));
    show();
  });
  place.prepend(control);
  show();
});

document.querySelectorAll(".order").forEach((place) => {
  // Each line carries its place in the answer: `<li value="3">`.
  const list = place.querySelector("ol");
  if (!list) return;
  const items = [...list.children];
  items.forEach((item) => {
    item.dataset.place = item.getAttribute("value");
    item.removeAttribute("value");
    [["↓", "down"], ["↑", "up"]].forEach(([sign, way]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.setAttribute("aria-label", `move ${way}: ${item.textContent.trim()}`);
      button.addEventListener("click", () => {
        const other = way === "up" ? item.previousElementSibling : item.nextElementSibling;
        if (other) way === "up" ? list.insertBefore(item, other) : list.insertBefore(other, item);
        button.focus();
      });
      item.prepend(button);
    });
  });
  const check = document.createElement("button");
  check.type = "button";
  check.textContent = "check the order";
  const said = document.createElement("p");
  said.setAttribute("role", "status");
  check.addEventListener("click", () => {
    let right = 0;
    [...list.children].forEach((item, index) => {
      const good = Number(item.dataset.place) === index + 1;
      right += good;
      item.classList.toggle("right", good);
      item.classList.toggle("wrong", !good);
    });
    said.textContent = `${right} of ${items.length} in their place`;
  });
  place.append(check, said);
});
