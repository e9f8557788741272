// The operators' page: asks the listener that it came from every two seconds, and draws what has changed. It keeps nothing.

const EVERY = 2000;
const KEPT = 120; // samples in a plot: four minutes ...
const FEWEST = 15; // ... and half of a minute, while there are no more
const at = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

let token = null; // in memory only
let by = 'requests';
let last = null; // the metrics of the poll before
let first = null; // those of the first poll
const series = { requests: [], denials: [], hits: [], bytes: [], connections: [], median: [], p99: [] };

class NotAllowed extends Error {}

async function ask(path, kind) {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { headers, cache: 'no-store', credentials: 'omit', redirect: 'error' });
  if (answer.status === 401) throw new NotAllowed();
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer[kind]();
}

/** OpenMetrics as a map from names to samples, each with its labels. */
function read(text) {
  const all = new Map();
  for (const line of text.split('\n')) {
    const found = /^sluicegate_([a-z0-9_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) labels[name] = value.replace(/\\(.)/g, '$1');
    if (!all.has(found[1])) all.set(found[1], []);
    all.get(found[1]).push({ labels, value: Number(found[3]) });
  }
  return { all, time: performance.now() };
}

const sum = (metrics, name, is = () => true) =>
  (metrics?.all.get(name) ?? []).filter((sample) => is(sample.labels)).reduce((total, sample) => total + sample.value, 0);

/** Counts by upper bound, each bucket alone, of what came between two polls. */
function buckets(now, before, name) {
  const cumulative = (metrics) => {
    const counts = new Map();
    for (const { labels, value } of metrics?.all.get(`${name}_bucket`) ?? []) {
      const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + value);
    }
    return counts;
  };
  const [later, earlier] = [cumulative(now), cumulative(before)];
  let below = 0;
  return [...later.keys()].sort((a, b) => a - b).map((bound) => {
    const upTo = later.get(bound) - (earlier.get(bound) ?? 0);
    const count = Math.max(0, upTo - below);
    below = upTo;
    return { bound, count };
  });
}

/** The value below which a share of all lies, within its bucket by proportion. */
function quantile(counts, share) {
  const total = counts.reduce((all, { count }) => all + count, 0);
  if (total === 0) return null;
  let left = total * share;
  let from = 0;
  for (const { bound, count } of counts) {
    if (left <= count && count > 0) return bound === Infinity ? from : from + (bound - from) * (left / count);
    left -= count;
    from = bound;
  }
  return from;
}

const round = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const scaled = (value, units, step) => {
  let unit = 0;
  while (value >= step && unit < units.length - 1) { value /= step; unit += 1; }
  return `${unit === 0 && Number.isInteger(value) ? value : round(value)} ${units[unit]}`.trim();
};
const number = (value) => scaled(value, ['', 'k', 'M', 'G'], 1000);
const size = (value) => scaled(value, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], 1024);
const time = (seconds) => (seconds === null ? '–' : seconds < 1 ? `${round(seconds * 1000)} ms` : `${round(seconds)} s`);
function span(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return days > 0 ? `${days} d ${hours} h` : hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${seconds} s`;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Lines over time; a gap where nothing was measured. */
function plot(id, lines, most = null) {
  const svg = at(id);
  svg.setAttribute('viewBox', '0 0 240 56');
  svg.setAttribute('preserveAspectRatio', 'none');
  const top = most ?? Math.max(1e-9, ...lines.flat().filter((value) => value !== null)) * 1.1;
  const kept = Math.min(KEPT, Math.max(FEWEST, ...lines.map((values) => values.length)));
  const x = (index, length) => ((kept - length + index) / (kept - 1)) * 240;
  const y = (value) => 55 - (Math.min(value, top) / top) * 53;
  svg.replaceChildren(shape('line', { class: 'grid', x1: 0, x2: 240, y1: 55, y2: 55 }));
  lines.forEach((values, which) => {
    let path = '';
    let pen = false;
    values.forEach((value, index) => {
      if (value === null) { pen = false; return; }
      path += `${pen ? 'L' : 'M'}${x(index, values.length).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = true;
    });
    if (which === 0 && lines.length === 1 && path && !values.includes(null)) {
      svg.append(shape('path', { class: 'area', d: `${path}L240 55L${x(0, values.length).toFixed(1)} 55Z` }));
    }
    svg.append(shape('path', { class: which === 0 ? 'line' : 'line second', d: path }));
  });
}

