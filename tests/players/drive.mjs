// Drives headless Chromium through one job, given as JSON, and prints what it saw as one line of JSON. It judges nothing; the tests do.
//
// Jobs: { page: URL, … } opens the demonstration's page; { player, src, … } opens player.html, served from another port.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { launch, until, watch } from './launch.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** What the little server has: the page, and the players of the packages. */
const FILES = {
  '/player.html': ['player.html', 'text/html; charset=utf-8'],
  '/hls.js': ['node_modules/hls.js/dist/hls.js', 'text/javascript'],
  '/hls-1.6.js': ['node_modules/hls.js-1.6/dist/hls.js', 'text/javascript'],
  '/video.js': ['node_modules/video.js/dist/video.js', 'text/javascript'],
};

/** Serves the page from a port of its own, so that every request of the player is a cross-origin one. */
async function servePage() {
  const server = createServer(async (request, response) => {
    const file = FILES[new URL(request.url, 'http://localhost').pathname];
    if (!file) return response.writeHead(404).end();
    return response.writeHead(200, { 'Content-Type': file[1] }).end(await readFile(HERE + file[0]));
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return server;
}

/** What can be read off the video element. */
const measure = () => {
  const video = document.querySelector('video');
  return {
    time: video.currentTime,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    height: video.videoHeight,
    played: window.secondsPlayed(),
    error: video.error?.message ?? null,
  };
};

/** Seconds that have been played: a live stream starts somewhere in its window, so the position does not tell. */
const secondsPlayed = () => {
  const { played } = document.querySelector('video');
  return Array.from({ length: played.length }, (_, i) => played.end(i) - played.start(i)).reduce((a, b) => a + b, 0);
};

async function playDemo(page, job) {
  await page.goto(job.page);
  await page.getByTestId(`stream-${job.stream}`).waitFor({ state: 'attached' });
  for (const choice of [`stream-${job.stream}`, `carrier-${job.carrier}`, ...(job.native ? ['engine-native'] : [])]) {
    await page.getByTestId(choice).check({ force: true });
  }
  await page.getByTestId(job.token ? 'play-with-token' : 'play-without-token').click();
  const isDone = ({ token, seconds }) => {
    const { state } = document.body.dataset;
    return state === 'error' || state === 'denied' || (token && state === 'playing' && window.secondsPlayed() >= seconds);
  };
  const isReached = await until(page, isDone, { token: job.token, seconds: job.seconds }, job.milliseconds);
  return {
    isReached,
    state: await page.evaluate(() => document.body.dataset.state),
    veil: await page.getByTestId('veil').isVisible() ? await page.getByTestId('veil').innerText() : null,
    log: await page.evaluate(() => window.sluicegate.log),
    cards: await page.getByTestId('session-token').innerText(),
    ...await page.evaluate(measure),
  };
}

async function playPage(page, job, server) {
  const { player, src, credentials = false, cmcd = false, llhls = false } = job;
  const query = new URLSearchParams({ player, src, credentials, cmcd, llhls });
  await page.goto(`http://127.0.0.1:${server.address().port}/player.html?${query}`);
  const isDone = ({ seconds }) => window.outcome.fatal !== null || window.secondsPlayed() >= seconds;
  const isReached = await until(page, isDone, { seconds: job.seconds }, job.milliseconds);
  const fatal = await page.evaluate(() => window.outcome.fatal);
  return { isReached, fatal, version: await page.evaluate(() => window.outcome.version), ...await page.evaluate(measure) };
}

const job = JSON.parse(process.argv[2]);
const server = await servePage();
const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
  await page.addInitScript(`window.secondsPlayed = ${secondsPlayed};`);
  const { requests, complaints } = watch(page);
  const seen = job.page ? await playDemo(page, job) : await playPage(page, job, server);
  if (job.screenshot) await page.screenshot({ path: job.screenshot, fullPage: true });
  const cookies = await page.context().cookies();
  console.log(JSON.stringify({ ...seen, requests, complaints, cookies }));
} finally {
  await browser.close();
  server.close();
}
