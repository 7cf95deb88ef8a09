"use strict";
// Draws the conflict graph of the data above, and answers what is pointed at.
(() => {
  const $ = id => document.getElementById(id);
  const D = JSON.parse($("data").textContent);
  const HAZARD = ["RAW", "WAR", "WAW"], CLASS = ["raw", "war", "waw"];
  const [BW, BH] = D.box;
  const before = D.txs.map(() => []), after = D.txs.map(() => []);
  D.edges.forEach((e, i) => { after[e[0]].push(i); before[e[1]].push(i); });
  const folded = new Map();
  D.txs.forEach((t, i) => { if (t.o === 1) { const l = folded.get(t.w) || []; l.push(i); folded.set(t.w, l); } });
  const orders = e => e[2] & 1, certain = e => e[2] & 2, critical = e => e[2] & 4;
  const state = { hazards: [true, true, true], may: true, critical: true, hits: null, tx: null, edge: null, chain: null };
  let view = { x: 0, y: 0, k: 1 }, run = D.runs[0], colors = {};

  // --- text
  const el = (tag, text, cls) => { const n = document.createElement(tag); if (text != null) n.textContent = text; if (cls) n.className = cls; return n; };
  const grouped = n => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  const title = i => `tx${i} ${D.txs[i].n}`;
  const verdict = e => ["", "execution met here", "execution did not meet here", "missed by the prediction"][e[3]];
  const words = e => e[4].map(([h, p]) => `${HAZARD[h]} ${D.places[p][3]}`);
  $("title").textContent = D.title;
  $("figures").textContent = D.figures;
  const swatch = (cls, text) => { const n = el("span"); n.append(el("i", null, "line " + cls), text); return n; };
  $("legend").append(swatch("raw", "RAW: waits"), swatch("war", "WAR"), swatch("waw", "WAW: neither waits"), swatch("raw may", "may: only some runs, or not known where"), swatch("raw thick", "critical path"));
  if (D.checked) $("legend").append(swatch("unseen", "not needed when it ran"), swatch("missed", "missed by the prediction"));
  for (const line of D.captions) $("captions").append(el("li", line));

  // --- what is drawn
  const visible = e => (e[3] === 3 || e[4].some(([h]) => state.hazards[h])) && (state.may || certain(e));
  const curve = e => {
    const a = D.txs[e[0]].p, b = D.txs[e[1]].p;
    if (!a || !b) return null;
    const x1 = a[0] + BW, y1 = a[1] + BH / 2, y2 = b[1] + BH / 2;
    if (b[0] > x1) { const m = Math.max((b[0] - x1) / 2, 24); return [x1, y1, x1 + m, y1, b[0] - m, y2, b[0], y2]; }
    const x2 = b[0] + BW, o = Math.max(x1, x2) + 22;
    return [x1, y1, o, y1, o, y2, x2, y2];
  };
  const curves = D.edges.map(curve);
  const context = canvas => {
    const r = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
    if (canvas.width !== Math.round(w * r) || canvas.height !== Math.round(h * r)) { canvas.width = Math.round(w * r); canvas.height = Math.round(h * r); }
    const c = canvas.getContext("2d");
    c.setTransform(r, 0, 0, r, 0, 0);
    c.clearRect(0, 0, w, h);
    return c;
  };
  const cut = (text, n) => text.length <= n ? text : text.slice(0, n - 1) + "…";
  const lit = i => (!state.hits || state.hits.has(i)) && (!state.chain || state.chain.has(i));
  const edgeColor = e => e[3] === 3 ? colors.missed : e[3] === 2 ? colors.unseen : colors[CLASS[e[4].length ? e[4].reduce((a, [h]) => Math.min(a, h), 2) : 0]];

  function drawGraph() {
    const g = $("graph"), c = context(g), w = g.clientWidth, h = g.clientHeight;
    c.translate(view.x, view.y); c.scale(view.k, view.k);
    const far = view.k < 0.32, left = -view.x / view.k, right = left + w / view.k, top = -view.y / view.k, bottom = top + h / view.k;
    for (const wave of D.waves) {
      c.fillStyle = colors.wave; c.fillRect(wave.x - 7, 0, wave.b + 14, D.size[1]);
      c.fillStyle = colors.fg; c.font = `700 ${far ? 30 : 13}px ui-monospace, monospace`; c.fillText(`wave${wave.w}`, wave.x, far ? 30 : 15);
      if (!far) { c.fillStyle = colors.soft; c.font = "11px ui-monospace, monospace"; c.fillText(`${grouped(wave.g)} gas`, wave.x, 30); }
      if (wave.f) {
        c.strokeStyle = colors.line; c.setLineDash([2, 3]); c.lineWidth = 1; c.strokeRect(wave.f[0], wave.f[1], BW, BH); c.setLineDash([]);
        if (!far) { c.fillStyle = colors.soft; c.font = "11px ui-monospace, monospace"; c.fillText(`${folded.get(wave.w).length} without conflict`, wave.f[0] + 6, wave.f[1] + 19); }
      }
    }
    D.edges.forEach((e, i) => {
      const p = curves[i];
      if (!p || !visible(e)) return;
      if (Math.max(p[0], p[6], p[2]) < left || Math.min(p[0], p[6]) > right || Math.max(p[1], p[7]) < top || Math.min(p[1], p[7]) > bottom) return;
      const bright = state.edge === i || (lit(e[0]) && lit(e[1]));
      c.globalAlpha = bright ? (orders(e) ? 0.9 : 0.65) : 0.07;
      c.strokeStyle = edgeColor(e);
      c.lineWidth = (state.edge === i ? 4 : state.critical && critical(e) ? 3.5 : orders(e) ? 1.4 : 0.9) / Math.min(1, Math.max(view.k, 0.3));
      // Dashes of many long curves take most of a frame; from afar paleness tells as much.
      c.setLineDash(certain(e) || far ? [] : [6, 4]);
      if (far && !certain(e)) c.globalAlpha *= 0.35;
      c.beginPath(); c.moveTo(p[0], p[1]); c.bezierCurveTo(p[2], p[3], p[4], p[5], p[6], p[7]); c.stroke();
      if (!far && bright) {
        const back = p[4] > p[6] ? 7 : -7;
        c.setLineDash([]); c.beginPath(); c.moveTo(p[6], p[7]); c.lineTo(p[6] + back, p[7] - 4); c.lineTo(p[6] + back, p[7] + 4); c.closePath(); c.fillStyle = c.strokeStyle; c.fill();
      }
    });
    c.setLineDash([]);
    D.txs.forEach((t, i) => {
      if (!t.p || t.p[0] > right || t.p[0] + BW < left || t.p[1] > bottom || t.p[1] + BH < top) return;
      c.globalAlpha = lit(i) ? 1 : 0.15;
      c.fillStyle = state.hits && state.hits.has(i) ? colors.hit : colors.box;
      c.fillRect(t.p[0], t.p[1], BW, BH);
      c.strokeStyle = state.tx === i ? colors.waw : state.critical && t.c ? colors.fg : colors.soft;
      c.lineWidth = state.tx === i ? 4 : state.critical && t.c ? 3 : 1;
      c.setLineDash(t.m || t.d.length ? [4, 2] : []);
      c.strokeRect(t.p[0], t.p[1], BW, BH); c.setLineDash([]);
      if (far) return;
      c.fillStyle = colors.fg; c.font = "700 11px ui-monospace, monospace"; c.fillText(`tx${i}`, t.p[0] + 6, t.p[1] + 12);
      c.font = "10px ui-monospace, monospace"; c.fillText(cut(t.n, 20), t.p[0] + 6, t.p[1] + 25);
    });
    c.globalAlpha = 1;
  }

  const gantt = { left: 44, top: 4 };
  const laneHeight = () => ($("gantt").clientHeight - 20) / run.lanes;
  const scale = () => ($("gantt").clientWidth - gantt.left - 10) / Math.max(run.end, 1);
  function drawGantt() {
    const c = context($("gantt")), lh = laneHeight(), k = scale();
    c.font = "10px ui-monospace, monospace";
    for (let lane = 0; lane < run.lanes; lane += Math.max(1, Math.ceil(11 / lh))) { c.fillStyle = colors.soft; c.fillText(`core${lane}`, 6, gantt.top + lane * lh + Math.min(lh, 14) - 3); }
    run.slots.forEach(([lane, start], i) => {
      const t = D.txs[i], x = gantt.left + start * k, w = Math.max(t.g * k - 0.4, 0.4), y = gantt.top + lane * lh;
      c.globalAlpha = lit(i) ? 1 : 0.2;
      c.fillStyle = state.tx === i ? colors.waw : state.hits && state.hits.has(i) ? colors.hit : state.critical && t.c ? colors.hot : colors.bar;
      c.fillRect(x, y, w, Math.max(lh - 2, 1));
      if (w > 34 && lh > 11) { c.fillStyle = colors.fg; c.fillText(`tx${i}`, x + 3, y + Math.min(lh, 15) - 4); }
    });
    c.globalAlpha = 1;
    const work = D.txs.reduce((sum, t) => sum + t.g, 0), times = run.end ? work / run.end : 1;
    $("time").textContent = `on ${run.lanes} core${run.lanes === 1 ? "" : "s"}: ${grouped(run.end)} gas of time, ${times.toFixed(2)} times one core`;
  }
  let waiting = false;
  const draw = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; drawGraph(); drawGantt(); }); } };

  // --- what is said
  const link = i => { const a = el("a", title(i)); a.onclick = () => { select(i); show(i); }; return a; };
  function list(panel, heading, items) {
    if (!items.length) return;
    panel.append(el("h3", heading));
    const ul = el("ul"); items.forEach(n => { const li = el("li"); li.append(...n); ul.append(li); }); panel.append(ul);
  }
  const hazardLines = e => e[4].map(([h, p]) => { const d = el("div"); d.append(el("span", HAZARD[h] + " ", CLASS[h]), D.places[p][3]); d.title = D.places[p].slice(0, 3).filter(Boolean).join(" "); return d; });
  const edgeLine = (i, other) => { const e = D.edges[i]; return [link(other), el("span", certain(e) ? "" : " (may)", "soft"), el("span", e[3] ? " " + verdict(e) : "", e[3] === 3 ? "missed" : "soft"), ...hazardLines(e)]; };
  function showTx(i) {
    const panel = $("panel"), t = D.txs[i];
    panel.replaceChildren(el("h2", title(i)));
    for (const [k, v] of [["hash", t.h], ["from", t.f], ["to", t.t || "creates a contract"], ["calls", t.s || ""], ["gas", grouped(t.g) + " estimated"], ["wave", `wave${t.w}${t.c ? ", on the critical path" : ""}`]]) if (v) { const p = el("p"); p.append(el("span", k + " ", "soft"), v); panel.append(p); }
    list(panel, "widened", t.d.map(d => [d]));
    const by = (edges, end, raw) => edges.filter(x => !!orders(D.edges[x]) === raw).map(x => edgeLine(x, D.edges[x][end]));
    list(panel, "waits for", by(before[i], 0, true));
    list(panel, "waits for it", by(after[i], 1, true));
    list(panel, "also meets, without waiting", [...by(before[i], 0, false), ...by(after[i], 1, false)]);
    list(panel, "touches", t.a.map(([p, u]) => { const n = el("span", D.places[p][3]); n.title = D.places[p].slice(0, 3).filter(Boolean).join(" "); return [el("span", `${u & 1 ? "r" : "-"}${u & 2 ? "w" : u & 4 ? "+" : "-"}${u & 8 ? "?" : " "} `, "soft"), n]; }));
    panel.append(el("p", "r reads, w writes, + credits unseen, ? only some runs", "soft"));
    panel.scrollTop = 0;
  }
  function showEdge(i) {
    const e = D.edges[i], panel = $("panel"), h = el("h2"), order = el("p", orders(e) ? "the later one waits for the earlier one" : "each sees its own version: nothing waits");
    h.append(link(e[1]), " after ", link(e[0]));
    panel.replaceChildren(h, order, el("p", certain(e) ? "every run of both meets here" : "only some runs meet here, or it is not known where", "soft"));
    if (e[3]) panel.append(el("p", verdict(e), e[3] === 3 ? "missed" : "soft"));
    panel.append(...hazardLines(e));
  }
  function showFolded(wave) {
    const panel = $("panel"); panel.replaceChildren(el("h2", `wave${wave}: ${folded.get(wave).length} without conflict`));
    list(panel, "", folded.get(wave).map(i => [link(i)]));
  }
  function showNothing() {
    const panel = $("panel"); panel.replaceChildren(el("h2", "Reading this graph"));
    for (const line of ["A column is a wave: all of it can run at once when the wave before it is done. A box is a transaction.", ...D.legend.map(([w, m]) => `${w}: ${m}`), "A thick line is the critical path: no number of cores is faster. A dashed box has accesses that only some runs make, or that are not known.", D.checked ? "Grey: execution did not meet there. Pink: execution met there, and it was not predicted." : "", "Drag to move, wheel to zoom, click a box or an edge to follow its chain, Esc to leave it, / to search."]) if (line) panel.append(el("p", line), el("br"));
  }

  // --- what is chosen
  function chain(i) {
    const set = new Set([i]);
    for (const [edges, end] of [[before, 0], [after, 1]]) { const todo = [i], seen = new Set(todo); while (todo.length) for (const x of edges[todo.pop()]) { const e = D.edges[x], o = e[end]; if (orders(e) && !seen.has(o)) { seen.add(o); set.add(o); todo.push(o); } } }
    for (const x of [...before[i], ...after[i]]) { set.add(D.edges[x][0]); set.add(D.edges[x][1]); }
    return set;
  }
  function select(i) { state.tx = i; state.edge = null; state.chain = chain(i); showTx(i); draw(); }
  function selectEdge(i) { state.edge = i; state.tx = null; state.chain = new Set([...chain(D.edges[i][0]), ...chain(D.edges[i][1])]); showEdge(i); draw(); }
  function clear() { state.tx = state.edge = state.chain = null; showNothing(); draw(); }
  const place = i => D.txs[i].p || (D.waves.find(w => w.w === D.txs[i].w) || {}).f;
  function show(i) {
    const p = place(i), g = $("graph");
    if (!p) return;
    view.k = Math.max(view.k, 0.8); view.x = g.clientWidth / 2 - (p[0] + BW / 2) * view.k; view.y = g.clientHeight / 2 - (p[1] + BH / 2) * view.k; draw();
  }
  function search(text) {
    const q = text.trim().toLowerCase();
    if (!q) { state.hits = null; $("found").textContent = ""; draw(); return []; }
    const index = /^(tx)?\d+$/.test(q) ? Number(q.replace("tx", "")) : -1;
    const at = new Set(); D.places.forEach((p, i) => { if ((p[1] && p[1].toLowerCase().startsWith(q)) || (p[2] && p[2] === q) || p[3].toLowerCase().includes(q)) at.add(i); });
    const is = (t, i) => index >= 0 ? i === index : t.h.startsWith(q) || t.f.toLowerCase().startsWith(q) || (t.t && t.t.toLowerCase().startsWith(q)) || t.n.toLowerCase().includes(q) || t.a.some(([p]) => at.has(p));
    const hits = []; D.txs.forEach((t, i) => { if (t.o !== 2 && is(t, i)) hits.push(i); });
    state.hits = new Set(hits); state.chain = null; $("found").textContent = `${hits.length} found`; draw();
    return hits;
  }

  // --- what is pointed at
  const local = (canvas, ev) => { const r = canvas.getBoundingClientRect(); return [ev.clientX - r.left, ev.clientY - r.top]; };
  const inBox = (p, x, y) => p && x >= p[0] && x <= p[0] + BW && y >= p[1] && y <= p[1] + BH;
  function under(px, py) {
    const x = (px - view.x) / view.k, y = (py - view.y) / view.k;
    for (let i = 0; i < D.txs.length; i++) if (inBox(D.txs[i].p, x, y)) return { tx: i };
    for (const w of D.waves) if (inBox(w.f, x, y)) return { wave: w.w };
    let best = 6 / view.k, found = null;
    D.edges.forEach((e, i) => {
      const p = curves[i];
      if (!p || !visible(e)) return;
      if (x < Math.min(p[0], p[6]) - 8 || x > Math.max(p[0], p[2], p[6]) + 8 || y < Math.min(p[1], p[7]) - 8 || y > Math.max(p[1], p[7]) + 8) return;
      for (let s = 0; s <= 24; s++) { const t = s / 24, u = 1 - t, a = u * u * u, b = 3 * u * u * t, d = 3 * u * t * t, f = t * t * t; const m = Math.hypot(a * p[0] + b * p[2] + d * p[4] + f * p[6] - x, a * p[1] + b * p[3] + d * p[5] + f * p[7] - y); if (m < best) { best = m; found = { edge: i }; } }
    });
    return found;
  }
  function underGantt(px, py) {
    const lh = laneHeight(), k = scale(), lane = Math.floor((py - gantt.top) / lh), time = (px - gantt.left) / k;
    const i = run.slots.findIndex(([l, s], i) => l === lane && time >= s && time <= s + D.txs[i].g);
    return i < 0 ? null : { tx: i };
  }
  function tip(ev, at) {
    const box = $("tip");
    if (!at) { box.hidden = true; return; }
    box.textContent = at.tx != null ? `${title(at.tx)}\n${grouped(D.txs[at.tx].g)} gas${D.txs[at.tx].d.length ? "\nwidened: " + D.txs[at.tx].d.join(", ") : ""}` : at.wave != null ? `${folded.get(at.wave).length} transactions that conflict with nothing` : `tx${D.edges[at.edge][1]} after tx${D.edges[at.edge][0]}\n${words(D.edges[at.edge]).slice(0, 14).join("\n")}${D.edges[at.edge][3] ? "\n" + verdict(D.edges[at.edge]) : ""}`;
    box.hidden = false;
    box.style.left = Math.min(ev.clientX + 14, innerWidth - box.offsetWidth - 4) + "px";
    box.style.top = Math.min(ev.clientY + 14, innerHeight - box.offsetHeight - 4) + "px";
  }
  const choose = at => { if (!at) clear(); else if (at.tx != null) select(at.tx); else if (at.wave != null) showFolded(at.wave); else selectEdge(at.edge); };
  const graph = $("graph"), chart = $("gantt");
  let drag = null;
  graph.onpointerdown = ev => { drag = { x: ev.clientX, y: ev.clientY, vx: view.x, vy: view.y, moved: false }; graph.setPointerCapture(ev.pointerId); };
  graph.onpointermove = ev => {
    if (!drag) return tip(ev, under(...local(graph, ev)));
    const dx = ev.clientX - drag.x, dy = ev.clientY - drag.y;
    if (Math.abs(dx) + Math.abs(dy) > 3) drag.moved = true;
    view.x = drag.vx + dx; view.y = drag.vy + dy; draw();
  };
  graph.onpointerup = ev => { const was = drag; drag = null; if (was && !was.moved) choose(under(...local(graph, ev))); };
  graph.onpointerleave = chart.onpointerleave = () => { $("tip").hidden = true; };
  const zoom = (f, px, py) => { const k = Math.min(4, Math.max(0.02, view.k * f)); view.x = px - (px - view.x) * k / view.k; view.y = py - (py - view.y) * k / view.k; view.k = k; draw(); };
  graph.addEventListener("wheel", ev => { ev.preventDefault(); zoom(Math.exp(-ev.deltaY / 500), ...local(graph, ev)); }, { passive: false });
  chart.onpointermove = ev => tip(ev, underGantt(...local(chart, ev)));
  chart.onclick = ev => { const at = underGantt(...local(chart, ev)); choose(at); if (at) show(at.tx); };
  function fit() { const w = graph.clientWidth, h = graph.clientHeight; view.k = Math.min(1.2, Math.max(0.02, Math.min(w / D.size[0], h / D.size[1]))); view.x = (w - D.size[0] * view.k) / 2; view.y = Math.max(4, (h - D.size[1] * view.k) / 2); draw(); }

  // --- controls
  document.querySelectorAll("[data-hazard]").forEach(box => { box.onchange = () => { state.hazards[box.dataset.hazard] = box.checked; draw(); }; });
  $("may").onchange = () => { state.may = $("may").checked; draw(); };
  $("critical").onchange = () => { state.critical = $("critical").checked; draw(); };
  [...D.runs].sort((a, b) => a.lanes - b.lanes).forEach(r => { const o = el("option", r.lanes); o.value = r.lanes; o.selected = r === run; $("cores").append(o); });
  $("cores").onchange = () => { run = D.runs.find(r => r.lanes === Number($("cores").value)); draw(); };
  $("search").oninput = () => search($("search").value);
  $("search").onkeydown = ev => { if (ev.key === "Enter") { const hits = search($("search").value); if (hits.length) { select(hits[0]); state.chain = null; show(hits[0]); } } };
  $("fit").onclick = fit;
  function paint() { const s = getComputedStyle(document.documentElement); for (const name of ["bg", "fg", "soft", "line", "box", "wave", "raw", "war", "waw", "missed", "unseen", "hit", "bar", "hot"]) colors[name] = s.getPropertyValue("--" + name).trim(); draw(); }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = name => { document.documentElement.dataset.theme = name; paint(); };
  $("theme").onclick = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  addEventListener("keydown", ev => {
    if (ev.key === "Escape") { $("search").value = ""; search(""); clear(); graph.focus(); }
    if (ev.target === $("search")) return;
    const step = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[ev.key];
    if (step) { view.x += step[0]; view.y += step[1]; draw(); }
    if (ev.key === "/") { ev.preventDefault(); $("search").focus(); }
    if (ev.key === "+" || ev.key === "-") zoom(ev.key === "+" ? 1.25 : 0.8, graph.clientWidth / 2, graph.clientHeight / 2);
    if (ev.key === "0") fit();
  });
  addEventListener("resize", draw);
  theme(dark.matches ? "dark" : "light"); fit(); showNothing();
  // Where things are on the screen, for who drives the page from outside.
  const onScreen = (x, y) => { const r = graph.getBoundingClientRect(); return [r.left + view.x + x * view.k, r.top + view.y + y * view.k]; };
  window.picture = { data: D, show, at: i => onScreen(D.txs[i].p[0] + BW / 2, D.txs[i].p[1] + BH / 2), onEdge: i => { const p = curves[i]; return onScreen((p[0] + 3 * p[2] + 3 * p[4] + p[6]) / 8, (p[1] + 3 * p[3] + 3 * p[5] + p[7]) / 8); }, state, ready: performance.now() };
})();
