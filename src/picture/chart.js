// The chart: one canvas, drawn again whenever something moves.

const chart = document.getElementById("chart");
const strip = document.getElementById("strip");
const GUTTER = 76, RIGHT = 62, AXIS = 26, PINS = 34, ISR = 46;
const view = { from: 0, to: END };
const state = { partition: DATA.partition, group: DATA.group, txns: DATA.opens_on_transactions, step: -1, hover: null, arrows: 0, pins: [], lanes: [], marks: [], curves: null };
let ink = {};

const EPOCHS = {
  light: ["#1f5fc4", "#b4490f", "#0b7a5f", "#7a3cc0", "#a3275f", "#4c6a00", "#00708f", "#8f5a00"],
  dark: ["#7fb0ff", "#ffb07a", "#66d6b4", "#c9a2ff", "#ff9cc4", "#bcd866", "#6cd0ea", "#e9c46a"],
};
const themeNow = () => document.documentElement.dataset.theme === "dark" ? "dark" : "light";
const epochColour = (epoch) => EPOCHS[themeNow()][((epoch % 8) + 8) % 8];

function readInk() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["bg", "panel", "ink", "soft", "faint", "line", "grid", "lane", "accent", "bad", "good", "warn", "bad-soft", "good-soft", "warn-soft", "join", "sync", "onphase"]) {
    ink[name] = style.getPropertyValue("--" + name).trim();
  }
  ink.sans = style.getPropertyValue("--sans").trim();
  ink.mono = style.getPropertyValue("--mono").trim();
}

function fitCanvas(canvas) {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  const w = Math.max(1, Math.round(box.width)), h = Math.max(1, Math.round(box.height));
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, w, h);
  g.textBaseline = "middle";
  return { g, w, h };
}

/** Heights of lanes: brokers get most, for they have most to show. */
function layout(h) {
  if (txnsNow()) { layoutTransactions(h); return; }
  if (groupNow()) { layoutGroup(groupNow(), h); return; }
  const want = (host) => host.kind === "broker" ? 46 : host.kind === "admin" ? 0 : 26;
  const shown = HOSTS.map((host, index) => ({ index, host, height: want(host) })).filter((lane) => lane.height);
  const wanted = shown.reduce((sum, lane) => sum + lane.height, 0);
  const room = Math.max(160, (h - AXIS - PINS - ISR) * 0.62);
  const scale = Math.min(1.25, room / wanted);
  let y = AXIS + PINS;
  state.lanes = HOSTS.map(() => null);
  for (const lane of shown) {
    const height = Math.max(11, lane.height * scale);
    state.lanes[lane.index] = { y, height, mid: y + height / 2 };
    y += height;
  }
  state.curves = { top: y + 24, bottom: Math.max(y + 90, h - ISR - 10) };
}

const scaleX = (w) => (t) => GUTTER + (t - view.from) / (view.to - view.from) * (w - GUTTER - RIGHT);
const timeAt = (x, w) => view.from + (x - GUTTER) / (w - GUTTER - RIGHT) * (view.to - view.from);

function ticks(span, count) {
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  return Math.max(1, step);
}

let hatches = {};
function hatch(g, colour) {
  if (hatches[colour]) return hatches[colour];
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const t = tile.getContext("2d");
  t.strokeStyle = colour; t.lineWidth = 1.6; t.globalAlpha = 0.55;
  t.beginPath();
  for (const o of [-8, 0, 8]) { t.moveTo(o, 8); t.lineTo(o + 8, 0); }
  t.stroke();
  return hatches[colour] = g.createPattern(tile, "repeat");
}

function label(g, text, x, y, room, colour, font) {
  g.font = font || "11.5px " + ink.sans;
  if (g.measureText(text).width > room) return false;
  g.fillStyle = colour;
  g.fillText(text, x, y);
  return true;
}

function round(g, x, y, w, h, r) {
  g.beginPath();
  g.roundRect(x, y, Math.max(w, 1), h, Math.min(r, Math.max(w, 1) / 2, h / 2));
}

