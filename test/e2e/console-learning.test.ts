// Learning from the field in the console, with a real hub, a real device and a real training run: what the device was unsure of is
// reviewed by keyboard, frozen, trained on, and the result's lineage leads back to the device.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Locator, Page } from 'playwright-core';
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import { sampleSchema, type SampleView } from '@tidegate/shared/wire/data-api.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { inputsDigest } from '@tidegate/shared/wire/sample.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examplesFolder, runAgent, startAgent, type AgentProcess } from '../support/agent-process.js';
import { CHROMIUM, hasChromium, openBrowser, problemsOf } from '../support/browser.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';
import { handwrittenDigits } from '../support/training-jobs.js';

if (!hasChromium) console.warn(`SKIPPED: learning in the console, no ${CHROMIUM} (apt-get install chromium)`);

const COUNT = 24;
const DEVICE = 'till-north';
const ARRIVES_WITHIN_MS = 30_000;
const TRAINED_WITHIN_MS = 90_000;

/** Real digits, of each class in turn, so noisy that no answer rounds to certain. */
function digits(): { inputs: NamedTensor[]; label: string }[] {
  const all = handwrittenDigits();
  const random = seededRandom(5);
  const classes = Array.from({ length: 10 }, (_, digit) => all.filter(({ label }) => label === String(digit)));
  return Array.from({ length: COUNT }, (_, i) => {
    const { pixels, label } = classes[i % 10]![Math.floor(i / 10)]!;
    const noisy = pixels.map((value) => Math.min(1, Math.max(0, value + 0.6 * (random.next() - 0.5))));
    return { inputs: [tensor('image', 'FP32', [1, 1, 28, 28], bytesOf(noisy))], label };
  });
}