/** The histograms as they are drawn, to be drawn anew in another width. */
const drawn = new Map();
window.addEventListener('resize', () => drawn.forEach((counts, id) => bars(id, counts)));

/** A histogram: how many in each bucket, with its upper bound below it. */
function bars(id, counts) {
  const svg = at(id);
  drawn.set(id, counts);
  const width = Math.max(200, svg.clientWidth);
  const height = Math.max(100, svg.clientHeight);
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.replaceChildren(shape('line', { class: 'grid', x1: 0, x2: width, y1: height - 16, y2: height - 16 }));
  const most = Math.max(1, ...counts.map(({ count }) => count));
  const step = width / Math.max(1, counts.length);
  const each = Math.ceil(30 / step); // bars for a label, so that none covers another
  if (!counts.some(({ count }) => count > 0)) svg.append(shape('text', { x: width / 2, y: height / 2 }, 'nothing yet'));
  counts.forEach(({ bound, count }, index) => {
    const tall = (count / most) * (height - 34);
    const label = bound === Infinity ? '∞' : bound < 1 ? `${Number((bound * 1000).toPrecision(3))}ms` : `${bound}s`;
    const bar = shape('rect', { class: 'bar', x: index * step + 1, y: height - 16 - tall, width: Math.max(1, step - 2), height: tall, rx: 1 });
    bar.append(shape('title', {}, `up to ${label}: ${count}`));
    svg.append(bar);
    if (index % each === 0) svg.append(shape('text', { x: (index + .5) * step, y: height - 3 }, label));
    if (count > 0) svg.append(shape('text', { x: (index + .5) * step, y: height - 20 - tall }, number(count)));
  });
}

function rows(id, lines, none) {
  const body = at(id).tBodies[0];
  const made = lines.map((cells) => {
    const row = document.createElement('tr');
    for (const cell of cells) {
      const field = row.insertCell();
      [field.textContent, field.className] = Array.isArray(cell) ? cell : [cell, ''];
    }
    return row;
  });
  if (made.length === 0) {
    const field = document.createElement('tr').insertCell();
    field.colSpan = at(id).tHead.rows[0].cells.length;
    [field.textContent, field.className] = [none, 'none'];
    made.push(field.parentElement);
  }
  body.replaceChildren(...made);
}

function keep(name, value) {
  series[name].push(value);
  if (series[name].length > KEPT) series[name].shift();
}

function showNumbers(now) {
  first ??= now;
  bars('spread', buckets(now, first, 'first_byte_seconds'));
  bars('origin-spread', buckets(now, null, 'origin_first_byte_seconds'));
  at('connections').textContent = number(sum(now, 'connections_open'));
  keep('connections', sum(now, 'connections_open'));
  plot('connections-plot', [series.connections]);
  if (last) {
    const seconds = (now.time - last.time) / 1000;
    const rate = (name, is) => Math.max(0, sum(now, name, is) - sum(last, name, is)) / seconds;
    const values = { requests: rate('requests_total'), denials: rate('denials_total'), bytes: rate('body_bytes_total') };
    for (const [name, value] of Object.entries(values)) { keep(name, value); plot(`${name}-plot`, [series[name]]); }
    at('requests').textContent = `${number(values.requests)}/s`;
    at('denials').textContent = `${number(values.denials)}/s`;
    at('bytes').textContent = `${size(values.bytes)}/s`;
    const saved = rate('cache_total', ({ result }) => ['hit', 'stale', 'collapsed'].includes(result));
    const asked = rate('cache_total');
    keep('hits', asked > 0 ? saved / asked : null);
    const ratio = series.hits.findLast((value) => value !== null) ?? null;
    at('hits').textContent = ratio === null ? '–' : `${(ratio * 100).toFixed(1)} %`;
    plot('hits-plot', [series.hits], 1);
    const lately = buckets(now, last, 'first_byte_seconds');
    keep('median', quantile(lately, .5));
    keep('p99', quantile(lately, .99));
    at('latency').textContent = `${time(series.median.at(-1))} · ${time(series.p99.at(-1))}`;
    plot('latency-plot', [series.median, series.p99]);
  }
  const before = last;
  const reasons = (now.all.get('denials_total') ?? []).filter((sample) => sample.value > 0).sort((a, b) => b.value - a.value);
  rows('reasons', reasons.slice(0, 20).map(({ labels, value }) => {
    const same = (other) => other.reason === labels.reason && other.property === labels.property;
    const seconds = before ? (now.time - before.time) / 1000 : null;
    const rate = seconds ? `${round(Math.max(0, value - sum(before, 'denials_total', same)) / seconds)}` : '–';
    return [labels.reason, labels.property, number(value), rate];
  }), 'nobody was refused');
  last = now;
}