/** The partition whose leaders are shown: that of the coordinator, where a group is shown. */
function shownPartition() {
  const group = groupNow();
  if (txnsNow()) return undefined;
  return PARTITIONS[group ? group.coordinator ?? -1 : state.partition];
}

function draw() {
  const { g, w, h } = fitCanvas(chart);
  layout(h);
  const X = scaleX(w), group = groupNow(), txns = txnsNow(), p = shownPartition();
  state.marks = [];
  drawGrid(g, w, h, X);
  g.save();
  g.beginPath(); g.rect(GUTTER, 0, w - GUTTER - RIGHT, h); g.clip();
  HOSTS.forEach((host, index) => {
    const lane = state.lanes[index];
    if (!lane) return;
    const member = group && memberOn(group, index);
    if (host.kind === "broker" && p) drawBroker(g, p, index, lane, X);
    if (member) {
      // A member that is paused still owns what it owned: that is drawn over its fault.
      drawSpans(g, index, lane, X);
      drawMember(g, group, member, lane, X);
      return;
    }
    if (txns && host.kind === "broker") drawCoordinators(g, index, lane, X);
    if (host.done.length && !(txns && txnsOn(index).length)) drawWork(g, host, lane, X);
    drawSpans(g, index, lane, X);
    // A paused producer still has its transaction: that is drawn over its fault.
    if (txns && txnsOn(index).length) drawTransactionsOn(g, index, lane, X);
  });
  if (p) drawElections(g, p, X);
  drawMessages(g, X);
  g.restore();
  if (txns) drawTransactionRows(g, w, X);
  else if (group) drawBand(g, group, w, X);
  else if (p) drawCurves(g, p, w, h, X);
  drawPins(g, w, h, X);
  drawLabels(g, w);
  drawHover(g, w, h, X);
  drawStrip();
  describe();
}

function drawGrid(g, w, h, X) {
  const span = view.to - view.from, step = ticks(span, Math.max(3, (w - GUTTER) / 120));
  HOSTS.forEach((host, index) => {
    const lane = state.lanes[index];
    if (!lane) return;
    g.fillStyle = ink.lane;
    if (host.kind === "broker" || groupNow() && memberOn(groupNow(), index) || txnsNow() && txnsOn(index).length) g.fillRect(GUTTER, lane.y + 3, w - GUTTER - RIGHT, lane.height - 6);
    g.strokeStyle = ink.line; g.lineWidth = 1;
    g.beginPath(); g.moveTo(GUTTER, Math.round(lane.mid) + 0.5); g.lineTo(w - RIGHT, Math.round(lane.mid) + 0.5); g.stroke();
  });
  g.font = "11.5px " + ink.sans;
  for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
    const x = Math.round(X(t)) + 0.5;
    g.strokeStyle = ink.grid;
    g.beginPath(); g.moveTo(x, AXIS); g.lineTo(x, h - 6); g.stroke();
    g.fillStyle = ink.faint; g.textAlign = "center";
    if (x < w - RIGHT - 10) g.fillText(clock(t, step * 4), x, AXIS / 2 + 2);
  }
  g.textAlign = "left";
  for (const [at, text] of [[DATA.began, "load begins"], [DATA.healed, "faults end"]]) {
    if (at === null || at < view.from || at > view.to || !at) continue;
    const x = Math.round(X(at)) + 0.5;
    g.save(); g.setLineDash([2, 3]); g.strokeStyle = ink.faint;
    g.beginPath(); g.moveTo(x, AXIS + PINS); g.lineTo(x, h - 6); g.stroke(); g.restore();
    const y = state.curves ? state.curves.top + 6 : state.band.notes, wide = x + 90 < w - RIGHT;
    g.textAlign = wide ? "left" : "right";
    label(g, text, x + (wide ? 5 : -5), y, 200, ink.faint, "11px " + ink.sans);
    g.textAlign = "left";
  }
}

