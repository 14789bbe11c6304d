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
  readonly capi: () => Promise<Engine>;
  readonly binding: () => Promise<Engine>;
}

const MAKERS: EngineMakers = {
  capi: async () => (await import('./capi/engine.js')).createCapiEngine(),
  binding: async () => (await import('./binding/engine.js')).createBindingEngine(),
};

/** Throws where the forced engine, or the last one left, can't load. `forced` is the environment's word. */
export async function pickEngine(forced: string | undefined, makers: EngineMakers = MAKERS): Promise<PickedEngine> {
  if (forced === 'capi' || forced === 'binding') return { engine: await makers[forced]() };
  if (forced !== undefined && forced !== '') {
    throw new Error(`TIDEGATE_ENGINE is "${forced}"; it can be capi or binding`);
  }
  try {
    return { engine: await makers.capi() };
  } catch (cause) {
    const fallbackReason = `the C API engine can't load: ${cause instanceof Error ? cause.message : String(cause)}`;
    return { engine: await makers.binding(), fallbackReason };
  }
}
