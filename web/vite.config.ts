import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const server = process.env.TOCSIN_URL ?? "http://127.0.0.1:9911";

export default defineConfig({
  plugins: [react()],
  // Whatever is referred to is so from where it stands: the server knows how far up that is for the page, and where it is mounted.
  base: "./",
  // The server replaces this word by a fresh nonce in every answer with index.html.
  html: { cspNonce: "__CSP_NONCE__" },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
  },
  worker: { format: "es" },
  server: { host: "127.0.0.1", proxy: { "/api": server } },
  test: { environment: "node", include: ["test/**/*.test.ts"] },
});
