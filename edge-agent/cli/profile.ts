// `tidegate-agent profile MODEL|PATH...`: what a model costs on this device. Needs no running agent: it loads the model in
// executors of its own, and stops by itself. MODEL is one that the hub put on this device; as it lies on the disk.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { findPackages } from '@tidegate/shared/package/find-packages.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { Settings } from '../config/settings-table.js';
import { ModelStore } from '../model-store/model-store.js';
import { profilePackages, type ProfiledPackage } from '../profile/profile-packages.js';
import { threadCounts } from '../profile/profile-plan.js';
import { profileSvg } from '../profile/profile-plot.js';
import { MadeUpRowError } from '@tidegate/shared/serving/made-up-row.js';
import { profileText } from '../profile/profile-table.js';
import { ActiveMirror } from '../state/active-mirror.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import { untilTerminated } from './until-terminated.js';
import { UsageError, type CliContext, type Verb } from './verb.js';

const PROFILE_SETTINGS = ['dataDir', 'providers', 'engine'] as const;
const DEFAULT_SECONDS = '30';
const DEFAULT_DEADLINES = '10,50,200,1000';
const LIMIT_SECONDS = 3600;
const LIMIT_BATCH = 1024;
const LIMIT_THREADS = 256;

const EXAMPLE = `
MODEL is a model that the hub put on this device, PATH what \`serve\` takes. Several are compared, variants of one model for example.
Each of --providers is measured apart. A run's time is the agent's view of it: the way to the executor is in it.

Example:
  tidegate-agent profile examples/digits --svg digits.svg
  tidegate-agent profile digits --seconds 60 --threads 1,2,4 --batches 1,8,32 --deadlines 20`;

interface ProfileFlags {
  readonly seconds: string;
  readonly batches?: string;
  readonly threads?: string;
  readonly deadlines: string;
  readonly shape: readonly string[];
  readonly json?: boolean;
  readonly svg?: string;
}

export const profileVerb: Verb = (program, context) => {
  const command = program
    .command('profile')
    .description('Measure what a model costs on this device, and advise on sizing')
    .argument('<MODEL|PATH...>', 'models to measure')
    .option('--seconds <N>', 'time for all of it; more only where loading takes most of it', DEFAULT_SECONDS)
    .option('--batches <LIST>', "rows of a run (default: powers of two up to the package's batching.maxRows)")
    .option('--threads <LIST>', 'threads of a run (default: powers of two up to the cores)')
    .option('--deadlines <LIST>', 'milliseconds that the advice is about', DEFAULT_DEADLINES)
    .option('--shape <NAME=1x3x224x224>', 'shape of an input whose dimensions are dynamic; repeatable', collect, [])
    .option('--json', 'print JSON')
    .option('--svg <FILE>', 'write throughput and latency over batch as an SVG plot')
    .addHelpText('after', EXAMPLE);
  addSettingsOptions(command, PROFILE_SETTINGS).action((models: string[], options: ProfileFlags, self: Command) =>
    profile(models, options, settingsOf(self, PROFILE_SETTINGS, context), context),
  );
};

async function profile(
  models: readonly string[],
  flags: ProfileFlags,
  settings: Settings,
  context: CliContext,
): Promise<void> {
  const [seconds = 0] = numbers('seconds', flags.seconds, LIMIT_SECONDS);
  const options = {
    budgetMs: seconds * 1000,
    providers: settings.providers,
    threads:
      flags.threads === undefined
        ? threadCounts(availableParallelism())
        : numbers('threads', flags.threads, LIMIT_THREADS),
    batches: flags.batches === undefined ? undefined : numbers('batches', flags.batches, LIMIT_BATCH),
    shapes: new Map(flags.shape.map(shapeOf)),
    deadlinesMs: numbers('deadlines', flags.deadlines, 3_600_000),
  };
  const stopping = untilTerminated(silentLog);
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog, engine: settings.engine });
  const progress = progressLine(context.stderr);
  try {
    const packages = await packagesOf(models, settings.dataDir, stopping.signal);
    const modules = { runtime, files: systemFiles, clock: systemClock, onProgress: progress.show };
    const report = await profilePackages(packages, options, modules, stopping.signal);
    progress.clear();
    if (flags.svg !== undefined) await systemFiles.writeAtomic('profile.svg', resolve(flags.svg), profileSvg(report));
    context.stdout.write(flags.json === true ? `${JSON.stringify(report)}\n` : profileText(report));
  } catch (error) {
    progress.clear();
    throw error instanceof MadeUpRowError ? new UsageError(error.message) : error;
  } finally {
    await runtime.close();
    stopping.stop();
  }
}

/** In the order given. Rejects with UsageError for a name that is neither a path nor a model of this device. */
async function packagesOf(models: readonly string[], dataDir: string, signal: AbortSignal): Promise<ProfiledPackage[]> {
  const packages: ProfiledPackage[] = [];
  for (const model of models) {
    if (!existsSync(model)) {
      packages.push(await installed(model, dataDir, signal));
      continue;
    }
    const found = await findPackages(model);
    for (const { path, name } of found) {
      const pack = await openPackage(path, { inspect: inspectGraphFile }, { signal, ...(name && { name }) });
      const same = packages.filter((other) => other.package.yaml.name === pack.yaml.name).length;
      packages.push({ label: same === 0 ? pack.yaml.name : `${pack.yaml.name} (${path})`, package: pack });
    }
  }
  return packages;
}

async function installed(model: string, dataDir: string, signal: AbortSignal): Promise<ProfiledPackage> {
  const active = (await new ActiveMirror(dataDir, systemFiles).read()).get(model);
  if (active === undefined) throw new UsageError(`${model} is neither a path nor a model on this device (${dataDir})`);
  const { variant, variantDigest, version } = active.running;
  const store = await ModelStore.open({ dataDir }, systemFiles);
  const pack = await openPackage(store.packageFolder(variantDigest), { inspect: inspectGraphFile }, { signal });
  return { label: `${model}@${version} ${variant}`, package: pack };
}

function numbers(flag: string, text: string, limit: number): number[] {
  const values = text.split(',').map((part) => (/^\d{1,9}$/.test(part.trim()) ? Number(part) : Number.NaN));
  if (values.every((value) => value >= 1 && value <= limit)) return [...new Set(values)];
  throw new UsageError(`--${flag} ${text}: allowed are whole numbers from 1 to ${limit}, with commas between`);
}

function shapeOf(text: string): [string, number[]] {
  const [, name, shape] = /^(.+)=(\d{1,9}(?:x\d{1,9})*)$/.exec(text) ?? [];
  if (name === undefined || shape === undefined) {
    throw new UsageError(`--shape ${text}: allowed is NAME=1x3x224x224, an input and its dimensions`);
  }
  return [name, shape.split('x').map(Number)];
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** One line that is written over; nothing where nobody watches. */
function progressLine(stderr: NodeJS.WriteStream): { show(what: string, share: number): void; clear(): void } {
  const write = (text: string): void => {
    if (stderr.isTTY) stderr.write(`\r\u001b[K${text}`);
  };
  return {
    show: (what, share) => write(share <= 0 ? what : `${what} ${Math.min(100, Math.round(share * 100))} %`),
    clear: () => write(''),
  };
}
