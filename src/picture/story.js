// What is told beside the chart: head, steps, the rest, and the chart in words.

const byId = (id) => document.getElementById(id);

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class") made.className = value; else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function tellHead() {
  const verdict = byId("verdict");
  verdict.textContent = DATA.verdict;
  verdict.classList.add(DATA.verdict === "held" ? "good" : DATA.expected ? "known" : "bad");
  byId("scenario").textContent = DATA.scenario;
  byId("seed").textContent = `seed ${DATA.seed} · ${DATA.engine} · trace ${DATA.trace}`;
  byId("about").textContent = DATA.story;
}

function tellSteps() {
  const list = byId("steps");
  const verdict = DATA.steps.find((step) => step.kind === "verdict");
  byId("count").textContent = `${DATA.steps.length} steps`;
  if (DATA.offset !== null && verdict) byId("story-title").textContent = "The fate of the record";
  DATA.steps.forEach((step, index) => {
    const pin = element("span", { class: "pin " + kindOf(step), "aria-hidden": "true" }, String(index + 1));
    const head = element("span", { class: "head" }, element("span", { class: "title" }, step.title), element("time", {}, clock(step.at, 4e4)));
    const text = element("span", { class: "text" }, step.text);
    const button = element("button", { class: "step", type: "button", id: "step-" + (index + 1) }, pin, element("span", {}, head, text));
    button.addEventListener("click", () => choose(index));
    const item = element("li", {});
    const wait = index ? step.at - DATA.steps[index - 1].at : 0;
    if (wait >= 500_000) item.append(element("span", { class: "gap" }, `${lasting(wait)} later`));
    item.append(button);
    list.append(item);
  });
}

function tellRest() {
  const rest = byId("rest");
  const part = (title, lines) => {
    if (!lines.length) return;
    rest.append(element("h3", {}, title), element("ul", {}, ...lines.map((line) => element("li", {}, line))));
  };
  rest.append(element("h3", {}, "See it again"), element("code", {}, DATA.replay), element("code", {}, DATA.replay + " --picture"));
  part("Broken", DATA.broken.map((b) => `${b.invariant} (${b.expected}): ${b.what}`));
  part("Faults", DATA.faults.map((f) => `${clock(f.at)}: ${f.text}` + (f.until > f.at ? `, for ${lasting(f.until - f.at)}` : "")));
  part("Notes", DATA.notes);
  const c = DATA.counts;
  tellTransactions();
  tellGroups();
  part("Counts", [`${c.sent} records sent, ${c.acked} acknowledged, ${c.refused} refused, ${c.unknown} unknown, ${c.read} read`, `${c.elections} elections`]);
}

/** What a mark in the chart means, drawn as it is drawn there. */
function tellLegend() {
  const legend = byId("legend");
  const sample = (draw, text) => {
    const item = element("li", {});
    const shapes = draw.map(([name, attributes]) =>
      `<${name} ${Object.entries(attributes).map(([key, value]) => `${key}="${value}"`).join(" ")}/>`);
    // Constants and colours only; the parser knows what an svg is.
    item.innerHTML = `<svg width="26" height="14" aria-hidden="true">${shapes.join("")}</svg>`;
    item.append(text);
    legend.append(item);
  };
  legend.replaceChildren();
  const rect = (x, width, y, height, fill) => ["rect", { x, width, y, height, fill, rx: 2 }];
  const line = (attributes) => ["line", { x1: 1, x2: 25, y1: 7, y2: 7, "stroke-width": 1.6, ...attributes }];
  if (txnsNow()) {
    txnLegend(sample, rect);
    sample([rect(0, 26, 1, 12, ink["bad-soft"]), rect(0, 3, 1, 12, ink.bad)], "down");
    sample([rect(0, 26, 1, 12, ink["warn-soft"]), rect(0, 3, 1, 12, ink.warn)], "paused");
    return;
  }
  if (groupNow()) {
    groupLegend(sample, rect);
    sample([rect(0, 26, 1, 12, ink["bad-soft"]), rect(0, 3, 1, 12, ink.bad)], "down");
    sample([rect(0, 26, 1, 12, ink["warn-soft"]), rect(0, 3, 1, 12, ink.warn)], "paused");
    return;
  }
  sample([rect(0, 12, 2, 10, epochColour(0)), rect(14, 12, 2, 10, epochColour(1))], "leads; a colour for each epoch");
  sample([rect(0, 26, 6, 3, ink.good)], "in sync");
  const diamond = ["path", { d: "M7 2l5 5l-5 5l-5-5z", fill: epochColour(1) }];
  sample([diamond, ["circle", { cx: 20, cy: 7, r: 2.6, fill: ink.soft }]], "new leader; other in-sync replicas");
  sample([rect(0, 7, 5, 8, ink.soft), rect(9, 7, 2, 11, ink.soft), rect(18, 7, 2, 11, ink.bad)], "records sent or read; red: refused or unknown");
  sample([rect(0, 26, 1, 12, ink["bad-soft"]), rect(0, 3, 1, 12, ink.bad)], "down");
  sample([rect(0, 26, 1, 12, ink["warn-soft"]), rect(0, 3, 1, 12, ink.warn)], "paused");
  sample([line({ stroke: ink.bad, "stroke-dasharray": "5 3", "stroke-width": 2 })], "cut off");
  if (TXNS) sample([line({ stroke: ink.warn, "stroke-dasharray": "1 2", "stroke-width": 2 })], "last stable offset");
  sample([line({ stroke: ink.accent }), ["path", { d: "M25 7l-6-3v6z", fill: ink.accent }]], "message; dashed: its answer");
}

/** The chart in words, for readers who do not see it, and for tests. */
function describe() {
  const shown = HOSTS.filter((_, index) => state.lanes[index]);
  const group = groupNow(), p = shownPartition();
  const leaders = p ? p.commits.filter((commit, i) => i === 0 || p.commits[i - 1][2] !== commit[2]) : [];
  const words = [
    `Chart from ${clock(view.from)} to ${clock(view.to)} of ${clock(END)}.`,
    `${shown.length} lanes: ${shown.map((host) => host.name).join(", ")}.`,
    `${DATA.faults.length} faults: ${DATA.faults.map((fault) => `${clock(fault.at)} ${fault.text}`).join("; ") || "none"}.`,
    p ? `${p.name}: ${leaders.map(([at, leader, epoch]) => `${clock(at)} ${leader < 0 ? "no replica" : HOSTS[leader].name} leads epoch ${epoch}`).join("; ")}.` : txnsNow() ? "" : "No partition.",
    group ? groupInWords(group) : "",
    txnsNow() ? txnsInWords() : "",
    `${DATA.steps.length} steps told beside.`,
    state.step >= 0 ? `Now at step ${state.step + 1}: ${DATA.steps[state.step].title}.` : "",
  ];
  byId("words").textContent = words.join(" ");
  Object.assign(document.documentElement.dataset, {
    lanes: shown.map((host) => host.name).join(" "), faults: DATA.faults.map((fault) => fault.kind).join(" "),
    steps: String(byId("steps").children.length), step: String(state.step + 1), arrows: String(state.arrows),
    pins: [...state.pins].sort((a, b) => a.x - b.x).map((pin) => pin.text).join(" "),
    partition: p ? p.name : "", group: group ? group.name : "", transactions: txnsNow() ? String(TXNS.list.length) : "", marks: String(state.marks.length), problems: problems.join("; "), state: problems.length ? "failed" : "ready",
  });
}
