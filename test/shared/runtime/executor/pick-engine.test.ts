import { describe, expect, it } from 'vitest';
import { pickEngine } from '@tidegate/shared/runtime/executor/pick-engine.js';

describe('the choice of the engine', () => {
  it('is the C API by default', async () => {
    const { engine, fallbackReason } = await pickEngine(undefined);
    expect(engine.name).toBe('ort-capi');
    expect(fallbackReason).toBeUndefined();
  });

  it('can be forced', async () => {
    expect((await pickEngine('binding')).engine.name).toBe('ort-binding');
    expect((await pickEngine('capi')).engine.name).toBe('ort-capi');
  });

  it('falls back to the binding with the reason, but not when the C API was forced', async () => {
    const failing = async (): Promise<never> => {
      throw new Error('no libonnxruntime here');
    };
    const binding = (await pickEngine('binding')).engine;
    const makers = { capi: failing, binding: async () => binding };
    const picked = await pickEngine(undefined, 1, makers);
    expect(picked.engine).toBe(binding);
    expect(picked.fallbackReason).toMatch(/C API engine can't load: no libonnxruntime here/);
    await expect(pickEngine('capi', 1, makers)).rejects.toThrow('no libonnxruntime here');
  });

  it('refuses a name that it has not', async () => {
    await expect(pickEngine('tensorflow')).rejects.toThrow(/TIDEGATE_ENGINE is "tensorflow".*capi or binding/);
  });
});