function drawBroker(g, p, index, lane, X) {
  const group = groupNow(), bar = Math.min(22, lane.height - (group ? 14 : 18)), top = lane.mid - bar / 2 - 2;
  for (const { from, to } of p.inSync[index]) {
    if (to < view.from || from > view.to) continue;
    const x = X(Math.max(from, view.from)), e = X(Math.min(to, view.to));
    g.fillStyle = ink.good;
    g.fillRect(x, lane.y + lane.height - 8, Math.max(1, e - x), 3);
  }
  for (const { from, to, epoch } of p.reigns[index]) {
    if (to < view.from || from > view.to) continue;
    const x = X(Math.max(from, view.from)), e = X(Math.min(to, view.to));
    g.fillStyle = group ? ink.accent : epochColour(epoch);
    round(g, x, top, e - x, bar, 5); g.fill();
    const on = themeNow() === "dark" ? "#10141a" : "#ffffff";
    const font = "600 11.5px " + ink.sans;
    label(g, group ? `coordinates ${group.name}` : "leads, epoch " + epoch, x + 12, top + bar / 2 + 0.5, e - x - 18, on, font)
      || label(g, group ? "coordinates" : "e" + epoch, x + 4, top + bar / 2 + 0.5, e - x - 6, on, font);
  }
}

function drawWork(g, host, lane, X) {
  const part = END / host.done.length;
  const most = Math.max(1, ...host.done.map((n, i) => n + host.failed[i]));
  const height = lane.height - 7;
  host.done.forEach((done, i) => {
    const from = i * part, to = from + part;
    if (to < view.from || from > view.to || !(done + host.failed[i])) return;
    const x = X(from), width = Math.max(1, X(to) - x - (X(to) - x > 4 ? 1 : 0));
    const tall = (n) => n ? Math.max(1.5, Math.sqrt(n / most) * height) : 0;
    const all = tall(done + host.failed[i]), bad = host.failed[i] ? Math.max(2, all * host.failed[i] / (done + host.failed[i])) : 0;
    const floor = lane.y + lane.height - 3;
    g.globalAlpha = 0.3; g.fillStyle = ink.soft; g.fillRect(x, floor - all, width, all);
    g.globalAlpha = 0.9; g.fillStyle = ink.bad; if (bad) g.fillRect(x, floor - all, width, bad);
    g.globalAlpha = 1;
  });
}

function drawSpans(g, index, lane, X) {
  for (const span of spansOf[index]) {
    if (span.until < view.from || span.at > view.to) continue;
    const x = X(Math.max(span.at, view.from - 1)), e = Math.max(x + 3, X(Math.min(span.until, view.to)));
    const soft = span.kind === "pause" || span.kind === "hold";
    const colour = soft ? ink.warn : ink.bad;
    if (span.kind === "cut" || span.kind === "hold") {
      g.save(); g.strokeStyle = colour; g.lineWidth = 2; g.setLineDash([5, 3]);
      g.beginPath(); g.moveTo(x, lane.y + 4); g.lineTo(e, lane.y + 4); g.stroke(); g.restore();
      continue;
    }
    if (span.kind === "other") {
      g.fillStyle = ink.warn;
      g.beginPath(); g.moveTo(x, lane.y + 3); g.lineTo(x + 5, lane.y + 12); g.lineTo(x - 5, lane.y + 12); g.fill();
      continue;
    }
    const top = lane.y + 3, tall = lane.height - 6;
    g.fillStyle = ink.panel; g.fillRect(x, top, e - x, tall);
    g.fillStyle = soft ? ink["warn-soft"] : ink["bad-soft"]; g.fillRect(x, top, e - x, tall);
    g.fillStyle = hatch(g, colour); g.fillRect(x, top, e - x, tall);
    g.fillStyle = colour; g.fillRect(x, top, 2.5, tall);
    if (groupNow() && memberOn(groupNow(), index)) continue;
    const low = txnsNow() && (HOSTS[index].kind === "broker" || txnsOn(index).length) ? lane.y + lane.height - 11 : lane.mid;
    const text = ACTION[span.kind] + " " + lasting(span.until - span.at);
    g.font = "600 11.5px " + ink.sans;
    for (const said of [text, ACTION[span.kind]]) {
      const width = g.measureText(said).width;
      if (width + 22 > e - x) continue;
      g.fillStyle = soft ? ink["warn-soft"] : ink["bad-soft"];
      round(g, x + 7, low - 9, width + 10, 18, 5); g.fill();
      g.fillStyle = colour; g.fillText(said, x + 12, low + 0.5);
      break;
    }
  }
}

