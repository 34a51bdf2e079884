import { createRoot } from "react-dom/client";
import { App } from "./app/app.tsx";
import "./styles/tokens.css";
import "./styles/base.css";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no element for the page");
createRoot(root).render(<App />);
