// Training runs as a live list.
import type { Job } from '@tidegate/shared/wire/training-api.js';
import type { HubClient } from '../hub-client.js';
import type { ListSource } from '../live-items.js';

export function jobList(client: HubClient): ListSource<Job> {
  return {
    read: () => client.jobs(),
    pick: (event) => (event.kind === 'job' ? event.job : undefined),
    key: ({ id }) => id,
  };
}
