// The pictures of before: lists the owner's jobs on the wall, page by page.

import { notice, waiting } from "./notice.js";
import { askUntilThere, isAbort } from "./service.js";

const AT_ONCE = 24;
const TYPING_MS = 250;

const byId = (id) => document.getElementById(id);

export class Gallery {
  /** onJob(view): there is a job that may be under way. */
  constructor(wall, onJob) {
    this.wall = wall;
    this.onJob = onJob;
    this.listing = new AbortController();
    this.older = null;
    let typing;
    byId("filter").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.list(), TYPING_MS);
    });
    byId("more").addEventListener("click", () => this.#listOlder());
  }

  /** Lists anew, by what is being searched for. */
  async list() {
    const asked = new URLSearchParams({ limit: AT_ONCE });
    if (this.#filter) asked.set("prompt", this.#filter);
    const before = [...this.wall.jobs.keys()];
    await this.#read(`?${asked}`, () => this.wall.takeDown(before));
  }

  /** Takes everything away: it is another's. */
  clear() {
    this.wall.clear();
    byId("more").hidden = true;
  }

  /** Says so where there is nothing to see. */
  showEmpty() {
    const filter = this.#filter;
    byId("empty").hidden = this.wall.views().length > 0;
    byId("empty").querySelector("p").textContent = filter
      ? `There is no picture with “${filter}” in its prompt.`
      : "Your pictures will hang here.";
  }

  get #filter() {
    return byId("filter").value.trim();
  }

  async #listOlder() {
    const last = this.wall.views().at(-1);
    await this.#read(this.older);
    const views = this.wall.views();
    views[views.indexOf(last) + 1]?.focus();
  }

  /** One page, and those after it as long as there is nothing on them. */
  async #read(query, onFirst = () => {}) {
    this.listing.abort();
    this.listing = new AbortController();
    const { signal } = this.listing;
    const tell = (error) => notice("gallery", waiting(error));
    try {
      let page = await askUntilThere(`jobs${query}`, tell, signal);
      onFirst();
      while (page.jobs.length === 0 && page.next) {
        page = await askUntilThere(`jobs${queryOf(page.next)}`, tell, signal);
      }
      notice("gallery", null);
      page.jobs.forEach((job) => this.onJob(this.wall.append(job)));
      this.older = page.next && queryOf(page.next);
      byId("more").hidden = !this.older;
      this.showEmpty();
    } catch (error) {
      if (!isAbort(error)) tell(error);
    }
  }
}

/** Of a URL, whose host may be another name of the service than this page's. */
const queryOf = (url) => new URL(url).search;
