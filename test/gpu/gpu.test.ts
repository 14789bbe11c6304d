// The provider ladder and the packages' own goldens on a GPU: WebGPU on whatever there is, CUDA where it was installed. On a real
// GPU all goldens are run and timed against the CPU; on SwiftShader digits and four line pictures, for the results alone.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineSlots } from '@tidegate/edge-agent/engine/engine-slots.js';
import type { Provider } from '@tidegate/shared/runtime/engine.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { HANG_LIMITS } from '@tidegate/shared/runtime/hang-policy.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import type { ServedModel } from '@tidegate/shared/serving/served-model.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { goldensFileSchema } from '@tidegate/shared/wire/model-yaml.js';
import { assemble as assembleOcr } from '../../examples/ocr/assemble.mjs';
import { assemble as assembleLine } from '../../examples/ocr-line/assemble.mjs';
import { cudaDevice, useDevice, webgpuDevice, type GpuDevice } from '../support/gpu-devices.js';
import { recordedLog } from '../support/recorded-log.js';
import { temporaryFolders } from '../support/temporary-folder.js';
import { unlimitedResidency } from '../support/unlimited-residency.js';

const fixture = fileURLToPath(new URL('../fixtures/onnx/matmul.onnx', import.meta.url));
const digits = fileURLToPath(new URL('../../examples/digits', import.meta.url));
const never = new AbortController().signal;
const folder = temporaryFolders('gpu');
const TIMED_RUNS = 30;
const SOFTWARE_LINES = 4;
/** No Vulkan driver, and no CUDA device. */
const BROKEN_DRIVER = { VK_DRIVER_FILES: '/nowhere', VK_ICD_FILENAMES: '/nowhere', CUDA_VISIBLE_DEVICES: '-1' };

const webgpu = webgpuDevice();
const cuda = cudaDevice();
if (webgpu === undefined) console.warn('SKIPPED: WebGPU: neither a GPU nor SwiftShader (apt-get install chromium)');
if (cuda === undefined) console.warn('SKIPPED: CUDA: no NVIDIA GPU, or the provider is not installed (docs/gpu.md)');
const devices = [webgpu, cuda].filter((device) => device !== undefined);

/** The package with its first `count` goldens only. */
async function shortened(package_: string, count: number): Promise<string> {
  const file = join(package_, 'goldens/goldens.json');
  const goldens = goldensFileSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  await writeFile(file, JSON.stringify(goldens.slice(0, count)));
  return package_;
}

describe.skipIf(devices.length > 0)('a GPU', () => {
  it.skip('is nowhere to be found', () => undefined);
});

