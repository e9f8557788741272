// The page: choices, the exchange, the tokens, and the hooks that browser tests use (window.sluicegate, data-state, data-testid).

import { Exchange, explain, isRefusal } from './exchange.js';
import { native, withHlsJs } from './player.js';
import { Card, element, find, unescape } from './tokens.js';

const $ = (id) => document.getElementById(id);
const video = $('video');
const CARRIERS = {
  path: ['URI path', 'The edge puts the session token into the path of every URI of the playlists.'],
  query: ['URI query', 'The edge appends the session token to every URI of the playlists.'],
  cookie: ['Cookie', 'The edge sets the session token as a cookie; URIs stay as they are. Requests go out with credentials.'],
  header: ['Header', 'The edge answers with the session token in a header.'],
  auto: ['Auto', 'A cookie when the player returns one, otherwise the URI.'],
};
const STATES = { idle: 'Idle', loading: 'Loading', playing: 'Playing', denied: 'Refused', error: 'Error' };

let config;
let exchange;
let cards;
let player = null;
let run = 0;

function state(name) {
  document.body.dataset.state = name;
  $('state-text').textContent = STATES[name];
}

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const stream = (id) => config.streams.find((one) => one.id === id) ?? config.streams[0];
const carrier = (id) => config.carriers.find((one) => one.id === id) ?? config.carriers[0];
const absolute = (base, path) => new URL(path, new URL((base || '/').replace('{host}', location.hostname), location.href)).href;
const tokenUrl = () => {
  const url = absolute('', config.tokenUrl);
  return `${url}${url.includes('?') ? '&' : '?'}acl=${config.acl}&token_name=${config.tokenName}`;
};

async function askForToken() {
  const url = tokenUrl();
  const started = performance.now();
  let status = 0;
  let text = '';
  try {
    const answer = await fetch(url, { cache: 'no-store' });
    status = answer.status;
    text = await answer.text();
  } catch { /* Status 0 tells of it. */ }
  exchange.add({ url, status, ms: performance.now() - started, bytes: text.length, step: 'token', label: 'Access token' });
  return status === 200 ? JSON.parse(text) : null;
}

/** Starts a stream. Resolves when the player has been given the URL; `document.body.dataset.state` tells the rest. */
async function play(streamId = chosen('stream'), carrierId = chosen('carrier'), withToken = true) {
  stop();
  const mine = ++run;
  const [what, how] = [stream(streamId), carrier(carrierId)];
  check('stream', what.id);
  check('carrier', how.id);
  const plain = absolute(how.base, what.path);
  exchange.begin(new URL(plain).pathname);
  cards.access.clear();
  cards.session.clear(how.id === 'cookie' ? 'Will come as a cookie that scripts cannot read.' : undefined);
  state('loading');
  let url = plain;
  if (withToken) {
    const token = await askForToken();
    if (mine !== run) return;
    if (!token) return fail({ status: exchange.entries.at(-1).status, detail: 'no access token' });
    cards.access.show(token.slice(token.indexOf('=') + 1));
    url = `${plain}${plain.includes('?') ? '&' : '?'}${token}`;
  }
  const hooks = {
    credentials: how.id === 'cookie' || how.id === 'auto',
    report: (entry) => mine === run && observed(entry, how),
    fail: (problem) => mine === run && fail(problem),
    tracks: (hls) => mine === run && drawTracks(hls),
  };
  const useNative = chosen('engine') === 'native' || !window.Hls?.isSupported();
  player = useNative ? native(video, url, hooks) : withHlsJs(video, url, hooks);
}

