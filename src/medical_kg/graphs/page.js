"use strict";
// Texts of documents are only ever put in as text, never as markup.
const data = JSON.parse(document.getElementById("graph-data").textContent);
const svg = document.querySelector("svg.graph");
const view = document.getElementById("view");
const panel = document.querySelector("aside");
const nodes = [...document.querySelectorAll(".node")];
const edges = [...document.querySelectorAll(".edge")];
const hidden = new Set();
let at = { x: 0, y: 0, scale: 1 };
let labelled = 0;
let grown = 1;
// How far up a name goes from below its circle to above it.
const lifts = nodes.map((one) => 2 * one.querySelector("circle").r.baseVal.value + 20);
nodes.forEach((one, nth) => one.style.setProperty("--lift", `${-lifts[nth]}px`));

function place() {
  view.setAttribute("transform", `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)}) scale(${at.scale.toFixed(3)})`);
  if (at.scale === labelled) return;
  labelled = at.scale;
  const grow = Math.min(2.4, Math.max(1, 0.95 / at.scale));
  grown = grow * at.scale;
  view.style.setProperty("--grow", grow.toFixed(3));
  label();
}

const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

// A name stands below its circle or above it; one that would cover another name or a circle in both places stays out. What is
// chosen comes first, then what has most connections: those keep their place beside circles.
function label() {
  for (const one of nodes) one.classList.remove("above");
  const [boxes, circles] = ["text", "circle"].map((part) => nodes.map((one) => one.querySelector(part).getBoundingClientRect()));
  const rank = (one) => ["off", "faded"].reduce((sum, name) => sum * 8 + 4 * one.classList.contains(name), 0)
    - ["large", "first", "chosen"].reduce((sum, name, nth) => sum + one.classList.contains(name) * (nth + 1) / 8, 0);
  const taken = [];
  for (const nth of nodes.map((_, index) => index).sort((a, b) => rank(nodes[a]) - rank(nodes[b]))) {
    const below = boxes[nth];
    const above = { ...below.toJSON(), top: below.top - lifts[nth] * grown, bottom: below.bottom - lifts[nth] * grown };
    const alone = (box) => !taken.some((other) => meet(box, other));
    const free = (box) => alone(box) && !circles.some((other, of) => of !== nth && meet(box, other));
    const place = [below, above].find(free) ?? [below].find((box) => nodes[nth].matches(".large, .chosen") && alone(box));
    nodes[nth].classList.toggle("above", place === above);
    nodes[nth].classList.toggle("crowded", !place);
    if (place) taken.push(place);
  }
}

function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
  const scale = Math.min(4, Math.max(0.08, at.scale * factor));
  const ratio = scale / at.scale;
  at = { x: x - (x - at.x) * ratio, y: y - (y - at.y) * ratio, scale };
  place();
}

function fit() {
  const box = view.getBBox();
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  if (!box.width || !width) return;
  const room = height - document.querySelector(".legend").offsetHeight - 24;
  const scale = Math.min(1.6, 0.92 * Math.min(width / box.width, room / box.height));
  at = { scale, x: width / 2 - scale * (box.x + box.width / 2), y: room / 2 - scale * (box.y + box.height / 2) };
  place();
}