/** What the controller committed: a diamond for a new leader, a dot for another in-sync set. */
function drawElections(g, p, X) {
  const controller = HOSTS.findIndex((host) => host.kind === "controller");
  const lane = state.lanes[controller];
  if (!lane) return;
  const elects = (i) => i === 0 || p.commits[i - 1][2] !== p.commits[i][2];
  // Above the line where there is room: dots come soon after an election.
  const y = lane.height < 24 ? lane.mid + 0.5 : lane.mid - 7;
  let free = -1e9;
  p.commits.forEach(([at, leader, epoch, , how], i) => {
    if (at < view.from || at > view.to) return;
    const x = X(at), elected = elects(i);
    g.fillStyle = elected ? (leader < 0 ? ink.bad : epochColour(epoch)) : ink.soft;
    g.beginPath();
    if (elected) { g.moveTo(x, lane.mid - 6); g.lineTo(x + 6, lane.mid); g.lineTo(x, lane.mid + 6); g.lineTo(x - 6, lane.mid); }
    else g.arc(x, lane.mid, 2.6, 0, 7);
    g.fill();
    if (!elected || x < free) return;
    const text = leader < 0 ? "offline" : `${HOSTS[leader].name} e${epoch}` + ["", " unclean", " last known"][how];
    // Of elections in quick succession only the last has a label.
    const next = p.commits.findIndex((_, j) => j > i && elects(j)), room = next < 0 ? 200 : X(p.commits[next][0]) - x - 14;
    if (label(g, text, x + 9, y, Math.min(200, room), ink.soft)) free = x + 16 + g.measureText(text).width;
  });
}

/** First message that may be seen, and one past the last. */
function visibleMessages() {
  const first = Math.max(0, lastAt(MESSAGES.sent, view.from - Math.min(MESSAGES.longest, view.to - view.from)));
  return [first, lastAt(MESSAGES.sent, view.to) + 1];
}

// More arrows than this are a thicket: then only those that are neither Produce nor Fetch.
const ARROWS = 420;
const CLIENT_API = (name) => name === "Produce" || name === "Fetch";

