import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { wordsOf } from "../api/client.ts";
import { Button } from "./button.tsx";
import { Icon, type IconName } from "./icons.tsx";
import { Time } from "./time.tsx";

export function Banner({ tone, children, action }: { tone: "critical" | "warning" | "info" | "ok"; children: ReactNode; action?: ReactNode }) {
  return (
    <div className="banner" data-tone={tone} role={tone === "critical" ? "alert" : "status"}>
      <div className="banner-words">{children}</div>
      {action}
    </div>
  );
}

export function Empty({ icon = "check", title, children, action, good = false }: { icon?: IconName; title: string; children?: ReactNode; action?: ReactNode; good?: boolean }) {
  return (
    <div className="empty" data-good={good || undefined}>
      <span className="empty-icon">
        <Icon name={icon} size={20} />
      </span>
      <p className="empty-title">{title}</p>
      {children && <div className="empty-words">{children}</div>}
      {action}
    </div>
  );
}

/** Holds the place of rows that are on their way; it shows only after a moment, since most answers are faster. */
export function Skeleton({ rows = 5, height = 50 }: { rows?: number; height?: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} className="skeleton-row" style={{ height }} />
      ))}
    </div>
  );
}

export function Failure({ error, retry, what }: { error: unknown; retry: () => void; what: string }) {
  const { title, detail } = wordsOf(error);
  return (
    <div className="failure" role="alert">
      <p className="failure-title">Cannot show {what}</p>
      <p className="soft">
        {title}
        {detail && `. ${detail}`}
      </p>
      <Button icon="refresh" onClick={retry}>
        Try again
      </Button>
    </div>
  );
}

interface RegionProps<T> {
  query: UseQueryResult<T>;
  /** What the region holds, to end the sentence "Cannot show ...". */
  what: string;
  skeleton?: ReactNode;
  children: (data: T) => ReactNode;
}

/** Draws the answer of a query, or what stands in for it: its skeleton, its error, or old data with its date. */
export function Region<T>({ query, what, skeleton, children }: RegionProps<T>) {
  if (query.data === undefined) {
    if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} what={what} />;
    return skeleton ?? <Skeleton />;
  }
  return (
    <>
      {query.isError && (
        <Banner
          tone="warning"
          action={
            <Button icon="refresh" onClick={() => void query.refetch()}>
              Try again
            </Button>
          }
        >
          <strong>{wordsOf(query.error).title}.</strong> What you see is from <Time at={new Date(query.dataUpdatedAt).toISOString()} show="stamp" />.
        </Banner>
      )}
      <div className={query.isError ? "region stale" : "region"}>{children(query.data)}</div>
    </>
  );
}
