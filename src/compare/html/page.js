(() => {
  "use strict";

  const {
    charts, shown, drawn, digits, rate, plain, axisRate, millis, inUnit, brief, css, colour,
    pixels, font, mark, prepare, extent, roomy, fromZero, logRange, isWide, logAxis, axis, scale,
    widest, tell, hush, nearest, make, canvas,
  } = drawing;
  let scatterBy = 0;

  // Goodput against latency: each run is a mark, and each cloud of them has its name above it.

  const names = (u, runs) => {
    const { ctx, bbox } = u;
    ctx.globalAlpha = 1;
    ctx.fillStyle = css("--ink");
    ctx.strokeStyle = css("--card");
    ctx.lineWidth = 4 * pixels();
    ctx.lineJoin = "round";
    ctx.font = font(12 * pixels());
    ctx.textAlign = "center";
    charts.arms.forEach(({ name }, arm) => {
      const own = runs.filter((run) => run.arm === arm);
      if (!own.length) return;
      const xs = own.map((run) => u.valToPos(run.ms, "x", true)).sort((a, b) => a - b);
      const top = Math.min(...own.map((run) => u.valToPos(run.bits, "y", true)));
      const label = brief(name);
      const half = ctx.measureText(label).width / 2;
      const x = Math.min(bbox.left + bbox.width - half, Math.max(bbox.left + half, xs[Math.floor(xs.length / 2)]));
      const y = Math.max(bbox.top + 10 * pixels(), top - 11 * pixels());
      ctx.strokeText(label, x, y);
      ctx.fillText(label, x, y);
    });
  };

  const scatter = (box) => {
    const by = charts.scatter[scatterBy];
    const runs = by.arms.flatMap((runs, arm) => runs.map(([ms, bits, block]) => ({ arm, ms, bits, block })));
    const latencies = extent(runs.map((run) => run.ms));
    const log = isWide(latencies);
    const xs = log ? logRange(latencies) : fromZero(latencies);
    const ys = fromZero(extent(runs.map((run) => run.bits * 1.06)));
    const visible = () => runs.filter((run) => shown[run.arm]);
    const u = canvas(box, {
      scales: { x: scale(xs, log), y: scale(ys) },
      axes: [
        axis({ size: 24, label: `loaded latency ${by.name}, ms${log ? ", logarithmic" : ""}`, values: (u, splits) => splits.map(plain), ...(log ? logAxis(box.clientWidth / 60) : {}) }),
        axis({ values: (u, splits) => splits.map(axisRate), size: widest }),
      ],
      hooks: {
        draw: [(u) => {
          const { ctx } = u;
          ctx.save();
          for (const { arm, ms, bits } of visible()) {
            prepare(ctx, arm, 0.88);
            mark(ctx, arm, u.valToPos(ms, "x", true), u.valToPos(bits, "y", true), 6);
          }
          names(u, visible());
          ctx.restore();
        }],
      },
    }, xs, ys);
    nearest(u, () => visible().map(({ arm, ms, bits, block }) =>
      [arm, ms, bits, `${charts.arms[arm].name}, block ${block}`, [["goodput up", rate(bits)], [`loaded ${by.name}`, millis(ms)]]]));
  };

  // What share of requests took no longer. The axis is of nines, so that the tail has its room.

  const percent = (nines) => `${Number((100 - 100 * 10 ** -nines).toPrecision(Math.max(2, Math.ceil(nines) + 2)))} %`;
  const latency = (box, curves) => {
    const { nines, idle, loaded } = charts.latency;
    const both = extent([...idle, ...loaded].flat());
    const log = both[0] > 0;
    const last = nines[nines.length - 1];
    const marks = [Math.log10(2), 1, 2, 3, 4, 5].filter((at) => at <= last);
    make(box, {
      scales: { x: scale([0, last], false), y: scale(log ? logRange(both) : fromZero(both), log) },
      axes: [
        axis({ size: 24, label: "share of requests", splits: () => (box.clientWidth < 420 ? marks : [0, ...marks]), values: (u, splits) => splits.map(percent) }),
        axis({ label: log ? "ms, logarithmic" : "ms", values: (u, splits) => splits.map(plain), size: widest, ...(log ? logAxis(9) : {}) }),
      ],
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      series: [{}, ...curves.map((_, arm) => ({
        show: shown[arm], stroke: colour(arm), width: 2, dash: charts.arms[arm].mark.dashes, points: { show: false }, spanGaps: false,
      }))],
      hooks: {
        draw: [(u) => {
          const { ctx } = u;
          ctx.save();
          curves.forEach((curve, arm) => {
            if (!shown[arm]) return;
            for (const at of marks) {
              const nth = nines.findIndex((value) => value >= at - 1e-9);
              if (nth < 0 || curve[nth] === null) continue;
              prepare(ctx, arm, 1);
              mark(ctx, arm, u.valToPos(nines[nth], "x", true), u.valToPos(curve[nth], "y", true), 5);
            }
          });
          ctx.restore();
        }],
        ready: [(u) => follow(u, (nth) => [`${percent(nines[nth])} within`, curves.map((curve) => curve[nth]), millis])],
      },
    }, [nines, ...curves]);
  };

  // Tells of every arm at the pointer.
  const follow = (u, at) => {
    u.over.addEventListener("pointermove", (event) => {
      const nth = u.posToIdx(event.clientX - u.over.getBoundingClientRect().left);
      const [head, values, show] = at(nth);
      const rows = values
        .map((value, arm) => [value, arm])
        .filter(([value, arm]) => shown[arm] && value !== null && value !== undefined)
        .sort(([left], [right]) => right - left)
        .map(([value, arm]) => [charts.arms[arm].name, show(value)]);
      if (rows.length) tell(event, head, rows); else hush();
    });
    u.over.addEventListener("pointerleave", hush);
  };

  // Goodput over time: runs are thin, their median bold.

  const overTime = (box, way) => {
    const highest = Math.max(...["up", "down"].map((name) => (charts[name] ? extent(charts[name].runs.flatMap((run) => run.rates))[1] : 0)));
    const thin = way.runs.map(({ arm }) => ({ show: shown[arm], arm, stroke: colour(arm), width: 1, alpha: 0.22, points: { show: false } }));
    const bold = way.medians.map((_, arm) => ({
      show: shown[arm], arm, stroke: colour(arm), width: 2.5, dash: charts.arms[arm].mark.dashes, points: { show: false },
    }));
    const end = way.times[way.times.length - 1] + way.times[0];
    make(box, {
      scales: {
        x: { time: false, auto: false, range: (u, low, high) => (low === way.times[0] && high === way.times[way.times.length - 1] ? [0, end] : [low, high]) },
        y: scale(fromZero([0, highest])),
      },
      axes: [
        axis({ size: 24, label: "seconds since the load began", values: (u, splits) => splits.map(plain) }),
        axis({ values: (u, splits) => splits.map(axisRate), size: widest }),
      ],
      cursor: { y: false, points: { show: false } },
      series: [{}, ...thin, ...bold],
      hooks: {
        drawClear: [(u) => {
          if (!way.measured_from) return;
          const { ctx, bbox } = u;
          const until = Math.min(bbox.left + bbox.width, u.valToPos(way.measured_from, "x", true));
          if (until <= bbox.left) return;
          ctx.save();
          ctx.fillStyle = css("--band");
          ctx.fillRect(bbox.left, bbox.top, until - bbox.left, bbox.height);
          ctx.fillStyle = css("--soft");
          ctx.font = font(11 * pixels());
          ctx.textBaseline = "top";
          ctx.fillText("warm-up", bbox.left + 5 * pixels(), bbox.top + 4 * pixels());
          ctx.restore();
        }],
        draw: [(u) => {
          // A mark near the end of each median tells whose it is without colour.
          const { ctx } = u;
          ctx.save();
          way.medians.forEach((median, arm) => {
            const nth = Math.round((median.length - 1) * (0.5 + 0.45 * (arm / charts.arms.length)));
            const at = way.times[nth];
            if (!shown[arm] || median[nth] === null || at < u.scales.x.min || at > u.scales.x.max) return;
            prepare(ctx, arm, 1);
            mark(ctx, arm, u.valToPos(at, "x", true), u.valToPos(median[nth], "y", true), 6);
          });
          ctx.restore();
        }],
        ready: [(u) => follow(u, (nth) => [`${plain(way.times[nth])} s, medians`, way.medians.map((median) => median[nth]), rate])],
      },
    }, [way.times, ...way.runs.map((run) => run.rates), ...way.medians]);
  };

  // One metric, run by run: a row for each arm.

  const strip = (box, one) => {
    const rows = charts.arms.length;
    box.style.height = `${rows * 30 + 32}px`;
    const values = extent([...one.runs.flat().map(([value]) => value), ...one.medians.flat().filter((value) => value !== null)]);
    const log = isWide(values);
    const xs = log ? logRange(values) : one.unit === "×" ? roomy(values) : fromZero(values);
    const ys = [-0.6, rows - 0.4];
    const row = (arm) => rows - 1 - arm;
    const show = inUnit[one.unit] || ((value) => `${digits(value)} ${one.unit}`);
    // Runs of equal value lie beside each other, the same way each time, and above the median.
    const beside = (block) => 0.14 + (((block * 0.618) % 1) - 0.5) * 0.44;
    const below = (arm) => row(arm) - 0.3;
    const points = () => one.runs.flatMap((runs, arm) => (shown[arm] ? runs : []).map(([value, block]) => ({ arm, value, block })));
    // A reader has to know that distances are ratios.
    box.parentElement.querySelector("small").textContent = log ? `${one.unit}, logarithmic` : one.unit;
    const u = canvas(box, {
      padding: [8, one.unit === "bit/s" ? 26 : 14, 0, 0],
      scales: { x: scale(xs, log), y: scale(ys) },
      axes: [
        axis({ values: (u, splits) => splits.map(one.unit === "bit/s" ? axisRate : plain), size: 24, space: 62, ...(log ? logAxis(5) : {}) }),
        axis({ splits: () => charts.arms.map((_, arm) => row(arm)), values: () => charts.arms.map(({ name }) => brief(name)), size: widest }),
      ],
      hooks: {
        draw: [(u) => {
          const { ctx } = u;
          const x = (value) => u.valToPos(value, "x", true);
          const y = (value) => u.valToPos(value, "y", true);
          ctx.save();
          for (const { arm, value, block } of points()) {
            prepare(ctx, arm, 0.9);
            mark(ctx, arm, x(value), y(row(arm) + beside(block)), 4.5);
          }
          one.medians.forEach((median, arm) => {
            if (!median || !shown[arm]) return;
            const [value, low, high] = median;
            const at = y(below(arm));
            ctx.globalAlpha = 1;
            ctx.strokeStyle = css("--ink");
            ctx.lineWidth = pixels();
            ctx.beginPath();
            ctx.moveTo(x(low), at); ctx.lineTo(x(high), at);
            ctx.stroke();
            ctx.lineWidth = 2.5 * pixels();
            ctx.beginPath();
            ctx.moveTo(x(value), at - 4 * pixels()); ctx.lineTo(x(value), at + 4 * pixels());
            ctx.stroke();
          });
          ctx.restore();
        }],
      },
    }, xs, ys);
    nearest(u, () => points().map(({ arm, value, block }) =>
      [arm, value, row(arm) + beside(block), `${charts.arms[arm].name}, block ${block}`, [[show(value)]]]));
  };

  // All of it

  const draw = () => {
    hush();
    drawn.splice(0).forEach(({ u }) => u.destroy());
    for (const box of document.querySelectorAll("[data-chart]")) {
      switch (box.dataset.chart) {
        case "scatter": scatter(box); break;
        case "idle": latency(box, charts.latency.idle); break;
        case "loaded": latency(box, charts.latency.loaded); break;
        case "up": overTime(box, charts.up); break;
        case "down": overTime(box, charts.down); break;
        default: strip(box, charts.strips[Number(box.dataset.strip)]);
      }
    }
    document.documentElement.dataset.drawn = String(drawn.length);
  };

  for (const input of document.querySelectorAll("[data-arm]")) {
    // Browsers keep what was chosen before a reload.
    shown[Number(input.dataset.arm)] = input.checked;
    input.addEventListener("change", () => { shown[Number(input.dataset.arm)] = input.checked; draw(); });
  }
  for (const input of document.querySelectorAll("[name=scatter]")) {
    if (input.checked) scatterBy = Number(input.value);
    input.addEventListener("change", () => {
      scatterBy = Number(input.value);
      document.querySelector("[data-chart=scatter]").setAttribute("aria-label",
        `Goodput against latency under load, run by run. Medians: ${charts.scatter[scatterBy].summary}`);
      draw();
    });
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        // Without leave to write it, it is at least selected.
        getSelection().selectAllChildren(source);
        button.textContent = "Selected";
      }
    });
  }
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => {
      // As it was written: numbers of 64 bits would not survive being read here.
      const json = document.getElementById(button.dataset.save).textContent;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([json, "\n"], { type: "application/json" }));
      link.download = `polyperf-${button.dataset.save}.json`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("scroll", hush, { passive: true });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    draw();
  });
  draw();
})();