function drawMessages(g, X) {
  state.arrows = 0;
  state.drawn = [];
  const [first, last] = visibleMessages();
  const dense = last - first > ARROWS || view.to - view.from > 1.2e6;
  let rare = 0;
  if (dense) for (let i = first; i < last; i++) rare += CLIENT_API(DATA.apis[MESSAGES.api[i]]) ? 0 : 1;
  state.hint = !DATA.tells_messages ? "this engine does not tell its messages"
    : dense ? "zoom in to see the messages"
    : DATA.windows.some(([from, to]) => from <= view.from && to >= view.to) ? "" : "Produce and Fetch are kept near steps only";
  if (dense && (rare > ARROWS / 2 || view.to - view.from > 3e6)) return;
  const few = (dense ? rare : last - first) < 90;
  const taken = [];
  for (let i = first; i < last; i++) {
    const from = state.lanes[MESSAGES.from[i]], to = state.lanes[MESSAGES.to[i]];
    if (!from || !to || MESSAGES.at[i] < view.from) continue;
    if (dense && CLIENT_API(DATA.apis[MESSAGES.api[i]])) continue;
    const x1 = X(MESSAGES.sent[i]), x2 = X(MESSAGES.at[i]);
    const down = to.mid > from.mid ? 1 : -1;
    const y1 = from.mid + down * Math.min(11, from.height / 2 - 2), y2 = to.mid - down * Math.min(11, to.height / 2 - 2);
    const name = DATA.apis[MESSAGES.api[i]];
    const colour = name === "Produce" ? ink.accent : CLIENT_API(name) ? ink.faint : ink.warn;
    g.strokeStyle = g.fillStyle = colour;
    g.globalAlpha = MESSAGES.answer[i] ? 0.5 : 0.85;
    g.lineWidth = MESSAGES.answer[i] ? 1 : 1.3;
    g.setLineDash(MESSAGES.answer[i] ? [4, 3] : []);
    g.beginPath(); g.moveTo(x1, y1); g.lineTo(x2, y2); g.stroke();
    g.setLineDash([]);
    const turn = Math.atan2(y2 - y1, x2 - x1);
    g.beginPath(); g.moveTo(x2, y2);
    g.lineTo(x2 - 7 * Math.cos(turn - 0.4), y2 - 7 * Math.sin(turn - 0.4));
    g.lineTo(x2 - 7 * Math.cos(turn + 0.4), y2 - 7 * Math.sin(turn + 0.4));
    g.fill();
    state.drawn.push({ i, x1, y1, x2, y2 });
    state.arrows++;
    g.globalAlpha = 1;
    if (few && !MESSAGES.answer[i]) {
      g.font = "10.5px " + ink.sans;
      const width = g.measureText(name).width, lx = x1 + (x2 - x1) * 0.4 + 6, ly = y1 + (y2 - y1) * 0.4;
      if (!taken.some((t) => Math.abs(t.y - ly) < 13 && lx < t.e && lx + width > t.x)) {
        g.fillStyle = ink.panel; g.globalAlpha = 0.85; g.fillRect(lx - 2, ly - 7, width + 4, 14);
        g.globalAlpha = 1; g.fillStyle = colour === ink.faint ? ink.soft : colour; g.fillText(name, lx, ly);
        taken.push({ x: lx - 4, e: lx + width + 4, y: ly });
      }
    }
  }
}

