// Hands on the page: mouse, keys, theme, and the address, which can name a step (#step=3).

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const SHORTEST = 400;
// `flight` counts movements: an animation ends when another one begins. `goal` is where it leads.
let pending = false, flight = 0, goal = null;

function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; draw(); });
}

function look(from, to) {
  let span = Math.min(Math.max(to - from, SHORTEST), END * 1.04);
  const mid = (from + to) / 2;
  from = Math.max(-END * 0.02, mid - span / 2);
  if (from + span > END * 1.02) from = END * 1.02 - span;
  view.from = from; view.to = from + span;
}

/** Ends an animation where it is. */
function halt() {
  flight++;
  goal = null;
}

/** Ends an animation where it leads: a key that is pressed meanwhile acts on what was chosen. */
function arrive() {
  const to = goal;
  halt();
  if (to) look(to.from, to.to);
}

/** Moves there in steps that the eye can follow. */
function fly(from, to) {
  halt();
  const began = { from: view.from, to: view.to };
  const turn = flight;
  if (calm.matches || !start.done) { look(from, to); redraw(); return; }
  goal = { from, to };
  const first = performance.now();
  // As in a map: the width shrinks evenly, the place follows.
  const frame = (now) => {
    if (turn !== flight) return;
    const part = Math.min(1, Math.max(0, (now - first) / 260)), ease = 1 - (1 - part) ** 3;
    const span = Math.exp(Math.log(began.to - began.from) * (1 - ease) + Math.log(to - from) * ease);
    const mid = (began.from + began.to) / 2 * (1 - ease) + (from + to) / 2 * ease;
    look(mid - span / 2, mid + span / 2);
    draw();
    if (part < 1) requestAnimationFrame(frame); else goal = null;
  };
  requestAnimationFrame(frame);
}

/** Goes to a step: near enough that its neighbours are still seen. */
function choose(index, jump) {
  const step = DATA.steps[index];
  if (!step) return;
  state.step = index;
  document.querySelectorAll(".step").forEach((button, i) => {
    if (i === index) button.setAttribute("aria-current", "step"); else button.removeAttribute("aria-current");
  });
  byId("step-" + (index + 1)).scrollIntoView({ block: "nearest" });
  const gaps = DATA.steps.map((other) => Math.abs(other.at - step.at)).filter((gap) => gap > 200).sort((a, b) => a - b);
  const span = Math.min(3e6, Math.max(9000, (gaps[0] ?? 1e6) * 4));
  show(DATA.partition, DATA.group, DATA.opens_on_transactions);
  if (jump) { halt(); look(step.at - span / 2, step.at + span / 2); draw(); } else fly(step.at - span / 2, step.at + span / 2);
  history.replaceState(null, "", "#step=" + (index + 1));
}

/** The story with some air; the whole run where the story fills it, or there is none. */
function fitStory() {
  const told = DATA.steps.filter((step) => step.kind !== "verdict").map((step) => step.at);
  const from = Math.min(...told), to = Math.max(...told);
  const verdict = DATA.steps.find((step) => step.kind === "verdict");
  const last = verdict && verdict.at - to < (to - from) ? Math.max(to, verdict.at) : to;
  const air = Math.max((last - from) * 0.12, 20_000);
  if (DATA.offset === null || !told.length || last - from > END * 0.7) look(0, END); else look(from - air, last + air);
}

/** Zooms so that the time `at` stays where it is. */
function zoom(factor, at) {
  halt();
  const span = Math.min(Math.max((view.to - view.from) * factor, SHORTEST), END * 1.04);
  const part = (at - view.from) / (view.to - view.from);
  look(at - span * part, at + span * (1 - part));
  redraw();
}

/** Zooms at the chosen step, or at the middle where the step is out of view. */
function zoomHere(factor) {
  arrive();
  const step = DATA.steps[state.step], seen = step && step.at >= view.from && step.at <= view.to;
  zoom(factor, seen ? step.at : (view.from + view.to) / 2);
}

function pan(part) {
  arrive();
  const by = (view.to - view.from) * part;
  look(view.from + by, view.to + by);
  redraw();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  hatches = {};
  readInk();
  tellLegend();
  redraw();
}

const width = () => chart.getBoundingClientRect().width;
const place = (event, canvas) => {
  const box = canvas.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
};

