// Looks at the operators' page in headless Chromium while the test loads the edge, and prints what it shows at each stage as a line of JSON.
// It judges nothing. The test follows the stages: after `idle` it makes load, after `busy` it ends it, after `quiet` it takes the origin away, after `degraded` the edge.
//
// The job: { page, token, wrong, milliseconds, pictures: a path before "-NAME.png" }

import { launch, until, watch } from './launch.mjs';

const job = JSON.parse(process.argv[2]);
const browser = await launch();

/** All that a person reads on the page. */
const shown = () => {
  const text = (id) => document.getElementById(id).textContent;
  const table = (id) => Array.from(document.getElementById(id).tBodies[0].rows, (row) => Array.from(row.cells, (cell) => cell.textContent));
  const lines = (id) => Array.from(document.querySelectorAll(`#${id} .line`), (line) => (line.getAttribute('d').match(/[ML]/g) ?? []).length);
  return {
    state: text('state'), about: text('about'), trouble: document.getElementById('trouble').hidden ? null : text('trouble'),
    problems: Array.from(document.querySelectorAll('#problems li'), (problem) => problem.textContent),
    requests: text('requests'), denials: text('denials'), hits: text('hits'), bytes: text('bytes'), connections: text('connections'),
    latency: text('latency'), reasons: table('reasons'), origins: table('origins'), sessions: table('sessions'), top: table('top'),
    points: { requests: lines('requests-plot'), hits: lines('hits-plot'), latency: lines('latency-plot') },
    bars: { spread: document.querySelectorAll('#spread .bar').length, origin: document.querySelectorAll('#origin-spread .bar').length },
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
};

try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
  const { requests, complaints } = watch(page);
  const told = async (stage, more = {}) => {
    console.log(JSON.stringify({ stage, ...await page.evaluate(shown), requestsSeen: requests, complaints, ...more }));
  };
  const reach = async (stage, condition) => {
    const isReached = await until(page, condition, null, job.milliseconds);
    await told(stage, { isReached });
  };
  const picture = (name) => page.screenshot({ path: `${job.pictures}-${name}.png`, fullPage: true });

  await page.goto(job.page);
  await page.locator('#ask').waitFor();
  await picture('ask');
  await page.fill('#token', job.wrong);
  await page.click('#ask button');
  await until(page, () => document.getElementById('wrong').textContent !== '', null, job.milliseconds);
  const refusal = await page.textContent('#wrong');
  const refused = { refusal, mainIsHidden: await page.evaluate(() => document.querySelector('main').hidden) };
  await page.fill('#token', job.token);
  await page.click('#ask button');
  await until(page, () => document.getElementById('requests').textContent !== '–', null, job.milliseconds);
  await told('idle', refused);

  // Enough polls for plots that show something.
  await reach('busy', () => document.getElementById('requests').textContent !== '0/s'
    && document.getElementById('hits').textContent !== '–'
    && (document.querySelector('#latency-plot .line').getAttribute('d').match(/[ML]/g) ?? []).length >= 3);
  await picture('light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await picture('dark');
  await page.setViewportSize({ width: 390, height: 844 });
  await picture('narrow-dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await picture('narrow');
  await told('narrow');
  await page.setViewportSize({ width: 1280, height: 900 });

  await reach('quiet', () => document.getElementById('requests').textContent === '0/s');
  await page.click('#by-bytes');
  await until(page, () => /B$/.test(document.querySelector('#top tbody td:last-child').textContent), null, job.milliseconds);
  await told('by-bytes');
  await reach('degraded', () => document.getElementById('state').textContent === 'degraded');
  await picture('degraded');
  await reach('away', () => document.getElementById('state').textContent === 'away');
  await picture('away');
} finally {
  await browser.close();
}