/** Log ends, the high watermark, the record's offset; below them who is in sync. */
function drawCurves(g, p, w, h, X) {
  const { top, bottom } = state.curves, right = w - RIGHT;
  let low = Infinity, high = -Infinity;
  const reach = (curve) => {
    const from = valueAt(curve, view.from), to = lastAt(curve.t, view.to);
    if (from !== null) { low = Math.min(low, from); high = Math.max(high, from); }
    for (let i = Math.max(0, lastAt(curve.t, view.from)); i <= to; i++) { low = Math.min(low, curve.v[i]); high = Math.max(high, curve.v[i]); }
  };
  [...p.ends, p.watermark].forEach(reach);
  if (!isFinite(low)) { low = 0; high = 1; }
  const mine = state.partition === DATA.partition && DATA.offset !== null;
  if (mine) { low = Math.min(low, DATA.offset); high = Math.max(high, DATA.offset + 1); }
  const pad = Math.max(1, (high - low) * 0.08);
  low = Math.max(0, low - pad); high += pad;
  const Y = (v) => bottom - (v - low) / (high - low) * (bottom - top);
  state.curves.Y = Y; state.curves.value = (y) => low + (bottom - y) / (bottom - top) * (high - low);
  g.strokeStyle = ink.line; g.lineWidth = 1;
  g.beginPath(); g.moveTo(GUTTER, bottom + 0.5); g.lineTo(right, bottom + 0.5); g.stroke();
  g.fillStyle = ink.soft; g.font = "600 11.5px " + ink.sans;
  g.fillText(p.name, GUTTER + 4, top - 12);
  const wide = g.measureText(p.name).width;
  label(g, "log end of each replica; shaded: below the high watermark" + (p.stable.t.length ? "; dotted: last stable offset" : ""), GUTTER + 12 + wide, top - 12, right - GUTTER - wide - 10, ink.faint, "11.5px " + ink.sans);
  g.textAlign = "right"; g.font = "11px " + ink.sans; g.fillStyle = ink.faint;
  if (state.hint && right - GUTTER > 560) g.fillText(state.hint, right - 2, top - 12);
  const step = ticks(high - low, 4);
  for (let v = Math.ceil(low / step) * step; v <= high; v += step) {
    const y = Math.round(Y(v)) + 0.5;
    g.strokeStyle = ink.grid; g.beginPath(); g.moveTo(GUTTER, y); g.lineTo(right, y); g.stroke();
    if (y > top - 4) g.fillText(String(v), GUTTER - 8, y);
  }
  g.textAlign = "left";
  g.save(); g.beginPath(); g.rect(GUTTER, top - 4, right - GUTTER, bottom - top + 5); g.clip();
  // Committed.
  const path = (curve, from, to) => {
    let i = lastAt(curve.t, from), y = i < 0 ? null : Y(curve.v[i]);
    const begin = i < 0 ? X(curve.t[0] ?? END) : X(from);
    if (y === null) { i = 0; if (!curve.t.length || curve.t[0] > to) return null; y = Y(curve.v[0]); }
    g.moveTo(begin, y);
    for (i++; i < curve.t.length && curve.t[i] <= to; i++) { const x = X(curve.t[i]); g.lineTo(x, y); y = Y(curve.v[i]); g.lineTo(x, y); }
    g.lineTo(X(to), y);
    return { begin, y };
  };
  g.beginPath();
  const area = path(p.watermark, view.from, view.to);
  if (area) {
    g.lineTo(X(view.to), bottom); g.lineTo(area.begin, bottom); g.closePath();
    g.globalAlpha = 0.13; g.fillStyle = ink.good; g.fill(); g.globalAlpha = 1;
    g.beginPath(); path(p.watermark, view.from, view.to); g.strokeStyle = ink.good; g.lineWidth = 1; g.stroke();
  }
  if (p.stable.t.length) {
    // What readers of committed records may get ends at the last stable offset.
    g.beginPath(); path(p.stable, view.from, view.to);
    g.strokeStyle = ink.warn; g.lineWidth = 2; g.setLineDash([1, 2]); g.stroke(); g.setLineDash([]);
  }
  const dashes = [[], [6, 3], [2, 3], [9, 3, 2, 3]];
  p.ends.forEach((curve, i) => {
    g.beginPath(); path(curve, view.from, view.to);
    g.strokeStyle = ink.soft; g.lineWidth = 1.4; g.setLineDash(dashes[i % 4]); g.stroke(); g.setLineDash([]);
  });
  p.ends.forEach((curve, i) => {
    for (const { from, to, epoch } of p.reigns[p.replicas[i]]) {
      if (to < view.from || from > view.to) continue;
      g.beginPath(); path(curve, Math.max(from, view.from), Math.min(to, view.to));
      g.strokeStyle = epochColour(epoch); g.lineWidth = 2.6; g.stroke();
    }
  });
  if (mine) {
    const y = Y(DATA.offset + 0.5);
    g.setLineDash([7, 4]); g.strokeStyle = ink.bad; g.lineWidth = 1.5;
    g.beginPath(); g.moveTo(GUTTER, y); g.lineTo(right, y); g.stroke(); g.setLineDash([]);
    g.font = "600 11.5px " + ink.sans;
    const text = "the record: offset " + DATA.offset, width = g.measureText(text).width;
    const ty = y - 14 < top ? y + 12 : y - 10;
    g.fillStyle = ink.panel; g.globalAlpha = 0.9; g.fillRect(right - width - 14, ty - 8, width + 8, 16); g.globalAlpha = 1;
    g.fillStyle = ink.bad; g.fillText(text, right - width - 10, ty);
  }
  g.restore();
  // Direct labels, pushed apart.
  const ends = p.ends.map((curve, i) => ({ name: HOSTS[p.replicas[i]].name, v: valueAt(curve, view.to) })).filter((e) => e.v !== null);
  ends.forEach((e) => { e.y = Math.min(bottom - 6, Math.max(top + 4, Y(e.v))); });
  ends.sort((a, b) => a.y - b.y);
  for (let i = 1; i < ends.length; i++) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + 13);
  const over = ends.length ? Math.max(0, ends[ends.length - 1].y - bottom) : 0;
  ends.forEach((e) => label(g, `${e.name} ${e.v}`, right + 6, e.y - over, RIGHT - 4, ink.soft, "11px " + ink.sans));
  drawIsr(g, p, w, h, X);
}

