// The program `tidegate-agent`: which verbs there are. Each registers itself (cli/<verb>.ts).
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { doctorVerb } from './cli/doctor.js';
import { enrollVerb } from './cli/enroll.js';
import { runProgram } from './cli/program.js';
import { runVerb } from './cli/run.js';
import { serveVerb } from './cli/serve.js';
import { statusVerb } from './cli/status.js';
import { versionVerb } from './cli/version.js';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

// A request's signal is listened to by each of its parts (pictures, variations, graphs): more than Node's ten is no leak.
EventEmitter.defaultMaxListeners = 256;

const VERBS = [serveVerb, enrollVerb, runVerb, statusVerb, doctorVerb, versionVerb];

process.exitCode = await runProgram(process.argv.slice(2), VERBS, {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  version,
});
