// `tidegate-agent version`.
import type { Verb } from './verb.js';

export const versionVerb: Verb = (program, context) => {
  program
    .command('version')
    .description('Print the version of the agent')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate-agent version --json')
    .action((options: { json?: boolean }) => {
      const { version } = context;
      const facts = { version, node: process.versions.node, platform: process.platform, architecture: process.arch };
      context.stdout.write(options.json === true ? `${JSON.stringify(facts)}\n` : `tidegate-agent ${version}\n`);
    });
};
