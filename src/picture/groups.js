// Groups: a lane for each member, with what it owned, waited for and committed; below them the state
// of the group.

const GROUPS = DATA.groups;
const BAND = 88, STATE = 20, UNOWNED = 26;
const PHASES = ["empty", "preparing rebalance", "completing rebalance", "stable", "assigning", "reconciling"];
const ENDS = ["", "revoked", "lost", "left the group", "its process ended", "assigned away"];
const WAITS = ["JoinGroup", "SyncGroup"];

const groupNow = () => state.group === null || state.txns ? undefined : GROUPS[state.group];

/** The word for the number that a rebalance raises. */
const numbered = (group) => group.protocol === "consumer" ? "epoch" : "generation";

const memberOn = (group, host) => group.members.find((member) => member.host === host);

/** Rows of a member's lane: ownerships that overlap share its height. */
function slots(member) {
  if (member.slots) return member.slots;
  let free = [], first = 0, over = -1;
  member.slots = [];
  const close = () => { for (; first < member.slots.length; first++) member.slots[first].of = free.length; };
  for (const [, from, until] of member.blocks) {
    if (from >= over) { close(); free = []; }
    over = Math.max(over, until);
    let row = free.findIndex((time) => time <= from);
    if (row < 0) row = free.length;
    free[row] = until;
    member.slots.push({ row, of: 1 });
  }
  close();
  return member.slots;
}

/** The lanes of a page that shows a group: its members get most. */
function groupHeights(group) {
  const least = { controller: 20, broker: 28, producer: 13, consumer: 0, admin: 0 };
  return HOSTS.map((host, index) => memberOn(group, index) ? { least: group.members.length > 12 ? 30 : 38, most: 64 } : { least: least[host.kind], most: least[host.kind] });
}

/** Makes the chart so high that every member can be seen. */
function fitFrame() {
  const group = groupNow();
  const least = txnsNow() ? txnLeast() : group ? AXIS + PINS + BAND + groupHeights(group).reduce((sum, lane) => sum + lane.least, 0) : 0;
  const frame = chart.parentElement, main = document.querySelector("main");
  frame.style.minHeight = least ? `max(480px, ${least}px)` : "";
  const around = strip.getBoundingClientRect().height + byId("legend").getBoundingClientRect().height + 24;
  main.style.minHeight = least ? Math.ceil(Math.max(480, least) + around) + "px" : "";
}

function layoutGroup(group, h) {
  const heights = groupHeights(group), room = h - AXIS - PINS - BAND;
  const least = heights.reduce((sum, lane) => sum + lane.least, 0), most = heights.reduce((sum, lane) => sum + lane.most, 0);
  const part = most > least ? Math.max(0, Math.min(1, (room - least) / (most - least))) : 0;
  let y = AXIS + PINS;
  state.lanes = heights.map(({ least, most }) => {
    const height = least + (most - least) * part;
    if (!height) return null;
    y += height;
    return { y: y - height, height, mid: y - height / 2 };
  });
  state.curves = null;
  state.band = { top: y + 8, states: y + 12, unowned: y + 18 + STATE, notes: y + 26 + STATE + UNOWNED };
}

/** Something in a lane that can be asked for. */
function mark(kind, x, y, w, h, text) {
  state.marks.push({ kind, x, y, w, h, text });
}

function drawMember(g, group, member, lane, X) {
  const top = lane.y + 3, strip = Math.max(9, Math.min(13, lane.height * 0.24)), foot = Math.max(5, Math.min(8, lane.height * 0.15));
  const rows = { y: top + strip + 1, h: lane.height - 6 - strip - foot - 2 };
  drawShares(g, group, member, { y: top, h: strip }, X);
  drawBlocks(g, group, member, rows, X);
  drawCommits(g, group, member, { y: rows.y + rows.h + 1, h: foot }, X);
  drawEvents(g, member, { y: top, h: strip }, X);
  drawFaults(g, member, rows, X);
}

