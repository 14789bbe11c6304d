import { describe, expect, it } from 'vitest';
import type { Provider } from '@tidegate/shared/runtime/engine.js';
import { climb, providerReport, rungsOf, unavailable } from '@tidegate/shared/runtime/executor/ladder.js';
import { RuntimeError } from '@tidegate/shared/runtime/runtime-error.js';

const has = (...providers: Provider[]): Set<Provider> => new Set(providers);

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
    expect(unavailable('cuda', has('cpu', 'cuda'))).toMatch(/CUDA provider is not installed/);
    expect(unavailable('webgpu', has('cpu'))).toMatch(/no webgpu/);
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
