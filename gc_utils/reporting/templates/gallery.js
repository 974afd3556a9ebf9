// The gallery's page: what it draws is in GALLERY (features.js). It asks no server for anything.
"use strict";
const G = GALLERY.group, all = GALLERY.features, by = new Map(all.map(f => [f.feature, f]));
const dihedral = G.order > G.n, SAME = GALLERY.symmetric, PART = GALLERY.partly, RELATED = GALLERY.related;
const $ = id => document.getElementById(id);
const word = text => (text || "").replaceAll("_", "-");
const number = (value, digits = 2) => value == null ? "–" : value.toFixed(digits);
const percent = value => `${Math.round(100 * value)} %`;
const inFamily = f => f.family != null && f.family >= 0;

function make(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties))
    if (key in made && !key.startsWith("aria")) made[key] = value; else made.setAttribute(key, value);
  made.append(...children);
  return made;
}
const NS = "http://www.w3.org/2000/svg";
function svg(name, attributes, parent, text = "") {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text; parent?.append(made);
  return made;
}

// --- patches -------------------------------------------------------------------------------------
// Cell `k` of a feature's strip under an element of the group. Images of what is in view, no others.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) {
    entry.target.style.backgroundImage = entry.target.dataset.image;
    seen.unobserve(entry.target);
  }
}, { rootMargin: "300px" });
function turn(span, angle, mirrored) {
  span.style.transform = `rotate(${-angle}deg)` + (mirrored ? " scaleX(-1)" : "");
}
function patch(f, k, element, alt) {
  const span = make("span", { className: "patch", role: "img", "aria-label": alt });
  span.dataset.image = `url("strips/${f.feature}.webp")`;
  span.style.backgroundPosition = `${f.strip.length > 1 ? 100 * k / (f.strip.length - 1) : 0}% 0`;
  turn(span, G.angles[element], G.mirrored[element]);
  seen.observe(span);
  return span;
}
// The very image that the network was given, a cell of the sheet of a full turn.
function frame(span, f, at) {
  const { columns, rows } = f.turn.frames, x = at % columns, y = Math.floor(at / columns);
  span.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
  span.style.backgroundPosition = `${100 * x / (columns - 1)}% ${rows > 1 ? 100 * y / (rows - 1) : 0}%`;
}
// A name that fewer than half of the relatives confirm, or that has none, has a question mark.
const named = f => f.stabiliser && f.stabiliser + (f.confidence != null && (f.confidence < 0.5 || f.voters === 0) ? "?" : "");
const about = f => [word(f.label), named(f)].filter(Boolean).join(" · ");
function card(f, pose, ...children) {
  return make("li", {}, make("a", { className: "card", href: `#f${f.feature}`,
    "aria-label": `feature ${f.feature}, ${about(f)}` },
    patch(f, 0, pose, `patch of feature ${f.feature}`), ...children));
}

