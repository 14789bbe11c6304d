// Samples' pictures as object URLs. An <img> can't send the token, so each is fetched once and kept while it is among the last
// LIMIT_PICTURES asked for; what falls out is released.
import type { HubClient } from '../hub-client.js';

const LIMIT_PICTURES = 400;

/** URL of a picture, `none` where the sample's inputs are no picture. */
export type Picture = { readonly url: string } | 'none';

export class Pictures {
  readonly #client: Pick<HubClient, 'picture'>;
  readonly #known = new Map<string, Promise<Picture>>();

  constructor(client: Pick<HubClient, 'picture'>) {
    this.#client = client;
  }

  /** Rejects where the hub can't be asked; the next call asks again. */
  of(id: string): Promise<Picture> {
    const known = this.#known.get(id);
    this.#known.delete(id);
    const picture = known ?? this.#fetch(id);
    this.#known.set(id, picture);
    this.#trim();
    return picture;
  }

  close(): void {
    for (const picture of this.#known.values()) release(picture);
    this.#known.clear();
  }

  async #fetch(id: string): Promise<Picture> {
    try {
      const blob = await this.#client.picture(id);
      return blob === undefined ? 'none' : { url: URL.createObjectURL(blob) };
    } catch (cause) {
      this.#known.delete(id);
      throw cause;
    }
  }

  #trim(): void {
    for (const [id, picture] of this.#known) {
      if (this.#known.size <= LIMIT_PICTURES) return;
      this.#known.delete(id);
      release(picture);
    }
  }
}

function release(picture: Promise<Picture>): void {
  picture.then(
    (known) => {
      if (known !== 'none') URL.revokeObjectURL(known.url);
    },
    () => undefined, // nothing was made
  );
}
