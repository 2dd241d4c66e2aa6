"use strict";
// The run, unpacked from the page's data. Times are microseconds; hosts are indices of lanes.

const problems = [];
window.addEventListener("error", (event) => problems.push(String(event.message)));

const DATA = JSON.parse(document.getElementById("data").textContent);
const HOSTS = DATA.hosts;
const END = Math.max(DATA.end, 1);
const DOWN = new Set(["kill", "power-loss", "restart", "ended"]);

/** A curve of steps out of differences. */
function uncurve(flat) {
  const n = flat.length >> 1;
  const t = new Float64Array(n), v = new Float64Array(n);
  for (let i = 0, at = 0, value = 0; i < n; i++) {
    t[i] = at += flat[2 * i];
    v[i] = value += flat[2 * i + 1];
  }
  return { t, v };
}

/** Index of the last element at or before `at`; -1 where there is none. */
function lastAt(times, at) {
  let low = 0, high = times.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (times[mid] <= at) low = mid + 1; else high = mid;
  }
  return low - 1;
}

const valueAt = (curve, at) => {
  const i = lastAt(curve.t, at);
  return i < 0 ? null : curve.v[i];
};

function unpackMessages(flat) {
  const n = Math.floor(flat.length / 6);
  const all = {
    n, sent: new Float64Array(n), at: new Float64Array(n), from: new Uint16Array(n),
    to: new Uint16Array(n), api: new Uint16Array(n), answer: new Uint8Array(n), bytes: new Float64Array(n),
    longest: 0,
  };
  for (let i = 0, sent = 0; i < n; i++) {
    const [wait, way, from, to, api, bytes] = flat.slice(6 * i, 6 * i + 6);
    sent += wait;
    all.sent[i] = sent; all.at[i] = sent + way; all.from[i] = from; all.to[i] = to;
    all.api[i] = api >> 1; all.answer[i] = api & 1; all.bytes[i] = bytes;
    all.longest = Math.max(all.longest, way);
  }
  return all;
}

const MESSAGES = unpackMessages(DATA.messages);

/** When a host was not running, or frozen. */
const spansOf = HOSTS.map((_, host) => DATA.spans.filter((span) => span.host === host));

/** Whom each replica believes to lead, until it is told otherwise or dies. */
function reigns(partition) {
  return HOSTS.map((_, host) => {
    const own = partition.roles.filter((role) => role[1] === host);
    const deaths = spansOf[host].filter((span) => DOWN.has(span.kind)).map((span) => span.at);
    const found = [];
    own.forEach(([at, , epoch, leads], i) => {
      if (!leads) return;
      const next = i + 1 < own.length ? own[i + 1][0] : END;
      const death = deaths.find((time) => time >= at) ?? END;
      found.push({ from: at, to: Math.min(next, death), epoch });
    });
    return found;
  });
}

/** When each replica was in sync, as committed. */
function inSync(partition) {
  return HOSTS.map((_, host) => {
    const found = [];
    partition.commits.forEach(([at, , , isr], i) => {
      const to = i + 1 < partition.commits.length ? partition.commits[i + 1][0] : END;
      if (!isr.includes(host)) return;
      const last = found[found.length - 1];
      if (last && last.to === at) last.to = to; else found.push({ from: at, to });
    });
    return found;
  });
}

const PARTITIONS = DATA.partitions.map((partition) => ({
  name: partition.name,
  replicas: partition.replicas,
  commits: partition.commits,
  ends: partition.ends.map(uncurve),
  watermark: uncurve(partition.watermark),
  stable: uncurve(partition.stable),
  reigns: reigns(partition),
  inSync: inSync(partition),
}));

/** `12.345 s`, with as many digits as tell things apart at this distance. */
function clock(at, span) {
  const digits = span === undefined ? 3 : span > 2e7 ? 0 : span > 2e6 ? 1 : span > 2e5 ? 2 : span > 2e4 ? 3 : span > 2e3 ? 4 : 6;
  return (at / 1e6).toFixed(digits) + " s";
}

function lasting(micros) {
  if (micros < 1000) return Math.round(micros) + " µs";
  if (micros < 1e6) return (micros / 1000).toFixed(micros < 1e4 ? 2 : 0) + " ms";
  return (micros / 1e6).toFixed(2) + " s";
}

const names = (hosts) => hosts.map((host) => HOSTS[host].name).join(", ");
const ACTION = {
  kill: "killed", "power-loss": "no power", restart: "restarting", ended: "ended",
  pause: "paused", cut: "cut off", hold: "held back", other: "fault",
};