// --- how sure ------------------------------------------------------------------------------------
const rank = f => all.filter(o => (o.reproducibility ?? 0) < f.reproducibility).length / all.length;
// With its interval. Rounding must not carry an end over a bound.
const ends = f => [f.rho_180_low, f.rho_180_high].map(v => {
  if (v == null) return "–";
  const said = v.toFixed(2);
  return [PART, SAME].some(bound => (v < bound) !== (+said < bound)) ? v.toFixed(3) : said;
});
const rho = f => `${number(f.rho_180)} [${ends(f).join(", ")}]`;
// Whether it repeats after half a turn: as much as its interval says.
const GRADES = {
  "yes": ["It repeats after half a turn", `the whole interval lies at ${SAME} or above`],
  "in part": ["It repeats in part after half a turn", `the whole interval lies between ${PART} and ${SAME}`],
  "no": ["It does not repeat after half a turn", `the whole interval lies below ${PART}`],
  "in part or yes": ["It repeats after half a turn, at least in part", `the interval reaches across ${SAME}`],
  "no or in part": ["It repeats after half a turn in part at most", `the interval reaches across ${PART}`],
  "no or in part or yes": ["Whether it repeats after half a turn is open", `the interval reaches from below ${PART} to above ${SAME}`],
};
function halfTurn(f) {
  const grade = f.grades.join(" or ");
  if (!grade) return { word: "unknown", said: "Whether it repeats after half a turn is unknown",
    why: "no other dictionary has this feature, so that there is nothing to correct the noise with" };
  const [said, why] = GRADES[grade];
  return { word: grade.replace("no or in part or yes", "open"), said, why, value: rho(f) };
}
// What is left of the code after half a turn: of the strongest patch, and of half of the strongest.
function atHalfTurn(f) {
  const { codes, n } = measured(f), at = G.n / 2;
  if (n % 2 || G.n % 2 || !(codes[0] > 0)) return null;
  return { left: codes[n / 2] / codes[0], middle: f.turn.middle[at], low: f.turn.low[at], high: f.turn.high[at],
    said: f.turn.predicted[at] / f.turn.predicted[0] };
}
function sure(f) {
  const half = halfTurn(f), rows = [];
  rows.push(["Does it repeat after 180°?", half.value ? `${half.word}: ρ ${half.value}` : half.word, `${half.why}.`]);
  const there = atHalfTurn(f);
  if (there) rows.push(["Measured at 180°", `${number(there.middle)} [${number(there.low)}, ${number(there.high)}]`,
    `share of its code that a patch keeps after half a turn, through the network: median and middle half of its ${f.strongest} strongest patches. The very strongest keeps ${number(there.left)}. The blocks predict ${number(there.said)}.` +
    (Math.abs(there.middle - there.said) > 0.3 ? " The two differ by much: a single patch shows more than this feature, and other features compete for it. Trust ρ and the brackets." : "")]);
  const axis = f.axis_degrees == null ? "" : ` Mirror axis at ${f.axis_degrees}°.`;
  const both = f.rho_180 >= SAME && f.period_degrees > 180 && (f.stabiliser || "").startsWith("D1")
    ? " Of two symmetries of one size a name keeps the one that fits better, here the mirror: that the half turn fits too is no contradiction." : "";
  rows.push(["Stabiliser, its name", named(f) || "–",
    f.stabiliser === "G" ? "By its name it is invariant: no rotation or mirror changes it."
      : (f.period_degrees == null ? "" : `By its name it repeats after ${f.period_degrees}°.`) + axis + both]);
  if (f.confidence != null) rows.push(["Confidence of that name", number(f.confidence),
    !f.voters ? "it has no relatives: this is how often names are confirmed in the whole dictionary."
      : `share of its ${f.voters} relatives with this name, drawn towards the share of the whole dictionary, the more so the fewer they are; ` + (f.confidence >= 0.8 ? "nearly all have it."
        : f.confidence >= 0.5 ? "more than half have it." : "most have another: do not lean on it.")]);
  if (f.p_value != null) rows.push(["p of that name", f.stabiliser === "C1" ? "–" : f.p_value < 0.001 ? "< 0.001" : number(f.p_value, 3),
    f.stabiliser === "C1" ? "C1 claims no symmetry, so there is nothing to test."
      : "share of random features with as much symmetry."]);
  if (f.reproducibility != null) rows.push(["Reproducibility", number(f.reproducibility),
    `cosine with its nearest in a dictionary of other images; higher than ${percent(rank(f))} of the features here.`]);
  if (f.fires_on != null) rows.push(["Fires on", `${(100 * f.fires_on).toFixed(1)} %`, "of the patches that it was not trained on."]);
  return make("table", { className: "sure" }, make("tbody", {}, ...rows.map(([name, value, said]) => make("tr", {},
    make("th", { scope: "row" }, name), make("td", {}, value), make("td", {}, said)))));
}
// All of a kind: how many repeat after half a turn.
function counted(features) {
  const known = features.filter(f => f.rho_180 != null), yes = known.filter(f => f.rho_180 >= SAME);
  const grades = ["yes", "in part", "no"].map(grade => features.filter(f => f.grades.join() === grade).length);
  const invariant = yes.filter(f => f.stabiliser === "G").length;
  return { known: known.length, yes: yes.length, invariant, safe: grades[0], part: grades[1], no: grades[2] };
}
function ofKind(f) {
  const same = all.filter(o => o.label === f.label), c = counted(same);
  if (!f.label || f.label === "other" || same.length < 2) return "";
  if (!c.known) return `Of the ${same.length} features of that kind it is known of none.`;
  return `Of ${same.length} features of that kind, ${c.yes} have a ρ(180°) of ${SAME} or more, ${c.known - c.yes} have less` +
    (c.known < same.length ? `, and of ${same.length - c.known} it is unknown.` : ".");
}

