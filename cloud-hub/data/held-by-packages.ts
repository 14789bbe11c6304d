// Is a blob of the content store a file of a package too? Samples and datasets are removed blob by blob, and a package may have been
// published with a file of the same bytes.
import type { Digest } from '@tidegate/shared/wire/digest.js';
import type { Database } from '../storage/database.js';

/** Of a version, or of an upload that may become one. */
export async function isHeldByPackage(db: Database, digest: Digest): Promise<boolean> {
  const named = `%${digest}%`;
  const version = db.selectFrom('versions').select('version').where('manifest', 'like', named);
  const upload = db.selectFrom('uploads').select('id').where('files', 'like', named);
  return (await version.executeTakeFirst()) !== undefined || (await upload.executeTakeFirst()) !== undefined;
}
