// Puts the unit into place and starts it, or takes it away. What it does to the machine it says, one line each.
import { join } from 'node:path';
import type { Files } from '@tidegate/shared/system/files.js';
import { UNIT_NAME } from './systemd-unit.js';

interface InstallModules {
  readonly files: Pick<Files, 'writeAtomic' | 'remove' | 'sizeBytes'>;
  /** Runs `systemctl` with these words; rejects where it fails. */
  readonly systemctl: (...words: string[]) => Promise<void>;
  readonly say: (line: string) => void;
  /** `/etc/systemd/system` but in tests. */
  readonly folder: string;
}

/** Repeating it replaces the unit and restarts the service. */
export async function installUnit(unit: string, { files, systemctl, say, folder }: InstallModules): Promise<void> {
  const path = join(folder, UNIT_NAME);
  await files.writeAtomic('service.unit', path, unit, 0o644);
  say(`wrote ${path}`);
  await systemctl('daemon-reload');
  await systemctl('enable', UNIT_NAME);
  await systemctl('restart', UNIT_NAME);
  say(`enabled and started ${UNIT_NAME}; see: systemctl status ${UNIT_NAME}, journalctl -u ${UNIT_NAME}`);
}

/** The data folder stays. */
export async function uninstallUnit({ files, systemctl, say, folder }: InstallModules): Promise<void> {
  const path = join(folder, UNIT_NAME);
  if ((await files.sizeBytes('service.unit', path)) === undefined) {
    say(`${path} is not there: nothing to take away`);
    return;
  }
  await systemctl('disable', '--now', UNIT_NAME);
  await files.remove('service.unit', path);
  await systemctl('daemon-reload');
  say(`stopped and removed ${UNIT_NAME}; the data folder is as it was`);
}
