// Transactions: a span for each on the lane of its producer, and in a row for each partition that it
// touches; what coordinators decide is on the lanes of brokers.

const TXNS = DATA.transactions;
const ROWS = 16, ROW = { least: 15, most: 48 };
const FATES = ["open", "committed", "aborted", "lost"];

const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const txnsNow = () => state.txns ? TXNS : null;

const txnsOn = (host) => (TXNS.of ??= HOSTS.map((_, index) => TXNS.list.filter((txn) => txn.host === index)))[host];

/** The partitions that get a row: those that most transactions touch, in their own order. */
function txnRows() {
  if (TXNS.rows) return TXNS.rows;
  const rows = TXNS.partitions.map((name, index) => ({ name, index, parts: [] }));
  TXNS.list.forEach((txn) => txn.parts.forEach((part) => rows[part[0]].parts.push({ txn, part })));
  const most = [...rows].sort((a, b) => b.parts.length - a.parts.length || a.index - b.index).slice(0, ROWS);
  for (const row of most) {
    // Spans that overlap share the height of the row.
    let free = [], first = 0, over = -1;
    row.parts.sort((a, b) => a.part[1] - b.part[1]);
    const close = (end) => { for (; first < end; first++) row.parts[first].of = free.length; free = []; };
    row.parts.forEach((one, i) => {
      const [, from, until] = one.part, to = until < 0 ? END : until;
      if (from >= over) close(i);
      over = Math.max(over, to);
      let slot = free.findIndex((time) => time <= from);
      if (slot < 0) slot = free.length;
      free[slot] = to;
      one.slot = slot;
    });
    close(row.parts.length);
  }
  return TXNS.rows = most.sort((a, b) => a.index - b.index);
}

/** The partitions of coordinators, with the transactional ids of each. */
function txnHomes() {
  if (TXNS.homes) return TXNS.homes;
  const homes = new Map();
  TXNS.ids.forEach(([id, home]) => { if (home !== null) homes.set(home, [...(homes.get(home) ?? []), id]); });
  return TXNS.homes = [...homes].map(([home, ids]) => ({ partition: PARTITIONS[home], ids }));
}

function txnHeights() {
  const broker = Math.max(30, Math.min(4, txnHomes().length) * 11 + 14);
  const other = { controller: [18, 20], broker: [broker, broker + 24], producer: [13, 16], consumer: [13, 16], admin: [0, 0] };
  return HOSTS.map((host, index) => {
    const [least, most] = txnsOn(index).length ? [36, 92] : other[host.kind];
    return { least, most };
  });
}

const txnLeast = () => AXIS + PINS + 44 + txnHeights().reduce((sum, lane) => sum + lane.least, 0) + txnRows().length * ROW.least;

function layoutTransactions(h) {
  const heights = txnHeights(), rows = txnRows(), room = h - AXIS - PINS - 44;
  const sum = (key) => heights.reduce((sum, lane) => sum + lane[key], 0) + rows.length * ROW[key];
  const least = sum("least"), most = sum("most"), part = most > least ? Math.max(0, Math.min(1, (room - least) / (most - least))) : 0;
  let y = AXIS + PINS;
  const take = ({ least, most }) => { const height = least + (most - least) * part, top = y; y += height; return height ? { y: top, height, mid: top + height / 2 } : null; };
  state.lanes = heights.map(take);
  y += 24;
  state.curves = null;
  state.rows = rows.map(() => take(ROW));
  state.band = { notes: y + 10 };
}

const fateColour = (fate) => [ink.warn, ink.good, ink.bad, ink.faint][fate];

/** Fills a span: aborted ones are hatched, open ones pale, so that they differ without colours, too. */
function fillFate(g, fate, x, y, w, h) {
  const colour = fateColour(fate);
  if (fate === 1 || w < 3) { g.fillStyle = colour; g.fillRect(x, y, w, h); return; }
  g.fillStyle = fate === 2 ? ink["bad-soft"] : fate === 0 ? ink["warn-soft"] : ink.lane; g.fillRect(x, y, w, h);
  if (fate === 2) { g.fillStyle = hatch(g, colour); g.fillRect(x, y, w, h); }
  g.strokeStyle = colour; g.lineWidth = 1; g.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
}

const txnsSeen = (list) => list.filter((txn) => inView(txn.at, txn.until));

