import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useEffect } from "react";
import { ApiError, setCsrf, whenUnauthorised } from "../api/client.ts";
import { sessionQuery } from "../api/queries.ts";
import { Login } from "../pages/login.tsx";
import { Kit } from "../ui/kit.tsx";
import "../styles/parts.css";
import { Failure } from "../ui/states.tsx";
import { startLive } from "./live.ts";
import { router } from "./router.tsx";
import { SessionContext } from "./session.ts";
import { useTheme } from "./settings.ts";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5000,
      refetchOnWindowFocus: true,
      retry: (count, error) => count < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
      retryDelay: (attempt) => 400 * 2 ** attempt,
      // A screen on loopback answers even when the computer says that it is offline.
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

const askAgain = () => void client.invalidateQueries({ queryKey: sessionQuery.queryKey });
whenUnauthorised(askAgain);

function Gate() {
  const session = useQuery(sessionQuery);
  const data = session.data;
  const inside = data?.authenticated === true;
  if (data?.csrf) setCsrf(data.csrf);

  useEffect(() => (inside ? startLive(client, askAgain) : undefined), [inside]);

  if (session.isError && !data) {
    return (
      <main className="alone">
        <h1 className="unseen">Tocsin</h1>
        <Failure error={session.error} retry={() => void session.refetch()} what="Tocsin" />
      </main>
    );
  }
  if (!data) return null;
  if (!inside || !data.user) return <Login />;
  return (
    <SessionContext value={{ ...data, user: data.user }}>
      <RouterProvider router={router} />
    </SessionContext>
  );
}

export function App() {
  return (
    <QueryClientProvider client={client}>
      <Kit theme={useTheme()}>
        <Gate />
      </Kit>
    </QueryClientProvider>
  );
}