function drawIsr(g, p, w, h, X) {
  const bottom = h - 10, top = h - ISR + 14, right = w - RIGHT, most = Math.max(1, p.replicas.length);
  g.save(); g.beginPath(); g.rect(GUTTER, top - 12, right - GUTTER, ISR); g.clip();
  const same = (i, j) => String(p.commits[i][3]) === String(p.commits[j][3]);
  p.commits.forEach(([at, , , isr], i) => {
    if (i && same(i, i - 1)) return;
    let next = i + 1;
    while (next < p.commits.length && same(i, next)) next++;
    const to = next < p.commits.length ? p.commits[next][0] : END;
    if (to < view.from || at > view.to) return;
    const x = X(Math.max(at, view.from)), e = X(Math.min(to, view.to));
    const y = bottom - (bottom - top) * isr.length / most;
    const short = isr.length < most;
    g.globalAlpha = 0.22; g.fillStyle = short ? ink.warn : ink.good; g.fillRect(x, y, e - x, bottom - y); g.globalAlpha = 1;
    g.fillStyle = short ? ink.warn : ink.good; g.fillRect(x, y, Math.max(1, e - x), 2);
    const text = isr.length ? names(isr) : "none";
    label(g, text, x + 6, bottom - y > 11 ? (y + bottom) / 2 + 1.5 : y - 7, e - x - 10, ink.soft, "11px " + ink.sans);
  });
  g.restore();
  g.textAlign = "right";
  label(g, "in sync", GUTTER - 8, (top + bottom) / 2, GUTTER, ink.soft, "11.5px " + ink.sans);
  g.textAlign = "left";
}

function drawLabels(g, w) {
  g.fillStyle = ink.panel; g.fillRect(0, 0, 0, 0);
  g.textAlign = "right";
  HOSTS.forEach((host, index) => {
    const lane = state.lanes[index];
    if (!lane) return;
    const member = groupNow() && memberOn(groupNow(), index), strong = host.kind === "broker" || member || txnsNow() && txnsOn(index).length > 0;
    const on = state.step >= 0 && DATA.steps[state.step].hosts.includes(index);
    g.font = `${strong || on ? "650" : "500"} ${strong ? 13 : 12}px ${ink.sans}`;
    g.fillStyle = on ? ink.accent : strong ? ink.ink : ink.soft;
    g.fillText(host.name, GUTTER - 12, lane.mid - (strong && lane.height > 34 ? 6 : 0));
    if (strong && lane.height > 34) {
      g.font = "10.5px " + ink.sans; g.fillStyle = ink.faint;
      g.fillText(member ? "member" : host.kind, GUTTER - 12, lane.mid + 9);
    } else if (lane.height > 17 && !strong) {
      g.font = `${on ? "650" : "500"} 12px ${ink.sans}`;
      const own = g.measureText(host.name).width;
      g.font = "10px " + ink.sans; g.fillStyle = ink.faint;
      const word = host.kind === "controller" ? "controller" : host.kind === "producer" ? "prod." : "cons.";
      if (own + g.measureText(word).width + 20 < GUTTER) g.fillText(word, GUTTER - 17 - own, lane.mid + 0.5);
    }
  });
  g.textAlign = "left";
}