describe.skipIf(!hasChromium)('the console, learning', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-console-learning-'));
  const truth = new Map(digits().map(({ inputs, label }) => [inputsDigest(inputs), label]));
  let problems: readonly string[];
  let hub: HubProcess;
  let agent: AgentProcess;
  let browser: Browser;
  let page: Page;

  async function samples(where = ''): Promise<readonly SampleView[]> {
    const url = `${hub.url}/api/v1/samples?where=${encodeURIComponent(where)}`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${hub.token}` } });
    return pageOf(sampleSchema).parse(await answer.json()).items;
  }
  const inFocus = (): Locator => page.getByRole('article', { name: 'the sample in focus' });
  const chosen = (): Locator => page.getByRole('option', { selected: true });
  /** The sample in focus, as the hub knows it: the list has the same order. */
  async function focused(): Promise<SampleView> {
    const shown = await inFocus().locator('.facts .mono').getAttribute('title');
    const sample = (await samples()).find(({ id }) => id === shown);
    if (sample === undefined) throw new Error(`the hub has no ${shown}`);
    return sample;
  }
  const trueLabel = (sample: SampleView): string => truth.get(sample.inputsDigest) ?? '?';
  const stateOf = async (id: string): Promise<Partial<SampleView>> => {
    const { state, label, labelSource } = (await samples()).find((sample) => sample.id === id)!;
    return { state, ...(label === undefined ? {} : { label, labelSource }) };
  };

  beforeAll(async () => {
    hub = await startHubProcess(join(folder, 'hub'));
    const tidegate = (...args: string[]): Promise<string> => runTidegate(hub, args);
    const unsure = join(folder, 'digits');
    cpSync(join(examplesFolder, 'digits'), unsure, { recursive: true });
    const yaml = readFileSync(join(unsure, 'model.yaml'), 'utf8');
    writeFileSync(join(unsure, 'model.yaml'), yaml.replace(/threshold: 0\.8 /, 'threshold: 1 '));
    await tidegate('model', 'publish', unsure);
    const token = /\S{20,}/.exec(await tidegate('group', 'token', 'create', '--group', 'shop'))?.[0] ?? '';
    const dataDir = join(folder, 'device');
    const device = `https://127.0.0.1:${hub.ports['device']}`;
    await runAgent(['enroll', '--hub', device, '--token', token, '--name', DEVICE, '--data-dir', dataDir]);
    agent = await startAgent(['run', '--data-dir', dataDir]);
    const quick = ['--waves', '100%', '--soak', '1s', '--probation', '1s', '--min-requests', '0', '--wait'];
    await tidegate('rollout', 'start', 'digits@1', '--group', 'shop', ...quick);
    browser = await openBrowser();
    page = await browser.newPage();
    page.setDefaultTimeout(20_000);
    problems = problemsOf(page, [400, 422]); // a wrong condition, a refused label
    page.on('dialog', (dialog) => void dialog.accept());
    await page.goto(`${hub.url}/`);
    await page.getByLabel('Access token').fill(hub.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.live.on').waitFor();
  });
  afterAll(async () => {
    await browser?.close();
    await agent?.stop();
    await hub?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('says that there is nothing to review yet, and then that samples have come in', async () => {
    await page.getByRole('link', { name: 'review' }).click();
    await page.getByText('No sample to look at.').waitFor();
    for (const { inputs } of digits()) await agent.infer('digits', inputs, { placement: 'local', cache: 'bypass' });
    await page.getByText(`${COUNT} samples have come in.`).waitFor({ timeout: ARRIVES_WITHIN_MS });
    await page.getByRole('button', { name: 'Read the list again' }).click();
  });

  it('shows what the device was unsure of, with its picture, its answer and where it came from', async () => {
    await expect.poll(() => page.getByRole('option').count()).toBe(COUNT);
    await inFocus().locator('img.small').waitFor(); // 28 pixels, drawn large
    const sample = await focused();
    const text = await inFocus().textContent();
    expect(text).toMatch(/reason\s*low-confidence/);
    expect(text).toContain(DEVICE);
    expect(text).toContain(`device${sample.answer}`);
    await expect.poll(() => page.getByRole('link', { name: `New ${COUNT}` }).count()).toBe(1);
  });

  it('labels with one key, rejects, and takes back', async () => {
    const first = await focused();
    await page.keyboard.press(trueLabel(first));
    const second = await focused();
    expect(second.id).not.toBe(first.id);
    for (let held = 0; held < 3; held += 1) await page.keyboard.down('x'); // repeats decide no other sample
    await page.keyboard.up('x');
    const labelled = { state: 'labelled', label: trueLabel(first), labelSource: 'person' };
    await expect.poll(() => stateOf(first.id)).toEqual(labelled);
    await expect.poll(() => stateOf(second.id)).toEqual({ state: 'rejected' });
    await page.keyboard.press('u');
    await expect.poll(() => stateOf(second.id)).toEqual({ state: 'new' });
    expect((await focused()).id).toBe(second.id);
    expect(await stateOf(first.id)).toEqual(labelled);
  });

  it('takes back at once what the hub refuses, and says why', async () => {
    const sample = await focused();
    await page.keyboard.press('e');
    await page.keyboard.type('banana');
    await page.keyboard.press('Enter');
    await page.getByText('A change was not taken').waitFor();
    await page.getByRole('button', { name: 'Show it' }).click();
    expect(await inFocus().getByRole('alert').textContent()).toMatch(/banana.*is no class of digits/);
    expect(await inFocus().locator('.state-line').textContent()).toContain('new');
    expect(await stateOf(sample.id)).toEqual({ state: 'new' });
  });

  it("asks the hub's model and accepts what it proposes, for one and for all", async () => {
    const sample = await focused();
    await page.keyboard.press('p');
    await inFocus().getByRole('button', { name: 'Accept' }).waitFor();
    await page.keyboard.press('Enter');
    await expect.poll(() => stateOf(sample.id)).toMatchObject({ state: 'labelled', labelSource: 'hub-model' });
    await page.getByRole('button', { name: "Ask the hub's model about all" }).click();
    await expect.poll(async () => (await samples('state=new')).every(({ proposal }) => proposal)).toBe(true);
    await expect.poll(() => page.getByRole('button', { name: "Ask the hub's model about all" }).count()).toBe(0);
    await page.getByRole('listbox', { name: 'samples' }).focus();
    for (let left = COUNT - 2; left > 0; left -= 1) {
      expect(await chosen().getAttribute('aria-label')).toMatch(/^new/);
      await page.keyboard.press('Enter');
    }
    await expect.poll(async () => (await samples('state=labelled')).length).toBe(COUNT);
    await page.getByText(`${COUNT}: 0 new, ${COUNT} labelled, 0 rejected`).waitFor();
  });

  it('narrows by a condition, and says where one is wrong', async () => {
    await page.getByRole('link', { name: 'labelled' }).click();
    const search = page.getByRole('searchbox');
    await search.fill('label=7 or label=8');
    await search.press('Enter');
    await expect.poll(() => page.getByRole('option').count()).toBe((await samples('label=7 or label=8')).length);
    await search.fill('colour=red');
    await search.press('Enter');
    expect(await page.getByRole('alert').textContent()).toMatch(/where, at 1: expected one of .*model, /);
    await page.goBack();
    await expect.poll(() => search.inputValue()).toBe('label=7 or label=8');
  });

  it('freezes a dataset and shows what it holds', async () => {
    await page.getByRole('link', { name: 'review' }).click();
    await page.getByRole('button', { name: 'Freeze as dataset' }).click();
    const form = page.getByRole('form', { name: 'freeze as dataset' });
    expect(await form.getByLabel('Samples').inputValue()).toBe('model=digits');
    await form.getByLabel('Name').fill('hard');
    await form.getByLabel('Held out').fill('30');
    await form.getByRole('button', { name: 'Freeze', exact: true }).click();
    await form.getByText(`hard@1 holds ${COUNT} samples`).waitFor();
    await form.getByRole('link', { name: 'Datasets' }).click();
    const card = page.getByRole('article', { name: 'hard@1' });
    expect(await card.textContent()).toContain(`${COUNT} samples`);
    expect(await card.getByRole('listitem').count()).toBe(10);
  });

  it('trains on it and shows the run, its charts and whether it is better than its parent', async () => {
    await page.getByRole('article', { name: 'hard@1' }).getByRole('link', { name: 'Train on it' }).click();
    const form = page.getByRole('form', { name: 'start a training run' });
    const choice = form.getByRole('group', { name: 'Train on' }).getByLabel('hard@1');
    await expect.poll(() => choice.isChecked()).toBe(true);
    await form.getByLabel('Epochs').fill('8');
    await form.getByLabel('Batch size').fill('8');
    await form.getByRole('button', { name: 'Start' }).click();
    const run = page.getByRole('article', { name: /^run / });
    await run.getByText('succeeded', { exact: true }).waitFor({ timeout: TRAINED_WITHIN_MS });
    expect(await run.textContent()).toContain('digits@2');
    await expect.poll(() => page.locator('.run-chart canvas').count()).toBe(3);
    const sets = page.getByRole('article', { name: 'evaluation' }).locator('tbody tr');
    expect(await sets.first().textContent()).toMatch(/hard@1held-out\d+accuracy/);
    await page.getByRole('link', { name: 'all runs' }).click();
    expect(await page.locator('tbody tr').first().textContent()).toMatch(/digits@1 on hard@1succeeded100%.*digits@2/);
  });

  it("leads from the result back to the device's samples", async () => {
    await page.getByRole('link', { name: 'digits@2' }).click();
    const graph = page.getByRole('group', { name: 'lineage graph' });
    const sources = ['dataset hard@1', `samples captured by ${DEVICE}`, 'version digits@1'];
    for (const name of ['version digits@2', ...sources]) {
      await graph.getByRole('button', { name, exact: true }).waitFor();
    }
    const facts = page.getByRole('complementary', { name: 'facts' });
    await graph.getByRole('button', { name: DEVICE }).focus();
    await page.keyboard.press('Enter');
    await facts.getByRole('heading', { name: DEVICE }).waitFor();
    expect(await facts.textContent()).toMatch(new RegExp(`count\\s*${COUNT}`));
    await graph.getByRole('button', { name: /^job/ }).click();
    await facts.getByRole('link', { name: 'Open' }).click();
    await page.getByRole('article', { name: /^run / }).waitFor();
  });

  it('keeps its place when the page is loaded again', async () => {
    await page.reload();
    await page.getByRole('article', { name: /^run / }).waitFor();
    await expect.poll(() => page.locator('.run-chart canvas').count()).toBe(3);
  });

  it('makes no error of its own', () => {
    expect(problems).toEqual([]);
  });
});
