// Silero VAD v5 and v6 as packages, through a real executor, on speech that espeak-ng makes: equal, to the bit, to a plain loop
// around ONNX Runtime that carries the state by hand (test/support/vad-loop.mjs). Without espeak-ng it is skipped, loudly, unless
// REQUIRE_ESPEAK says that it must run.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { openServedModel } from '@tidegate/shared/serving/open-served-model.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';
import { assemble, graphPath } from '../../examples/vad/assemble.mjs';
import { frames, RATE, readWav } from '../../examples/vad/sound.mjs';
import { temporaryFolders } from '../support/temporary-folder.js';

const LOOP = fileURLToPath(new URL('../support/vad-loop.mjs', import.meta.url));
const newFolder = temporaryFolders('vad');
const digest = `sha256:${'0'.repeat(64)}`;
const identity = { name: 'vad', version: '1', versionDigest: digest, variant: 'fp32', variantDigest: digest };
const options = { providers: ['cpu'], intraOpThreads: 1, queueDepthMax: 64, heavy: false } as const;
const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
afterAll(() => runtime.close());

const installed = spawnSync('espeak-ng', ['--version']).status === 0;
if (!installed) console.warn('SKIPPED: Silero VAD on synthesised speech, no espeak-ng (apt-get install espeak-ng)');

/** Half a second of silence, the words, half a second of silence. */
function say(voice: string, words: string): Float32Array[] {
  const { stdout, status } = spawnSync('espeak-ng', ['-v', voice, '--stdout', words], { maxBuffer: 1 << 25 });
  expect(status).toBe(0);
  const speech = readWav(stdout);
  const silence = RATE / 2;
  const samples = new Float32Array(speech.length + 2 * silence);
  samples.set(speech, silence);
  return [...frames(samples)];
}

function loop(release: 'v5' | 'v6', said: readonly Float32Array[]): number[] {
  const input = Buffer.concat(said.map(bytesOf));
  const { stdout, stderr, status } = spawnSync(process.execPath, [LOOP, graphPath(release), String(said[0]?.length)], {
    input,
  });
  expect(status, stderr.toString()).toBe(0);
  return [...new Float32Array(Uint8Array.from(stdout).buffer)];
}

/** Sends every frame as a request of its own, the next one when the one before is answered. */
async function listen(model: ServedModel, id: string, said: readonly Float32Array[]): Promise<number[]> {
  const heard: number[] = [];
  for (const [i, frame] of said.entries()) {
    const inputs = [
      tensor('audio', 'FP32', [1, frame.length], bytesOf(frame)),
      tensor('sr', 'INT64', [], bytesOf(BigInt64Array.of(BigInt(RATE)))),
    ];
    const sequence = { id, start: i === 0, end: i === said.length - 1 };
    const request = { inputs, outputs: [], deadlineMs: systemClock.monotonicMs() + 20_000, priority: 0, sequence };
    const { outputs } = await model.infer(request, new AbortController().signal);
    heard.push(float32Of(outputs[0]!)[0]!);
  }
  return heard;
}

describe.skipIf(!installed && process.env['REQUIRE_ESPEAK'] === undefined)('Silero VAD on synthesised speech', () => {
  it.each(['v5', 'v6'] as const)(
    '%s hears what a plain loop hears, to the bit, two sequences mixed (B26)',
    async (release) => {
      const folder = await assemble(newFolder(), release);
      const modules = { runtime, inspect: inspectGraphFile, clock: systemClock };
      const model = await openServedModel(folder, identity, options, modules, new AbortController().signal);
      expect(await model.runGoldens(new AbortController().signal)).toMatchObject({ passed: true, count: 1 });
      const tide = say('en', 'The tide gate lets water through.');
      const gate = say('de', 'Das Sieltor schliesst sich von selbst.');
      const [heardTide, heardGate] = await Promise.all([listen(model, '1', tide), listen(model, '2', gate)]);
      expect(heardTide).toEqual(loop(release, tide));
      expect(heardGate).toEqual(loop(release, gate));
      for (const heard of [heardTide, heardGate]) {
        expect(Math.max(...heard.slice(0, 10))).toBeLessThan(0.35);
        expect(heard.filter((probability) => probability > 0.5).length).toBeGreaterThan(heard.length / 3);
      }
      expect(model.sequenceCounts).toMatchObject({ live: 0, started: 3, ended: { ended: 3 } });
      await model.close();
    },
  );
});
