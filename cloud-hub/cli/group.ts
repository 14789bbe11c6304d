// `tidegate group`: tokens by which devices enrol into a group, and the group's settings.
import { enrolmentTokenCreatedSchema, groupConfigSchema } from '@tidegate/shared/wire/admin-api.js';
import { Command } from 'commander';
import type { CliContext } from './context.js';
import { seconds, whole } from './durations.js';
import { jsonText } from './output.js';

interface TokenOptions {
  readonly group: string;
  readonly uses: string;
  readonly expires: string;
  readonly json?: true;
}

export function groupCommand(context: CliContext): Command {
  const create = new Command('create')
    .description('make a token by which devices enrol into a group; shown once')
    .requiredOption('--group <GROUP>', 'group of the devices')
    .option('--uses <N>', 'how many devices may use it', '1')
    .option('--expires <TIME>', 'how long it is valid: 90s, 30m, 12h, 7d', '1h')
    .option('--json', 'print {id, token, expiresAt}')
    .addHelpText('after', '\nExample:\n  tidegate group token create --group shelf --uses 10 --expires 1d')
    .action(async (options: TokenOptions) => {
      const body = {
        group: options.group,
        uses: whole(options.uses, '--uses'),
        expiresInSeconds: Math.round(seconds(options.expires, '--expires')),
      };
      const created = await (
        await context.client()
      ).post('/api/v1/enrolment-tokens', body, enrolmentTokenCreatedSchema);
      if (options.json === true) context.stdout.write(jsonText(created));
      else {
        context.stderr.write(
          `expires ${created.expiresAt}; on a device: tidegate-agent enroll --hub URL --token TOKEN\n`,
        );
        context.stdout.write(`${created.token}\n`);
      }
    });
  const config = new Command('config')
    .description('change a group’s settings')
    .argument('<GROUP>')
    .requiredOption('--telemetry-interval <TIME>', 'how often its devices send telemetry: 10s, 1m')
    .option('--json', 'print the settings')
    .addHelpText('after', '\nExample:\n  tidegate group config shelf --telemetry-interval 30s')
    .action(async (group: string, options: { telemetryInterval: string; json?: true }) => {
      const telemetryIntervalMs = Math.round(seconds(options.telemetryInterval, '--telemetry-interval') * 1000);
      const path = `/api/v1/groups/${encodeURIComponent(group)}/config`;
      const changed = await (await context.client()).put(path, { telemetryIntervalMs }, groupConfigSchema);
      context.stdout.write(options.json === true ? jsonText(changed) : `group ${group} changed\n`);
    });
  return new Command('group')
    .description('groups of devices')
    .addCommand(new Command('token').description('enrolment tokens').addCommand(create))
    .addCommand(config);
}
