// Where the console stands, as a path and back: `/review?state=new&where=...`, `/training/JOB`, `/lineage/MODEL/VERSION`. A path that
// means nothing is the fleet, so that an old link never shows an empty page.

export const PAGES = ['fleet', 'rollouts', 'models', 'playground', 'review', 'datasets', 'training'] as const;

/** Which samples a review shows; `all` does not narrow. */
export const REVIEW_TABS = ['new', 'labelled', 'rejected', 'all'] as const;
export type ReviewTab = (typeof REVIEW_TABS)[number];

export type Route =
  | { readonly page: 'fleet' | 'rollouts' | 'models' | 'playground' }
  | { readonly page: 'review'; readonly tab: ReviewTab; readonly where: string }
  | { readonly page: 'datasets' }
  /** Without a job the list and the form, with `dataset` chosen in it. */
  | { readonly page: 'training'; readonly job?: string; readonly dataset?: string }
  /** A version by its number, its label, or the beginning of a digest, as the hub takes it. */
  | { readonly page: 'lineage'; readonly model: string; readonly version: string };

const PLAIN = ['fleet', 'rollouts', 'models', 'playground', 'datasets'] as const;

/** Of `location.pathname` and `location.search`. */
export function routeOf(pathname: string, search: string): Route {
  const [page = '', first, second] = pathname.split('/').slice(1).map(decoded);
  const query = new URLSearchParams(search);
  const plain = PLAIN.find((name) => name === page);
  if (plain !== undefined) return { page: plain };
  if (page === 'review') {
    const tab = REVIEW_TABS.find((name) => name === query.get('state')) ?? 'new';
    return { page, tab, where: query.get('where') ?? '' };
  }
  if (page === 'training') {
    const dataset = query.get('dataset');
    return first ? { page, job: first } : { page, ...(dataset === null ? {} : { dataset }) };
  }
  if (page === 'lineage' && first && second) return { page, model: first, version: second };
  return { page: 'fleet' };
}

export function hrefOf(route: Route): string {
  switch (route.page) {
    case 'review': {
      const query = new URLSearchParams();
      if (route.tab !== 'new') query.set('state', route.tab);
      if (route.where !== '') query.set('where', route.where);
      return query.size === 0 ? '/review' : `/review?${query.toString()}`;
    }
    case 'training':
      if (route.job !== undefined) return `/training/${encodeURIComponent(route.job)}`;
      return route.dataset === undefined ? '/training' : `/training?dataset=${encodeURIComponent(route.dataset)}`;
    case 'lineage':
      return `/lineage/${encodeURIComponent(route.model)}/${encodeURIComponent(route.version)}`;
    default:
      return `/${route.page}`;
  }
}

/** The page as its link in the frame leads to it. */
export function startOf(page: (typeof PAGES)[number]): Route {
  return page === 'review' ? { page, tab: 'new', where: '' } : { page };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return ''; // a broken escape is no name of anything
  }
}