function drawTransactionsOn(g, index, lane, X) {
  const top = lane.y + 4, strip = 11, y = top + strip + 1, h = lane.height - strip - 9;
  const own = txnsOn(index);
  for (const txn of txnsSeen(own)) {
    // Its producer works on it until it is told the outcome.
    const told = txn.told ? txn.told[0] : txn.until, x = X(Math.max(txn.at, view.from)), e = Math.max(x + 1, X(Math.min(told, view.to)));
    fillFate(g, txn.fate, x, y, e - x, h);
    if (txn.fate === 1 && e - x > 3) {
      // Pale until the outcome was asked for.
      const asked = X(Math.min(Math.max(txn.asked ? txn.asked[0] : told, view.from), view.to));
      g.fillStyle = ink.panel; g.globalAlpha = 0.55; g.fillRect(x, y + 1, Math.max(0, Math.min(asked, e) - x - 0.5), h - 2); g.globalAlpha = 1;
    }
    const words = [`${txn.name.split(" ").pop()} ${FATES[txn.fate]}`, txn.name.split(" ").pop()];
    const pale = txn.fate === 1 && txn.asked && X(txn.asked[0]) > (x + e) / 2;
    const on = txn.fate === 1 ? (pale ? ink.ink : ink.panel) : txn.fate === 2 ? ink.bad : ink.warn;
    words.some((text) => label(g, text, x + 4, y + h / 2 + 0.5, e - x - 6, on, "600 10.5px " + ink.sans));
    mark("txn", x, y, e - x, h, () => ofTxn(txn));
    if (!txn.told || txn.told[1] === "committed" || txn.told[1] === "aborted" || !inView(told, told)) continue;
    const far = X(told), mid = y + h / 2;
    g.strokeStyle = txn.told[1] === "unknown" ? ink.warn : ink.bad; g.lineWidth = 1.8;
    g.beginPath(); g.moveTo(far - 4, mid - 4); g.lineTo(far + 4, mid + 4); g.moveTo(far + 4, mid - 4); g.lineTo(far - 4, mid + 4); g.stroke();
    mark(txn.told[1], far - 5, mid - 5, 10, 10, () => ofTxn(txn));
    if (txn.told[1] !== "fenced") continue;
    g.font = "600 10px " + ink.sans;
    const width = g.measureText("fenced").width;
    if (far + width + 16 > chart.clientWidth - RIGHT) continue;
    g.fillStyle = ink["bad-soft"]; round(g, far + 7, mid - 7, width + 6, 14, 3); g.fill();
    g.fillStyle = ink.bad; g.fillText("fenced", far + 10, mid + 0.5);
  }
  let free = -1e9;
  for (const [host, id, at, epoch] of TXNS.identified) {
    if (host !== index || !inView(at, at)) continue;
    const x = X(at), mid = top + strip / 2, name = TXNS.ids[id][0];
    g.fillStyle = ink.accent; g.beginPath(); g.moveTo(x, mid - 5); g.lineTo(x + 7, mid); g.lineTo(x, mid + 5); g.fill();
    mark("identified", x - 1, top, 9, strip, `${HOSTS[host].name} gets epoch ${epoch} of ${name}\n${clock(at)} (InitProducerId)`);
    const next = TXNS.identified.find((other) => other[0] === host && other[2] > at), room = Math.min(150, (next ? X(next[2]) : 1e9) - x - 12, chart.clientWidth - RIGHT - x - 10);
    if (x + 9 > free && (label(g, `${name}, epoch ${epoch}`, x + 10, mid + 0.5, room, ink.soft, "10px " + ink.sans) || label(g, `e${epoch}`, x + 10, mid + 0.5, room, ink.soft, "10px " + ink.sans))) free = x + 14 + g.measureText(`${name}, epoch ${epoch}`).width;
  }
}