function observed(request, how) {
  const entry = exchange.add(request);
  const session = find(request.url, config.sessionName);
  if (session) {
    if (!cards.session.token) exchange.mark('session', true);
    cards.session.show(unescape(session.value), `Carried in the ${session.carrier} of every URI.`);
  } else if (request.session) {
    if (!cards.session.token) exchange.mark('session', true);
    cards.session.show(request.session, 'Named in a response header.');
  } else if (how.id === 'cookie' && entry.step === 'playlist' && entry.status === 200 && !cards.session.token) {
    if (!exchange.tallies.session) exchange.mark('session', true);
    cards.session.note('In a cookie that scripts cannot read; the browser sends it with each request.');
  }
}

function fail({ status, detail }) {
  const last = exchange.entries.findLast((entry) => !entry.aborted && (entry.status >= 400 || entry.status === 0));
  const isDenied = isRefusal(status) || (!status && isRefusal(last?.status));
  state(isDenied ? 'denied' : 'error');
  const shown = status || last?.status;
  $('veil-title').textContent = isDenied ? `Refused with ${shown}` : shown >= 400 ? `Failed with ${shown}` : 'Cannot play';
  $('veil-text').textContent = last ? explain(last) : detail;
  $('veil').hidden = false;
}

function stop() {
  run += 1;
  player?.destroy();
  player = null;
  $('veil').hidden = true;
  $('veil-title').textContent = '';
  $('veil-text').textContent = '';
  for (const id of ['level', 'audio', 'subtitles']) options($(id), [], () => {});
  state('idle');
}

function drawTracks(hls) {
  const levels = hls.levels.map((level, i) => [i, `${level.height}p · ${Math.round(level.bitrate / 1000)} kbit/s`]);
  options($('level'), [[-1, 'auto'], ...levels], (i) => { hls.nextLevel = i; }, hls.autoLevelEnabled ? -1 : hls.nextLevel);
  options($('audio'), hls.audioTracks.map((t, i) => [i, t.name]), (i) => { hls.audioTrack = i; }, hls.audioTrack);
  const subtitles = hls.subtitleTracks.map((t, i) => [i, t.name]);
  options($('subtitles'), [[-1, 'off'], ...subtitles], (i) => {
    hls.subtitleDisplay = i >= 0;
    hls.subtitleTrack = i;
  }, hls.subtitleTrack);
}

function options(select, list, pick, current) {
  select.replaceChildren();
  for (const [value, text] of list.length ? list : [['', '–']]) element('option', text, select).value = value;
  select.disabled = list.length < 2;
  select.value = current ?? list[0]?.[0] ?? '';
  select.onchange = () => pick(Number(select.value));
}

function gauges() {
  const position = video.currentTime;
  const ranges = video.buffered;
  let ahead = 0;
  for (let i = 0; i < ranges.length; i += 1) {
    if (ranges.start(i) <= position + 0.1 && ranges.end(i) > position) ahead = ranges.end(i) - position;
  }
  const isOn = player && video.readyState > 0;
  const live = isOn && video.duration > 1e6 || (isOn && player.levels?.[Math.max(0, player.currentLevel)]?.details?.live);
  const latency = player?.latency;
  $('g-position').textContent = isOn ? `${position.toFixed(1)} s${live || !Number.isFinite(video.duration) ? '' : ` / ${video.duration.toFixed(0)}`}` : '–';
  $('g-buffer').textContent = isOn ? `${ahead.toFixed(1)} s` : '–';
  $('g-latency').textContent = live && latency ? `${latency.toFixed(1)} s` : '–';
  $('g-picture').textContent = video.videoHeight && isOn ? `${video.videoWidth}×${video.videoHeight}` : '–';
  $('g-dropped').textContent = isOn ? String(video.getVideoPlaybackQuality?.().droppedVideoFrames ?? '–') : '–';
  for (const card of Object.values(cards)) card.tick();
}

