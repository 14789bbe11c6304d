import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

/** What a process says that has left a grown young generation behind, before and after, and that it goes on. */
const SCRIPT = `
  const { collectGarbage, heldBytes } = await import('@tidegate/shared/system/collect-garbage.js');
  const kept = [];
  for (let i = 0; i < 4e5; i += 1) kept.push({ i });
  kept.length = 0;
  const before = heldBytes();
  const done = await collectGarbage();
  const after = heldBytes();
  const again = await collectGarbage();
  await new Promise((resolve) => setTimeout(resolve, 1));
  console.log(JSON.stringify({ done, again, before, after }));
`;

it('gives back what V8 has taken, and lets the process go on', () => {
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  const { done, again, before, after } = JSON.parse(out) as Record<string, number | boolean>;
  expect([done, again]).toEqual([true, true]);
  expect(Number(after)).toBeLessThan(Number(before) / 2);
});