function make(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function link(text, address) {
  const made = make(address ? "a" : "span", text);
  if (address) {
    made.href = address;
    made.rel = "noopener noreferrer";
    made.target = "_blank";
  }
  return made;
}

function nodeLink(index) {
  const made = make("button", data.nodes[index].name, "link");
  made.addEventListener("click", () => choose("node", index, true));
  return made;
}

// The sentence with the words that carry the statement marked, where they stand in it.
function quote(said) {
  const made = make("blockquote");
  const text = said.sentence || said.evidence;
  const [from, to] = said.marked;
  made.append(text.slice(0, from), make("mark", text.slice(from, to)), text.slice(to));
  if (from === to) made.textContent = text;
  return made;
}

function statement(edge, said) {
  const made = make("div", undefined, "said");
  const line = make("div");
  line.append(nodeLink(edge.from), " ", make("b", said.predicate.replaceAll("_", " ")), " ", nodeLink(edge.to));
  if (said.polarity !== "affirmed")
    line.append(make("span", said.polarity === "negated" ? "denied" : "only supposed", `tag ${said.polarity}`));
  const source = make("small");
  source.append(link(said.document || said.root, said.address));
  if (said.place) source.append(` · ${said.place}`);
  if (said.file) source.append(" · ", link(said.file, said.fileAddress));
  const how = [said.method, said.stage, said.confidence === null ? "" : `confidence ${said.confidence}`];
  made.append(line, quote(said), source, make("small", how.filter(Boolean).join(" · ")));
  return made;
}

function showNode(index) {
  const node = data.nodes[index];
  const facts = make("p", `${node.kind} · stated by ${node.roots} ${node.roots === 1 ? "record" : "records"}`, "facts");
  const names = make("p", undefined, "facts");
  node.identifiers.forEach(([text, address], nth) => names.append(nth ? ", " : "", link(text, address)));
  panel.replaceChildren(make("h2", node.name), facts, names);
  const around = data.edges.filter((edge) => edge.from === index || edge.to === index);
  panel.append(make("h3", `${around.length} ${around.length === 1 ? "connection" : "connections"} in this picture`));
  for (const edge of around) for (const said of edge.said) panel.append(statement(edge, said));
}

function showEdge(index) {
  const edge = data.edges[index];
  panel.replaceChildren(make("h2", `${data.nodes[edge.from].name} → ${data.nodes[edge.to].name}`));
  const documents = new Set(edge.said.map((said) => said.document || said.root)).size;
  panel.append(make("p", `${edge.said.length} stated, by ${documents} ${documents === 1 ? "document" : "documents"}`, "facts"));
  for (const said of edge.said) panel.append(statement(edge, said));
}

function choose(what, index, focus = false) {
  for (const one of [...nodes, ...edges]) one.classList.remove("chosen", "faded");
  const near = new Set(what === "node" ? [index] : []);
  edges.forEach((one, nth) => {
    const { from, to } = data.edges[nth];
    const meant = what === "edge" ? nth === index : from === index || to === index;
    one.classList.toggle("faded", !meant);
    if (meant) near.add(from).add(to);
  });
  nodes.forEach((one, nth) => one.classList.toggle("faded", !near.has(nth)));
  (what === "edge" ? edges : nodes)[index].classList.add("chosen");
  label();
  what === "edge" ? showEdge(index) : showNode(index);
  panel.scrollTop = 0;
  if (focus) nodes[index].focus({ preventScroll: true });
}

function clear() {
  for (const one of [...nodes, ...edges]) one.classList.remove("chosen", "faded");
  label();
  panel.replaceChildren(...document.getElementById("intro").content.cloneNode(true).childNodes);
}

function hide() {
  nodes.forEach((one, nth) => one.classList.toggle("off", hidden.has(data.nodes[nth].kind)));
  edges.forEach((one, nth) => {
    const { from, to } = data.edges[nth];
    one.classList.toggle("off", hidden.has(data.nodes[from].kind) || hidden.has(data.nodes[to].kind));
  });
  label();
}

function find(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return clear();
  nodes.forEach((one, nth) => {
    const { name, identifiers } = data.nodes[nth];
    const known = [name, ...identifiers.map(([ident]) => ident)];
    one.classList.toggle("faded", !known.some((word) => word.toLowerCase().includes(wanted)));
  });
  for (const one of edges) one.classList.add("faded");
  label();
}

[["node", nodes], ["edge", edges]].forEach(([what, all]) => all.forEach((one, index) => {
  one.addEventListener("click", () => choose(what, index));
  one.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose(what, index);
  });
}));

let held = null;
svg.addEventListener("pointerdown", (event) => {
  held = { x: event.clientX - at.x, y: event.clientY - at.y };
});
svg.addEventListener("pointermove", (event) => {
  if (!held || !(event.buttons & 1)) return;
  svg.classList.add("moving");
  at.x = event.clientX - held.x;
  at.y = event.clientY - held.y;
  place();
});
for (const name of ["pointerup", "pointerleave"])
  svg.addEventListener(name, () => {
    held = null;
    svg.classList.remove("moving");
  });
svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = svg.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
const arrows = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input");
  if (event.key === "Escape") {
    document.getElementById("find").value = "";
    return clear();
  }
  if (typing || panel.contains(event.target)) return;
  if (event.key in arrows) {
    at.x += arrows[event.key][0];
    at.y += arrows[event.key][1];
    place();
  } else if (event.key === "+" || event.key === "=") zoom(1.25);
  else if (event.key === "-") zoom(0.8);
  else if (event.key === "0") fit();
  else if (event.key === "/") document.getElementById("find").focus();
  else return;
  event.preventDefault();
});
document.getElementById("closer").addEventListener("click", () => zoom(1.25));
document.getElementById("farther").addEventListener("click", () => zoom(0.8));
document.getElementById("whole").addEventListener("click", fit);
document.getElementById("find").addEventListener("input", (event) => find(event.target.value));
for (const button of document.querySelectorAll(".legend button"))
  button.addEventListener("click", () => {
    const off = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!off));
    off ? hidden.add(button.dataset.kind) : hidden.delete(button.dataset.kind);
    hide();
  });
addEventListener("resize", fit);
fit();
showNode(0);
const asked = location.hash.match(/^#(node|edge)-(\d+)$/);
if (asked && data[`${asked[1]}s`][asked[2]]) choose(asked[1], Number(asked[2]));
document.documentElement.dataset.ready = "yes";
