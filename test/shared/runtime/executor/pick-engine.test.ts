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

  it('refuses a name that it has not', async () => {
    await expect(pickEngine('tensorflow')).rejects.toThrow(/TIDEGATE_ENGINE is "tensorflow".*capi or binding/);
  });
});
