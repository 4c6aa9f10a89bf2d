// Goes through the test console with Chromium as a person would, and ends with 0 when all of it was
// as it should be. Elements are found by their roles and labels, as assistive programs find them.
//
// Environment: WRENN_API_URL, WRENN_API_KEY, CHROMIUM (the program); SHOTS: a folder for pictures.
'use strict';

const assert = require('node:assert/strict');
const {chromium} = require('playwright-core');

const {WRENN_API_URL: origin, WRENN_API_KEY: key, CHROMIUM, SHOTS} = process.env;
const SNAPSHOT = 'console-test';
// For a machine's start, which is the longest that anything takes here.
const LIMIT_MS = 120000;

// What went on in the page behind the person's back.
const seen = {requests: [], errors: [], expected: []};

function watch(page) {
  page.on('request', (request) => seen.requests.push(request.url()));
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('console', (message) => {
    if (!['error', 'warning'].includes(message.type())) return;
    const expected = seen.expected.some((pattern) => pattern.test(message.text()));
    if (!expected) seen.errors.push(message.text());
  });
}

async function shot(page, name) {
  if (SHOTS) await page.screenshot({path: `${SHOTS}/${name}.png`, fullPage: true});
}

const steps = {
  async 'the page needs no key and has a strict policy'(page) {
    const response = await page.goto(`${origin}/test`);
    const headers = response.headers();
    assert.equal(response.status(), 200);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    const policy = headers['content-security-policy'];
    for (const part of ["default-src 'none'", "connect-src 'self'", "base-uri 'none'",
                        "form-action 'none'", "frame-ancestors 'none'"]) {
      assert.ok(policy.includes(part), `${part} is not in ${policy}`);
    }
    assert.doesNotMatch(policy, /unsafe/);
  },

  async 'a wrong key is refused and asked for again'(page) {
    // The browser's own line about an answer of 401.
    seen.expected.push(/status of 401/);
    const field = page.getByLabel('API key');
    await field.fill(`wrenn_${'0'.repeat(40)}`);
    await field.press('Enter');
    await page.getByRole('alert').filter({hasText: 'key'}).waitFor();
    assert.equal(await field.inputValue(), '');
    assert.ok(await page.getByRole('heading', {name: 'Sandboxes'}).isHidden());
    seen.expected = [];
  },

  async 'the right key opens the console'(page) {
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', {name: 'Use this key'}).click();
    await page.getByText('There are no sandboxes').waitFor();
    assert.ok(await page.getByLabel('API key').isHidden());
    assert.match(await page.locator('#server').textContent(), /^wrenn \d/);
  },

  async 'a sandbox is created'(page, state) {
    await page.getByRole('combobox', {name: 'Template'}).selectOption('minimal');
    await page.getByLabel('At the timeout').selectOption('stop');
    await page.getByLabel('Idle timeout').fill('900');
    await page.getByRole('button', {name: 'Create'}).click();
    state.id = await newSandbox(page);
    assert.match(await row(page, state.id).textContent(), /stop after 15 min/);
  },

  async 'a command shows both streams, its exit code and its times'(page, {id}) {
    await press(page, 'Run…', id);
    // What looks like markup stays text.
    await page.keyboard.type("echo '<b>out</b>'; echo err >&2; exit 3");
    await page.keyboard.press('Enter');
    const summary = page.locator('#exec-summary');
    await summary.getByText('exit code 3').waitFor();
    assert.match(await summary.textContent(), /ran .*\d m?s.*request .*\d m?s/);
    assert.equal(await page.locator('#stdout').textContent(), '<b>out</b>\n');
    assert.equal(await page.locator('#stderr').textContent(), 'err\n');
  },

  async 'it is paused and resumed, and goes on where it was'(page, {id}) {
    await run(page, id, 'echo kept >/tmp/kept');
    await press(page, 'Pause', id);
    await status(page, id, 'paused');
    await logged(page, `pause ${id}`);
    assert.ok(await button(page, 'Pause', id).isHidden());
    assert.ok(await button(page, 'Run…', id).isHidden());
    await press(page, 'Resume', id);
    await status(page, id, 'running');
    await logged(page, `resume ${id}`);
    assert.equal(await run(page, id, 'cat /tmp/kept'), 'kept\n');
  },

  async 'it is forked'(page, state) {
    await press(page, 'Fork', state.id);
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('How many').fill('1');
    await dialog.getByRole('button', {name: 'Fork'}).click();
    state.fork = await newSandbox(page, state.id);
    assert.equal(await run(page, state.fork, 'cat /tmp/kept'), 'kept\n');
  },

  async 'a snapshot is taken, and refused under the same name'(page, {id}) {
    await press(page, 'Snapshot…', id);
    await page.keyboard.type(SNAPSHOT);
    const take = page.getByRole('button', {name: 'Take a snapshot'});
    await take.click();
    await page.getByRole('button', {name: `Use ${SNAPSHOT}`}).waitFor();
    await logged(page, `took snapshot '${SNAPSHOT}' of ${id}`);
    seen.expected.push(/status of 409/);
    await take.click();
    await page.locator('#notice').getByText(SNAPSHOT).waitFor();
    seen.expected = [];
    await page.getByLabel('Overwrite').check();
    await take.click();
    await page.locator('#log > li').filter({hasText: `took snapshot '${SNAPSHOT}'`}).nth(1).waitFor();
    assert.ok(await page.locator('#notice').isHidden());
  },

  async 'a sandbox is made of the snapshot'(page, state) {
    await page.getByRole('button', {name: `Use ${SNAPSHOT}`}).click();
    assert.ok(await page.getByLabel('vCPUs').isDisabled());
    await page.getByRole('button', {name: 'Create'}).click();
    state.copy = await newSandbox(page, state.id, state.fork);
    assert.equal(await run(page, state.copy, 'cat /tmp/kept'), 'kept\n');
    await shot(page, 'all');
  },

  async 'a server that goes away and comes back'(page) {
    seen.expected.push(/Failed to load resource/);
    await page.context().setOffline(true);
    await page.getByText('trying again').waitFor();
    await page.context().setOffline(false);
    await page.getByText('trying again').waitFor({state: 'hidden'});
    seen.expected = [];
  },

  async 'the sandboxes are destroyed, after a question'(page, {id, fork, copy}) {
    await press(page, 'Destroy', id);
    await page.getByRole('dialog').getByRole('button', {name: 'Cancel'}).click();
    assert.ok(await row(page, id).isVisible());
    for (const each of [copy, fork, id]) {
      await press(page, 'Destroy', each);
      await page.getByRole('dialog').getByRole('button', {name: 'Destroy'}).click();
      await row(page, each).waitFor({state: 'detached'});
    }
    await page.getByText('There are no sandboxes').waitFor();
  },

  async 'the snapshot is deleted'(page) {
    await page.getByRole('button', {name: `Delete ${SNAPSHOT}`}).click();
    await page.getByRole('dialog').getByRole('button', {name: 'Delete'}).click();
    await page.getByRole('button', {name: `Use ${SNAPSHOT}`}).waitFor({state: 'detached'});
  },

  async 'the key stays for the tab, until it is forgotten'(page) {
    await page.reload();
    await page.getByText('There are no sandboxes').waitFor();
    const other = await page.context().newPage();
    await other.goto(`${origin}/test`);
    await other.getByLabel('API key').waitFor();
    await other.close();
    await page.getByRole('button', {name: 'Forget key'}).click();
    await page.getByLabel('API key').waitFor();
    await page.reload();
    await page.getByLabel('API key').waitFor();
  },
};