// --- plots ---------------------------------------------------------------------------------------
// Values over the rotations, mirrored or not, from 0° to 360°.
const over = (values, n, mirrored) => [...Array(n + 1).keys()].map(k => [360 * k / n, values[k % n + (mirrored ? n : 0)]]);
function measured(f) { // codes, and of how many rotations a turn
  const frames = f.turn.frames;
  return frames ? { codes: frames.codes, n: frames.n } : { codes: f.turn.measured, n: G.n };
}
function curves(f) {
  const wide = innerWidth > 640, W = wide ? 500 : 330, H = wide ? 250 : 220;
  const left = 36, right = 14, top = 14, bottom = 44, { codes, n } = measured(f);
  const unit = codes[0] > 0 ? codes[0] : 1, own = f.turn.predicted[0] > 0 ? f.turn.predicted[0] : 1;
  const lines = codes.map(v => v / unit), said = f.turn.predicted.map(v => v / own);
  const high = Math.max(1.05, ...lines, ...said, ...f.turn.high) * 1.05;
  const x = a => left + a / 360 * (W - left - right);
  const y = v => H - bottom - Math.max(v, 0) / high * (H - top - bottom);
  const plot = svg("svg", { viewBox: `0 0 ${W} ${H}`, width: W, role: "img", "aria-label":
    `Code of feature ${f.feature} over the angle of rotation, measured and as its blocks predict` });
  svg("path", { class: "axis", d: `M${left} ${top}V${H - bottom}H${W - right}M${left} ${y(1)}H${W - right}` }, plot);
  for (const a of [0, 90, 180, 270, 360])
    svg("text", { x: x(a), y: H - bottom + 17, "text-anchor": "middle" }, plot, `${a}°`);
  svg("text", { x: x(180), y: H - 6, "text-anchor": "middle", class: "faint" }, plot, "rotation of the patch");
  for (const v of high > 2.2 ? [0, 1, 2] : [0, 0.5, 1])
    svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, plot, `${v}`);
  const path = points => points.map(([a, v], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const band = [...over(f.turn.low, G.n, false), ...over(f.turn.high, G.n, false).reverse()];
  svg("path", { class: "band", d: path(band) + "Z" }, plot);
  for (const mirrored of dihedral ? [true, false] : [false]) {
    svg("path", { class: (mirrored ? "mirrored" : "rotated") + " said", d: path(over(said, G.n, mirrored)) }, plot);
    svg("path", { class: mirrored ? "mirrored" : "rotated", d: path(over(lines, n, mirrored)) }, plot);
  }
  const marker = svg("path", { class: "marker" }, plot), dot = svg("circle", { r: 5 }, plot);
  return { plot, move(angle, mirrored) {
    const k = Math.round(angle * n / 360), at = k % n + (mirrored ? n : 0);
    const near = Math.round(angle * G.n / 360), element = near % G.n + (mirrored ? G.n : 0);
    marker.setAttribute("d", `M${x(angle)} ${top}V${H - bottom}`);
    dot.setAttribute("class", mirrored ? "mirrored" : "rotated");
    dot.setAttribute("cx", x(360 * k / n)); dot.setAttribute("cy", y(lines[at]));
    return { at, angle: 360 * k / n, code: codes[at], element, near: 360 * near / G.n };
  } };
}
function profile(f, small = false) {
  const R = small ? 44 : 74, C = small ? 46 : 112, S = 2 * C, low = GALLERY.centre;
  const radius = v => R * Math.max(v - low, 0) / (1 - low);
  const plot = svg("svg", { viewBox: `0 0 ${S} ${S}`, width: S, role: "img", "aria-label":
    `Block profile of feature ${f.feature}: cosine of each block with the first, ${low} in the centre, 1 on the outer circle` });
  for (const v of [0, 0.5, 1]) if (v > low) svg("circle", { class: v ? "axis" : "axis zero", cx: C, cy: C, r: radius(v) }, plot);
  if (!small) {
    for (const [a, dx, dy, anchor] of [[0, R + 5, 4, "start"], [90, 0, -R - 6, "middle"], [180, -R - 5, 4, "end"], [270, 0, R + 16, "middle"]])
      svg("text", { x: C + dx, y: C + dy, "text-anchor": anchor }, plot, `${a}°`);
    for (const v of [0, 0.5, 1]) if (v > low)
      svg("text", { x: C + radius(v) * 0.71 + 2, y: C + radius(v) * 0.71 + 10, class: "faint" }, plot, `${v}`);
  }
  const at = (k, v) => { const a = 2 * Math.PI * k / G.n, r = radius(v);
    return `${(C + r * Math.cos(a)).toFixed(1)} ${(C - r * Math.sin(a)).toFixed(1)}`; };
  for (const mirrored of dihedral && !small ? [true, false] : [false]) {
    const d = [...Array(G.n).keys()].map(k => at(k, f.turn.profile[k + (mirrored ? G.n : 0)]));
    svg("path", { class: mirrored ? "mirrored" : "rotated", d: `M${d.join("L")}Z` }, plot);
  }
  return plot;
}
// ρ(180°) of all lines and of all curves, each with its interval, on one axis.
function strip(kindsShown) {
  const W = innerWidth > 640 ? 640 : 350, left = innerWidth > 640 ? 64 : 48, right = 14, rowHeight = 58, H = 34 + rowHeight * kindsShown.length;
  const known = kindsShown.flatMap(k => k.features.map(i => by.get(i))).filter(f => f.rho_180 != null);
  if (!known.length) return "";
  const least = Math.min(-0.25, ...known.map(f => f.rho_180)), most = Math.max(1.1, ...known.map(f => f.rho_180));
  const x = v => left + (Math.min(Math.max(v, least), most) - least) / (most - least) * (W - left - right);
  const plot = svg("svg", { viewBox: `0 0 ${W} ${H}`, width: W, class: "strip", role: "img", "aria-label":
    "ρ(180°) of every line and every curve with its interval: each dot is a feature" });
  for (const v of [0, PART, SAME, 1]) {
    svg("path", { class: v === PART || v === SAME ? "axis bound" : "axis", d: `M${x(v)} 4V${H - 28}` }, plot);
    svg("text", { x: x(v) + (v === SAME ? -3 : v === 1 ? 3 : 0), y: H - 12, "text-anchor": v === SAME ? "end" : v === 1 ? "start" : "middle" }, plot, `${v}`);
  }
  kindsShown.forEach(({ kind, features }, row) => {
    const middle = 8 + rowHeight * row + rowHeight / 2 - 4;
    svg("text", { x: 4, y: middle + 4 }, plot, `${kind}s`);
    const shown = features.map(i => by.get(i)).filter(f => f.rho_180 != null);
    shown.forEach((f, k) => { // hollow: invariant
      const y = middle + ((k * 7 % 11) / 10 - 0.5) * (rowHeight - 18); // spread, or dots hide dots
      const link = svg("a", { href: `#f${f.feature}`, "aria-label": `feature ${f.feature}, ρ ${rho(f)}` }, plot);
      svg("path", { class: "whisker", d: `M${x(f.rho_180_low)} ${y}H${x(f.rho_180_high)}` }, link);
      const dot = svg("circle", { class: (kind === "line" ? "mirrored" : "rotated") + (f.stabiliser === "G" ? " hollow" : ""), cx: x(f.rho_180), cy: y, r: 4.5 }, link);
      svg("title", {}, dot, `feature ${f.feature}: ρ ${rho(f)}`);
    });
  });
  return make("figure", {}, plot, make("figcaption", {}, `ρ(180°), noise-corrected: a dot a feature, with its 95 % interval. Dashed: ${PART} and ${SAME}, from which a feature counts as repeating in part, and as repeating. Hollow: invariant by its name.`));
}
const key = (name, text) => [make("span", { className: "key", style: name }), ` ${text} `];

// --- one feature ---------------------------------------------------------------------------------
const playing = new Set();
function turning(f) {
  const frames = f.turn.frames, step = frames ? 360 / frames.n : 1;
  const big = patch(f, 0, 0, `the patch that excites feature ${f.feature} most, rotated`);
  if (frames) big.dataset.image = `url("frames/${f.feature}.webp")`;
  const { plot, move } = curves(f);
  const slider = make("input", { type: "range", min: 0, max: 360 - step, step, value: 0, "aria-label": "angle of rotation in degrees" });
  const mirror = make("input", { type: "checkbox", disabled: !dihedral });
  const play = make("button", { type: "button" }, "play"), said = make("p", { role: "status" });
  const update = () => {
    const angle = +slider.value, now = move(angle, mirror.checked);
    if (frames) frame(big, f, now.at); else turn(big, angle, mirror.checked);
    const where = Math.abs(now.angle - angle) > 0.01 ? ` (measured at ${now.angle}°)` : "";
    const there = Math.abs(now.near - angle) > 0.01 ? ` (at ${now.near}°)` : "";
    slider.setAttribute("aria-valuetext", `${angle}°, code ${number(now.code)}`);
    said.textContent = `${mirror.checked ? "mirrored, " : ""}${angle}°: code ${number(now.code)}${where}; ` +
      `the blocks predict ${number(f.turn.predicted[now.element])}${there}`;
  };
  slider.addEventListener("input", update); mirror.addEventListener("input", update);
  let timer = null;
  play.addEventListener("click", () => {
    if (timer) { clearInterval(timer); playing.delete(timer); timer = null; play.textContent = "play"; return; }
    play.textContent = "stop";
    timer = setInterval(() => { slider.value = (+slider.value + Math.max(step, 2)) % 360; update(); }, frames ? 120 : 40);
    playing.add(timer);
  });
  const what = frames
    ? `These are the very images that the network was given, ${2 * frames.n} of them, and the code of each.`
    : `Your browser rotates this patch. Its code was measured at the ${G.order} elements of ${G.name}.`;
  const legend = make("figcaption", {}, "Code as a share of the code of the unrotated patch. ",
    ...key("color:var(--rotated)", "this patch, rotated."),
    ...(dihedral ? key("color:var(--mirrored);border-top-style:dashed", "the same, mirrored first.") : []),
    ...key("color:var(--soft);border-top-style:dotted", "what the blocks predict, in the same colours."),
    make("span", { className: "key band" }), ` the middle half of its ${f.strongest} strongest patches, rotated, each as a share of its own code at 0°, where it therefore is 1: a narrow band that follows the line means that the line is no accident of one patch.`);
  const round = make("figcaption", {}, "Direction: rotation of the image. Radius: cosine of that rotation's block with the first, " + `${GALLERY.centre} in the centre, 1 on the outer circle. Dashed: mirrored. What the blocks predict for the code is not this curve: it compares all blocks with all, not with the first only.`);
  const box = make("div", { className: "turn" },
    make("div", { className: "pose" }, make("h3", {}, "Rotate it"), big,
      make("label", {}, "angle", slider),
      make("div", { className: "controls" }, make("label", {}, mirror, " mirror first"), play), said,
      make("p", { className: "soft" }, what)),
    make("figure", {}, make("h3", {}, "Its code as the patch rotates"), plot, legend),
    make("figure", {}, make("h3", {}, "Its block profile"), profile(f), round));
  update();
  // One slider for two features moves both.
  box.rotate = (angle, mirrored) => { slider.value = angle; mirror.checked = mirrored; update(); return said.textContent; };
  return box;
}
// Two features under one slider, close enough to be seen together on a phone.
function together(found, boxes) {
  const slider = make("input", { type: "range", min: 0, max: 352.5, step: 7.5, value: 0, "aria-label": "angle of rotation of both in degrees" });
  const shownAngle = make("output", {}), half = make("button", { type: "button" }, "180°");
  half.addEventListener("click", () => { slider.value = 180; update(); });
  const mirror = make("input", { type: "checkbox", disabled: !dihedral });
  const columns = found.map(f => ({ f, span: patch(f, 0, 0, `the patch that excites feature ${f.feature} most, rotated`), said: make("span", {}) }));
  const update = () => columns.forEach(({ f, span, said }, i) => {
    shownAngle.textContent = `${+slider.value}°`; slider.setAttribute("aria-valuetext", `${+slider.value}°`);
    turn(span, +slider.value, mirror.checked);
    boxes[i].rotate(+slider.value, mirror.checked);
    const { codes, n } = measured(f), k = Math.round(slider.value * n / 360);
    const code = codes[k % n + (mirror.checked ? n : 0)];
    said.textContent = `code ${number(code)}` + (codes[0] > 0 ? `, ${percent(code / codes[0])} of that at 0°` : "");
  });
  slider.addEventListener("input", update); mirror.addEventListener("input", update);
  update();
  return make("section", { className: "together", "aria-label": "both features under one slider" },
    make("h2", { tabIndex: -1 }, `Features ${found.map(f => f.feature).join(" and ")}, rotated together`),
    make("div", { className: "both" }, ...columns.map(({ f, span, said }) => make("figure", {}, span,
      make("figcaption", {}, make("strong", {}, `${f.feature}`), ` ${about(f)}`, make("br"), said)))),
    make("label", {}, "angle ", shownAngle, slider), make("div", { className: "controls" }, half, make("label", {}, mirror, " mirror first")),
    make("p", {}, ...found.map(f => make("span", { className: "line" }, `${f.feature}: ${halfTurn(f).said.toLowerCase()} (${halfTurn(f).value ? `ρ ${halfTurn(f).value}` : "ρ unknown"}). `))));
}
function block(title, note, list) {
  if (!list.length) return "";
  return make("div", {}, make("h3", {}, title), ...(note ? [make("p", { className: "soft" }, note)] : []),
    make("div", { className: "row" }, ...list));
}
function cell(span, caption, link = null) {
  const inside = [span, make("figcaption", {}, caption)];
  return make("figure", {}, ...(link ? [make("a", { className: "card", href: link }, ...inside)] : inside));
}
function moved(element) {
  const angle = G.angles[element];
  return G.mirrored[element] ? `mirrored, then ${angle}°` : `${angle}°`;
}
function related(list) {
  return list.filter(r => by.has(r.feature)).map(r => cell(
    patch(by.get(r.feature), 0, r.element, `patch of feature ${r.feature}, ${moved(r.element)}`),
    `${r.feature}: ${number(r.similarity)}, ${moved(r.element)}`, `#f${r.feature}`));
}
function summary(f) {
  const half = halfTurn(f);
  const kind = f.label && f.label !== "other" ? `Of the drawings it responds most to those of the kind “${word(f.label)}”.`
    : "It responds to no kind of drawing clearly more than to others.";
  return `${kind} ${half.said} (${half.value ? `ρ ${half.value}; ` : ""}${half.why}). ${ofKind(f)}`;
}
function section(f, order, other) { // beside another one, if there are two
  const place = order.indexOf(f), step = by => order[(place + by + order.length) % order.length].feature;
  const beside = other ? `,f${other.feature}` : "";
  const near = f.relatives.filter(r => RELATED == null || r.similarity >= RELATED);
  const members = f.members.filter(r => RELATED == null || r.similarity >= RELATED);
  const far = f.members.length - members.length;
  const partner = GALLERY.kinds.filter(k => k.kind !== f.label).map(clearest).find(i => i !== f.feature);
  const box = turning(f);
  const part = make("section", { className: "one", id: `one-${f.feature}`, "aria-label": `feature ${f.feature}` },
    make("header", {}, make("h2", { tabIndex: -1, id: `h${f.feature}` }, `Feature ${f.feature} · ${about(f)}`),
      make("a", { href: `#f${step(-1)}${beside}` }, "previous"), make("a", { href: `#f${step(1)}${beside}` }, "next"),
      ...(partner == null || other ? [] : [make("a", { href: `#f${f.feature},f${partner}` }, `beside ${word(by.get(partner).label)} ${partner}`)]),
      make("a", { href: other ? `#f${other.feature}` : `#c${f.feature}` }, "close")),
    make("p", {}, summary(f)), box, make("h3", {}, "How sure is that?"), sure(f),
    block("Patches that excite it most", "The strongest first, from different images.",
      f.strip.slice(0, f.strongest).map((_, k) => cell(patch(f, k, 0, `patch with code ${number(f.codes[k])}`), `code ${number(f.codes[k])}`))),
    block("Patches from every part of its range", "At 90, 70, 50, 30 and 10 % of its codes above zero: a feature that stands for one thing shows it here too.",
      f.strip.slice(f.strongest).map((_, k) => cell(patch(f, k + f.strongest, 0, `patch with code ${number(f.codes[k + f.strongest])}`), `code ${number(f.codes[k + f.strongest])}`))),
    block(inFamily(f) ? `Its family: number ${f.family}, ${sizes.get(f.family)} features` : "", "Number, similarity, and the rotation that makes it agree with this feature, which is applied." +
      (far > 0 ? ` ${far} further members are no nearer to it than unrelated features come, and are not shown.` : ""), related(members)),
    block(inFamily(f) ? "Its nearest neighbours outside the family" : "Its nearest neighbours", "Number, similarity, and the rotation applied.", related(near)),
    inFamily(f) && !members.length ? make("p", { className: "soft" }, `It is in family ${f.family}, but no member is nearer to it than unrelated features come.`) : "",
    near.length || members.length ? "" : make("p", { className: "soft" }, "No other feature is nearer to it than unrelated features come."));
  return part;
}
// Of a kind the feature that shows best what the kind does; the most reproducible may do something else.
function clearest({ kind, features }) {
  return GALLERY.telling.find(i => by.get(i).label === kind && by.get(i).stabiliser !== "G") ?? features[0];
}
let listed = all; // in the order of the list
let opened = null; // the feature that is shown
let from = null; // the link that opened it
document.addEventListener("click", event => {
  const link = event.target.closest?.('a[href^="#f"]');
  if (link && !$("shown").contains(link)) from = link;
});
function show() {
  playing.forEach(clearInterval); playing.clear();
  const asked = decodeURIComponent(location.hash.slice(1));
  const wanted = /^f?\d+(\D+\d+)*$/.test(asked) ? [...new Set(asked.match(/\d+/g).map(Number))] : [];
  const found = wanted.filter(i => by.has(i)).slice(0, 2).map(i => by.get(i));
  const parts = found.map((f, i) => section(f, listed.includes(f) ? listed : all, found[1 - i]));
  if (found.length > 1) parts.unshift(together(found, parts.map(part => part.querySelector(".turn"))));
  for (const i of wanted) if (!by.has(i)) parts.push(make("p", {}, `Feature ${i} is not here: it never fires, was left out, or there is none of that number.`));
  if (wanted.filter(i => by.has(i)).length > 2) parts.push(make("p", {}, "Two features at most are shown side by side."));
  opened = found.length ? found[0].feature : null;
  $("shown").className = found.length > 1 ? "two" : "";
  $("shown").replaceChildren(...parts);
  document.title = found.length ? `Feature ${found.map(f => f.feature).join(" and ")}` : "Features of a group crosscoder";
  if (parts.length) { $("shown").scrollIntoView({ block: "start" }); $("shown").querySelector("h2")?.focus({ preventScroll: true }); }
  else if (/^c\d+$/.test(asked)) back(+asked.slice(1));
}
// To the link that opened a feature; if there was none, to its card; where a filter hides that, to the list.
function back(feature) {
  const there = link => link && document.body.contains(link);
  if (!there(from) && $("grid").hasAttribute("data-short")) fill(listed.length);
  const link = there(from) ? from : cards.get(feature)?.querySelector("a");
  (there(link) ? link : $("all")).scrollIntoView({ block: "center" });
  link?.focus({ preventScroll: true });
  from = null;
}
addEventListener("keydown", event => {
  if (event.key === "Escape" && opened != null) location.hash = `#c${opened}`;
});

// --- lines and curves ----------------------------------------------------------------------------
function kinds() {
  const plural = { line: "lines", curve: "curves" }, present = GALLERY.kinds.filter(k => k.features.length), box = $("kinds");
  if (!present.length) return;
  box.append(make("h2", {}, "Lines and curves: what tells them apart"));
  box.append(make("p", {}, "A straight line looks the same after half a turn, and a curve does not: it opens to the other side. So the block profile of a line should have two opposite lobes, and that of a curve one. Here are all of both, not only the clear ones, the most reproducible first and each kind rotated to a common pose. Circle: a patch that switches it on. Below: its block profile."));
  box.append(strip(present), dictionaries());
  const pair = present.map(clearest);
  if (pair.length === 2) box.append(make("p", {}, make("a", { href: `#f${pair[0]},f${pair[1]}` },
    `The clearest line and the clearest curve side by side: features ${pair[0]} and ${pair[1]}`), ". Move the slider to 180° and compare the codes."));
  for (const { kind, features, poses } of present) {
    const members = features.map(i => by.get(i)), c = counted(members);
    box.append(make("h3", {}, `All ${features.length} ${plural[kind]}`));
    box.append(make("p", {}, c.known ? `ρ(180°) is known for ${c.known} of ${features.length}. For ${c.yes} it is ${SAME} or more, and they count as repeating after half a turn${c.invariant ? `; ${c.invariant} of these are invariant by their name, and so repeat after every rotation` : ""}. By the whole interval in brackets ${c.safe} surely repeat, ${c.part} surely do in part, ${c.no} surely do not, and for ${c.known - c.safe - c.part - c.no} the data leave it open.`
      : "Whether they repeat after half a turn is not known: no other dictionary has them."));
    box.append(make("ul", { className: "kind" }, ...members.map((f, j) => card(f, poses[j], profile(f, true),
      make("strong", {}, `${f.feature}`), make("div", {}, f.rho_180 == null ? "ρ unknown" : `ρ ${rho(f)}`)))));
  }
  const first = GALLERY.telling.filter(i => by.has(i));
  if (first.length) box.append(make("h3", {}, "Features to begin with"),
    make("p", { className: "soft" }, "First the clearest of each kind: by reproducibility, times how surely the feature does what its kind does (a line repeats after 180°, a curve does not, an invariant feature never changes). Then the most reproducible that are left, the kinds in turn." + (first.some(i => by.get(i).turn.frames) ? " For these the slider shows the very images that the network was given." : "")),
    make("ul", { className: "kind" }, ...first.map(i => card(by.get(i), by.get(i).pose, make("strong", {}, `${i}`), ` ${about(by.get(i))}`))));
}

// One row a dictionary of the run: this gallery shows one of them.
function dictionaries() {
  const table = GALLERY.dictionaries;
  if (table.length < 2) return "";
  const share = ([repeat, many], not) => many ? `${not ? many - repeat : repeat} of ${many}` : "none there";
  return make("details", { open: true }, make("summary", {}, `The same in all ${table.length} dictionaries of the run`),
    make("p", { className: "soft" }, `Each was trained on other images (a fold) or with another encoder; this gallery shows one of the ${GALLERY.encoder} encoder. Counted by ρ(180°) of ${SAME} or more; where that is unknown, by the name.`),
    make("table", { className: "counts" }, make("thead", {}, make("tr", {}, ...["encoder", "fold", "lines that repeat after 180°", "curves that do not"].map(t => make("th", { scope: "col" }, t)))),
      make("tbody", {}, ...table.map(d => make("tr", {}, make("td", {}, d.encoder), make("td", {}, `${d.fold}`), make("td", {}, share(d.line)), make("td", {}, share(d.curve, true)))))));
}

// --- the index -----------------------------------------------------------------------------------
const orders = {
  "reproducibility": f => -(f.reproducibility ?? -1), "confidence": f => -(f.confidence ?? -1),
  "how often it fires": f => -(f.fires_on ?? 0), "family": f => (inFamily(f) ? f.family : 1e9),
  "number": f => f.feature, "ρ(180°)": f => -(f.rho_180 ?? -9),
};
const sizes = new Map(), cards = new Map();
for (const f of all) if (inFamily(f)) sizes.set(f.family, (sizes.get(f.family) || 0) + 1);
for (const f of all) cards.set(f.feature, card(f, f.pose, make("strong", {}, `${f.feature}`), ` ${about(f)}`,
  make("div", { className: "soft" }, inFamily(f) ? `family ${f.family}` : "no family", make("br"),
    `conf. ${number(f.confidence)}, repr. ${number(f.reproducibility)}`, make("br"), f.rho_180 == null ? "ρ unknown" : `ρ ${number(f.rho_180)}`)));
function options(id, values, first) {
  $(id).replaceChildren(...[first, ...values].map(v => new Option(v, v === first ? "" : v)));
}
const distinct = get => [...new Set(all.map(get).filter(v => v != null && v !== ""))];
options("label", distinct(f => word(f.label)).sort(), "any");
options("stabiliser", distinct(f => (f.stabiliser || "").split("@")[0]).sort(), "any");
options("family", [...sizes].sort((a, b) => b[1] - a[1]).map(([n]) => `${n}`), "any");
$("sort").replaceChildren(...Object.keys(orders).map(name => new Option(name, name)));
// Every word has to fit: "curve D1", "family 5", "invariant". Numbers alone are features'.
function matches(f, text) {
  if (/^[#\d][\s,#\d]*$/.test(text)) return (text.match(/\d+/g) || []).includes(`${f.feature}`);
  const family = inFamily(f) ? `family ${f.family}` : "no family", own = `feature ${f.feature}`;
  const kind = word(f.label).toLowerCase(), name = (f.stabiliser || "").toLowerCase();
  const fits = w => w === family || w === own || (/^(no family|family|feature)/.test(w) ? false
    : kind.includes(w) || (w.length > 3 && w.endsWith("s") && kind.includes(w.slice(0, -1)))
      || name === w || name.split("@")[0] === w || (w === "invariant" && name === "g"));
  return text.replaceAll("?", "").split(/(family \d+|feature \d+|no family)|[\s,]+/).filter(Boolean).every(fits);
}
const AT_FIRST = innerWidth > 640 ? 240 : 48; // cards of the list, or a phone scrolls for ever
// The first of the features that are listed, and how to see the others.
function fill(count) {
  const short = listed.length > count;
  $("grid").replaceChildren(...listed.slice(0, count).map(f => cards.get(f.feature)));
  $("grid").toggleAttribute("data-short", short);
  const more = make("button", { type: "button" }, `show all ${listed.length}`);
  more.addEventListener("click", () => fill(listed.length));
  $("more").replaceChildren(...(short ? [more] : []));
}
function filter() {
  const text = $("search").value.trim().toLowerCase();
  listed = all.filter(f =>
    matches(f, text) &&
    (!$("label").value || word(f.label) === $("label").value) &&
    (!$("stabiliser").value || (f.stabiliser || "").split("@")[0] === $("stabiliser").value) &&
    (!$("family").value || `${f.family}` === $("family").value) &&
    (f.confidence ?? 0) >= +$("confidence").value &&
    (f.reproducibility ?? 0) >= +$("reproducibility").value);
  const place = orders[$("sort").value];
  listed.sort((a, b) => place(a) - place(b) || a.feature - b.feature);
  fill(AT_FIRST);
  if (!listed.length) {
    const reset = make("button", { type: "reset" }, "take all filters away");
    reset.setAttribute("form", "filter");
    $("more").append("No feature fits. Words: a kind, a stabiliser, “invariant”, “family 5”, numbers. ", reset);
  }
  $("count").textContent = `${listed.length} of ${all.length} features`;
}
$("filter").addEventListener("input", filter);
$("filter").addEventListener("reset", () => setTimeout(filter));
$("filter").addEventListener("submit", event => event.preventDefault());
addEventListener("hashchange", show);
kinds(); filter(); show();