function drawHover(g, w, h, X) {
  if (!state.hover) return;
  const { x, message } = state.hover;
  if (x >= GUTTER && x <= w - RIGHT) {
    g.strokeStyle = ink.faint; g.globalAlpha = 0.6; g.lineWidth = 1;
    g.beginPath(); g.moveTo(x + 0.5, AXIS); g.lineTo(x + 0.5, h - 6); g.stroke(); g.globalAlpha = 1;
    const text = clock(timeAt(x, w), (view.to - view.from) / 6);
    g.font = "600 11px " + ink.sans;
    const width = g.measureText(text).width, at = Math.min(Math.max(x, GUTTER + width / 2), w - width / 2 - 8);
    g.fillStyle = ink.ink; round(g, at - width / 2 - 6, 4, width + 12, 19, 5); g.fill();
    g.fillStyle = ink.panel; g.textAlign = "center"; g.fillText(text, at, 14); g.textAlign = "left";
  }
  if (message) {
    g.strokeStyle = ink.ink; g.lineWidth = 2.4;
    g.beginPath(); g.moveTo(message.x1, message.y1); g.lineTo(message.x2, message.y2); g.stroke();
  }
}

/** The whole run in one strip: faults, leaders, steps, and where the chart looks. */
function drawStrip() {
  const { g, w, h } = fitCanvas(strip);
  const X = (t) => GUTTER + t / END * (w - GUTTER - RIGHT), group = groupNow(), p = PARTITIONS[state.partition];
  g.fillStyle = ink.lane; g.fillRect(GUTTER, 12, w - GUTTER - RIGHT, h - 24);
  if (txnsNow()) TXNS.list.forEach((txn) => {
    g.globalAlpha = 0.7; g.fillStyle = fateColour(txn.fate);
    g.fillRect(X(txn.at), h / 2 - (txn.fate === 1 ? 2 : 5), Math.max(1, X(txn.until) - X(txn.at)), txn.fate === 1 ? 6 : 4); g.globalAlpha = 1;
  });
  else if (group) group.states.forEach(([at, phase], i) => {
    const to = i + 1 < group.states.length ? group.states[i + 1][0] : END;
    g.fillStyle = phaseColour(phase); g.fillRect(X(at), h / 2 - 4, Math.max(1, X(to) - X(at)), 8);
  });
  else if (p) p.commits.forEach(([at, leader, epoch], i) => {
    const to = i + 1 < p.commits.length ? p.commits[i + 1][0] : END;
    g.globalAlpha = 0.75; g.fillStyle = leader < 0 ? ink.line : epochColour(epoch);
    g.fillRect(X(at), h / 2 - 4, Math.max(1, X(to) - X(at)), 8); g.globalAlpha = 1;
  });
  for (const fault of DATA.faults) {
    g.fillStyle = fault.kind === "pause" ? ink.warn : ink.bad;
    g.fillRect(X(fault.at), h - 15, Math.max(2, X(fault.until) - X(fault.at)), 3);
  }
  DATA.steps.forEach((step, index) => {
    g.fillStyle = index === state.step ? ink.accent : ink.soft;
    g.beginPath(); g.arc(X(step.at), 12, index === state.step ? 4 : 2.2, 0, 7); g.fill();
  });
  const x = X(view.from), e = Math.max(x + 3, X(view.to));
  g.fillStyle = ink.panel; g.globalAlpha = 0.62;
  g.fillRect(GUTTER, 4, x - GUTTER, h - 8); g.fillRect(e, 4, w - RIGHT - e, h - 8); g.globalAlpha = 1;
  g.strokeStyle = ink.accent; g.lineWidth = 1.5; round(g, x, 4.5, e - x, h - 9, 5); g.stroke();
  g.textAlign = "right";
  label(g, "whole run", GUTTER - 10, h / 2, GUTTER, ink.faint, "11px " + ink.sans);
  g.textAlign = "left";
  label(g, clock(END, 2e6), w - RIGHT + 8, h / 2, RIGHT, ink.faint, "11px " + ink.sans);
}
