// Which engine this process uses: the C API, or the plain binding where that can't load. `TIDEGATE_ENGINE=capi|binding` forces
// one (then a failure is a failure). Each is imported only when wanted: neither's native code is loaded for nothing.
import type { Engine } from '../engine.js';

interface PickedEngine {
  readonly engine: Engine;
  /** Why it is not the C API's; undefined when it is, or when the binding was asked for. */
  readonly fallbackReason?: string;
}

/** How each engine is made; a test replaces one by what fails. */
interface EngineMakers {
  readonly capi: (sharedThreads: number | undefined) => Promise<Engine>;
  readonly binding: (sharedThreads: number | undefined) => Promise<Engine>;
}

const MAKERS: EngineMakers = {
  capi: async (sharedThreads) => (await import('./capi/engine.js')).createCapiEngine(sharedThreads),
  binding: async () => (await import('./binding/engine.js')).createBindingEngine(),
};

/**
 * Throws where the forced engine, or the last one left, can't load. `forced` is the environment's word; `sharedThreads` as
 * createCapiEngine: the binding has no such pool.
 */
export async function pickEngine(
  forced: string | undefined,
  sharedThreads?: number,
  makers: EngineMakers = MAKERS,
): Promise<PickedEngine> {
  if (forced === 'capi' || forced === 'binding') return { engine: await makers[forced](sharedThreads) };
  if (forced !== undefined && forced !== '') {
    throw new Error(`TIDEGATE_ENGINE is "${forced}"; it can be capi or binding`);
  }
  try {
    return { engine: await makers.capi(sharedThreads) };
  } catch (cause) {
    const fallbackReason = `the C API engine can't load: ${cause instanceof Error ? cause.message : String(cause)}`;
    return { engine: await makers.binding(sharedThreads), fallbackReason };
  }
}