function drawShare() {
  const [what, how] = [stream(chosen('stream')), carrier(chosen('carrier'))];
  const url = absolute(how.base, what.path);
  const mint = `$(curl -s '${tokenUrl()}' | tr -d '"')`;
  const jar = how.id === 'cookie' ? '-c cookies.txt -b cookies.txt ' : '';
  const joint = url.includes('?') ? '&' : '?';
  const rows = [
    ['URL with a new token', `${url}${joint}…`, async () => {
      const answer = await fetch(tokenUrl(), { cache: 'no-store' });
      return `${url}${joint}${await answer.json()}`;
    }],
    ['URL without token', url],
    ['curl', `curl -si ${jar}"${url}${joint}${mint}"`],
    ['curl, refused', `curl -si '${url}'`],
    ['ffplay', `ffplay "${url}${joint}${mint}"`],
  ];
  $('share').replaceChildren(...rows.map(([name, text, make]) => {
    const row = element('li');
    row.dataset.testid = `share-${name.replaceAll(/\W+/g, '-').toLowerCase()}`;
    element('span', name, row);
    const code = element('code', text, row);
    code.tabIndex = 0;
    const button = element('button', 'Copy', row);
    button.type = 'button';
    button.setAttribute('aria-label', `Copy ${name}`);
    button.addEventListener('click', async () => {
      const full = make ? await make() : text;
      code.textContent = full;
      button.textContent = (await copy(full, code)) ? 'Copied' : 'Selected';
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    });
    return row;
  }));
  $('hint').textContent = `${what.description}. ${CARRIERS[how.id]?.[1] ?? ''}`;
}

/** Copies where the page may (a secure context), otherwise selects the text for the person to copy. */
async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(node);
    return false;
  }
}

function pills(root, name, list) {
  for (const { id, label } of list) {
    const wrap = element('label', '', $(root));
    const input = element('input', '', wrap);
    Object.assign(input, { type: 'radio', name, value: id });
    input.dataset.testid = `${name}-${id}`;
    element('span', label, wrap);
  }
}

function check(name, value) {
  const input = document.querySelector(`input[name=${name}][value="${value}"]`) ?? document.querySelector(`input[name=${name}]`);
  if (input) input.checked = true;
  drawShare();
}

async function start() {
  config = await (await fetch('/_lab/config.json', { cache: 'no-store' })).json();
  exchange = new Exchange({ access: config.tokenName, session: config.sessionName });
  cards = {
    access: new Card($('access-card'), 'access', config.tokenName, 'Asked for when you play with token. Opens the multivariant playlist, and nothing after it.'),
    session: new Card($('session-card'), 'session', config.sessionName, 'Minted by the edge in exchange for the access token.'),
  };
  pills('streams', 'stream', config.streams.map(({ id, name }) => ({ id, label: name })));
  pills('carriers', 'carrier', config.carriers.map(({ id }) => ({ id, label: CARRIERS[id]?.[0] ?? id })));
  if (!video.canPlayType('application/vnd.apple.mpegurl')) {
    const input = document.querySelector('input[value=native]');
    input.disabled = true;
    input.parentElement.title = 'This browser plays no HLS of its own';
  }
  const preset = new URLSearchParams(location.search || location.hash.slice(1));
  check('stream', preset.get('stream'));
  check('carrier', preset.get('carrier'));
  if (preset.get('player') === 'native') check('engine', 'native');
  $('choice').addEventListener('change', drawShare);
  $('choice').addEventListener('submit', (event) => event.preventDefault());
  $('with-token').addEventListener('click', () => play());
  $('without-token').addEventListener('click', () => play(undefined, undefined, false));
  $('stop').addEventListener('click', stop);
  video.addEventListener('timeupdate', () => {
    if (player && video.currentTime > 0 && document.body.dataset.state === 'loading') state('playing');
  });
  setInterval(gauges, 250);
  window.sluicegate = { play, stop, log: exchange.entries, get player() { return player; }, config };
  if (preset.get('autoplay') === '1') play(undefined, undefined, preset.get('token') !== '0');
}

start().catch((problem) => {
  state('error');
  $('veil-title').textContent = 'The page could not start';
  $('veil-text').textContent = String(problem);
  $('veil').hidden = false;
});