function showStatus(status) {
  at('state').textContent = status.state;
  at('state').className = `badge ${status.state}`;
  const version = status.commit ? `${status.version} (${status.commit})` : status.version;
  const { objects } = status.cache.memory;
  const cache = `${number(objects)} ${objects === 1 ? 'object' : 'objects'}, ${size(status.cache.memory.bytes)} in memory`;
  const disk = status.cache.disk ? `, ${size(status.cache.disk.bytes)} on disk` : '';
  const fleet = status.fleet.isConnected === null ? '' : ` · fleet ${status.fleet.isConnected ? 'connected' : 'away'}`;
  at('about').textContent = `${version} · up ${span(status.uptimeSeconds)} · configuration ${status.configuration.generation} · ${cache}${disk}${fleet}`;
  at('problems').replaceChildren(...status.problems.map((problem) => Object.assign(document.createElement('li'), { textContent: problem })));
}

function showOrigins(properties) {
  const lines = [];
  for (const { name, origins } of properties) {
    for (const origin of origins) {
      const called = origin.name ? `${name} (${origin.name})` : name;
      if (origin.servers.length === 0) lines.push([called, 'built-in streams', ['up', 'up'], '–', '–', '–']);
      for (const server of origin.servers) {
        lines.push([called, server.name, [server.state, server.state], number(server.requests), number(server.failures), server.underWay]);
      }
    }
  }
  rows('origins', lines, 'there is no origin');
}

function showSessions({ sessions, count }) {
  at('session-count').textContent = count > 0 ? `(${count})` : '';
  rows('sessions', sessions.map((one) => [one.property, `${one.by} ${one.value}`, one.address, `${one.seenSecondsAgo} s ago`]), 'no viewing is counted ([property.limits])');
}

function showTop({ objects, by: of }) {
  rows('top', objects.map((one) => [one.property, one.path, of === 'bytes' ? size(one.value) : number(one.value)]), 'nothing was asked for yet');
}

async function poll() {
  try {
    const status = await ask('/status', 'json'); // alone: where the token is missing, one refusal is enough
    const [metrics, properties, sessions, top] = await Promise.all([
      ask('/metrics', 'text'), ask('/properties', 'json'), ask('/sessions?pageSize=15', 'json'), ask(`/top?count=15&by=${by}`, 'json'),
    ]);
    at('ask').hidden = true;
    at('trouble').hidden = true;
    document.querySelector('main').hidden = false;
    showStatus(status);
    showNumbers(read(metrics));
    showOrigins(properties);
    showSessions(sessions);
    showTop(top);
  } catch (problem) {
    if (problem instanceof NotAllowed) {
      at('wrong').textContent = token === null ? '' : 'That is not the token.';
      token = null;
      document.querySelector('main').hidden = true;
      at('state').textContent = 'locked';
      at('ask').hidden = false;
      at('token').focus();
      return; // until the token is given
    }
    at('state').textContent = 'away';
    at('state').className = 'badge away';
    at('trouble').textContent = `The edge does not answer (${problem.message}); asking again.`;
    at('trouble').hidden = false;
  }
  setTimeout(poll, EVERY);
}

at('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  token = at('token').value;
  at('token').value = '';
  poll();
});
for (const which of ['requests', 'bytes']) {
  at(`by-${which}`).addEventListener('click', async () => {
    by = which;
    for (const other of ['requests', 'bytes']) at(`by-${other}`).setAttribute('aria-pressed', String(other === which));
    showTop(await ask(`/top?count=15&by=${by}`, 'json'));
  });
}
poll();
