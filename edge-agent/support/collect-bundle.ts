// What goes into a support bundle. Chosen piece by piece: versions, settings, findings, what a running agent says of itself,
// what the device should run and runs, names and sizes of files, the end of a log. Never the key, tokens, inputs, answers or
// captured samples: none of their files is opened. What can't be had is named with the reason, and the rest goes on.
import { arch, cpus, loadavg, platform, release, totalmem, uptime } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Settings } from '../config/settings-table.js';
import type { Finding } from '../doctor/finding.js';
import { loadIdentity } from '../identity/identity.js';
import { ActiveMirror } from '../state/active-mirror.js';
import { AgentState } from '../state/agent-state.js';
import { checkDatabase } from '../state/check-database.js';
import { redact } from './redact.js';
import { secretValues, shownSettings } from './shown-settings.js';
import type { ArchiveFile } from './tar.js';

interface BundleModules {
  readonly files: Files;
  readonly clock: Clock;
  readonly version: string;
  /** GETs a path of the running agent as text; rejects where none answers. */
  readonly ask: (path: string) => Promise<string>;
  readonly examine: () => Promise<readonly Finding[]>;
}

const LOG_BYTES_MAX = 1024 * 1024;
const LIMIT_LISTED_FILES = 2000;
/** Folders of the data folder whose files' names and sizes are listed; `identity` and captures are not looked into. */
const LISTED = ['.', 'models', 'models/manifests', 'models/packages', 'models/partial'];

const ABOUT = `A support bundle of tidegate-agent. It holds versions, settings without secrets, the findings of doctor,
what the agent says of itself (status, models, cache, explanations, metrics), what the device should run and runs,
names and sizes of its files, and the end of the log where one was given.
It holds no keys, no tokens, no inputs or answers of models, and no captured samples.
A piece that could not be had is named here with the reason:
`;

/** `logFile`: a log to take the end of. Never rejects. */
export async function collectBundle(
  settings: Settings,
  logFile: string | undefined,
  modules: BundleModules,
): Promise<ArchiveFile[]> {
  const { dataDir } = settings;
  const { files, ask } = modules;
  const json = async (value: unknown): Promise<string> => `${JSON.stringify(await value, null, 2)}\n`;
  const pieces: [string, () => Promise<string>][] = [
    ['versions.json', () => json(versions(modules))],
    ['settings.json', () => json(shownSettings(settings))],
    ['doctor.json', () => json(modules.examine())],
    ...['status', 'models', 'cache', 'explain'].map((name): [string, () => Promise<string>] => [
      `${name}.json`,
      async () => json(JSON.parse(await ask(`/agent/v1/${name}`))),
    ]),
    ['metrics.txt', () => ask('/metrics')],
    ['identity.json', () => json(identityOf(dataDir, files))],
    ['active.json', async () => json(Object.fromEntries(await new ActiveMirror(dataDir, files).read()))],
    ['state.json', async () => json(stateOf(dataDir))],
    ['files.txt', () => listing(dataDir, files)],
  ];
  if (logFile !== undefined) pieces.push(['log.txt', () => endOf(logFile, files)]);
  const secrets = secretValues(settings);
  const missing: string[] = [];
  const archive: ArchiveFile[] = [];
  for (const [path, make] of pieces) {
    try {
      archive.push({ path, data: Buffer.from(redact(await make(), secrets)) });
    } catch (error) {
      missing.push(redact(`${path}: ${error instanceof Error ? error.message : String(error)}`, secrets));
    }
  }
  const about = `${ABOUT}${missing.length === 0 ? 'none' : missing.join('\n')}\n`;
  return [{ path: 'README.txt', data: Buffer.from(about) }, ...archive];
}

function versions({ version, clock }: BundleModules): object {
  return {
    agent: version,
    node: process.versions.node,
    platform: `${platform()} ${release()} ${arch()}`,
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    loadAverage: loadavg(),
    systemUptimeSeconds: Math.round(uptime()),
    madeAt: new Date(clock.nowMs()).toISOString(),
  };
}

/** Public parts only: who the device is, and by which certificates. */
async function identityOf(dataDir: string, files: Files): Promise<object> {
  const { deviceId, group, deviceUrl, mqttUrl, certificatePem, caPem } = await loadIdentity(dataDir, files);
  return { deviceId, group, deviceUrl, mqttUrl, certificatePem, caPem };
}

/** Of the database, where no agent has it open: a running one tells in its status. Leaves it as it is. */
function stateOf(dataDir: string): object {
  const health = checkDatabase(join(dataDir, 'state.db'));
  if (health.state === 'in-use') throw new Error('the running agent has the database open; see status.json');
  if (health.state === 'none') throw new Error('there is no database');
  if (health.state === 'broken') throw new Error(`the database is broken: ${health.reason}`);
  const state = AgentState.openToRead(dataDir);
  try {
    const { documents, activations, outbox } = state;
    return {
      desired: documents.desired() ?? null,
      activations: activations.records(),
      outbox: outbox.size(),
      telemetryDropped: documents.counter('telemetry-dropped'),
    };
  } finally {
    state.close();
  }
}

async function listing(dataDir: string, files: Files): Promise<string> {
  const lines: string[] = [];
  for (const folder of LISTED) {
    for (const name of await files.list('support.list', join(dataDir, folder))) {
      const path = join(folder, name);
      lines.push(`${(await files.sizeBytes('support.list', join(dataDir, path))) ?? 0}\t${path}`);
      if (lines.length >= LIMIT_LISTED_FILES) return `${lines.join('\n')}\nand more\n`;
    }
  }
  return `${lines.join('\n')}\n`;
}

/** The last MiB, from the beginning of a line. */
async function endOf(path: string, files: Files): Promise<string> {
  const sizeBytes = await files.sizeBytes('support.log', path);
  if (sizeBytes === undefined) throw new Error(`${path} does not exist`);
  const from = Math.max(0, sizeBytes - LOG_BYTES_MAX);
  const file = await files.open('support.log', path);
  try {
    const text = Buffer.from(await file.read(from, sizeBytes - from)).toString('utf8');
    return from === 0 ? text : text.slice(text.indexOf('\n') + 1);
  } finally {
    await file.close();
  }
}
