// Debian's Chromium, headless, for tests of the console. `undefined` where there is none; the test then skips by name.
import { existsSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';

export const CHROMIUM = process.env['TEST_CHROMIUM'] ?? '/usr/bin/chromium';

export const hasChromium = existsSync(CHROMIUM);

export function openBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/**
 * What goes wrong in a page from now on: exceptions, and errors in its console. Refusals that a test asks for (`refusals`: statuses) are
 * none. Nor is what has no place in a page: the driver evaluates its own code there, which the page's content security policy may
 * refuse for a moment while a document is replaced; it then tries again. What the page itself evaluates has a place.
 */
export function problemsOf(page: Page, refusals: readonly number[]): readonly string[] {
  const problems: string[] = [];
  const askedFor = new RegExp(`status of (${refusals.join('|')})\\b`);
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    const { url, lineNumber } = message.location();
    if (message.type() !== 'error' || url === '' || askedFor.test(message.text())) return;
    problems.push(`${message.text()} (${url}:${lineNumber}, on ${page.url()})`);
  });
  return problems;
}
