// A wrong clock does not matter to serving (lesson B1, its serving half): 1970, two hours ahead, 2040. Needs `faketime`;
// where it isn't installed the tests are skipped, loudly, unless REQUIRE_FAKETIME says that they must run.
import { spawnSync } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, examplesFolder, startAgent } from '../support/agent-process.js';
import { digitInput } from '../support/digit-inputs.js';

// The wrapper stays as a parent that passes no signals on; its library alone does the work.
const library = /^LD_PRELOAD=(.+)$/m.exec(
  spawnSync('faketime', ['-f', '+0', 'env'], { encoding: 'utf8' }).stdout ?? '',
)?.[1];
const installed = library !== undefined;
if (!installed) console.error('faketime is not installed: the clock tests (B1) are SKIPPED');

let agent: AgentProcess | undefined;
afterEach(async () => {
  await agent?.stop();
  agent = undefined;
});

describe.skipIf(!installed && process.env['REQUIRE_FAKETIME'] === undefined)('under a wrong clock (B1)', () => {
  it.each([
    ['1970', '@1970-01-01 00:10:00'],
    ['two hours ahead', '+2h'],
    ['2040', '@2040-06-01 12:00:00'],
  ])('serves at %s: answers, caches and keeps deadlines', async (_name, time) => {
    const startMs = performance.now();
    agent = await startAgent(['serve', `${examplesFolder}digits`], {
      environment: { LD_PRELOAD: library ?? '', FAKETIME: time },
    });
    expect(performance.now() - startMs).toBeLessThan(15_000);
    const first = await agent.infer('digits', digitInput(1));
    expect(first.provenance.placement).toBe('edge');
    expect((await agent.infer('digits', digitInput(1))).provenance.placement).toBe('cache');
    const late = agent.infer('digits', digitInput(2, 4096), { timeoutMs: 40, cache: 'bypass' });
    await expect(late).rejects.toMatchObject({ code: expect.stringMatching(/deadline/) as string });
    expect((await agent.status()).state).toBe('serving');
  });
});