/** How far a point is from an arrow. */
function distance(x, y, { x1, y1, x2, y2 }) {
  const dx = x2 - x1, dy = y2 - y1, part = Math.min(1, Math.max(0, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x1 - part * dx, y - y1 - part * dy);
}

/** What is said of the place under the pointer. */
function explain(x, y) {
  const pin = state.pins.find((pin) => Math.abs(x - pin.x) < pin.width / 2 + 1 && Math.abs(y - pin.y) < 11);
  if (pin) return { text: ofPin(pin), pin };
  let message = null, near = 6;
  for (const arrow of state.drawn || []) {
    const far = distance(x, y, arrow);
    if (far < near) { near = far; message = arrow; }
  }
  if (message) {
    const i = message.i, kind = MESSAGES.answer[i] ? "response" : "request";
    return {
      message,
      text: `${DATA.apis[MESSAGES.api[i]]} ${kind}\n${HOSTS[MESSAGES.from[i]].name} to ${HOSTS[MESSAGES.to[i]].name}, ${MESSAGES.bytes[i]} bytes\nsent ${clock(MESSAGES.sent[i], 1e4)}, ${lasting(MESSAGES.at[i] - MESSAGES.sent[i])} under way`,
    };
  }
  const asked = markAt(x, y);
  if (asked) return { text: textOf(asked) };
  const at = timeAt(x, width()), p = shownPartition();
  const host = state.lanes.findIndex((lane) => lane && y >= lane.y && y < lane.y + lane.height);
  if (host >= 0) return { text: ofHost(host, at, p) };
  const row = txnsNow() ? state.rows.findIndex((row) => y >= row.y && y < row.y + row.height) : -1;
  if (row >= 0) return { text: txnRows()[row].name };
  if (p && state.curves && state.curves.Y && y >= state.curves.top - 20) {
    const lines = p.replicas.map((replica, i) => [HOSTS[replica].name, valueAt(p.ends[i], at)]).filter(([, v]) => v !== null);
    const commit = p.commits[lastAt(p.commits.map((c) => c[0]), at)];
    return {
      text: `${p.name}\n` + lines.map(([name, v]) => `${name} ends at ${v}`).join("\n") + `\nhigh watermark ${valueAt(p.watermark, at) ?? "unknown"}` +
        (commit ? `\nin sync: ${names(commit[3]) || "none"}` : ""),
    };
  }
  return null;
}

function ofHost(host, at, p) {
  const lines = [HOSTS[host].name + ", " + HOSTS[host].kind];
  for (const span of spansOf[host]) {
    if (at < span.at || at > span.until) continue;
    const other = span.other === null ? "" : ` to ${HOSTS[span.other].name}`;
    lines.push(`${ACTION[span.kind]}${other}, ${clock(span.at)} to ${clock(span.until)} (${lasting(span.until - span.at)})`);
  }
  const member = groupNow() && memberOn(groupNow(), host);
  if (member) lines.push(...ofMember(groupNow(), member, at));
  if (p) {
    const reign = p.reigns[host].find((r) => at >= r.from && at <= r.to);
    if (reign) lines.push(`leads ${p.name} in epoch ${reign.epoch}`);
    const replica = p.replicas.indexOf(host);
    if (replica >= 0) {
      lines.push(p.inSync[host].some((r) => at >= r.from && at <= r.to) ? "in sync" : "not in sync");
      const end = valueAt(p.ends[replica], at);
      if (end !== null) lines.push(`its log ends at ${end}`);
    }
  }
  if (HOSTS[host].done.length && !member) {
    const part = Math.min(HOSTS[host].done.length - 1, Math.max(0, Math.floor(at / END * HOSTS[host].done.length)));
    const word = HOSTS[host].kind === "producer" ? "acknowledged" : "read";
    lines.push(`${HOSTS[host].done[part]} records ${word}` + (HOSTS[host].failed[part] ? `, ${HOSTS[host].failed[part]} not` : "") + ` in ${lasting(END / HOSTS[host].done.length)}`);
  }
  return lines.join("\n");
}

function hover(event) {
  const { x, y } = place(event, chart);
  const said = explain(x, y), tip = byId("tip");
  state.hover = { x, message: said && said.message };
  chart.style.cursor = said && said.pin ? "pointer" : "";
  tip.hidden = !said || x < GUTTER;
  if (!tip.hidden) {
    tip.textContent = said.text;
    const box = tip.getBoundingClientRect(), room = chart.getBoundingClientRect();
    tip.style.left = Math.min(x + 14, room.width - box.width - 8) + "px";
    tip.style.top = (y + 18 + box.height > room.height ? y - box.height - 12 : y + 18) + "px";
  }
  redraw();
}

function hands() {
  let grip = null;
  chart.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { pan(event.deltaX / width()); return; }
    zoom(Math.exp(event.deltaY * 0.0016), timeAt(place(event, chart).x, width()));
  }, { passive: false });
  chart.addEventListener("pointerdown", (event) => {
    const { x, y } = place(event, chart);
    grip = { x, y, from: view.from, to: view.to, moved: false };
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointermove", (event) => {
    if (!grip) { hover(event); return; }
    const { x } = place(event, chart), by = (grip.x - x) / (width() - GUTTER - RIGHT) * (grip.to - grip.from);
    if (Math.abs(grip.x - x) > 3) { grip.moved = true; halt(); chart.classList.add("dragging"); byId("tip").hidden = true; state.hover = null; }
    if (grip.moved) { look(grip.from + by, grip.to + by); redraw(); }
  });
  const release = (event) => {
    if (grip && !grip.moved && event.type === "pointerup") {
      const said = explain(grip.x, grip.y);
      if (said && said.pin) openPin(said.pin);
    }
    grip = null;
    chart.classList.remove("dragging");
  };
  chart.addEventListener("pointerup", release);
  chart.addEventListener("pointercancel", release);
  chart.addEventListener("pointerleave", () => { state.hover = null; byId("tip").hidden = true; redraw(); });
  chart.addEventListener("dblclick", (event) => zoom(0.4, timeAt(place(event, chart).x, width())));
  // The strip: a click goes there, a drag chooses a stretch.
  const stripTime = (event) => {
    const box = strip.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left - GUTTER) / (box.width - GUTTER - RIGHT))) * END;
  };
  let mark = null;
  strip.addEventListener("pointerdown", (event) => { mark = stripTime(event); strip.setPointerCapture(event.pointerId); });
  strip.addEventListener("pointermove", (event) => {
    if (mark === null) return;
    const now = stripTime(event);
    if (Math.abs(now - mark) > END * 0.004) { halt(); look(Math.min(mark, now), Math.max(mark, now)); redraw(); }
  });
  strip.addEventListener("pointerup", (event) => {
    const now = stripTime(event), half = (view.to - view.from) / 2;
    if (mark !== null && Math.abs(now - mark) <= END * 0.004) fly(now - half, now + half);
    mark = null;
  });
  document.addEventListener("keydown", key);
  byId("fit").addEventListener("click", () => fly(0, END));
  byId("theme").addEventListener("click", () => setTheme(themeNow() === "dark" ? "light" : "dark"));
  byId("keys").addEventListener("click", () => {
    const help = byId("help");
    help.hidden = !help.hidden;
    byId("keys").setAttribute("aria-expanded", String(!help.hidden));
    redraw();
  });
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  window.addEventListener("resize", () => { fitFrame(); redraw(); });
  window.addEventListener("hashchange", () => follow(false));
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  const does = {
    ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15),
    "+": () => zoomHere(0.6), "=": () => zoomHere(0.6), "-": () => zoomHere(1 / 0.6), _: () => zoomHere(1 / 0.6),
    j: () => choose(Math.min(state.step + 1, DATA.steps.length - 1)), k: () => choose(Math.max(state.step - 1, 0)),
    0: () => fly(0, END), t: () => byId("theme").click(), "?": () => byId("keys").click(),
  }[event.key];
  if (does) { event.preventDefault(); does(); }
}

