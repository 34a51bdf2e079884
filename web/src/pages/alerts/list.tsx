import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useRef, useSyncExternalStore } from "react";
import type { Alert } from "../../api/types.ts";
import { isQuiet, needsSomebody, tellingLabels, type AlertGroup, type AlertRow } from "../../lib/grouping.ts";
import { plural } from "../../lib/units.ts";
import { AckButton } from "../../ui/ack-button.tsx";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { AlertStateTag, FlappingTag, LabelChip, SeverityMark } from "../../ui/marks.tsx";
import { Time } from "../../ui/time.tsx";

const narrow = window.matchMedia("(max-width: 719px)");

function useNarrow(): boolean {
  return useSyncExternalStore(
    (listener) => {
      narrow.addEventListener("change", listener);
      return () => narrow.removeEventListener("change", listener);
    },
    () => narrow.matches,
  );
}

interface ListProps {
  rows: readonly AlertRow[];
  by: string;
  folded: ReadonlySet<string>;
  selected: string | undefined;
  compact: boolean;
  waiting: number;
  onHold: (on: boolean) => void;
  onRelease: () => void;
  onOpen: (fingerprint: string) => void;
  onFold: (key: string) => void;
}

/** Shows the rows that fit; nothing moves while the reader's hand is on the list. */
export function AlertListView({ rows, by, folded, selected, compact, waiting, onHold, onRelease, onOpen, onFold }: ListProps) {
  const scroll = useRef<HTMLDivElement>(null);
  const phone = useNarrow();
  const rowHeight = phone ? 88 : compact ? 34 : 52;
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: (index) => (rows[index]?.kind === "group" ? 40 : rowHeight),
    getItemKey: (index) => {
      const row = rows[index];
      return row?.kind === "alert" ? row.alert.fingerprint : `group ${row?.group.key ?? index}`;
    },
    overscan: 12,
  });

  useEffect(() => virtual.measure(), [virtual, rowHeight, rows]);
  useEffect(() => {
    const index = rows.findIndex((row) => row.kind === "alert" && row.alert.fingerprint === selected);
    if (index >= 0) virtual.scrollToIndex(index, { align: "auto" });
    // Only another selection brings its row into view; new rows must not move the list.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [selected, virtual]);

  return (
    <>
      {waiting > 0 && (
        <div className="waiting">
          <Button look="solid" onClick={onRelease}>
            {plural(waiting, "new alert")}
          </Button>
        </div>
      )}
      <div
        className="rows-scroll"
        ref={scroll}
        // A list that can only be scrolled by a wheel is out of reach for keyboards.
        tabIndex={0}
        role="region"
        aria-label="Alerts, scrollable"
        onPointerEnter={(event) => event.pointerType === "mouse" && onHold(true)}
        onPointerLeave={(event) => event.pointerType === "mouse" && event.currentTarget.scrollTop === 0 && onHold(false)}
        onScroll={(event) => {
          const away = event.currentTarget.scrollTop > 0;
          if (away || !event.currentTarget.matches(":hover")) onHold(away);
        }}
      >
        <div className="rows" role="list" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (!row) return null;
            return (
              <div key={item.key} role="listitem" aria-posinset={item.index + 1} aria-setsize={rows.length} className="row-place" style={{ height: item.size, transform: `translateY(${item.start}px)` }}>
                {row.kind === "group" ? (
                  <GroupHead group={row.group} folded={folded.has(row.group.key)} onFold={onFold} />
                ) : (
                  <Row alert={row.alert} group={row.group} by={by} phone={phone} compact={compact} selected={row.alert.fingerprint === selected} onOpen={onOpen} />
                )}
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}

function GroupHead({ group, folded, onFold }: { group: AlertGroup; folded: boolean; onFold: (key: string) => void }) {
  return (
    <div className="group-head">
      <h2>
        <button type="button" className="group-fold" aria-expanded={!folded} onClick={() => onFold(group.key)}>
          <Icon name={folded ? "chevronRight" : "chevronDown"} size={14} />
          <span className="clip">{group.title}</span>
          <span className="group-count number">{group.alerts.length}</span>
        </button>
      </h2>
      <span className="group-common">
        {group.common.slice(0, 4).map(([name, value]) => (
          <LabelChip key={name} name={name} value={value} />
        ))}
      </span>
      {group.open.length > 1 && <AckButton pages={group.open} what={`pages of ${group.title}`} count />}
    </div>
  );
}

interface RowProps {
  alert: Alert;
  group: AlertGroup;
  by: string;
  phone: boolean;
  compact: boolean;
  selected: boolean;
  onOpen: (fingerprint: string) => void;
}

const Row = memo(function Row({ alert, group, by, phone, compact, selected, onOpen }: RowProps) {
  const quiet = isQuiet(alert) || alert.state !== "firing";
  const labels = tellingLabels(alert, group, by, phone ? 1 : 2);
  const summary = alert.annotations.summary ?? alert.annotations.description ?? "";
  const open = alert.page && needsSomebody(alert) ? [alert.page.id] : [];
  return (
    // The whole row is a larger target for the pointer; the button inside is the way for keyboards.
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-static-element-interactions
    <div className="row" data-selected={selected || undefined} data-quiet={quiet || undefined} data-compact={(compact && !phone) || undefined} onClick={() => onOpen(alert.fingerprint)}>
      <span className="severity-bar" data-tone={quiet ? "quiet" : alert.severity} />
      <span className="row-mark">
        <SeverityMark severity={alert.severity} bare quiet={quiet} />
      </span>
      <div className="row-words">
        <div className="row-first">
          <button
            type="button"
            className="row-name clip"
            aria-current={selected || undefined}
            onClick={(event) => {
              event.stopPropagation();
              onOpen(alert.fingerprint);
            }}
          >
            {alert.name}
          </button>
          <FlappingTag alert={alert} />
          {labels.map(([name, value]) => (
            <LabelChip key={name} name={name} value={value} />
          ))}
        </div>
        <p className="row-summary clip">{summary}</p>
      </div>
      <span className="row-age">
        <Time at={alert.state === "resolved" ? alert.resolved_at : (alert.fired_at ?? alert.active_at)} />
      </span>
      <span className="row-state">
        <AlertStateTag alert={alert} />
      </span>
      <span className="row-action">{open.length > 0 && !phone && <AckButton pages={open} what={`${alert.name} ${labels[0]?.[1] ?? ""}`} />}</span>
    </div>
  );
});
