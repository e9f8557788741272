// A live origin with blocking playlist reloads (`_HLS_msn`), which players ask for by writing their queries anew.
//
// It prints its port, then one line of JSON for each request: { url, headers }. The stream is the lab's clip, one segment every two
// seconds, and ends with it.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';

const LADDER = new URL('../../src/lab/media/ladder/ts/v240/', import.meta.url);
const SEGMENTS = 16;
const SECONDS = 2;
/** Segments that are there from the start. */
const AHEAD = 4;
const started = performance.now();
const complete = () => Math.min(SEGMENTS, AHEAD + Math.floor((performance.now() - started) / 1000 / SECONDS));

const MULTIVARIANT = `#EXTM3U
#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS="avc1.640015",RESOLUTION=426x240
media.m3u8
`;

function media() {
  const lines = ['#EXTM3U', '#EXT-X-VERSION:6', `#EXT-X-TARGETDURATION:${SECONDS}`, '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.0'];
  for (let number = 0; number < complete(); number += 1) lines.push(`#EXTINF:${SECONDS.toFixed(5)},`, `${number}.ts`);
  if (complete() === SEGMENTS) lines.push('#EXT-X-ENDLIST');
  return `${lines.join('\n')}\n`;
}

/** Waits until the segment of this number is listed. RFC 8216bis, section 6.2.5.2: the server holds the request until then. */
async function hold(number) {
  while (number >= complete() && complete() < SEGMENTS) await new Promise((resolve) => { setTimeout(resolve, 20); });
}

async function answer(url) {
  const playlist = 'application/vnd.apple.mpegurl';
  if (url.pathname === '/master.m3u8') return [playlist, MULTIVARIANT];
  if (url.pathname === '/media.m3u8') {
    if (url.searchParams.has('_HLS_msn')) await hold(Number(url.searchParams.get('_HLS_msn')));
    return [playlist, media()];
  }
  const number = Number(/^\/(\d+)\.ts$/.exec(url.pathname)?.[1] ?? SEGMENTS);
  return number < complete() ? ['video/mp2t', await readFile(new URL(`${String(number).padStart(2, '0')}.ts`, LADDER))] : null;
}

const server = createServer(async (request, response) => {
  console.log(JSON.stringify({ url: request.url, headers: request.headers }));
  const found = await answer(new URL(request.url, 'http://origin'));
  if (!found) return response.writeHead(404).end();
  return response.writeHead(200, { 'Content-Type': found[0], 'Cache-Control': 'max-age=0' }).end(found[1]);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
