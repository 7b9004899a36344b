// The console in Chromium, against a demo: what a person does, from the reading to its receipt, from the service to the wallet.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { start } from './demo.js';
import { faults } from './looks.js';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const PICTURES = new URL('../../docs/img/', import.meta.url).pathname;
const PATIENCE_MS = 30_000;
const PAGES = ['overview', 'dag', 'devices', 'receipts', 'wallets', 'sites', 'nodes', 'settings'];
const WIDE = { width: 1280, height: 860 };
const PHONE = { width: 360, height: 740 };

const absent = existsSync(CHROMIUM) ? false : `there is no Chromium at ${CHROMIUM}: passed over`;
let demo;
let browser;

before(async () => {
  if (absent) return;
  const { chromium } = await import('playwright-core');
  [demo, browser] = await Promise.all([start(), chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })]);
  await demo.wattle('service', 'register', 'espresso', '--actuate', 'z1/espresso/act/brew', '--price', '2', '--key', demo.key('node2'), '--node', demo.base);
  await demo.wattle('wallet', 'fund', '20', '--key', demo.key('node1'), '--node', demo.base);
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

/** A page of its own, and everything in it that must not happen: errors, and requests to anybody else. */
async function open(address, { viewport = WIDE, scheme = 'light' } = {}) {
  const context = await browser.newContext({ viewport, colorScheme: scheme, locale: 'en-GB', reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('console', (line) => { if (line.type() === 'error' && !line.text().startsWith('Failed to load resource')) wrong.push(line.text()); });
  page.on('request', (request) => { if (!request.url().startsWith(demo.base) && !request.url().startsWith('blob:')) wrong.push(`asked ${request.url()}`); });
  await page.goto(`${demo.base}/#/${address}`);
  return { page, wrong, close: () => context.close() };
}

/** The same for tests: closed whatever happens, and clean. */
async function within(address, options, work) {
  const opened = await open(address, options);
  try {
    await work(opened.page);
    assert.deepEqual(opened.wrong, []);
  } finally {
    await opened.close();
  }
}

/** Until no panel is loading any more. */
const settled = (page) => page.waitForFunction(() => document.querySelector('h1') && ![...document.querySelectorAll('main [aria-busy="true"]')].some((node) => node.checkVisibility()));

async function picture(page, name) {
  if (!process.env.WATTLE_SCREENSHOTS) return;
  mkdirSync(PICTURES, { recursive: true });
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${PICTURES}${name}.png` });
}

test('the overview shows that the demo works', { skip: absent }, async () => {
  await within('overview', {}, async (page) => {
    await page.locator('#live[data-state="live"]').waitFor();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.waitForFunction(() => [...document.querySelectorAll('.tile .value')].every((value) => value.textContent !== '–' || value.closest('.tile').textContent.includes('Latency')));
    assert.match(await page.locator('.tile', { hasText: 'Committee' }).textContent(), /4/);
    await page.getByRole('region', { name: 'Latest readings' }).locator('tbody tr').first().waitFor();
    await page.locator('.chart canvas').waitFor();
    await picture(page, 'overview');
  });
});

test('a reading that is published is seen, and its receipt verified', { skip: absent }, async () => {
  await within('devices', {}, async (page) => {
    await demo.publish('kiosk', 'temperature', 42.5);
    await page.getByLabel('Search').fill('kiosk');
    const row = page.getByRole('row').filter({ hasText: 'z1/kiosk' });
    await row.getByText('42.5').waitFor();
    await row.getByRole('link', { name: 'Receipt' }).click();
    const verdict = page.locator('[data-verdict]');
    await verdict.locator('.verdict.good').waitFor();
    assert.match(await verdict.textContent(), /Verified in this browser.*kiosk.*42\.5.*of 4 validators.*against the genesis of .* that this node gives/s);
    assert.ok(await verdict.locator('.way li').count() >= 7);
    assert.equal(await verdict.locator('.way li.good').count(), await verdict.locator('.way li').count());
    await picture(page, 'receipt');
    await page.getByRole('button', { name: 'Try it with one bit flipped' }).click();
    await verdict.locator('.verdict.bad').waitFor();
    assert.match(await verdict.textContent(), /Refused by this browser/);
    assert.equal(await verdict.locator('.way li.bad').getAttribute('data-step'), 'batch');
    assert.equal(await verdict.locator('[data-step="signatures"]').getAttribute('class'), '', 'not looked at');
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download' }).click();
    assert.match((await download).suggestedFilename(), /^receipt-[0-9a-f]{12}\.json$/);
  });
});

/** A receipt's text, of a reading published just now. */
async function receiptOf(value) {
  await demo.publish('kiosk', 'humidity', value);
  const wanted = (list) => list.readings.find((one) => one.value === value);
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await new Promise((resolve) => { setTimeout(resolve, 100); })) {
    const found = wanted(await (await fetch(`${demo.base}/api/v1/readings?topic=z1/kiosk/sense/humidity`)).json());
    const response = found && await fetch(`${demo.base}/api/v1/receipts/${found.id}`);
    if (response?.ok) return response.text();
  }
  throw new Error('no receipt came');
}

test('the genesis to trust can be given, and one that does not fit is told', { skip: absent }, async () => {
  const text = await receiptOf(57.5);
  await within('receipts', {}, async (page) => {
    const trust = page.getByRole('region', { name: 'What is trusted' });
    const verdict = page.locator('[data-verdict]');
    const check = async (expected) => {
      await page.getByLabel('Or its text').fill(text);
      await page.getByRole('button', { name: 'Check', exact: true }).click();
      await verdict.getByText(expected).first().waitFor();
    };
    await trust.getByText('that this node gives').waitFor();
    await check('Verified in this browser');
    await trust.getByLabel('Genesis file').setInputFiles(`${demo.directory}/genesis.json`);
    await trust.getByRole('button', { name: 'Trust this' }).click();
    await trust.getByText('from the file genesis.json that you gave').waitFor();
    await check('from the file genesis.json that you gave');
    await trust.getByLabel('Or a network id').fill('ab'.repeat(32));
    await trust.getByRole('button', { name: 'Trust this' }).click();
    await trust.getByText('which you trust').waitFor();
    await check('No genesis to check against');
    await trust.getByRole('button', { name: 'Trust the node’s' }).click();
    await check('Verified in this browser');
  });
});

test('where the browser cannot verify, the node does, and the page says so', { skip: absent }, async () => {
  const text = await receiptOf(58.5);
  await within('receipts', {}, async (page) => {
    await page.evaluate(() => Object.defineProperty(crypto, 'subtle', { value: undefined }));
    await page.getByLabel('Or its text').fill(text);
    await page.getByRole('button', { name: 'Check', exact: true }).click();
    await page.getByText('Verified by this node').waitFor();
    assert.match(await page.locator('[data-verdict]').textContent(), /58\.5.*not by this browser.*secure pages/s);
  });
});

test('a service is bought with a key that never leaves the page', { skip: absent }, async () => {
  await within('wallets', {}, async (page) => {
    const posted = [];
    page.on('request', (request) => { if (request.method() === 'POST') posted.push(request.postData()); });
    await page.getByRole('tab', { name: 'Your wallet' }).click();
    await page.getByLabel('Key file').setInputFiles(demo.key('node1'));
    const purse = page.locator('[data-purse]');
    await purse.waitFor();
    const had = Number(await purse.getAttribute('data-purse'));
    assert.ok(had >= 2_000_000, `${had}`);
    await page.getByRole('tab', { name: 'Services' }).click();
    await page.getByRole('button', { name: 'Buy espresso' }).click();
    await page.getByLabel('Argument').fill('double');
    await page.getByRole('button', { name: 'Buy for 2 DCoin' }).click();
    await page.locator('[data-outcome="final"]').waitFor();
    await page.getByRole('tab', { name: 'Your wallet' }).click();
    // a validator earns a few sub-units with its votes, the one for this request among them
    await page.waitForFunction((before) => {
      const spent = before - Number(document.querySelector('[data-purse]').dataset.purse);
      return spent > 1_990_000 && spent <= 2_000_000;
    }, had);
    await page.getByRole('region', { name: 'Requests of the wallet' }).getByText('final').first().waitFor();
    await picture(page, 'wallet');
    assert.equal(posted.length, 1, 'one request');
    const { readFile } = await import('node:fs/promises');
    const seed = (await readFile(demo.key('node1'), 'utf8')).trim();
    assert.ok(posted.every((body) => !body.includes(seed)));
    assert.ok(!(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]))).includes(seed));
  });
});

test('the live DAG shows messages, and what one of them is', { skip: absent }, async () => {
  await within('dag', {}, async (page) => {
    await demo.publish('kiosk', 'temperature', 43);
    await page.waitForFunction(() => /^[1-9]/.test(document.querySelector('.said').textContent));
    await page.getByRole('region', { name: 'Latest messages' }).getByText('confirmed').first().waitFor();
    await page.getByRole('region', { name: 'Latest messages' }).getByRole('row').filter({ hasText: 'confirmed' }).getByRole('button').first().click();
    await page.locator('.facts dt', { hasText: 'Issued' }).waitFor();
    await page.locator('.facts dt', { hasText: 'Its digest' }).waitFor();
    await picture(page, 'dag');
    // the picture is not blank, and the keyboard chooses too
    const colours = await page.evaluate(() => {
      const canvas = document.querySelector('.dag canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    });
    assert.ok(colours > 10, `${colours} colours`);
    const chosen = () => page.locator('.facts dd code').first().textContent();
    const first = await chosen();
    await page.locator('.dag canvas').focus();
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction((was) => document.querySelector('.facts dd code')?.textContent !== was, first);
  });
});

test('a live DAG that cannot show all says which part it shows', { skip: absent }, async () => {
  await within('overview', {}, async (page) => {
    const { messages: [newest] } = await (await fetch(`${demo.base}/api/v1/messages?limit=1`)).json();
    const sample = (n) => ({ id: n.toString(16).padStart(64, '0'), issuer: newest.issuer, parents: [newest.id], kind: 'readings', votes: 0, issued_at_ms: Date.now() + n, sampled: 5 });
    const body = Array.from({ length: 20 }, (_, n) => `event: message\nid: 1-1\ndata: ${JSON.stringify(sample(n + 1))}\n\n`).join('');
    await page.route(/\/api\/v1\/events/, (route) => route.fulfill({ status: 200, contentType: 'text/event-stream', body }));
    await page.evaluate(() => { location.hash = '#/dag'; });
    await page.getByText('busy: one message in 5 is shown').waitFor();
  });
});

for (const [name, options] of [['light', {}], ['dark', { scheme: 'dark' }], ['phone', { viewport: PHONE }]]) {
  test(`every page can be read: ${name}`, { skip: absent }, async () => {
    for (const page_ of PAGES) {
      await within(page_, options, async (page) => {
        await settled(page);
        assert.deepEqual(await page.evaluate(faults), [], page_);
        if (name === 'dark' && page_ === 'overview') await picture(page, 'overview-dark');
        if (name === 'phone' && page_ === 'overview') await picture(page, 'overview-phone');
      });
    }
  });
}

test('everything is reached by the keyboard', { skip: absent }, async () => {
  await within('wallets', {}, async (page) => {
    await settled(page);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'view');
    await page.keyboard.press('Tab');
    const tab = () => page.evaluate(() => [document.activeElement.getAttribute('role'), document.activeElement.getAttribute('aria-selected'), document.activeElement.textContent]);
    assert.deepEqual(await tab(), ['tab', 'true', 'Services']);
    await page.keyboard.press('ArrowRight');
    assert.deepEqual(await tab(), ['tab', 'true', 'Your wallet']);
    await page.keyboard.press('End');
    assert.deepEqual(await tab(), ['tab', 'true', 'Look one up']);
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
  });
  await within('overview', { viewport: PHONE }, async (page) => {
    await page.getByRole('button', { name: 'Menu' }).press('Enter');
    await page.getByRole('link', { name: 'Nodes and committee' }).press('Enter');
    await page.getByRole('heading', { name: 'Nodes and committee', level: 1 }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Menu' }).getAttribute('aria-expanded'), 'false');
  });
});

/** Stands for a node that wants a token. The demo is open to this machine and knows no such token: it gets the request without. */
function guard(route) {
  const { authorization, ...rest } = route.request().headers();
  if (authorization === 'Bearer secret-token') return route.continue({ headers: rest });
  return route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"title":"Unauthorized","status":401,"detail":"a token is needed"}' });
}

test('who gives the token only when asked again hears what happens, too', { skip: absent }, async () => {
  await within('overview', {}, async (page) => {
    await page.route('**/api/v1/**', guard);
    await page.reload();
    const wanted = page.getByRole('heading', { name: 'This node asks for a token' });
    await wanted.waitFor();
    await page.locator('#ask-not').click();
    await wanted.waitFor();
    await page.getByLabel('Token', { exact: true }).fill('secret-token');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.locator('#live[data-state="live"]').waitFor();
  });
});

test('a node that wants a token is given one, for this tab', { skip: absent }, async () => {
  await within('settings', {}, async (page) => {
    await page.route('**/api/v1/**', guard);
    await page.reload();
    await page.getByRole('heading', { name: 'This node asks for a token' }).waitFor();
    await page.getByLabel('Token', { exact: true }).fill('secret-token');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('kept in this tab', { exact: true }).waitFor();
    assert.equal(await page.evaluate(() => localStorage.length), 0);
    await page.getByRole('button', { name: 'Forget the token' }).click();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  });
});

test('what fails is said, with what to do, and passes', { skip: absent }, async () => {
  await within('nodes', {}, async (page) => {
    const fail = (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: '{"title":"Service Unavailable","status":503,"detail":"the ledger node does not answer <b>now</b>"}' });
    await page.route('**/api/v1/validators', fail);
    await page.getByText('the ledger node does not answer <b>now</b>').first().waitFor();
    await page.unroute('**/api/v1/validators', fail);
    await page.getByRole('button', { name: 'Try again' }).first().click();
    await page.getByRole('region', { name: 'Validators' }).locator('tbody tr').first().waitFor();
  });
});

test('the files may be kept, and are asked for again', { skip: absent }, async () => {
  const first = await fetch(`${demo.base}/`);
  assert.equal(first.status, 200);
  assert.match(first.headers.get('content-security-policy') ?? '', /default-src 'self'/);
  assert.equal(first.headers.get('x-content-type-options'), 'nosniff');
  const again = await fetch(`${demo.base}/`, { headers: { 'If-None-Match': first.headers.get('etag') } });
  assert.equal(again.status, 304);
  for (const path of ['/console/none.js', '/console/..%2fmod.rs', '/console/package.json']) assert.equal((await fetch(`${demo.base}${path}`)).status, 404, path);
});
