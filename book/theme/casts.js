"use strict";
// Casts. The whole text of a session is in the page, and this file only plays it: it begins when the reader says so. Where motion is
// not wanted (prefers-reduced-motion) there is no "play", and one goes from command to command.

document.querySelectorAll(".cast").forEach((cast, number) => {
  const screen = cast.querySelector("pre"), whole = screen.textContent;
  const [frames, commands] = JSON.parse(cast.querySelector("script").textContent);
  const end = frames[frames.length - 1][0], still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const control = document.createElement("div");
  control.className = "control";
  control.innerHTML =
    `<button type="button"${still ? " hidden" : ""}>▶ play</button><button type="button">next command</button>` +
    `<label class="visually-hidden" for="cast-${number}">time in the recording</label>` +
    `<input id="cast-${number}" type="range" min="0" step="100">`;
  const [play, next] = control.querySelectorAll("button"), input = control.querySelector("input");
  input.max = Math.ceil(end / 100) * 100;
  input.value = input.max;
  let at = end, timer = 0;

  const show = (time) => {
    at = Math.min(time, end);
    let text = "";
    for (const [when, kept, more] of frames) {
      if (when > at) break;
      text = text.slice(0, kept) + more;
    }
    // The page must not jump while the text grows.
    if (!screen.style.height) screen.style.height = screen.offsetHeight + "px";
    screen.textContent = at >= end ? whole : text;
    if (at < end) screen.scrollTop = screen.scrollHeight;
    input.value = at >= end ? input.max : at;
    const begun = commands.filter((when) => when <= at).length;
    input.setAttribute("aria-valuetext", `command ${begun} of ${commands.length}`);
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶ play";
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    let last = performance.now();
    if (at >= end) show(0);
    play.textContent = "❚❚ pause";
    timer = setInterval(() => {
      const now = performance.now();
      show(at + now - last);
      last = now;
      if (at >= end) stop();
    }, 40);
  });
  next.addEventListener("click", () => {
    stop();
    // To where the command after the next one begins: the next one has been answered by then.
    const from = at >= end ? -1 : at;
    const answered = commands.filter((when) => when > from)[from < 0 ? 1 : 0];
    show(answered === undefined ? end : answered);
  });
  input.addEventListener("input", () => {
    stop();
    show(Number(input.value));
  });
  cast.insertBefore(control, screen);
});