describe.each(devices.map((device) => [`${device.provider} (${device.kind})`, device] as const))('%s', (_, device) => {
  const { provider } = device;
  const isReal = device.kind === 'real';
  // Beside other work a run in software may well take ten times as long as the one before.
  const hangLimits = isReal ? HANG_LIMITS : { ...HANG_LIMITS, floorMs: 120_000 };
  let runtime: ExecutorRuntime;
  let putBack = (): void => undefined;
  const slots: EngineSlots[] = [];

  beforeAll(() => {
    putBack = useDevice(device);
    runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, hangLimits });
  });
  afterAll(async () => {
    await Promise.all(slots.map((one) => one.closeAll()));
    await runtime.close();
    putBack();
  });

  const serve = async (name: string, path: string, on: Provider): Promise<ServedModel> => {
    const residency = unlimitedResidency();
    const modules = { runtime, residency, inspect: inspectGraphFile, clock: systemClock, log: silentLog };
    const own = new EngineSlots({ providers: [on], intraOpThreads: 1, queueDepthMax: 64, heavy: false }, modules);
    slots.push(own);
    const identity = { version: '1', versionDigest: sha256(path), variant: 'fp32', variantDigest: sha256(path) };
    const prepared = await own.prepare({ name, ...identity, path, verified: false }, never);
    return prepared.served;
  };

  it('is what runs, right with many runs at once, and says so (B18)', async () => {
    const asked: Provider[] = provider === 'webgpu' && cuda === undefined ? ['cuda', 'webgpu'] : [provider];
    const runner = await runtime.load({ label: 'matmul', path: fixture, providers: asked, intraOpThreads: 1 }, never);
    expect(runner.provider).toMatchObject({ asked, runs: provider, cpuNodes: 0 });
    expect(runner.provider.tried.map((rung) => rung.provider)).toEqual(asked.slice(0, -1));
    const x = tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)));
    const answers = await Promise.all([1, 2, 3].map(() => runner.run([x], [], new AbortController().signal)));
    for (const { outputs } of answers) expect([...float32Of(outputs[0]!)]).toEqual([6, 46]);
    expect(runner.measuredUs([x])).toBeUndefined(); // they may have compiled: no measure of what follows (B19)
    await runner.run([x], [], never);
    expect(runner.measuredUs([x])).toBeGreaterThan(0);
    await runner.close();
  });

  it('is missed, and named in log and answers, when its driver breaks under a running model (B18)', async () => {
    const log = recordedLog();
    const fragile = new ExecutorRuntime({ clock: systemClock, log, hangLimits });
    const runner = await fragile.load(
      { label: 'matmul', path: fixture, providers: [provider], intraOpThreads: 1 },
      never,
    );
    const broken = useDevice({ provider, kind: 'software', environment: BROKEN_DRIVER });
    process.kill(runner.pid ?? 0, 'SIGKILL');
    const x = tensor('x', 'FP32', [1, 4], bytesOf(Float32Array.of(1, 1, 1, 1)));
    await runner.run([x], [], never).catch(() => undefined); // it may go with the executor; the next one is another's
    const { outputs } = await runner.run([x], [], never);
    broken();
    expect([...float32Of(outputs[0]!)]).toEqual([6, 46]);
    expect(runner.provider).toMatchObject({ asked: [provider], tried: [{ provider }], runs: 'cpu' });
    const warned = log.lines.find(({ message }) => message === 'another provider runs the graph now');
    expect(warned).toMatchObject({ level: 'warn', fields: { before: provider, provider: 'cpu' } });
    expect(warned?.fields['reason']).toMatch(/^fell back to cpu; /);
    await fragile.close();
  });

  it('is what runs through the plain binding too', async () => {
    const plain = new ExecutorRuntime({ clock: systemClock, log: silentLog, engine: 'binding' });
    const runner = await plain.load(
      { label: 'matmul', path: fixture, providers: [provider], intraOpThreads: 1 },
      never,
    );
    expect(runner.provider).toMatchObject({ runs: provider });
    expect(runner.provider.cpuNodes).toBeUndefined(); // the binding can't tell
    await plain.close();
  });

  it('passes the goldens of digits, none of whose nodes the CPU needs', async () => {
    const model = await serve('digits', digits, provider);
    expect(model.ranOn).toMatchObject({ provider, cpuNodesRatio: 0 });
    const result = await model.runGoldens(never);
    expect(result).toMatchObject({ passed: true });
    say(device, `digits: ${result.count} goldens, score ${result.score.toFixed(4)}`);
  });

  it('passes the goldens of ocr-line, and says what the CPU was given of it', async () => {
    const path = await assembleLine(join(folder(), 'ocr-line'));
    if (!isReal) await shortened(path, SOFTWARE_LINES);
    const model = await serve('ocr-line', path, provider);
    const { cpuNodesRatio } = model.ranOn;
    expect(cpuNodesRatio).toBeGreaterThan(0);
    expect(cpuNodesRatio).toBeLessThan(0.2);
    const result = await model.runGoldens(never);
    const onCpu = await (await serve('ocr-line', path, 'cpu')).runGoldens(never);
    expect(result.passed).toBe(true);
    expect(result.count).toBe(isReal ? 64 : SOFTWARE_LINES);
    expect(Math.abs(result.score - onCpu.score)).toBeLessThan(isReal ? 0.005 : 1e-9);
    const share = `${((cpuNodesRatio ?? 0) * 100).toFixed(1)}% of the nodes on the CPU`;
    say(
      device,
      `ocr-line: ${result.count} goldens, score ${result.score.toFixed(4)}, on the CPU ${onCpu.score.toFixed(4)}, ${share}`,
    );
  });

  it.runIf(isReal)('passes the goldens of ocr', async () => {
    const model = await serve('ocr', await assembleOcr(join(folder(), 'ocr')), provider);
    const result = await model.runGoldens(never);
    expect(result).toMatchObject({ passed: true });
    say(device, `ocr: ${result.count} goldens, score ${result.score.toFixed(4)}`);
  });

  it.runIf(isReal)('is timed against the CPU, whose results it gives', async () => {
    const line = await assembleLine(join(folder(), 'ocr-line'));
    const graphs = [
      ['digits, 1 row', join(digits, 'digits.onnx'), [1, 1, 28, 28]],
      ['digits, 256 rows', join(digits, 'digits.onnx'), [256, 1, 28, 28]],
      ['ocr-line, 1 row', join(line, 'ch_PP-OCRv4_rec_infer.onnx'), [1, 3, 48, 320]],
      ['ocr-line, 8 rows', join(line, 'ch_PP-OCRv4_rec_infer.onnx'), [8, 3, 48, 320]],
      ['ocr-line, 32 rows', join(line, 'ch_PP-OCRv4_rec_infer.onnx'), [32, 3, 48, 320]],
    ] as const;
    for (const [name, path, shape] of graphs) {
      const gpu = await timed(runtime, path, shape, provider, 1);
      const cpu = await timed(runtime, path, shape, 'cpu', 1);
      const difference = largestDifference(gpu.output, cpu.output);
      const ratio = (cpu.medianMs / gpu.medianMs).toFixed(1);
      const times = `${gpu.medianMs.toFixed(2)} ms a run, CPU with 1 thread ${cpu.medianMs.toFixed(2)} ms (${ratio} x)`;
      say(
        device,
        `${name}: ${times}, first ${gpu.firstMs.toFixed(0)} ms, largest difference ${difference.toExponential(1)}`,
      );
      expect(difference).toBeLessThan(0.05);
    }
  });
});

