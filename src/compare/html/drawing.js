// What every chart is drawn with: figures, colours, marks, scales and tips.
const drawing = (() => {
  "use strict";

  const charts = JSON.parse(document.getElementById("charts").textContent);
  const shown = charts.arms.map(() => true);
  const tip = document.getElementById("tip");
  const drawn = [];

  // Figures

  const digits = (value) => {
    const size = Math.abs(value);
    return size === 0 ? "0" : size < 0.01 ? value.toPrecision(2)
      : size < 9.995 ? value.toFixed(2) : size < 99.95 ? value.toFixed(1) : value.toFixed(0);
  };
  const rate = (bits, show = digits) => {
    const names = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
    let power = 0;
    while (Math.abs(bits) >= 999.5 && power < 4) { bits /= 1000; power += 1; }
    return `${show(bits)} ${names[power]}`;
  };
  // On an axis, a figure has no more digits than it needs.
  const plain = (value) => String(Number(value.toPrecision(4)));
  const axisRate = (bits) => (bits === 0 ? "0" : rate(bits, plain));
  const millis = (ms) => `${digits(ms)} ms`;
  const brief = (name) => (name.length > 12 ? `${name.slice(0, 11)}…` : name);
  const inUnit = { "ms": millis, "bit/s": rate };

  // Colours follow the reader's scheme, so they are looked up each time.

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (arm) => css(`--arm-${arm % 8}`);
  const pixels = () => window.devicePixelRatio || 1;
  const font = (size) => `${size}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;

  const mark = (ctx, arm, x, y, size) => {
    const scale = size * pixels();
    ctx.beginPath();
    charts.arms[arm].mark.corners.forEach(([dx, dy], nth) => {
      ctx[nth ? "lineTo" : "moveTo"](x + dx * scale, y + dy * scale);
    });
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  };
  const prepare = (ctx, arm, alpha) => {
    ctx.globalAlpha = alpha;
    ctx.fillStyle = colour(arm);
    ctx.strokeStyle = css("--card");
    ctx.lineWidth = pixels();
    ctx.setLineDash([]);
  };

  // Scales

  const extent = (values) => {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return low <= high ? [low, high] : [0, 1];
  };
  const roomy = ([low, high]) => {
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  };
  const fromZero = ([low, high]) => (low < 0 ? roomy([low, high]) : [0, high * 1.06 || 1]);
  const logRange = ([low, high]) => [low / 1.15, high * 1.15];
  // A logarithmic axis is for values that differ by magnitudes, and are above zero.
  const isWide = ([low, high]) => low > 0 && high / low > 12;
  const logSplits = (low, high, most) => {
    for (const steps of [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
      const splits = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        for (const step of steps) {
          const value = Number((step * 10 ** power).toPrecision(4));
          if (value >= low && value <= high) splits.push(value);
        }
      }
      if (splits.length <= most || steps.length === 1) return splits;
    }
    return [];
  };

  const axis = (more) => ({
    stroke: css("--soft"), font: font(12), labelFont: font(12), labelSize: 18, gap: 4,
    grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, ...more,
  });
  const logAxis = (most) => ({
    splits: (u, nth, low, high) => logSplits(low, high, most), filter: (u, splits) => splits,
  });
  const scale = (range, log) => ({ time: false, auto: false, range: () => range, ...(log ? { distr: 3, log: 10 } : {}) });

  // Width of the longest label of an axis.
  const widest = (u, values) => {
    if (!values) return 40;
    u.ctx.save();
    u.ctx.font = font(12 * pixels());
    const width = Math.max(...values.map((value) => u.ctx.measureText(value || "").width));
    u.ctx.restore();
    return Math.ceil(width / pixels()) + 10;
  };

  // Tips

  const tell = (event, head, rows) => {
    const line = (cells, name) => {
      const div = document.createElement("div");
      div.className = name;
      for (const cell of cells) div.appendChild(document.createElement("span")).textContent = cell;
      return div;
    };
    tip.replaceChildren(line([head], "head"), ...rows.map((cells) => line(cells, "")));
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const left = event.clientX + 14 + width > innerWidth ? event.clientX - 14 - width : event.clientX + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - height - 4))}px`;
  };
  const hush = () => { tip.hidden = true; };

  // Tells of the nearest of points: each is [arm, x, y, head, rows].
  const nearest = (u, points) => {
    u.over.addEventListener("pointermove", (event) => {
      const box = u.over.getBoundingClientRect();
      let best = null, least = 22 ** 2;
      for (const point of points()) {
        const dx = u.valToPos(point[1], "x") - (event.clientX - box.left);
        const dy = u.valToPos(point[2], "y") - (event.clientY - box.top);
        if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = point; }
      }
      if (best) tell(event, best[3], best[4]); else hush();
    });
    u.over.addEventListener("pointerleave", hush);
  };

  const size = (box) => ({ width: Math.max(200, box.clientWidth), height: box.clientHeight });
  const make = (box, options, data) => {
    const u = new uPlot({
      ...size(box), legend: { show: false }, padding: [8, 14, 0, 0], ...options,
    }, data, box);
    drawn.push({ box, u });
    return u;
  };
  // A chart whose marks are drawn by hand: a series that spans it gives it its scales.
  const canvas = (box, options, xs, ys) => make(box, {
    cursor: { show: false },
    series: [{}, { paths: () => null, points: { show: false } }],
    ...options,
  }, [xs, ys]);

  return {
    charts, shown, drawn, digits, rate, plain, axisRate, millis, inUnit, brief, css, colour,
    pixels, font, mark, prepare, extent, roomy, fromZero, logRange, isWide, logAxis,
    axis, scale, widest, tell, hush, nearest, make, canvas,
  };
})();