/** What a fault is, beside the partitions that its member still owns. */
function drawFaults(g, member, { y, h }, X) {
  for (const span of spansOf[member.host]) {
    if (!inView(span.at, span.until) || span.kind === "other") continue;
    const x = X(Math.max(span.at, view.from)), e = X(Math.min(span.until, view.to));
    const soft = span.kind === "pause" || span.kind === "hold", word = ACTION[span.kind];
    mark("fault", x, y, Math.max(3, e - x), h, `${HOSTS[member.host].name}: ${word}\n${clock(span.at)} to ${clock(span.until)} (${lasting(span.until - span.at)})`);
    g.font = "600 10.5px " + ink.sans;
    const said = [`${word} ${lasting(span.until - span.at)}`, word].find((text) => g.measureText(text).width + 16 < e - x);
    if (!said) continue;
    const width = g.measureText(said).width, tall = Math.min(15, h);
    g.fillStyle = soft ? ink["warn-soft"] : ink["bad-soft"]; g.globalAlpha = 0.92;
    round(g, x + 5, y + h - tall, width + 8, tall, 4); g.fill(); g.globalAlpha = 1;
    g.fillStyle = soft ? ink.warn : ink.bad; g.fillText(said, x + 9, y + h - tall / 2 + 0.5);
  }
}

const inView = (from, until) => until >= view.from && from <= view.to;

/** The generations of a member, and its waits for a rebalance. */
function drawShares(g, group, member, { y, h }, X) {
  const name = HOSTS[member.host].name, word = numbered(group);
  member.shares.forEach(([from, until, generation], i) => {
    if (!inView(from, until)) return;
    const x = X(Math.max(from, view.from)), e = X(Math.min(until, view.to));
    g.fillStyle = i % 2 ? ink.grid : ink.line;
    g.fillRect(x, y, Math.max(1, e - x), h);
    mark("share", x, y, e - x, h, `${name} is in ${word} ${generation}\n${clock(from)} to ${clock(until)}`);
  });
  for (const [from, until, kind] of member.waits) {
    if (!inView(from, until)) continue;
    const x = X(Math.max(from, view.from)), e = X(Math.min(until, view.to));
    g.fillStyle = kind ? ink.sync : ink.join;
    g.fillRect(x, y, Math.max(1.5, e - x), h);
    mark("wait", x, y, e - x, h, `${name} waits for the answer to ${WAITS[kind]}\n${clock(from)}, for ${lasting(until - from)}`);
  }
  for (const [from, until, generation] of member.shares) {
    if (!inView(from, until)) continue;
    // A wait for the next generation begins in this one.
    const wait = member.waits.find((wait) => wait[0] > from && wait[0] < until && wait[1] - wait[0] > (view.to - view.from) / 400);
    const x = X(Math.max(from, view.from)), e = X(Math.min(until, wait ? wait[0] : until, view.to));
    label(g, `${word} ${generation}`, x + 4, y + h / 2 + 0.5, e - x - 6, ink.soft, "10px " + ink.sans)
      || label(g, String(generation), x + 3, y + h / 2 + 0.5, e - x - 4, ink.soft, "10px " + ink.sans);
  }
}

/** The partitions that a member owned: a row for each, where there is room for that. */
function drawBlocks(g, group, member, { y, h }, X) {
  const fixed = group.partitions.length * 11 <= h, own = slots(member);
  const host = HOSTS[member.host].name;
  member.blocks.forEach(([partition, from, until, end, generation, shared], i) => {
    if (!inView(from, until)) return;
    const x = X(Math.max(from, view.from)), e = Math.max(x + 1, X(Math.min(until, view.to)));
    const row = h / (fixed ? group.partitions.length : own[i].of);
    const top = y + row * (fixed ? partition : own[i].row), tall = Math.max(0.5, row > 4 ? row - 1 : row);
    g.fillStyle = epochColour(partition);
    g.fillRect(x, top, e - x, tall);
    if (shared >= 0 && inView(shared, until)) {
      const s = X(Math.max(shared, view.from));
      g.fillStyle = ink.panel; g.globalAlpha = 0.7; g.fillRect(s, top, e - s, tall); g.globalAlpha = 1;
      g.fillStyle = hatch(g, ink.bad); g.fillRect(s, top, e - s, tall);
      g.fillStyle = ink.bad; g.fillRect(s, top, 1.5, tall);
    }
    const on = themeNow() === "dark" ? "#10141a" : "#ffffff", room = (shared >= 0 ? X(Math.max(shared, view.from)) : e) - x;
    const name = group.partitions[partition], font = "600 9.5px " + ink.sans;
    if (tall >= 8) label(g, name, x + 4, top + tall / 2 + 0.5, room - 6, on, font) || label(g, name.slice(name.lastIndexOf("-") + 1), x + 3, top + tall / 2 + 0.5, room - 4, on, font);
    const how = end ? `, then ${ENDS[end]}` : "";
    const both = shared >= 0 ? `\nanother member owns it too from ${clock(shared)} on` : "";
    mark(shared >= 0 ? "shared" : "block", x, top, e - x, tall,
      `${host} owns ${group.partitions[partition]}\n${clock(from)} to ${clock(until)} (${lasting(until - from)})${how}\nassigned in ${numbered(group)} ${generation}${both}`);
  });
}

