// `tidegate-agent support-bundle --out FILE`: one file for whoever is asked for help, that its sender may read first
// (tar -xzf) and that holds no secrets. Works beside a running agent or without one.
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Command } from 'commander';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { SETTING_NAMES } from '../config/settings-table.js';
import { collectBundle } from '../support/collect-bundle.js';
import { tarOf } from '../support/tar.js';
import { askAgentText } from './agent-address.js';
import { examineHere } from './doctor.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import { UsageError, type Verb } from './verb.js';

export const supportBundleVerb: Verb = (program, context) => {
  const command = program
    .command('support-bundle')
    .description('Write what support needs to know of this device into one file, without secrets')
    .option('--out <FILE>', 'the .tar.gz to write')
    .option(
      '--log-file <FILE>',
      "log of the agent, of which the end is taken (it writes to stderr: your service's file)",
    )
    .option('--json', 'print what was written as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  tidegate-agent support-bundle --out support.tar.gz --data-dir /var/lib/tidegate\n  tar -tzf support.tar.gz',
    );
  addSettingsOptions(command, SETTING_NAMES).action(
    async (options: { out?: string; logFile?: string; json?: boolean }, self: Command) => {
      if (options.out === undefined) throw new UsageError('--out is needed');
      const settings = settingsOf(self, SETTING_NAMES, context);
      const archive = await collectBundle(settings, options.logFile, {
        files: systemFiles,
        clock: systemClock,
        version: context.version,
        ask: (path) => askAgentText(settings, path),
        examine: () => examineHere(settings),
      });
      const out = resolve(options.out);
      const packed = gzipSync(tarOf(archive, systemClock.nowMs()));
      await systemFiles.writeAtomic('support.bundle', out, packed, 0o600);
      const files = archive.map(({ path }) => path);
      context.stdout.write(
        options.json === true
          ? `${JSON.stringify({ out, sizeBytes: packed.byteLength, files })}\n`
          : `${out}, ${(packed.byteLength / 1024).toFixed(0)} KiB: ${files.join(', ')}\n`,
      );
    },
  );
};
