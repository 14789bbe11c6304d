// Which engine this process uses: the C API, or the plain binding where that can't load. `TIDEGATE_ENGINE=capi|binding` forces
// one (then a failure is a failure). Each is imported only when wanted: neither's native code is loaded for nothing.
import type { Engine } from '../engine.js';

export interface PickedEngine {
  readonly engine: Engine;
  /** Why it is not the C API's; undefined when it is, or when the binding was asked for. */
  readonly fallbackReason?: string;
}

/** Throws where the forced engine, or the last one left, can't load. `forced` is the environment's word. */
export async function pickEngine(forced: string | undefined): Promise<PickedEngine> {
  if (forced !== undefined && forced !== '' && forced !== 'capi' && forced !== 'binding') {
    throw new Error(`TIDEGATE_ENGINE is "${forced}"; it can be capi or binding`);
  }
  if (forced !== 'binding') {
    try {
      const { createCapiEngine } = await import('./capi/engine.js');
      return { engine: createCapiEngine() };
    } catch (cause) {
      if (forced === 'capi') throw cause;
      const fallbackReason = `the C API engine can't load: ${cause instanceof Error ? cause.message : String(cause)}`;
      return { engine: await binding(), fallbackReason };
    }
  }
  return { engine: await binding() };
}

async function binding(): Promise<Engine> {
  const { createBindingEngine } = await import('./binding/engine.js');
  return createBindingEngine();
}
