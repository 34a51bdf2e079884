import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { logIn } from "../api/actions.ts";
import { ApiError, wordsOf } from "../api/client.ts";
import { sessionQuery } from "../api/queries.ts";
import { Button } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import { Mark } from "../ui/icons.tsx";
import { Banner } from "../ui/states.tsx";
import "../styles/login.css";

function wordsForFailure(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) return "Name or password is wrong.";
  if (error instanceof ApiError && error.status === 429) return "Too many attempts. Wait a minute and try again.";
  const { title, detail } = wordsOf(error);
  return detail ? `${title}. ${detail}` : `${title}.`;
}

export function Login() {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const login = useMutation({
    mutationFn: () => logIn(name.trim(), password),
    onSuccess: (session) => client.setQueryData(sessionQuery.queryKey, session),
  });
  return (
    <main className="login">
      <title>Log in, Tocsin</title>
      <form
        className="login-card"
        onSubmit={(event) => {
          event.preventDefault();
          if (!login.isPending) login.mutate();
        }}
      >
        <div className="login-brand">
          <Mark size={30} />
          <h1>Log in to Tocsin</h1>
        </div>
        {login.isError && <Banner tone="critical">{wordsForFailure(login.error)}</Banner>}
        <TextField label="Name" name="username" autoComplete="username" autoCapitalize="none" spellCheck={false} required value={name} onChange={(event) => setName(event.target.value)} />
        <TextField label="Password" name="password" type="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
        <Button submit look="solid" wide busy={login.isPending && "Logging in…"}>
          Log in
        </Button>
      </form>
    </main>
  );
}
