import type { ReactNode } from "react";

export function Card({ title, note, children, flush = false }: { title: string; note?: ReactNode; children: ReactNode; flush?: boolean }) {
  return (
    <section className="card" data-flush={flush || undefined}>
      <header className="card-head">
        <h2>{title}</h2>
        {note && <div className="card-note">{note}</div>}
      </header>
      {children}
    </section>
  );
}
