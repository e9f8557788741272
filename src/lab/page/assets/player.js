// The two ways to play a URL: hls.js with every request observed, and the browser's own player.

/** Plays with hls.js. `report` is called for each finished request, `fail` once with what ended playback. */
export function withHlsJs(video, url, { credentials, report, fail, tracks }) {
  const Hls = window.Hls;
  const hls = new Hls({
    startLevel: -1,
    backBufferLength: 30,
    maxBufferLength: 20,
    xhrSetup(xhr, requested) {
      xhr.withCredentials = credentials;
      observe(xhr, requested, report);
    },
  });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return;
    const status = data.response?.code ?? 0;
    // The failed request's own loadend comes after this event: let it be reported first.
    setTimeout(() => {
      hls.destroy();
      fail({ status, detail: data.details });
    });
  });
  for (const event of [Hls.Events.MANIFEST_PARSED, Hls.Events.AUDIO_TRACKS_UPDATED, Hls.Events.SUBTITLE_TRACKS_UPDATED]) {
    hls.on(event, () => tracks(hls));
  }
  hls.on(Hls.Events.MANIFEST_PARSED, () => play(video));
  hls.loadSource(url);
  hls.attachMedia(video);
  return hls;
}

const observed = new WeakSet();

function observe(xhr, requested, report) {
  if (observed.has(xhr)) return;
  observed.add(xhr);
  let started = performance.now();
  let bytes = 0;
  let aborted = false;
  xhr.addEventListener('loadstart', () => { started = performance.now(); });
  xhr.addEventListener('progress', (event) => { bytes = event.loaded; });
  xhr.addEventListener('abort', () => { aborted = true; });
  xhr.addEventListener('loadend', (event) => {
    report({
      url: xhr.responseURL || new URL(requested, location.href).href,
      status: xhr.status,
      ms: performance.now() - started,
      bytes: event.loaded || bytes,
      reason: header(xhr, 'Sluicegate-Reason'),
      session: header(xhr, 'hdntl'),
      aborted,
    });
  });
}

/** A response header that may not be exposed; asking for one that is not would only log a warning. */
function header(xhr, name) {
  return xhr.getAllResponseHeaders().toLowerCase().includes(`${name.toLowerCase()}:`) ? xhr.getResponseHeader(name) : null;
}

/** Plays with the browser's own player. Its requests cannot be seen; a failed start is asked about once with fetch. */
export function native(video, url, { credentials, report, fail }) {
  if (credentials) video.crossOrigin = 'use-credentials';
  else video.removeAttribute('crossorigin');
  const onError = async () => {
    const started = performance.now();
    let status = 0;
    let reason = null;
    try {
      const answer = await fetch(url, { credentials: credentials ? 'include' : 'omit', cache: 'no-store' });
      status = answer.status;
      reason = answer.headers.get('Sluicegate-Reason');
      const bytes = (await answer.arrayBuffer()).byteLength;
      report({ url, status, ms: performance.now() - started, bytes, reason });
    } catch {
      report({ url, status, ms: performance.now() - started, bytes: 0, reason });
    }
    fail({ status, detail: video.error?.message || 'the browser gave up' });
  };
  video.addEventListener('error', onError, { once: true });
  video.src = url;
  play(video);
  return {
    destroy() {
      video.removeEventListener('error', onError);
      video.removeAttribute('src');
      video.load();
    },
  };
}

/** Starts muted, as browsers let a page do without a gesture. */
function play(video) {
  video.muted = true;
  video.play().catch(() => {
    // Stopped before it began, or refused without a gesture: the video's own button remains.
  });
}
