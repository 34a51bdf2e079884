/** A bar that is filled by a share from 0 to 1, drawn for the eye; the words beside it say the number. */
export function Bar({ share, tone, mark }: { share: number; tone: string; mark?: number }) {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return (
    <span className="meter-track" aria-hidden="true">
      <span className="meter-fill" data-tone={tone} style={{ width: `${width}%` }} />
      {mark !== undefined && <span className="meter-mark" style={{ left: `${Math.max(0, Math.min(1, mark)) * 100}%` }} />}
    </span>
  );
}
