import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assemble } from '../../examples/ocr-line/assemble.mjs';
import { examplesFolder } from '../support/agent-process.js';
import { CHROMIUM, hasChromium, openBrowser, problemsOf } from '../support/browser.js';
import { writeBlobPackage } from '../support/blob-package.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';

if (!hasChromium) console.warn(`SKIPPED: console in a browser, no ${CHROMIUM} (apt-get install chromium)`);

describe.skipIf(!hasChromium)('the console', () => {
  let folder: string;
  let hub: HubProcess;
  let browser: Browser;
  let page: Page;
  let problems: readonly string[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tidegate-console-'));
    hub = await startHubProcess(join(folder, 'hub'));
    await runTidegate(hub, ['model', 'publish', join(examplesFolder, 'digits')]);
    await runTidegate(hub, ['model', 'publish', await assemble(join(folder, 'ocr-line'))]);
    await runTidegate(hub, ['model', 'publish', await writeBlobPackage(join(folder, 'blobs'))]);
    browser = await openBrowser();
    page = await browser.newPage();
    problems = problemsOf(page, [400, 401]); // a picture that is none, a wrong token
  });
  afterAll(async () => {
    await browser?.close();
    await hub?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('refuses a wrong token and says why, then signs in with the right one', async () => {
    await page.goto(`${hub.url}/`);
    await page.getByLabel('Access token').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('a valid bearer token is needed').waitFor();
    await page.getByLabel('Access token').fill(hub.token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.live.on').waitFor();
  });

  it('reads a dropped picture and says how sure it is and where that was answered', async () => {
    await page.getByRole('link', { name: 'playground' }).click();
    await page.getByLabel('Model').selectOption('ocr-line');
    const picture = await readFile(join(examplesFolder, 'ocr-line/goldens/clean-01.png'));
    // Runs in the page, so it is text: this project's types know no DOM.
    const drop = await page.evaluateHandle(`(() => {
      const bytes = Uint8Array.from(atob('${picture.toString('base64')}'), (c) => c.codePointAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], 'line.png', { type: 'image/png' }));
      return transfer;
    })()`);
    await page.locator('.drop').dispatchEvent('drop', { dataTransfer: drop });
    const text = page.locator('[data-output=text]');
    await text.waitFor();
    expect((await text.textContent())?.trim()).toBe('SN 8W74-ZHXS');
    const answer = await page.locator('.answer').textContent();
    expect(answer).toMatch(/confidence\s*0\.9\d/);
    expect(answer).toMatch(/placement\s*hub/);
    expect(answer).toMatch(/compute/);
  });

  it('says what is wrong with a file that is no picture, and goes on', async () => {
    const file = { name: 'x.png', mimeType: 'image/png', buffer: Buffer.from('no picture') };
    await page.locator('.drop input').setInputFiles(file);
    await page.locator('.error').waitFor();
    expect(await page.locator('.error').textContent()).toMatch(/picture/);
    const good = await readFile(join(examplesFolder, 'ocr-line/goldens/clean-02.webp'));
    await page.locator('.drop input').setInputFiles({ name: 'y.webp', mimeType: 'image/webp', buffer: good });
    await page.locator('[data-output=text]').waitFor();
    expect((await page.locator('[data-output=text]').textContent())?.trim()).toBe('Valve 44, 20 bar');
  });

  it('draws what a model found over the picture, and lists the same beside it', async () => {
    await page.setViewportSize({ width: 800, height: 700 });
    await page.getByLabel('Model').selectOption('blobs');
    const drawn = (await page.evaluate(`(() => {
      const canvas = new OffscreenCanvas(400, 300);
      const context = canvas.getContext('2d');
      context.fillStyle = 'black';
      context.fillRect(0, 0, 400, 300);
      context.fillStyle = 'white';
      for (const [x, y] of [[40, 30], [200, 30], [100, 200]]) context.fillRect(x, y, 120, 60);
      return canvas.convertToBlob().then((blob) => blob.arrayBuffer()).then((data) => [...new Uint8Array(data)]);
    })()`)) as number[];
    const file = { name: 'blobs.png', mimeType: 'image/png', buffer: Buffer.from(drawn) };
    await page.locator('.drop input').setInputFiles(file);
    const entries = page.getByRole('list', { name: 'found in the picture' }).getByRole('button');
    await page.locator('.boxed polygon').first().waitFor();
    expect(await entries.allTextContents()).toEqual(['1box1.00', '2box1.00', '3box1.00']);
    // Where they stand, in shares of the picture as it is shown.
    const places = await page.evaluate(`(() => {
      const picture = document.querySelector('.boxed img').getBoundingClientRect();
      return [...document.querySelectorAll('.boxed polygon:not(.under)')].map((polygon) => {
        const { left, top, width } = polygon.getBoundingClientRect();
        return [(left - picture.left) / picture.width, (top - picture.top) / picture.height, width / picture.width];
      });
    })()`);
    for (const [i, place] of [
      [40, 30],
      [200, 30],
      [100, 200],
    ].entries()) {
      const [left, top, width] = (places as number[][])[i] ?? [];
      expect(left).toBeCloseTo((place[0] ?? 0) / 400, 1);
      expect(top).toBeCloseTo((place[1] ?? 0) / 300, 1);
      expect(width).toBeCloseTo(120 / 400, 1);
    }
    await entries.nth(1).focus();
    expect(await page.locator('.boxed .tag').allTextContents()).toEqual(['1', '1.00', '3']);
    expect(await page.locator('.boxed .chosen polygon').count()).toBe(2);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    await page.setViewportSize({ width: 1280, height: 720 });
  });

  it('shows versions with their variants, live', async () => {
    await page.getByRole('link', { name: 'models' }).click();
    await page.getByRole('heading', { name: 'digits@1' }).waitFor();
    expect(await page.locator('.card', { hasText: 'digits@1' }).locator('tbody tr').count()).toBeGreaterThan(2);
    const next = join(folder, 'digits');
    await cp(join(examplesFolder, 'digits'), next, { recursive: true });
    const yaml = await readFile(join(next, 'model.yaml'), 'utf8');
    await writeFile(join(next, 'model.yaml'), yaml.replace("version: '1.0'", "version: '1.1'"));
    await runTidegate(hub, ['model', 'publish', next]);
    await page.getByRole('heading', { name: 'digits@2' }).waitFor();
  });

  it('makes no error of its own', () => {
    expect(problems).toEqual([]);
  });
});
