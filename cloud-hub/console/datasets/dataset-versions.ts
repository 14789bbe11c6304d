// All versions of all datasets as a live list; the same for the page that shows them and the form that trains on them.
import type { DatasetVersion } from '@tidegate/shared/wire/data-api.js';
import type { HubClient } from '../hub-client.js';
import type { ListSource } from '../live-items.js';

/** `hard@1`. */
export function specOf({ name, version }: Pick<DatasetVersion, 'name' | 'version'>): string {
  return `${name}@${version}`;
}

export function datasetVersions(client: HubClient): ListSource<DatasetVersion> {
  return {
    read: () => client.datasets(),
    pick: (event) => (event.kind === 'dataset' ? event.dataset : undefined),
    key: specOf,
    gone: (event) => (event.kind === 'dataset-deleted' ? specOf(event) : undefined),
  };
}
