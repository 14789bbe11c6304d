import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Provider } from '@tidegate/shared/runtime/engine.js';
import { climb, providerReport, rungsOf, unavailable, type Rungs } from '@tidegate/shared/runtime/executor/ladder.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';

const has = (...providers: Provider[]): Rungs => ({ built: new Set(providers), folder: '/nowhere' });

describe('the provider ladder (B18)', () => {
  it.each<[Provider[], Provider[]]>([
    [[], ['cpu']],
    [['cpu'], ['cpu']],
    [['webgpu'], ['webgpu', 'cpu']],
    [
      ['cuda', 'webgpu', 'cuda'],
      ['cuda', 'webgpu', 'cpu'],
    ],
    [
      ['cpu', 'webgpu'],
      ['webgpu', 'cpu'],
    ],
  ])('%j climbs down %j', (asked, rungs) => {
    expect(rungsOf(asked)).toEqual(rungs);
  });

  it('says why a provider is not even tried', () => {
    expect(unavailable('cpu', has('cpu'))).toBeUndefined();
    expect(unavailable('webgpu', has('cpu'))).toMatch(/no webgpu/);
    expect(unavailable('cuda', has('cpu'))).toMatch(/no cuda/);
  });

  it.runIf(process.platform === 'linux')('looks for the library of a provider that is installed apart', () => {
    const library = 'libonnxruntime_providers_cuda.so';
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-ladder-'));
    const rungs: Rungs = { built: new Set(['cpu', 'cuda']), folder };
    expect(unavailable('cuda', rungs)).toBe(
      `the cuda provider is not installed: there is no ${library} in ${folder} (docs/gpu.md says how to install it)`,
    );
    writeFileSync(join(folder, library), '');
    expect(unavailable('cuda', rungs)).toBeUndefined();
    rmSync(folder, { recursive: true });
  });

  it('accounts for the fall', () => {
    expect(providerReport(['cpu'], [], 'cpu').reason).toBe('asked for');
    expect(providerReport([], [], 'cpu').reason).toBe('default');
    expect(providerReport(['webgpu'], [{ provider: 'webgpu', error: 'no adapter' }], 'cpu').reason).toBe(
      'fell back to cpu; webgpu: no adapter',
    );
  });

  it('takes the first rung that holds and keeps the account of the others', async () => {
    const attempts: Provider[] = [];
    const { result, report } = await climb(['cuda', 'webgpu'], has('cpu', 'webgpu'), async (provider) => {
      attempts.push(provider);
      if (provider === 'webgpu') throw new Error('no adapter');
      return provider;
    });
    expect(result).toBe('cpu');
    expect(attempts).toEqual(['webgpu', 'cpu']);
    expect(report.tried.map(({ provider }) => provider)).toEqual(['cuda', 'webgpu']);
    expect(report.reason).toMatch(/cuda: .*; webgpu: no adapter/);
  });

  it("ends with the last rung's reason where none holds", async () => {
    const failing = climb(['webgpu'], has('cpu', 'webgpu'), async (provider) => {
      throw new Error(`${provider} says no`);
    });
    await expect(failing).rejects.toMatchObject({ code: 'load-failed', message: 'cpu says no' });
  });

  it('climbs no further once cancelled', async () => {
    const attempts: Provider[] = [];
    const cancelled = climb(['webgpu'], has('cpu', 'webgpu'), async (provider) => {
      attempts.push(provider);
      throw new RuntimeError('cancelled', 'gone');
    });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    expect(attempts).toEqual(['webgpu']);
  });
});