/** Which broker coordinates which ids, what it decides, and what leaders ask. */
function drawCoordinators(g, index, lane, X) {
  const homes = txnHomes().slice(0, 4), tall = Math.min(13, (lane.height - 14) / Math.max(1, homes.length));
  homes.forEach(({ partition, ids }, row) => {
    const y = lane.y + 3 + row * tall;
    for (const { from, to } of partition.reigns[index]) {
      if (!inView(from, to)) continue;
      const x = X(Math.max(from, view.from)), e = X(Math.min(to, view.to));
      g.fillStyle = ink.accent; g.globalAlpha = 0.8; round(g, x, y, e - x, tall - 1.5, 3); g.fill(); g.globalAlpha = 1;
      label(g, `coordinates ${ids.join(", ")}`, x + 6, y + tall / 2 - 0.2, e - x - 10, ink.panel, "600 9.5px " + ink.sans);
      mark("coordinator", x, y, e - x, tall, `${HOSTS[index].name} leads ${partition.name}: it coordinates ${ids.join(", ")}\n${clock(from)} to ${clock(to)}`);
    }
  });
  const foot = lane.y + lane.height - 8;
  const far = view.to - view.from > 2e7;
  for (const txn of txnsSeen(TXNS.list)) {
    for (const [at, leader, coordinator, only, parts] of txn.verified ?? []) {
      if (leader !== index || !inView(at, at) || far) continue;
      const x = X(at), named = parts.map((part) => TXNS.partitions[part]).join(", ");
      g.fillStyle = ink.soft; g.fillRect(x - 0.5, foot - 3, 1.5, 8);
      mark("verified", x - 2, foot - 4, 5, 10, () => `${HOSTS[leader].name} ${only ? "asks whether the transaction is ongoing" : `adds ${named} to the transaction`} at ${HOSTS[coordinator].name}\n${txn.name}: ${named}\n${clock(at)} (AddPartitionsToTxn${only ? ", VerifyOnly" : ""})`);
    }
    if (txn.decided && txn.decided[1] === index && inView(txn.decided[0], txn.decided[0])) {
      const [at, , commit] = txn.decided, x = X(at), size = far ? 3 : 5;
      g.fillStyle = commit ? ink.good : ink.bad;
      g.beginPath(); g.moveTo(x, foot - size); g.lineTo(x + size, foot); g.lineTo(x, foot + size); g.lineTo(x - size, foot); g.fill();
      mark("decided", x - 5, foot - 5, 10, 10, () => `${HOSTS[index].name} stores the decision to ${commit ? "commit" : "abort"} ${txn.name}\n${clock(at)} (prepare)`);
    }
    if (txn.completed && txn.completed[1] === index && inView(txn.completed[0], txn.completed[0])) {
      const at = txn.completed[0], x = X(at);
      g.fillStyle = ink.soft; g.beginPath(); g.arc(x, foot, far ? 1.5 : 2.6, 0, 7); g.fill();
      mark("completed", x - 3, foot - 3, 6, 6, () => `${HOSTS[index].name} stores that ${txn.name} is complete\n${clock(at)}, ${lasting(at - txn.decided[0])} after the decision`);
    }
  }
}

/** A row for each partition: from the first record of a transaction to its marker. */
function drawTransactionRows(g, w, X) {
  const right = w - RIGHT, rows = txnRows();
  g.fillStyle = ink.soft; g.font = "600 11.5px " + ink.sans;
  g.fillText("in each partition", GUTTER + 4, state.rows.length ? state.rows[0].y - 11 : 0);
  const head = g.measureText("in each partition").width;
  label(g, "from the first record of a transaction to its marker; the earliest open one holds the last stable offset", GUTTER + 12 + head, state.rows[0] ? state.rows[0].y - 11 : 0, right - GUTTER - head - 16, ink.faint, "11.5px " + ink.sans);
  rows.forEach((row, i) => {
    const { y, height, mid } = state.rows[i];
    g.fillStyle = ink.lane; g.fillRect(GUTTER, y + 1, right - GUTTER, height - 2);
    g.save(); g.beginPath(); g.rect(GUTTER, y, right - GUTTER, height); g.clip();
    for (const { txn, part, slot, of } of row.parts) {
      const [, from, until, fate, first, marker] = part, to = until < 0 ? END : until;
      if (!inView(from, to)) continue;
      const x = X(Math.max(from, view.from)), e = Math.max(x + 1, X(Math.min(to, view.to))), h = (height - 4) / of, top = y + 2 + slot * h, tall = Math.max(1, h - 0.5);
      fillFate(g, fate, x, top, e - x, tall);
      if (until >= 0 && fate !== 3 && e - x > 3) { g.fillStyle = fateColour(fate); g.fillRect(e - 2, top - 1, 2, tall + 2); }
      if (tall > 8) label(g, txn.name.replace("'s transaction ", "/"), x + 3, top + tall / 2 + 0.5, e - x - 6, fate === 1 ? ink.panel : fateColour(fate), "600 9.5px " + ink.sans);
      mark(["part-open", "part", "part-aborted", "part-lost"][fate], x, top, e - x, tall, () => ofPart(row.name, txn, part));
    }
    g.restore();
    g.textAlign = "right";
    const short = row.name.length > 11 ? "…" + row.name.slice(-10) : row.name;
    label(g, short, GUTTER - 8, mid, GUTTER - 10, ink.soft, "11px " + ink.sans);
    g.textAlign = "left";
  });
  const more = TXNS.partitions.length - rows.length;
  if (more > 0) label(g, `${more} more partitions are not drawn`, GUTTER + 4, state.band.notes, 300, ink.faint, "11px " + ink.sans);
}

function ofPart(name, txn, [, from, until, fate, first, marker]) {
  const how = fate === 3 ? `its records are cut off the log at ${clock(until)}`
    : until < 0 ? "no marker: it holds the last stable offset down to the end of the run"
    : `${fate === 1 ? "commit" : "abort"} marker at offset ${marker}, ${clock(until)}`;
  const begins = first < 0 ? "no record of it is here" : `first record at offset ${first}, ${clock(from)}`;
  return `${txn.name} in ${name}\n${begins}\n${how}` + (until < 0 || first < 0 ? "" : ` (${lasting(until - from)} later)`);
}

