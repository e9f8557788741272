// The exchange as it happens: every request with its outcome, and the five steps that they make up.

import { element, find, marked } from './tokens.js';

const ROWS_MAX = 400;

/** What each reason of the edge means to a person. */
export const REASONS = {
  no_token: 'The request carried no token.',
  malformed: 'The token cannot be read.',
  duplicate_token: 'Two different tokens of one name came with one request.',
  bad_signature: 'The signature does not match: another key, or a changed character.',
  not_yet_valid: 'The token starts later than now.',
  expired: 'The token has expired.',
  expiry_too_far: 'The token lives longer than this edge allows.',
  acl_mismatch: 'The token is for other paths.',
  url_mismatch: 'The token is for another URL.',
  ip_mismatch: 'The token is for another address.',
  revoked: 'The session has been revoked.',
  session_limit: 'Too many sessions at once.',
  geo_blocked: 'Not to be watched from this country.',
  ip_blocked: 'Not to be watched from this address.',
  not_https: 'Only over HTTPS.',
  method: 'Only GET, HEAD and OPTIONS.',
  playlist_not_listed: 'Not among the listed multivariant playlists.',
};

export const isRefusal = (status) => status === 401 || status === 403 || status === 410;

const KINDS = [
  [/\.m3u8$/, 'playlist', 'Media playlist'],
  [/\.(key|bin)$/, 'media', 'Key'],
  [/\.(vtt|webvtt)$/, 'media', 'Subtitles'],
  [/init[^/]*\.mp4$/, 'media', 'Initialisation segment'],
];

const TRACKS = { v: 'video', a: 'audio', s: 'subtitles' };

/** The step and the name of a request, from its path without tokens. */
function classify(url, multivariant, sessionName) {
  const path = new URL(url).pathname.replace(new RegExp(`/${sessionName}=[^/]*`), '');
  if (path === multivariant) return { step: 'multivariant', label: 'Multivariant playlist' };
  const [, step, label] = KINDS.find(([pattern]) => pattern.test(path)) ?? [null, 'media', 'Segment'];
  const track = /\/([vas])-?([a-z0-9]+)\/[^/]+$/.exec(path);
  if (!track) return { step, label };
  const name = [TRACKS[track[1]], track[2] + (track[1] === 'v' ? 'p' : '')];
  return { step, label: `${label} · ${label === 'Subtitles' ? name[1] : name.join(' ')}` };
}

export class Exchange {
  constructor(names) {
    this.names = names;
    this.entries = [];
    this.list = document.getElementById('log');
    this.count = document.getElementById('count');
    this.steps = Object.fromEntries([...document.querySelectorAll('#steps li')].map((li) => [li.dataset.step, li]));
    document.getElementById('clear').addEventListener('click', () => this.clear());
    document.getElementById('refused-only').addEventListener('change', (event) => {
      this.list.classList.toggle('only-refused', event.target.checked);
    });
  }

  begin(multivariant) {
    this.multivariant = multivariant;
    this.tallies = {};
    for (const step of Object.values(this.steps)) {
      delete step.dataset.outcome;
      step.querySelector('em').textContent = '';
    }
    this.clear();
  }

  clear() {
    this.entries.length = 0;
    this.list.replaceChildren();
    this.count.textContent = '0';
  }

  /** Records a finished request. */
  add({ url, status, ms, bytes, reason = null, label = null, step = null, aborted = false }) {
    const kind = step ? { step, label } : classify(url, this.multivariant, this.names.session);
    const carries = find(url, this.names.session) ? 'session' : find(url, this.names.access) ? 'access' : 'none';
    const entry = { at: Date.now(), url, status, ms: Math.round(ms), bytes, reason, aborted, carries, ...kind };
    this.entries.push(entry);
    this.draw(entry);
    if (!aborted) this.mark(entry.step, status > 0 && status < 400, status);
    return entry;
  }

  /** Lights up a step. A step once refused stays so until the next start. */
  mark(step, isGood, word) {
    const tally = (this.tallies[step] ??= { good: 0, bad: 0 });
    tally[isGood ? 'good' : 'bad'] += 1;
    const node = this.steps[step];
    node.dataset.outcome = tally.bad ? 'bad' : 'ok';
    const counted = step === 'playlist' || step === 'media';
    const outcome = tally.bad ? `${word && !isGood ? word : 'refused'} × ${tally.bad}` : counted ? `${tally.good} ✓` : '✓';
    if (!tally.bad || !isGood) node.querySelector('em').textContent = outcome;
  }

  draw(entry) {
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    const isGood = entry.status > 0 && entry.status < 400;
    const row = element('li');
    Object.assign(row.dataset, { testid: 'request', step: entry.step, status: entry.status, carries: entry.carries });
    if (!isGood && !entry.aborted) row.dataset.refused = '';
    element('span', entry.aborted ? '–' : String(entry.status || 'ERR'), row, `pill ${entry.aborted ? '' : isGood ? 'ok' : 'bad'}`);
    element('span', entry.label, row, 'kind');
    element('span', entry.aborted ? 'aborted' : [`${entry.ms} ms`, size(entry.bytes)].filter(Boolean).join(' · '), row, 'meta');
    const { pathname, search } = new URL(entry.url);
    const url = element('span', '', row, 'url');
    url.title = entry.url;
    url.append(...marked(pathname + search, this.names, true));
    if (!isGood && !entry.aborted) element('span', explain(entry), row, 'reason');
    this.list.append(row);
    while (this.list.children.length > ROWS_MAX) this.list.firstChild.remove();
    this.count.textContent = String(this.entries.length);
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }
}

/** A refusal in words: the edge's reason when it gives one, otherwise the status. */
export function explain({ status, reason }) {
  if (reason) return `${reason}: ${REASONS[reason] ?? 'refused'}`;
  if (status === 410) return 'The token has expired.';
  if (isRefusal(status)) return 'Refused by the edge.';
  return status ? `Status ${status}.` : 'No answer: the server is away, or CORS forbids reading it.';
}

const size = (bytes) => (!bytes ? '' : bytes < 1000 ? `${bytes} B` : `${(bytes / 1000).toFixed(1)} kB`);