/** The commit that a list of numbers means, in words. */
function ofCommit(group, member, index) {
  const [at, took, outcome, generation, more, ...pairs] = member.commits[index];
  const offsets = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) offsets.push(`${group.partitions[pairs[i]] ?? "another partition"} up to ${pairs[i + 1]}`);
  const shown = offsets.length > 6 ? [...offsets.slice(0, 6), `${offsets.length - 6} more`] : offsets;
  const how = outcome === 0 ? `acknowledged after ${lasting(took)}` : outcome === 1 ? `${member.errors[index] ?? "failed"} after ${lasting(took)}` : "no outcome before the process ended";
  return `${HOSTS[member.host].name} commits ${shown.join(", ")}\n${clock(at)}, in ${numbered(group)} ${generation}: ${how}` + (more ? `\n${more} more until the next one that is drawn` : "");
}

function drawCommits(g, group, member, { y, h }, X) {
  let last = -9;
  member.commits.forEach((commit, index) => {
    const [at, , outcome] = commit;
    if (!inView(at, at)) return;
    const x = Math.round(X(at));
    if (outcome === 0 && x === last) return;
    last = x;
    g.fillStyle = outcome === 0 ? ink.good : outcome === 1 ? ink.bad : ink.warn;
    g.fillRect(x, outcome ? y - 2 : y, outcome ? 2 : 1, outcome ? h + 2 : h);
    mark(["commit", "commit-failed", "commit-open"][outcome], x - 1, y - 2, 3, h + 2, () => ofCommit(group, member, index));
  });
}

const BADGES = { evicted: "evicted", fenced: "fenced", withhold: "keeps", lost: "lost", leave: "leaves", join: "joins", moved: "" };

/** What happened to a member: it came, left, was evicted, or learned that it is no member. */
function drawEvents(g, member, { y, h }, X) {
  const mid = y + h / 2;
  let free = -1e9;
  // The worst first: where two are at one place, its label counts.
  const shown = member.events.filter((event) => inView(event.at, event.at));
  for (const { at, kind, text } of shown) {
    const x = X(at), bad = kind === "evicted" || kind === "fenced" || kind === "lost";
    g.fillStyle = g.strokeStyle = bad ? ink.bad : kind === "moved" ? ink.warn : ink.soft;
    g.lineWidth = 1.8;
    g.beginPath();
    if (kind === "evicted") { g.moveTo(x, mid - 6); g.lineTo(x + 6, mid); g.lineTo(x, mid + 6); g.lineTo(x - 6, mid); g.fill(); }
    else if (kind === "fenced") { g.moveTo(x - 4, mid - 4); g.lineTo(x + 4, mid + 4); g.moveTo(x + 4, mid - 4); g.lineTo(x - 4, mid + 4); g.stroke(); }
    else if (kind === "lost") { g.arc(x, mid, 4, 0, 7); g.stroke(); }
    else if (kind === "join") { g.moveTo(x, mid - 5); g.lineTo(x + 7, mid); g.lineTo(x, mid + 5); g.fill(); }
    else if (kind === "leave") { g.fillRect(x - 1, y, 2, h); g.moveTo(x - 7, mid); g.lineTo(x, mid - 5); g.lineTo(x, mid + 5); g.fill(); }
    else { g.arc(x, mid, 2.6, 0, 7); g.fill(); }
    mark(kind, x - 6, mid - 7, 13, 14, () => `${text}\n${clock(at)}`);
    const word = BADGES[kind], width = word ? (g.font = "600 10px " + ink.sans, g.measureText(word).width) : 0;
    if (!width || !bad || x + 8 < free || x + width + 14 > chart.clientWidth - RIGHT) continue;
    g.fillStyle = ink["bad-soft"]; round(g, x + 7, mid - 6, width + 6, 12, 3); g.fill();
    g.fillStyle = ink.bad; g.fillText(word, x + 10, mid + 0.5);
    free = x + width + 16;
  }
}

