// In frames of all pages, at the end of loading: what is too faint in which theme (WCAG 2, level AA), and what does not fit on a telephone.
const frames = [...document.querySelectorAll("iframe")];
const parts = (colour) => {
  const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
  return colour.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
};
const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a)).concat(1);
const luminance = (colour) => {
  const linear = (value) => (value <= 10.3 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
};
const ancestors = (element) => (element ? [element, ...ancestors(element.parentElement)] : []);

// The colour that the eye gets: of the text, of what is behind it.
const seen = (element, style) => {
  const above = ancestors(element);
  const grounds = above.filter((e) => !e.ownerSVGElement).map((e) => parts(style(e).backgroundColor));
  const ground = grounds.reverse().reduce((below, colour) => over(colour, below), [255, 255, 255, 1]);
  const text = parts(element.closest("svg") ? style(element).fill : style(element).color);
  text[3] *= above.map((e) => Number(style(e).opacity)).reduce((a, b) => a * b);
  return [over(text, ground), ground];
};
const ratio = (pair) => {
  const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const hasText = (e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
const isText = (e) => hasText(e) && !e.closest("title, desc, script, style") && e.getClientRects().length > 0;
// Elements in the same place look the same; rows of tables do so by turns.
const place = (element) => {
  const above = ancestors(element).slice(0, 5).map((e) => `${e.tagName}.${e.getAttribute("class")}`);
  return `${above} ${(element.closest("tr")?.rowIndex ?? 0) % 2}`;
};

for (const theme of ["light", "rust", "coal", "navy", "ayu"]) {
  const faint = {}, known = new Set();
  for (const { contentDocument: page, contentWindow: view } of frames) {
    page.getElementById(`mdbook-theme-${theme}`).click();
    page.querySelectorAll("details").forEach((folded) => { folded.open = true; });
    const style = (e) => view.getComputedStyle(e);
    for (const element of [...page.querySelectorAll("main *")].filter(isText)) {
      if (known.has(place(element))) continue;
      known.add(place(element));
      const size = parseFloat(style(element).fontSize), weight = Number(style(element).fontWeight);
      const wanted = size >= 24 || (size >= 18.6 && weight >= 600) ? 3 : 4.5;
      const now = ratio(seen(element, style));
      const name = `${theme}: ${element.tagName}.${element.getAttribute("class") ?? ""} in ${element.parentElement.tagName}`;
      if (now < wanted) faint[name] = `${now.toFixed(2)} ${element.textContent.slice(0, 30)}`;
    }
  }
  Object.entries(faint).forEach(([name, what]) => say(`${name} ${what}`));
}
frames.forEach((frame) => { frame.style.width = "360px"; });
for (const frame of frames) {
  const { scrollWidth, clientWidth } = frame.contentDocument.scrollingElement;
  if (scrollWidth > clientWidth) say(`${frame.getAttribute("src")} is ${scrollWidth} wide at ${clientWidth}`);
}
say(`${frames.length} pages looked at`);
