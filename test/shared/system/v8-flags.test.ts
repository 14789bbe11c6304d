import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { SERVING_FLAGS } from '../../../shared/system/v8-flags.js';

describe('the flags of V8', () => {
  it('are known to this V8, which would only print an error', () => {
    const known = execFileSync(process.execPath, ['--v8-options'], { encoding: 'utf8' });
    for (const flag of SERVING_FLAGS) {
      const name = flag.replace(/^--(no-)?/, '').replace(/=.*$/, '');
      expect(known, flag).toMatch(new RegExp(`^ +--${name} \\(`, 'm'));
    }
  });

  it('take effect in a process that is running already', () => {
    // A function that has run for 20,000 bytes of bytecode is optimised; V8 alone waits for three times as many.
    const script = `
      const { tuneForServing } = await import('@tidegate/shared/system/v8-flags.js');
      if (process.argv[1] === 'tuned') tuneForServing();
      const status = new Function('f', 'return %GetOptimizationStatus(f)');
      function work(a) { let sum = 0; for (const x of a) sum += x; return sum; }
      let calls = 0;
      const OPTIMISED = 1 << 4 | 1 << 5;
      while ((status(work) & OPTIMISED) === 0 && calls < 1e5) { work([1, 2, 3]); calls += 1; if (calls % 50 === 0) await new Promise(setImmediate); }
      console.log(calls);
    `;
    // Not in the background, where a busy machine would compile late.
    const flags = ['--allow-natives-syntax', '--no-concurrent-recompilation', '--input-type=module'];
    const calls = (mode: string): number =>
      Number(execFileSync(process.execPath, [...flags, '-e', script, mode], { encoding: 'utf8' }));
    expect(calls('tuned')).toBeLessThan(calls('plain') / 2);
  });
});