const phaseColour = (phase) => [ink.line, ink.join, ink.sync, ink["good-soft"], ink.join, ink.sync][phase];

/** The state of the group, and how many partitions had no owner. */
function drawBand(g, group, w, X) {
  const { states, unowned, notes } = state.band, right = w - RIGHT;
  g.save(); g.beginPath(); g.rect(GUTTER, states - 2, right - GUTTER, notes - states); g.clip();
  group.states.forEach(([at, phase, number, members], i) => {
    const until = i + 1 < group.states.length ? group.states[i + 1][0] : END;
    if (!inView(at, until)) return;
    const x = X(Math.max(at, view.from)), e = Math.max(x + 1, X(Math.min(until, view.to)));
    g.fillStyle = phaseColour(phase);
    g.fillRect(x, states, e - x, STATE);
    const people = `${members} member${members === 1 ? "" : "s"}`, word = numbered(group);
    const all = phase === 3 ? [`${word} ${number}, ${people}`, `${word} ${number}`, String(number)] : phase === 0 ? ["empty"] : [PHASES[phase], PHASES[phase].split(" ")[0]];
    const colour = phase === 3 ? ink.good : phase === 0 ? ink.soft : ink.onphase;
    all.some((text) => label(g, text, x + 5, states + STATE / 2 + 0.5, e - x - 8, colour, "600 10.5px " + ink.sans));
    mark("state", x, states, e - x, STATE, `${group.name} is ${PHASES[phase]}\n${clock(at)}, for ${lasting(until - at)}\n${phase === 3 ? "" : "before: "}${word} ${number}, ${people}`);
  });
  const most = Math.max(1, group.partitions.length);
  group.unowned.forEach(([at, count], i) => {
    const until = i + 1 < group.unowned.length ? group.unowned[i + 1][0] : END;
    if (!inView(at, until)) return;
    const x = X(Math.max(at, view.from)), e = Math.max(x + (count ? 1 : 0), X(Math.min(until, view.to)));
    const tall = count ? Math.max(3, UNOWNED * count / most) : 0;
    g.fillStyle = ink.bad; g.globalAlpha = 0.55; g.fillRect(x, unowned + UNOWNED - tall, e - x, tall); g.globalAlpha = 1;
    if (count) mark("unowned", x, unowned, e - x, UNOWNED, `${count} of ${group.partitions.length} partitions have no owner\n${clock(at)}, for ${lasting(until - at)}`);
  });
  g.restore();
  g.strokeStyle = ink.line; g.lineWidth = 1;
  g.beginPath(); g.moveTo(GUTTER, unowned + UNOWNED + 0.5); g.lineTo(right, unowned + UNOWNED + 0.5); g.stroke();
  g.textAlign = "right";
  label(g, "state", GUTTER - 10, states + STATE / 2, GUTTER - 12, ink.soft, "11.5px " + ink.sans);
  label(g, "no owner", GUTTER - 10, unowned + UNOWNED / 2, GUTTER - 12, ink.soft, "11.5px " + ink.sans);
  g.textAlign = "left";
  label(g, `of ${group.partitions.length}`, right + 8, unowned + UNOWNED / 2, RIGHT - 10, ink.faint, "11px " + ink.sans);
}

/** What is at a place of the chart: small marks before large ones. */
function markAt(x, y) {
  const near = state.marks.filter((m) => x >= m.x - 1 && x <= m.x + Math.max(m.w, 2) + 1 && y >= m.y && y <= m.y + m.h);
  return near.reduce((best, m) => !best || m.w * m.h <= best.w * best.h ? m : best, null);
}

const textOf = (mark) => typeof mark.text === "function" ? mark.text() : mark.text;

