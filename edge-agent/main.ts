// The program `tidegate-agent`: which verbs there are. Each registers itself (cli/<verb>.ts). Only the verb that is asked for
// is loaded, since what `run` needs (MQTT, SQLite, signed metadata) would cost the others time and memory; help loads all.
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { tuneForServing } from '@tidegate/shared/system/v8-flags.js';
import { runProgram } from './cli/program.js';
import type { Verb } from './cli/verb.js';

const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  serve: async () => (await import('./cli/serve.js')).serveVerb,
  enroll: async () => (await import('./cli/enroll.js')).enrollVerb,
  run: async () => (await import('./cli/run.js')).runVerb,
  status: async () => (await import('./cli/status.js')).statusVerb,
  release: async () => (await import('./cli/release.js')).releaseVerb,
  doctor: async () => (await import('./cli/doctor.js')).doctorVerb,
  service: async () => (await import('./cli/service.js')).serviceVerb,
  explain: async () => (await import('./cli/explain.js')).explainVerb,
  'support-bundle': async () => (await import('./cli/support-bundle.js')).supportBundleVerb,
  profile: async () => (await import('./cli/profile.js')).profileVerb,
  version: async () => (await import('./cli/version.js')).versionVerb,
};

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };
const argv = process.argv.slice(2);
const asked = Object.entries(VERBS).filter(([name]) => name === argv[0]);
const verbs = await Promise.all((asked.length > 0 ? asked : Object.entries(VERBS)).map(([, load]) => load()));

tuneForServing();

// A request's signal is listened to by each of its parts (pictures, variations, graphs): more than Node's ten is no leak.
EventEmitter.defaultMaxListeners = 256;

// Whoever reads may have had enough (`--help | head`, a pipe that ended): an agent that serves goes on without being read.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code !== 'EPIPE') throw cause;
});

process.exitCode = await runProgram(argv, verbs, {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  version,
});
