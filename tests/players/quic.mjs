// Plays a stream with hls.js in headless Chromium, which may reach the origin over HTTP/3 alone, and prints what it saw as a line of JSON.
//
// The job: { base, entry, certificate: a PEM file, milliseconds, seconds }

import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { launch, until } from './launch.mjs';

const job = JSON.parse(process.argv[2]);
const key = new X509Certificate(readFileSync(job.certificate)).publicKey.export({ type: 'spki', format: 'der' });
const browser = await launch([
  '--enable-quic', '--host-resolver-rules=MAP localhost 127.0.0.1', `--origin-to-force-quic-on=${new URL(job.base).host}`,
  `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`,
]);

try {
  const page = await browser.newPage();
  // A refusal is a page of the same origin.
  const refused = await page.goto(job.base + new URL(job.entry, job.base).pathname);
  await page.addScriptTag({ path: new URL('node_modules/hls.js/dist/hls.min.js', import.meta.url).pathname });
  await page.evaluate((entry) => {
    const video = document.body.appendChild(document.createElement('video'));
    video.muted = true;
    const player = new Hls();
    window.fatal = null;
    player.on(Hls.Events.ERROR, (_, problem) => { if (problem.fatal) window.fatal = problem.details; });
    player.on(Hls.Events.MANIFEST_PARSED, () => video.play());
    player.loadSource(entry);
    player.attachMedia(video);
  }, job.entry);
  const isReached = await until(page, (seconds) => document.querySelector('video').currentTime >= seconds || window.fatal !== null,
    job.seconds, job.milliseconds);
  const seen = await page.evaluate(() => ({
    played: document.querySelector('video').currentTime, fatal: window.fatal,
    protocols: performance.getEntriesByType('resource').map((entry) => entry.nextHopProtocol),
  }));
  console.log(JSON.stringify({ refused: refused.status(), isReached, ...seen }));
} finally {
  await browser.close();
}