/** A member at a moment, in a few lines. */
function ofMember(group, member, at) {
  const lines = [];
  const share = member.shares.find(([from, until]) => at >= from && at <= until);
  lines.push(share ? `in ${numbered(group)} ${share[2]}` : "in no " + numbered(group));
  const owned = member.blocks.filter(([, from, until]) => at >= from && at <= until).map(([partition]) => group.partitions[partition]);
  lines.push(owned.length > 8 ? `owns ${owned.length} partitions` : `owns ${owned.join(", ") || "no partition"}`);
  return lines;
}

/** Every member's way through the group, for readers who do not see the chart. */
function tellGroups() {
  const most = 120;
  for (const group of GROUPS) {
    const list = element("ul", { class: "members" });
    for (const member of group.members) {
      const lines = [];
      for (const [from, , generation] of member.shares) {
        const owned = member.blocks.filter((block) => block[1] <= from && block[2] > from).map((block) => group.partitions[block[0]]);
        const what = owned.length > 8 ? `${owned.length} partitions` : owned.join(", ") || "no partition";
        lines.push([from, `${numbered(group)} ${generation} with ${what}`]);
      }
      for (const event of member.events) lines.push([event.at, event.text]);
      member.commits.forEach((commit, index) => { if (commit[2]) lines.push([commit[0], ofCommit(group, member, index).replace("\n", ", ")]); });
      lines.sort((a, b) => a[0] - b[0]);
      const commits = member.commits.reduce((sum, commit) => sum + 1 + commit[4], 0);
      const said = lines.slice(0, most).map(([at, text]) => element("li", {}, `${clock(at)}: ${text}`));
      if (lines.length > most) said.push(element("li", {}, `${lines.length - most} more`));
      list.append(element("li", {}, `${HOSTS[member.host].name}, ${commits} commits`, element("ul", {}, ...said)));
    }
    if (group.left_out[0]) list.append(element("li", {}, `${group.left_out[0]} more members are not drawn`));
    if (group.left_out[1]) list.append(element("li", {}, `${group.left_out[1]} short ownerships are not drawn`));
    byId("rest").append(element("h3", {}, `Members of ${group.name}`), list);
  }
}

/** A group in a sentence or two. */
function groupInWords(group) {
  const phases = group.states.filter(([, phase]) => phase === 3);
  const refused = group.members.reduce((sum, member) => sum + member.events.filter((e) => e.kind === "evicted" || e.kind === "fenced").length, 0);
  return `Group ${group.name}: ${group.members.length} members share ${group.partitions.length} partitions, stable ${phases.length} times; members evicted or fenced ${refused} times. Each member's way is told at the end of the page's list.`;
}

/** What the marks of a group mean, as rows of the legend. */
function groupLegend(sample, rect) {
  const group = groupNow();
  const shown = Math.min(group.partitions.length, 8);
  const chips = [...Array(shown).keys()].map((i) => rect(i * 26 / shown, 26 / shown - 0.5, 2, 10, epochColour(i)));
  sample(chips, `owned partition (${group.partitions[0] ?? ""} …)`);
  sample([rect(0, 26, 2, 10, ink.lane), rect(0, 2, 2, 10, ink.bad), rect(6, 3, 2, 10, ink.bad), rect(13, 3, 2, 10, ink.bad), rect(20, 3, 2, 10, ink.bad)], "another member owns it too");
  sample([rect(0, 26, 2, 10, ink.join)], group.protocol === "consumer" ? "assigning" : "waits for others to join (preparing)");
  sample([rect(0, 26, 2, 10, ink.sync)], group.protocol === "consumer" ? "reconciling" : "waits for its assignment (completing)");
  sample([rect(3, 1, 3, 9, ink.good), rect(9, 1, 3, 9, ink.good), rect(18, 2, 1, 12, ink.bad)], "commit; red: failed");
  sample([["path", { d: "M6 1l6 6l-6 6l-6-6z", fill: ink.bad }], ["path", { d: "M16 3l8 8M24 3l-8 8", stroke: ink.bad, "stroke-width": 2 }]], "evicted; told so (fenced)");
  sample([["path", { d: "M2 2l8 5l-8 5z", fill: ink.soft }], ["path", { d: "M24 2l-8 5l8 5z", fill: ink.soft }]], "joins; leaves");
  sample([rect(0, 26, 2, 10, ink.accent)], "coordinator");
  sample([rect(0, 26, 4, 9, ink.bad)], "partitions without an owner");
}