/** A transaction in a few lines. */
function ofTxn(txn) {
  const lines = [`${txn.name}: ${FATES[txn.fate]}`];
  if (txn.id !== null) lines.push(`${TXNS.ids[txn.id][0]}, epoch ${txn.epoch}; ${many(txn.records, "record")} in ${many(txn.parts.length, "partition")}`);
  lines.push(`begun ${clock(txn.at)}`);
  for (const [at, group, generation, taken] of txn.offsets ?? []) lines.push(`offsets of ${group}, ${generation < 0 ? "no generation" : `generation ${generation}`}, ${clock(at)}: ${taken ? "taken" : "not taken"}`);
  if (txn.asked) lines.push(`${txn.asked[1] ? "commit" : "abort"} asked ${clock(txn.asked[0])}`);
  if (txn.decided) lines.push(`${txn.decided[2] ? "commit" : "abort"} prepared by ${HOSTS[txn.decided[1]].name} ${clock(txn.decided[0])}`);
  if (txn.completed) lines.push(`complete on ${HOSTS[txn.completed[1]].name} ${clock(txn.completed[0])}`);
  const words = { committed: "told that it is committed", aborted: "told that it is aborted", unknown: "never knew the outcome", fenced: "told that it is fenced", ended: "its process ended" };
  if (txn.told) lines.push(`${words[txn.told[1]]} ${clock(txn.told[0])}` + (txn.told[2] ? ` (${txn.told[2]})` : ""));
  return lines.join("\n");
}

/** Whether a transaction went another way than usual. */
const isOdd = (txn) => txn.told && !["committed", "aborted"].includes(txn.told[1]) || txn.decided && txn.completed && txn.decided[1] !== txn.completed[1] || txn.parts.some((part) => part[2] < 0 || part[3] === 3);

/** All transactions in a sentence or two. */
function txnsInWords() {
  const count = (fate) => TXNS.list.filter((txn) => txn.fate === fate).length;
  const fenced = TXNS.list.filter((txn) => txn.told && txn.told[1] === "fenced").length;
  return `Transactions of ${many(TXNS.ids.length, "transactional id")} in ${many(TXNS.partitions.length, "partition")}: ${TXNS.list.length + TXNS.left_out}, of which ${TXNS.list.length} are drawn: ${count(1)} committed, ${count(2)} aborted, ${count(0)} open; ${fenced} of a fenced producer. The odd ones are told at the end of the page's list.`;
}

/** The odd transactions, for readers who do not see the chart. */
function tellTransactions() {
  if (!TXNS) return;
  const most = 120, odd = TXNS.list.filter(isOdd);
  const lines = odd.slice(0, most).map((txn) => element("li", {}, ofTxn(txn).replaceAll("\n", "; ")));
  if (odd.length > most) lines.push(element("li", {}, `${odd.length - most} more`));
  byId("rest").append(element("h3", {}, "Transactions"), element("ul", { class: "members" }, element("li", {}, txnsInWords()), ...lines));
}

function txnLegend(sample, rect) {
  const hatched = (x) => [["rect", { x, y: 2.5, width: 24, height: 9, fill: ink["bad-soft"], stroke: ink.bad }], ["path", { d: `M${x + 3} 11l8-8M${x + 9} 11l8-8M${x + 15} 11l8-8`, stroke: ink.bad, "stroke-width": 1.2 }]];
  sample([["rect", { x: 0, y: 2, width: 14, height: 10, fill: ink.good, "fill-opacity": 0.45 }], rect(13, 13, 2, 10, ink.good)], "committed; pale: before the commit was asked for");
  sample(hatched(1), "aborted");
  sample([["rect", { x: 1, y: 2.5, width: 24, height: 9, fill: ink["warn-soft"], stroke: ink.warn }]], "open: no outcome, no marker");
  sample([["path", { d: "M4 2l7 5l-7 5z", fill: ink.accent }], ["path", { d: "M16 3l8 8M24 3l-8 8", stroke: ink.bad, "stroke-width": 2 }]], "gets an epoch; told that it is fenced, or ended");
  sample([["path", { d: "M7 2l5 5l-5 5l-5-5z", fill: ink.good }], ["circle", { cx: 20, cy: 7, r: 2.6, fill: ink.soft }]], "decision stored (prepare; red: abort); complete");
  sample([rect(12, 2, 3, 8, ink.soft)], "a leader asks the coordinator (verification)");
  sample([rect(0, 26, 2, 10, ink.accent)], "coordinator");
}