const row = (page, id) => page.locator(`#sandboxes > tr[data-key="${id}"]`);
const button = (page, what, id) => row(page, id).getByText(what, {exact: true});

// Its label is said with the sandbox's id, so that one button is told from another by ear.
async function press(page, what, id) {
  await page.getByRole('button', {name: `${what} ${id}`}).click();
}

async function status(page, id, wanted) {
  await row(page, id).getByText(wanted, {exact: true}).waitFor();
}

// The id of the running sandbox that is none of `known`.
async function newSandbox(page, ...known) {
  const others = known.map((id) => `:not([data-key="${id}"])`).join('');
  const fresh = page.locator(`#sandboxes > tr${others}`).filter({hasText: 'running'});
  await fresh.waitFor();
  const id = await fresh.locator('code').textContent();
  await logged(page, id);
  return id;
}

// The last line of the log with `text` is done, and tells the phases that the server took.
async function logged(page, text) {
  const line = page.locator('#log > li').filter({hasText: text}).first();
  await line.getByText(/^done, .*\d m?s$/).waitFor();
  await line.getByText(/^server, .*: .*\d m?s$/).first().waitFor();
}

async function run(page, id, command) {
  await press(page, 'Run…', id);
  await page.getByLabel('Shell command').fill(command);
  await page.getByRole('button', {name: 'Run', exact: true}).click();
  await page.locator('#exec-summary').getByText(`in ${id}`).waitFor();
  assert.ok(await page.locator('#exec-summary').getByText('exit code 0').isVisible());
  return page.locator('#stdout').textContent();
}

async function main() {
  // A sandbox of Chromium's own needs a user that is not root; the page is this server's.
  const browser = await chromium.launch({executablePath: CHROMIUM, args: ['--no-sandbox']});
  try {
    const context = await browser.newContext({viewport: {width: 1280, height: 900}});
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    watch(page);
    const state = {};
    for (const [name, step] of Object.entries(steps)) {
      const began = performance.now();
      try {
        await step(page, state);
      } catch (error) {
        await shot(page, 'failed');
        console.error(`failed: ${name}; the page's errors: ${JSON.stringify(seen.errors)}`);
        throw error;
      }
      console.log(`${name}: ${Math.round(performance.now() - began)} ms`);
    }
    assert.deepEqual(seen.errors, []);
    const elsewhere = seen.requests.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:'));
    assert.deepEqual(elsewhere, []);
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
