// May answers to similar inputs still be given? Pure: it says which hits are computed anyway, is told whether those agreed, and ends it
// where they disagree too often. What has ended stays so: for this variant, until an operator drops the model's cache or the agent starts.

/** Fewer audits say too little. */
const LEAST_AUDITS = 20;
/** The rate is of so many audits of late. */
const WINDOW_AUDITS = 200;

interface TrustOptions {
  /** Share of the hits that is computed anyway. */
  readonly audit: number;
  readonly maxDisagreement: number;
}

export class SemanticTrust {
  readonly #options: TrustOptions;
  /** The first hit is audited. */
  #due = 1;
  #window: boolean[] = [];
  #off = false;
  readonly #counts = { audits: 0, disagreements: 0 };

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  get isOff(): boolean {
    return this.#off;
  }

  /** A similar answer is at hand: is it to be computed all the same? */
  audits(): boolean {
    const audits = this.#due >= 1;
    this.#due += this.#options.audit - (audits ? 1 : 0);
    return audits;
  }

  /** Returns true where this is what ends it. */
  audited(agreed: boolean): boolean {
    this.#counts.audits += 1;
    if (!agreed) this.#counts.disagreements += 1;
    this.#window.push(agreed);
    if (this.#window.length > WINDOW_AUDITS) this.#window.shift();
    const ends = !this.#off && this.#window.length >= LEAST_AUDITS && this.rate > this.#options.maxDisagreement;
    this.#off ||= ends;
    return ends;
  }

  /** Of the audits of late; 0 before the first. */
  get rate(): number {
    const disagreed = this.#window.filter((agreed) => !agreed).length;
    return this.#window.length === 0 ? 0 : disagreed / this.#window.length;
  }

  get counts(): { readonly audits: number; readonly disagreements: number } {
    return { ...this.#counts };
  }
}
