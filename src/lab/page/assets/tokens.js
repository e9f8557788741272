// Tokens as they stand in URLs: found, decoded field by field, and shown with the time they have left.

const MEANING = {
  ip: () => 'only this address',
  st: (value) => `valid from ${clock(value)}`,
  exp: (value) => `valid until ${clock(value)}`,
  acl: (value) => (value === '/*' ? 'every path' : 'paths that match'),
  id: () => 'session id',
  data: (value) => (value.startsWith('hdntl') ? 'marks a session token' : 'payload'),
  hmac: () => 'signature over all that precedes',
};

function clock(seconds) {
  const date = new Date(Number(seconds) * 1000);
  const time = date.toLocaleTimeString([], { hour12: false });
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString()} ${time}`;
}

export function unescape(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** Where tokens called `name` stand in a URL: in the query, or as a component of the path. */
export function find(url, name) {
  const inQuery = new RegExp(`[?&](${name}=([^&#]*))`).exec(url);
  const found = inQuery ?? new RegExp(`/(${name}=([^/?#]*))`).exec(url);
  if (!found) return null;
  const start = found.index + 1;
  return { start, end: start + found[1].length, value: found[2], carrier: inQuery ? 'query' : 'path' };
}

/** The fields of a token: `exp=…~acl=…~hmac=…`. */
export function decode(value) {
  const text = value.includes('~') ? value : unescape(value);
  const fields = text.split('~').filter(Boolean).map((field) => {
    const at = field.indexOf('=');
    return { name: field.slice(0, at), value: unescape(field.slice(at + 1)) };
  });
  const number = (name) => Number(fields.find((field) => field.name === name)?.value) || null;
  return { text, fields, exp: number('exp'), st: number('st') };
}

/** A URL as nodes, its tokens marked; `short` leaves out the middle of each. */
export function marked(url, names, short) {
  const spans = Object.entries(names)
    .map(([role, name]) => ({ role, ...find(url, name) }))
    .filter((span) => span.end)
    .sort((a, b) => a.start - b.start);
  const nodes = [];
  let at = 0;
  for (const span of spans) {
    const text = url.slice(span.start, span.end);
    const mark = document.createElement('span');
    mark.className = `tok ${span.role}`;
    mark.textContent = short && text.length > 40 ? `${text.slice(0, 20)}…${text.slice(-8)}` : text;
    nodes.push(url.slice(at, span.start), mark);
    at = span.end;
  }
  return [...nodes, url.slice(at)];
}

/** A card that shows one token and counts down. */
export class Card {
  constructor(root, role, name, waiting) {
    Object.assign(this, { root, role, name, waiting, token: null });
    this.clear();
  }

  clear(note = this.waiting) {
    this.token = null;
    this.render(note);
  }

  note(text) {
    if (!this.token) this.render(text);
  }

  show(value, note) {
    if (this.token?.raw === value) return;
    this.token = { raw: value, seen: Date.now() / 1000, ...decode(value) };
    this.render(note);
  }

  render(note) {
    const card = this.root;
    card.replaceChildren();
    const head = element('header', '', card);
    const title = element('h3', this.role === 'access' ? 'Access token ' : 'Session token ', head);
    element('code', this.name, title);
    this.left = element('span', '', head, 'left');
    this.left.dataset.testid = `${this.role}-countdown`;
    if (this.token?.exp) {
      this.meter = element('meter', '', card);
      this.meter.setAttribute('aria-label', 'Life left');
      this.meter.min = 0;
      this.meter.max = Math.max(1, this.token.exp - this.token.seen);
    }
    if (this.token) {
      const body = element('tbody', '', element('table', '', card));
      for (const { name, value } of this.token.fields) {
        const row = element('tr', '', body);
        row.dataset.field = name;
        element('th', name, row).scope = 'row';
        const cell = element('td', '', row);
        element('code', value, cell);
        element('small', MEANING[name]?.(value) ?? 'unknown field', cell);
      }
    }
    if (note) element('p', note, card);
    this.tick();
  }

  tick() {
    if (!this.token?.exp) return;
    const left = this.token.exp - Date.now() / 1000;
    this.left.textContent = left > 0 ? span(left) : 'expired';
    this.left.classList.toggle('over', left <= 0);
    this.meter.value = Math.max(0, left);
  }
}

function span(seconds) {
  const whole = Math.ceil(seconds);
  const pad = (n) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

export function element(tag, text, parent, className) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (className) node.className = className;
  parent?.append(node);
  return node;
}