/** Shows a partition, or a group where one is given, or transactions. */
function show(partition, group, txns) {
  if (state.partition === partition && state.group === group && state.txns === txns) return;
  state.partition = partition; state.group = group; state.txns = txns;
  byId("partition").value = choice();
  tellLegend(); fitFrame(); redraw();
}

const choice = () => state.txns ? "t" : state.group === null ? "p" + state.partition : "g" + state.group;

/** Groups and partitions to choose from. Those of the groups' own topic have no records to show. */
function tellChoices() {
  const pick = byId("partition"), option = (value, text) => element("option", { value }, text);
  const groups = GROUPS.map((group, index) => option("g" + index, group.name));
  const partitions = PARTITIONS.map((p, index) => p.name.startsWith("__") ? null : option("p" + index, p.name + (index === DATA.partition && DATA.offset !== null ? " (the record's)" : "")));
  if (TXNS) pick.append(option("t", "all transactions"));
  if (groups.length) pick.append(element("optgroup", { label: "Groups" }, ...groups), element("optgroup", { label: "Partitions" }, ...partitions.filter(Boolean)));
  else pick.append(...partitions.filter(Boolean));
  pick.value = choice();
  pick.addEventListener("change", () => {
    const index = Number(pick.value.slice(1));
    if (pick.value === "t") show(state.partition, null, true);
    else if (pick.value[0] === "g") show(state.partition, index, false);
    else show(index, null, false);
  });
}

/** What the address asks for: a step, a time in seconds, a theme. */
function follow(jump) {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (asked.get("theme")) setTheme(asked.get("theme") === "dark" ? "dark" : "light");
  const step = Number(asked.get("step")), from = Number(asked.get("from")), to = Number(asked.get("to"));
  if (step >= 1 && step <= DATA.steps.length && step - 1 !== state.step) choose(step - 1, jump);
  else if (to > from) { halt(); look(from * 1e6, to * 1e6); redraw(); }
}

function start() {
  document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
  readInk();
  tellHead(); tellSteps(); tellRest(); tellLegend();
  tellChoices();
  hands();
  fitFrame();
  fitStory();
  draw();
  follow(true);
  start.done = true;
  // How long the reader waited for it, for measurements.
  document.documentElement.dataset.took = performance.now().toFixed(0);
}

try {
  start();
} catch (problem) {
  problems.push(String(problem && problem.stack || problem));
  document.documentElement.dataset.state = "failed";
  document.documentElement.dataset.problems = problems.join("; ");
  document.body.append(element("p", { class: "fail" }, "This picture can't be drawn here: " + problem));
}