function say({ provider, kind }: GpuDevice, text: string): void {
  console.log(`GPU ${provider} (${kind}): ${text}`);
}

interface Timed {
  readonly firstMs: number;
  readonly medianMs: number;
  readonly output: NamedTensor;
}

async function timed(
  runtime: ExecutorRuntime,
  path: string,
  shape: readonly number[],
  provider: Provider,
  intraOpThreads: number,
): Promise<Timed> {
  const options = { label: 'timed', path, providers: [provider], intraOpThreads, concurrency: 1 };
  const runner = await runtime.load(options, never);
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((i * 37) % 255) / 255);
  const feeds = [tensor(runner.inputs[0]?.name ?? '', 'FP32', shape, bytesOf(values))];
  const times: number[] = [];
  let output: NamedTensor | undefined;
  for (let run = 0; run <= TIMED_RUNS; run++) {
    const { outputs, computeUs } = await runner.run(feeds, [], new AbortController().signal);
    times.push(computeUs / 1000);
    output = outputs[0];
  }
  await runner.close();
  const [firstMs = 0, ...others] = times;
  const medianMs = others.toSorted((a, b) => a - b)[Math.floor(others.length / 2)] ?? 0;
  return { firstMs, medianMs, output: output as NamedTensor };
}

function largestDifference(a: NamedTensor, b: NamedTensor): number {
  const [left, right] = [float32Of(a), float32Of(b)];
  expect(left.length).toBe(right.length);
  return left.reduce((most, value, i) => Math.max(most, Math.abs(value - (right[i] ?? Infinity))), 0);
}
