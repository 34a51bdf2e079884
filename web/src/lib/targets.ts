import type { Health, Job, Target } from "../api/types.ts";

const RANK: Record<Health, number> = { down: 0, unknown: 1, up: 2 };

function isHit(target: Target, job: string, words: readonly string[]): boolean {
  const where = [job, target.url, target.health, target.last_error, ...Object.entries(target.labels).map(([name, value]) => `${name}=${value}`)].join(" ").toLowerCase();
  return words.every((word) => where.includes(word));
}

/** Returns the jobs with the targets that match, those that are down first; jobs without a match are left out. */
export function narrowTargets(jobs: readonly Job[], text: string, show: "down" | "limited" | undefined): Job[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return jobs
    .flatMap((job) => {
      const targets = job.targets
        .filter((target) => (show === undefined || (show === "down" ? target.health === "down" : target.series_refused > 0)) && isHit(target, job.name, words))
        .sort((left, right) => RANK[left.health] - RANK[right.health] || left.url.localeCompare(right.url));
      const matchesAll = targets.length > 0 || (job.total === 0 && words.length === 0 && show === undefined);
      return matchesAll ? [{ ...job, targets }] : [];
    })
    .sort((left, right) => worst(left) - worst(right) || left.name.localeCompare(right.name));
}

function worst(job: Job): number {
  return Math.min(RANK.up, ...job.targets.map((target) => RANK[target.health]));
}
