// Pins above the chart: one for each step of the story, in the order of the story.

const PIN_KIND = {
  ack: "good", commit: "good", copy: "", append: "", read: "good", send: "", boot: "", isr: "lead",
  elect: "lead", fault: "bad", gone: "gone", other: "bad", verdict: "gone",
};

const kindOf = (step) => step.kind === "verdict" && !DATA.broken.length ? "good" : PIN_KIND[step.kind] || "";

const colourOf = (kind) => kind === "good" ? ink.good : kind === "lead" ? ink.accent : kind ? ink.bad : ink.faint;

/** The pins in view, in the order of steps; where they would not fit, neighbours share one. */
function pinsInView(g, right, X) {
  const seen = DATA.steps.map((step, index) => ({ first: index, last: index, x: X(step.at), end: X(step.at) }));
  const pins = seen.filter((pin) => pin.x >= GUTTER - 1 && pin.x <= right + 1);
  g.font = "650 10.5px " + ink.sans;
  const measure = (pin) => {
    pin.text = pin.first === pin.last ? String(pin.first + 1) : `${pin.first + 1}–${pin.last + 1}`;
    pin.width = Math.max(18, g.measureText(pin.text).width + (pin.first === pin.last ? 7 : 11));
    return pin;
  };
  pins.forEach(measure);
  let wanted = pins.reduce((sum, pin) => sum + pin.width + 3, 0);
  while (wanted > right - GUTTER && pins.length > 1) {
    // The pair that spans least, not the nearest: else even steps chain into one pin for all of them.
    let best = 1;
    const spans = (i) => pins[i].end - pins[i - 1].x;
    for (let i = 2; i < pins.length; i++) if (spans(i) < spans(best)) best = i;
    const [pin] = pins.splice(best, 1), into = pins[best - 1];
    wanted -= pin.width + into.width + 3;
    into.last = pin.last; into.end = pin.end;
    wanted += measure(into).width;
  }
  // Pushed to the right of the left edge and of each other, and back from the right edge.
  let free = GUTTER;
  for (const pin of pins) {
    pin.px = Math.max((pin.x + pin.end) / 2, free + pin.width / 2);
    free = pin.px + pin.width / 2 + 3;
  }
  let edge = right + 1;
  for (const pin of [...pins].reverse()) {
    pin.px = Math.min(pin.px, edge - pin.width / 2);
    edge = pin.px - pin.width / 2 - 3;
  }
  return pins;
}

function drawPins(g, w, h, X) {
  const y = AXIS + PINS / 2 + 1;
  state.pins = [];
  for (const pin of pinsInView(g, w - RIGHT, X)) {
    const steps = DATA.steps.slice(pin.first, pin.last + 1), kinds = steps.map(kindOf);
    const current = pin.first <= state.step && state.step <= pin.last;
    const kind = ["gone", "bad", "lead", "good"].find((kind) => kinds.includes(kind)) || "";
    for (const [i, step] of steps.entries()) {
      const own = pin.first + i === state.step, x = X(step.at), colour = colourOf(kinds[i]);
      const lanes = step.hosts.map((host) => state.lanes[host]).filter(Boolean);
      const until = own ? h - 6 : lanes.length ? Math.max(...lanes.map((lane) => lane.mid)) : AXIS + PINS;
      g.strokeStyle = own ? ink.accent : colour; g.lineWidth = own ? 1.6 : 1; g.globalAlpha = own ? 1 : 0.55;
      g.beginPath(); g.moveTo(pin.px, y + 9); g.lineTo(x, AXIS + PINS + 1); g.lineTo(x, until); g.stroke();
      g.globalAlpha = 1;
      for (const lane of lanes) {
        g.beginPath(); g.arc(x, lane.mid, own ? 5 : 3.5, 0, 7);
        g.fillStyle = own ? ink.accent : colour; g.fill();
        g.lineWidth = 1.5; g.strokeStyle = ink.panel; g.stroke();
      }
    }
    const colour = colourOf(kind), solid = kind === "gone" || current, wide = pin.width + (current ? 3 : 0), tall = current ? 21 : 18;
    round(g, pin.px - wide / 2, y - tall / 2, wide, tall, tall / 2);
    g.fillStyle = current ? ink.accent : solid ? colour : ink.panel; g.fill();
    g.lineWidth = 1.8; g.strokeStyle = current ? ink.accent : colour; g.stroke();
    g.font = "650 10.5px " + ink.sans; g.textAlign = "center";
    g.fillStyle = solid ? ink.panel : colour === ink.faint ? ink.soft : colour;
    g.fillText(pin.text, pin.px, y + 0.5);
    g.textAlign = "left";
    state.pins.push({ x: pin.px, y, width: wide, text: pin.text, first: pin.first, last: pin.last });
  }
}

/** What is said of a pin under the pointer. */
function ofPin({ first, last }) {
  if (first === last) return `${first + 1}. ${DATA.steps[first].title}\n${DATA.steps[first].text}`;
  const most = 8, lines = DATA.steps.slice(first, Math.min(last + 1, first + most)).map((step, i) => `${first + i + 1}. ${step.title}`);
  return lines.join("\n") + (last - first >= most ? `\nand ${last - first + 1 - most} more` : "") + "\nClick to see them apart.";
}

/** Goes to a step, or so near to several that they stand apart. */
function openPin({ first, last }) {
  const from = DATA.steps[first].at, to = DATA.steps[last].at, air = (to - from) * 0.15;
  if (to - from > SHORTEST) fly(from - air, to + air); else choose(first);
}
