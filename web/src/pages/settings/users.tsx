import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { changeUser, createUser } from "../../api/actions.ts";
import { wordsOf } from "../../api/client.ts";
import { usersQuery } from "../../api/queries.ts";
import type { Role, User } from "../../api/types.ts";
import { PageHead, useSettingsPlaces } from "../../app/head.tsx";
import { ROLES, SHORTEST_PASSWORD, useSession } from "../../app/session.ts";
import { Button } from "../../ui/button.tsx";
import { SelectField, TextField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Dialog } from "../../ui/overlays.tsx";
import { Banner, Empty, Region } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { toast } from "../../ui/toasts.tsx";
import "../../styles/settings.css";


function readRole(value: string): Role {
  return ROLES.find((role) => role.value === value)?.value ?? "viewer";
}

function UserRow({ user, onPassword }: { user: User; onPassword: () => void }) {
  const client = useQueryClient();
  const self = useSession().user.name === user.name;
  const change = useMutation({
    mutationFn: (part: { role?: Role; disabled?: boolean }) => changeUser(user.name, part),
    onSuccess: () => client.invalidateQueries({ queryKey: ["users"] }),
    onError: (error) => toast(`Not changed: ${wordsOf(error).title}`, { tone: "critical" }),
  });
  return (
    <li className="setting-row">
      <div className="setting-words">
        <p className="setting-name">
          {user.name} {self && <Tag tone="accent">you</Tag>} {user.disabled && <Tag>disabled</Tag>}
        </p>
        <p className="muted">
          since <Time at={user.created_at} show="stamp" />
        </p>
      </div>
      <SelectField label={`Role of ${user.name}`} hideLabel disabled={self} choices={ROLES.map((role) => ({ value: role.value, label: role.value }))} value={user.role} onPick={(role) => change.mutate({ role: readRole(role) })} />
      <Button onClick={onPassword}>Set password</Button>
      <Button reason={self ? "You cannot lock yourself out" : undefined} busy={change.isPending && "Changing…"} onClick={() => change.mutate({ disabled: !user.disabled })}>
        {user.disabled ? "Enable" : "Disable"}
      </Button>
    </li>
  );
}

function NewUser({ onDone }: { onDone: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState<Role>("responder");
  const create = useMutation({
    mutationFn: () => createUser({ name: name.trim(), password, role }),
    onSuccess: async () => {
      toast(`Added ${name.trim()}`);
      onDone();
      await client.invalidateQueries({ queryKey: ["users"] });
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
      {create.isError && <Banner tone="critical">Not added: {wordsOf(create.error).title}</Banner>}
      <TextField label="Name" required autoComplete="off" autoCapitalize="none" spellCheck={false} value={name} onChange={(event) => setName(event.target.value)} />
      <TextField label="Password" type="password" required minLength={SHORTEST_PASSWORD} autoComplete="new-password" hint={`At least ${SHORTEST_PASSWORD} characters`} value={password} onChange={(event) => setPassword(event.target.value)} />
      <SelectField label="Role" choices={ROLES} value={role} onPick={(value) => setRole(readRole(value))} />
      <div className="line">
        <Button className="push" onClick={onDone}>
          Cancel
        </Button>
        <Button submit look="solid" busy={create.isPending && "Adding…"}>
          Add user
        </Button>
      </div>
    </form>
  );
}

function NewPassword({ user, onDone }: { user: string; onDone: () => void }) {
  const [password, setPassword] = useState("");
  const change = useMutation({
    mutationFn: () => changeUser(user, { password }),
    onSuccess: () => {
      toast(`Set the password of ${user}`);
      onDone();
    },
  });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (!change.isPending) change.mutate();
      }}
    >
      {change.isError && <Banner tone="critical">Not set: {wordsOf(change.error).title}</Banner>}
      <TextField label={`New password of ${user}`} type="password" required minLength={SHORTEST_PASSWORD} autoComplete="new-password" value={password} onChange={(event) => setPassword(event.target.value)} />
      <div className="line">
        <Button className="push" onClick={onDone}>
          Cancel
        </Button>
        <Button submit look="solid" busy={change.isPending && "Setting…"}>
          Set password
        </Button>
      </div>
    </form>
  );
}

export function UsersScreen() {
  const query = useQuery(usersQuery);
  const places = useSettingsPlaces();
  const [adding, setAdding] = useState(false);
  const [changing, setChanging] = useState<string | null>(null);
  return (
    <div className="page page-narrow">
      <PageHead title="Users" note={query.data && `${query.data.users.length} known`} places={places} always>
        <Button look="solid" icon="plus" onClick={() => setAdding(true)}>
          New user
        </Button>
      </PageHead>
      <Region query={query} what="the users">
        {(data) =>
          data.users.length === 0 ? (
            <Empty icon="users" title="No user yet" />
          ) : (
            <ul className="card" data-flush>
              {data.users.map((user) => (
                <UserRow key={user.name} user={user} onPassword={() => setChanging(user.name)} />
              ))}
            </ul>
          )
        }
      </Region>
      <Dialog open={adding} onClose={() => setAdding(false)} title="New user">
        {adding && <NewUser onDone={() => setAdding(false)} />}
      </Dialog>
      <Dialog open={changing !== null} onClose={() => setChanging(null)} title="Set password">
        {changing !== null && <NewPassword user={changing} onDone={() => setChanging(null)} />}
      </Dialog>
    </div>
  );
}
