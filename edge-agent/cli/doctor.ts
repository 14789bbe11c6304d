// `tidegate-agent doctor`: will an agent work on this device? Each check does the thing itself, not something like it: the
// inference runs through the same executor, the port is listened on. Ends with 1 where a check failed.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { arch, availableParallelism, platform, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { ONNX_TYPE } from '@tidegate/shared/tensor/datatype.js';
import { bytesOf, float32Of, tensor } from '@tidegate/shared/tensor/tensor.js';
import type { Settings } from '../config/settings-table.js';
import { ADDRESS_SETTINGS, AgentUnreachableError, askAgent } from './agent-address.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import type { Verb } from './verb.js';

interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
}

const DOCTOR_SETTINGS = [...ADDRESS_SETTINGS, 'dataDir', 'providers'] as const;
const LEAST_FREE_BYTES = 512 * 2 ** 20;
const CHECK_WITHIN_MS = 60_000;

export const doctorVerb: Verb = (program, context) => {
  const command = program
    .command('doctor')
    .description('Check that an agent works on this device')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate-agent doctor --data-dir /var/lib/tidegate');
  addSettingsOptions(command, DOCTOR_SETTINGS).action(async (options: { json?: boolean }, self: Command) => {
    const findings = await examine(settingsOf(self, DOCTOR_SETTINGS, context));
    const text = findings.map(({ check, ok, detail }) => `${ok ? 'ok  ' : 'FAIL'} ${check}: ${detail}\n`).join('');
    context.stdout.write(options.json === true ? `${JSON.stringify({ findings })}\n` : text);
    const failed = findings.filter(({ ok }) => !ok);
    if (failed.length > 0) throw new Error(`${failed.length} checks failed`);
  });
};

async function examine(settings: Settings): Promise<Finding[]> {
  const device = `${platform()} ${arch()}, ${availableParallelism()} cores, ${(totalmem() / 2 ** 30).toFixed(1)} GiB`;
  return [
    { check: 'device', ok: true, detail: `${device}, Node ${process.versions.node}` },
    await attempt('inference', () => inference(settings)),
    await attempt('data folder', () => dataFolder(settings.dataDir)),
    await attempt('agent or port', () => agentOrPort(settings)),
  ];
}

async function attempt(check: string, act: () => Promise<string>): Promise<Finding> {
  try {
    return { check, ok: true, detail: await act() };
  } catch (error) {
    return { check, ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

/** The smallest graph, y = x + x, through a real executor. */
async function inference({ providers }: Settings): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-doctor-'));
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  try {
    const path = join(folder, 'double.onnx');
    const value = (name: string): ReturnType<typeof makeValue> => makeValue(name, ONNX_TYPE.FP32, [1]);
    const model = makeModel(makeGraph([makeNode('Add', ['x', 'x'], ['y'])], [value('x')], [value('y')]));
    await writeFile(path, Buffer.concat(encodeModel(model)));
    const signal = AbortSignal.timeout(CHECK_WITHIN_MS);
    const runner = await runtime.load({ label: 'doctor', path, providers, intraOpThreads: 1 }, signal);
    const feed = tensor('x', 'FP32', [1], bytesOf(Float32Array.of(21)));
    const { outputs } = await runner.run([feed], [], signal);
    const [answer] = outputs;
    if (answer === undefined || float32Of(answer)[0] !== 42) throw new Error('21 + 21 is not 42 here');
    const { engine, provider, loadMs } = runner;
    const tried = provider.tried.map((rung) => `${rung.provider} failed: ${rung.error}; `).join('');
    return `${tried}${engine.name} ${engine.version} on ${provider.runs}, an executor starts in ${Math.round(loadMs)} ms`;
  } finally {
    await runtime.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function dataFolder(dataDir: string): Promise<string> {
  const probe = join(dataDir, '.doctor');
  await systemFiles.writeAtomic('doctor.probe', probe, 'written by doctor');
  await systemFiles.remove('doctor.probe', probe);
  const freeBytes = await systemFiles.freeBytes('doctor.free', dataDir);
  const free = `${(freeBytes / 2 ** 20).toFixed(0)} MiB free in ${dataDir}`;
  if (freeBytes < LEAST_FREE_BYTES) throw new Error(`${free}; models need room`);
  return free;
}

async function agentOrPort(settings: Settings): Promise<string> {
  try {
    const { state, version } = (await askAgent(settings, '/agent/v1/status')) as { state?: string; version?: string };
    return `an agent answers: ${state}, version ${version}`;
  } catch (error) {
    if (!(error instanceof AgentUnreachableError)) throw error;
  }
  const { host, httpPort } = settings;
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(new Error(`--http-port: can't listen on ${host}:${httpPort}: ${cause.message}`)),
    );
    server.listen({ host, port: httpPort }, () => server.close(() => resolve()));
  });
  return `no agent answers yet, and ${host}:${httpPort} is free`;
}
