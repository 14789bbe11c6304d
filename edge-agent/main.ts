// The program `tidegate-agent`: which verbs there are. Each registers itself (cli/<verb>.ts).
import { createRequire } from 'node:module';
import { runProgram } from './cli/program.js';
import { serveVerb } from './cli/serve.js';
import { versionVerb } from './cli/version.js';

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

process.exitCode = await runProgram(process.argv.slice(2), [serveVerb, versionVerb], {
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  version,
});
