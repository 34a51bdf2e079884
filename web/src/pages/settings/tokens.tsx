import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { createToken, deleteToken } from "../../api/actions.ts";
import { wordsOf } from "../../api/client.ts";
import { tokensQuery } from "../../api/queries.ts";
import type { Role, Token } from "../../api/types.ts";
import { PageHead, useSettingsPlaces } from "../../app/head.tsx";
import { ROLES } from "../../app/session.ts";
import { Button } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { SelectField, TextField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Dialog } from "../../ui/overlays.tsx";
import { Banner, Empty, Region } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { toast } from "../../ui/toasts.tsx";
import "../../styles/settings.css";

const SPANS = [
  { value: "", label: "When it is revoked" },
  { value: "1", label: "After a day" },
  { value: "30", label: "After 30 days" },
  { value: "90", label: "After 90 days" },
  { value: "365", label: "After a year" },
];

function NewToken({ onMade }: { onMade: (token: string) => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [days, setDays] = useState("");
  const create = useMutation({
    mutationFn: () => createToken({ name: name.trim(), role, ...(days === "" ? {} : { expires_in_days: Number(days) }) }),
    onSuccess: async (answer) => {
      onMade(answer.token);
      await client.invalidateQueries({ queryKey: ["tokens"] });
    },
  });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (!create.isPending) create.mutate();
      }}
    >
      {create.isError && <Banner tone="critical">Not made: {wordsOf(create.error).title}</Banner>}
      <TextField label="Name" hint="What uses it" required autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />
      <SelectField label="Role" choices={ROLES} value={role} onPick={(value) => setRole(ROLES.find((each) => each.value === value)?.value ?? "viewer")} />
      <SelectField label="Ends" hint="A token also ends when its maker is disabled or may do less than it" choices={SPANS} value={days} onPick={setDays} />
      <Button submit look="solid" className="push" busy={create.isPending && "Making…"}>
        Make token
      </Button>
    </form>
  );
}

function MadeToken({ token, onDone }: { token: string; onDone: () => void }) {
  return (
    <div className="stack">
      <Banner tone="warning">Copy it now: it is shown once and kept only as a hash.</Banner>
      <div className="line">
        <code className="secret">{token}</code>
        <CopyButton text={token} label="Copy token" />
      </div>
      <Button look="solid" className="push" onClick={onDone}>
        Done
      </Button>
    </div>
  );
}

function TokenRow({ token, onRevoke }: { token: Token; onRevoke: () => void }) {
  return (
    <li className="setting-row">
      <div className="setting-words">
        <p className="setting-name">{token.name}</p>
        <p className="muted">
          {token.created_at && (
            <>
              made <Time at={token.created_at} show="stamp" />
              {token.created_by && ` by ${token.created_by}`}
            </>
          )}
          {token.expires_at && (
            <>
              , ends <Time at={token.expires_at} show="stamp" />
            </>
          )}
        </p>
      </div>
      <Tag>{token.role}</Tag>
      <Button icon="trash" onClick={onRevoke}>
        Revoke
      </Button>
    </li>
  );
}

export function TokensScreen() {
  const client = useQueryClient();
  const query = useQuery(tokensQuery);
  const places = useSettingsPlaces();
  const [adding, setAdding] = useState(false);
  const [made, setMade] = useState<string | null>(null);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const revoke = useMutation({
    mutationFn: (token: Token) => deleteToken(token.id),
    onSuccess: async (_answer, token) => {
      toast(`Revoked ${token.name}`);
      setRevoking(null);
      await client.invalidateQueries({ queryKey: ["tokens"] });
    },
    onError: (error) => toast(`Not revoked: ${wordsOf(error).title}`, { tone: "critical" }),
  });
  const close = () => {
    setAdding(false);
    setMade(null);
  };
  return (
    <div className="page page-narrow">
      <PageHead title="Tokens" note="For machines" places={places} always>
        <Button look="solid" icon="plus" onClick={() => setAdding(true)}>
          New token
        </Button>
      </PageHead>
      <Region query={query} what="the tokens">
        {(data) =>
          data.tokens.length === 0 ? (
            <Empty icon="key" title="No token yet">
              A token lets a machine use the API with a role of its own.
            </Empty>
          ) : (
            <ul className="card" data-flush>
              {data.tokens.map((token) => (
                <TokenRow key={token.id} token={token} onRevoke={() => setRevoking(token)} />
              ))}
            </ul>
          )
        }
      </Region>
      <Dialog open={adding} onClose={close} title="New token">
        {adding && (made === null ? <NewToken onMade={setMade} /> : <MadeToken token={made} onDone={close} />)}
      </Dialog>
      <Dialog open={revoking !== null} onClose={() => setRevoking(null)} title="Revoke token">
        <div className="stack">
          <p>What uses {revoking?.name} is locked out at once. This cannot be undone.</p>
          <div className="line">
            <Button className="push" onClick={() => setRevoking(null)}>
              Cancel
            </Button>
            <Button look="danger" icon="trash" busy={revoke.isPending && "Revoking…"} onClick={() => revoking && revoke.mutate(revoking)}>
              Revoke
            </Button>
          </div>
        </div>
      </Dialog>
    </div>
  );
}
