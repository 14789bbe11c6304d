// Does inference work here? The smallest graph, y = x + x, through a real executor, with the providers that are set.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { ONNX_TYPE } from '@tidegate/shared/tensor/datatype.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';
import type { Settings } from '../config/settings-table.js';
import { fail, fine, warn, type Verdict } from './finding.js';

const CHECK_WITHIN_MS = 60_000;

/** Rejects where no executor starts or none computes. */
export async function checkInference({ providers, engine }: Pick<Settings, 'providers' | 'engine'>): Promise<Verdict> {
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-doctor-'));
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, engine });
  try {
    const path = join(folder, 'double.onnx');
    const value = (name: string): ReturnType<typeof makeValue> => makeValue(name, ONNX_TYPE.FP32, [1]);
    const model = makeModel(makeGraph([makeNode('Add', ['x', 'x'], ['y'])], [value('x')], [value('y')]));
    await writeFile(path, Buffer.concat(encodeModel(model)));
    const signal = AbortSignal.timeout(CHECK_WITHIN_MS);
    const runner = await runtime.load({ label: 'doctor', path, providers, intraOpThreads: 1 }, signal);
    const feed = tensor('x', 'FP32', [1], bytesOf(Float32Array.of(21)));
    const [answer] = (await runner.run([feed], [], signal)).outputs;
    if (answer === undefined || float32Of(answer)[0] !== 42) {
      return fail('21 + 21 is not 42 here', 'run memtest: the processor or the memory miscalculates');
    }
    const { engine: ran, provider, loadMs } = runner;
    const found = `${ran.name} ${ran.version} on ${provider.runs}, an executor starts in ${Math.round(loadMs)} ms`;
    const tried = provider.tried.map((rung) => `${rung.provider} failed: ${rung.error}`);
    if (tried.length === 0) return fine(found);
    return warn(`${found}; ${tried.join('; ')}`, 'install the driver of that provider, or take it out of --providers');
  } finally {
    await runtime.close();
    await rm(folder, { recursive: true, force: true });
  }
}
