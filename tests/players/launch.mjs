// Headless Chromium as all these tests start it.

import { chromium } from 'playwright-core';

const ARGUMENTS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
];

/** With more arguments than all have, which a test of HTTP/3 needs. */
export function launch(more = ['--disable-quic']) {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: [...ARGUMENTS, ...more] });
}

/** Keeps what a page asks for, and what its console complains of. */
export function watch(page) {
  const requests = [];
  const complaints = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (problem) => complaints.push(String(problem)));
  return { requests, complaints };
}

/** Polls a function of the page until it is true; false when the time is over. */
export async function until(page, condition, argument, milliseconds) {
  try {
    await page.waitForFunction(condition, argument, { timeout: milliseconds, polling: 100 });
    return true;
  } catch (problem) {
    if (problem.name === 'TimeoutError') return false;
    throw problem;
  }
}
