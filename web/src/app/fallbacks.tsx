import { Link } from "@tanstack/react-router";
import { wordsOf } from "../api/client.ts";
import { Button } from "../ui/button.tsx";
import { Empty } from "../ui/states.tsx";
import { PageHead } from "./head.tsx";

export function NotFound() {
  return (
    <div className="page">
      <PageHead title="No such page" />
      <Empty icon="search" title="Nothing lives at this address" action={<Link to="/">Go to the overview</Link>} />
    </div>
  );
}

/** Stands in for a screen whose code failed or could not be loaded, as after an update of the server. */
export function Broken({ error }: { error: unknown }) {
  return (
    <div className="page">
      <h1>This screen failed</h1>
      <p className="soft">{wordsOf(error).title}</p>
      <Button icon="refresh" onClick={() => window.location.reload()}>
        Load the page again
      </Button>
    </div>
  );
}
