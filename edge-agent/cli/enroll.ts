// `tidegate-agent enroll`: makes this device one of a hub's, once.
import { X509Certificate } from 'node:crypto';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { enrol } from '../identity/enrol.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import { UsageError, type Verb } from './verb.js';

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

export const enrollVerb: Verb = (program, context) => {
  const command = program
    .command('enroll')
    .description("Make this device one of a hub: its own key, the hub's certificate for it")
    .option(
      '--token <TOKEN>',
      'enrolment token (variable TIDEGATE_ENROL_TOKEN); made with: tidegate group token create',
    )
    .option(
      '--hub <URL>',
      "https address of the hub's device port, where the token's is not how this device reaches it",
    )
    .option('--name <NAME>', 'wished name of the device')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate-agent enroll --hub https://hub.example:9443 --token tg1.eyJp...');
  addSettingsOptions(command, ['dataDir']).action(
    async (options: { token?: string; hub?: string; name?: string; json?: boolean }) => {
      const { dataDir } = settingsOf(command, ['dataDir'], context);
      const token = options.token ?? context.environment['TIDEGATE_ENROL_TOKEN'];
      if (token === undefined) throw new UsageError('--token is needed');
      if (options.hub !== undefined && !isHttpsUrl(options.hub)) {
        throw new UsageError(`--hub ${options.hub}: allowed is an https:// address, as https://hub.example:9443`);
      }
      if (options.name !== undefined && !NAME.test(options.name)) {
        throw new UsageError(`--name ${options.name}: allowed are up to 63 of a-z, 0-9 and -, beginning with no -`);
      }
      const identity = await enrol(
        { dataDir, token, ...optional('hub', options.hub), ...optional('name', options.name) },
        {
          files: systemFiles,
          clock: systemClock,
          onClock: (clock) => context.stderr.write(`tidegate-agent: this device's clock seems to be ${clock}\n`),
        },
        new AbortController().signal,
      );
      const { deviceId, group, deviceUrl, mqttUrl } = identity;
      const validUntil = new Date(new X509Certificate(identity.certificatePem).validTo).toISOString();
      context.stdout.write(
        options.json === true
          ? `${JSON.stringify({ deviceId, group, deviceUrl, mqttUrl, validUntil })}\n`
          : `enrolled as ${deviceId} in group ${group}; certificate valid until ${validUntil}\n`,
      );
    },
  );
};

function isHttpsUrl(text: string): boolean {
  return URL.canParse(text) && new URL(text).protocol === 'https:';
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [key in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [key in K]?: V };
}
